"""What the account's quotas let through: the first deploy, the fallbacks, and later an update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from easel.cloud.account import Account, explained
from easel.cloud.doctor.check import Check
from easel.cloud.doctor.plan import Plan
from easel.cloud.doctor.price_list import USAGE, prices
from easel.cloud.stack_state import ANEW

CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
PENDING = ("PENDING", "CASE_OPENED")


@dataclass(frozen=True)
class Quota:
    service: str
    code: str
    name: str
    value: float

    def page(self, account: Account) -> str:
        """Where one asks for more."""
        host = f"{account.region}.{CONSOLES[account.partition]}"
        return f"https://{host}/servicequotas/home/services/{self.service}/quotas/{self.code}"

    def more(self, account: Account, wanted: int, *, request: bool) -> tuple[str, str]:
        """What is said of a request for more, which is made where `request` says so, and the way out."""
        if asked := self._asked(account):
            return f" More was asked for ({asked}).", "Wait: hours to days"
        if not request:
            return "", f"easel doctor --request, or {self.page(account)}"
        with explained():
            told = account.client("service-quotas").request_service_quota_increase(
                ServiceCode=self.service, QuotaCode=self.code, DesiredValue=float(wanted)
            )["RequestedQuota"]
        return f" {wanted} was asked for now ({told['Status']}).", "Wait: hours to days"

    def _asked(self, account: Account) -> str:
        """The status of a request that is open; empty where there is none."""
        history = "list_requested_service_quota_change_history_by_quota"
        with explained():
            asked = account.all(
                "service-quotas", history, "RequestedQuotas", ServiceCode=self.service, QuotaCode=self.code
            )
            return next((str(one["Status"]) for one in asked if one["Status"] in PENDING), "")


def find_quota(account: Account, service: str, name: str) -> Quota | None:
    """By name: the codes differ. The account's, or where it has none of its own AWS's default."""
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        if name in (listed := _listed(account, service, operation)):
            return listed[name]
    return None


@cache
def _listed(account: Account, service: str, operation: str) -> Mapping[str, Quota]:
    """Those of SageMaker fill dozens of pages."""
    with explained():
        told = account.all("service-quotas", operation, "Quotas", ServiceCode=service)
        return {one["QuotaName"]: Quota(service, one["QuotaCode"], one["QuotaName"], one["Value"]) for one in told}


def quota(account: Account, plan: Plan, *, request: bool) -> Check:
    return instances(account, f"{plan.instance_type} for endpoint usage", plan.settings.max_instances, request=request)


def instances(account: Account, name: str, needed: int, *, request: bool) -> Check:
    """Whether so many of what the quota counts may run."""
    found = find_quota(account, "sagemaker", name)
    if found is None:
        said = f"{account.region} has no quota '{name}': no such type there."
        return Check("quota", "failed", said, "Another region")
    if found.value >= needed:
        return Check("quota", "ok", f"{name} is {found.value:g}, {needed} needed.")
    asked, fix = found.more(account, needed, request=request)
    said = f"{name} is {found.value:g} in {account.region}; {needed} needed.{asked}"
    return Check("quota", "failed", said, fix)


def notebook(account: Account, plan: Plan, *, request: bool) -> Check | None:
    """None where none is asked for."""
    if plan.settings.notebook == "off":
        return None
    name = f"{plan.settings.notebook_instance_type} for notebook instance usage"
    return replace(instances(account, name, 1, request=request), name="notebook")


def fallbacks(account: Account, plan: Plan, *, request: bool) -> Check | None:
    """Whether the other types can be had, too; None where there are none."""
    names, mode = plan.settings.pool[1:], plan.settings.mode
    if not names:
        return None
    sold = prices(account, USAGE[mode])
    absent = [
        Check("fallbacks", "failed", f"{account.region} has no {name} for mode {mode}.", "Take it out of the list")
        for name in names if sold and name not in sold
    ]  # fmt: skip
    most = plan.settings.max_instances
    quotas = [instances(account, f"{name} for endpoint usage", most, request=request) for name in names]
    if lacking := absent + [check for check in quotas if check.mark == "failed"]:
        return Check("fallbacks", "failed", " ".join(check.said for check in lacking), lacking[0].fix)
    return Check("fallbacks", "ok", f"{', '.join(names)}: there, and with a quota.")


def update(account: Account, plan: Plan, *, request: bool) -> Check | None:
    """Whether a later release can start beside the one that runs, of whichever type; None where `quota` has failed
    already. A fallback that `fallbacks` refuses is left to that."""
    settings = plan.settings
    first, *others = (find_quota(account, "sagemaker", f"{name} for endpoint usage") for name in settings.pool)
    if first is None or first.value < settings.max_instances or settings.endpoint == "off":
        return None
    found = [first, *(one for one in others if one and one.value >= settings.max_instances)]
    most = 2 * settings.max_instances
    told = ", ".join(f"{one.name} is {one.value:g}" for one in found)
    said = f"update={settings.update} starts the new beside the old, up to {most}, and {told}"
    lacking = [one for one in found if one.value < most]
    if not lacking:
        return Check("update", "ok", f"{said}.")
    if settings.update == "plain":
        asleep = "Wait until it sleeps, or " if settings.min_instances == 0 else ""
        return Check("update", "ok", f"{said}: the old must go first.", f"{asleep}{ANEW}")
    asked, fixes = zip(*(one.more(account, most, request=request) for one in lacking), strict=True)
    fix = f"-c update=plain, or {fixes[0][0].lower()}{fixes[0][1:]}"
    return Check("update", "failed", f"{said}.{''.join(dict.fromkeys(asked))}", fix)
