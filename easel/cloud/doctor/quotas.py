"""Checks of the account's instance quotas: first deploy, fallbacks, update, notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from easel.cloud.account import Account, aws_errors
from easel.cloud.doctor.check import Finding, check, failed, ok
from easel.cloud.doctor.plan import Plan
from easel.cloud.doctor.price_list import USAGE_TYPE, prices
from easel.cloud.stack_state import RECREATE_ENDPOINT

CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
"""Partition to the host of its console."""
OPEN_STATUSES = ("PENDING", "CASE_OPENED")
"""Statuses of an increase request that AWS has not decided."""
WAIT_FOR_AWS = "Wait for AWS to decide; that takes hours to days."
REQUEST_INCREASE = "easel doctor --request"


@dataclass(frozen=True)
class Quota:
    """A quota of Service Quotas."""

    service: str
    code: str
    name: str
    value: float

    def page(self, account: Account) -> str:
        """Return the URL of the console page that requests an increase."""
        host = f"{account.region}.{CONSOLES[account.partition]}"
        return f"https://{host}/servicequotas/home/services/{self.service}/quotas/{self.code}"

    def increase(self, account: Account, wanted: int, *, request: bool) -> tuple[str, str]:
        """Return a sentence about the increase request, if there is any, and the remedy.

        `request`: send the request to AWS, unless an earlier request is open. Raises CommandError.
        """
        if status := self._open_request(account):
            return f" An increase is requested ({status}).", WAIT_FOR_AWS
        if not request:
            return "", f"{REQUEST_INCREASE}, or {self.page(account)}"
        with aws_errors():
            response = account.client("service-quotas").request_service_quota_increase(
                ServiceCode=self.service, QuotaCode=self.code, DesiredValue=float(wanted)
            )
        return f" An increase to {wanted} is now requested ({response['RequestedQuota']['Status']}).", WAIT_FOR_AWS

    def _open_request(self, account: Account) -> str:
        """Return the status of an undecided increase request; empty if there is none."""
        operation = "list_requested_service_quota_change_history_by_quota"
        with aws_errors():
            requests = account.items(
                "service-quotas", operation, "RequestedQuotas", ServiceCode=self.service, QuotaCode=self.code
            )
            return next((str(item["Status"]) for item in requests if item["Status"] in OPEN_STATUSES), "")


def find_quota(account: Account, service: str, name: str) -> Quota | None:
    """Find a quota by name, since codes differ between regions: the account's value, or the AWS default."""
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        if name in (quotas := _list_quotas(account, service, operation)):
            return quotas[name]
    return None


@cache
def _list_quotas(account: Account, service: str, operation: str) -> Mapping[str, Quota]:
    """Return the quotas by name. Cached: SageMaker's quotas fill dozens of pages."""
    with aws_errors():
        items = account.items("service-quotas", operation, "Quotas", ServiceCode=service)
        return {
            item["QuotaName"]: Quota(service, item["QuotaCode"], item["QuotaName"], item["Value"]) for item in items
        }


def _endpoint_quota(instance_type: str) -> str:
    return f"{instance_type} for endpoint usage"


def _compare(account: Account, name: str, needed: int, *, request: bool) -> Finding:
    """Return whether the SageMaker quota `name` allows `needed` instances."""
    quota = find_quota(account, "sagemaker", name)
    if quota is None:
        message = f"{account.region} has no quota '{name}': the region does not offer the instance type."
        return failed(message, "Choose another region or another instance type.")
    message = f"The quota '{name}' is {quota.value:g} in {account.region}; {needed} needed."
    if quota.value >= needed:
        return ok(message)
    sentence, fix = quota.increase(account, needed, request=request)
    return failed(f"{message}{sentence}", fix)


@check("endpoint_quota", remedy=f"Request an increase: {REQUEST_INCREASE}")
def endpoint_quota(account: Account, plan: Plan, *, request: bool) -> Finding:
    """The quota allows max_instances instances of the instance type, of all models with this type together."""
    return _compare(
        account, _endpoint_quota(plan.instance_type), needed_instances(plan, plan.instance_type), request=request
    )


def needed_instances(plan: Plan, instance_type: str) -> int:
    """Return how many instances of the type may run: those of all models that have it, also as a fallback."""
    return sum(each.settings.max_instances for each in plan.each if instance_type in each.settings.pool)


@check("notebook_quota", remedy=f"Request an increase: {REQUEST_INCREASE}")
def notebook_quota(account: Account, plan: Plan, *, request: bool) -> Finding | None:
    """The quota allows the notebook instance. Listed only with notebook=on."""
    if plan.settings.notebook == "off":
        return None
    name = f"{plan.settings.notebook_instance_type} for notebook instance usage"
    return _compare(account, name, 1, request=request)


@check("fallback_quota", remedy="Remove the instance type from instance_fallbacks, or request an increase.")
def fallback_quota(account: Account, plan: Plan, *, request: bool) -> Finding | None:
    """The region offers each type of instance_fallbacks, and each has a quota. Listed only with fallbacks."""
    names, mode = plan.settings.pool[1:], plan.settings.mode
    if not names:
        return None
    offered = prices(account, USAGE_TYPE[mode])
    findings = [
        failed(f"{account.region} does not offer {name} for mode {mode}.", f"Remove {name} from instance_fallbacks.")
        for name in names if offered and name not in offered
    ]  # fmt: skip
    needed = {name: needed_instances(plan, name) for name in names}
    quotas = [_compare(account, _endpoint_quota(name), most, request=request) for name, most in needed.items()]
    if findings := findings + [finding for finding in quotas if finding.status == "failed"]:
        return failed(" ".join(finding.message for finding in findings), findings[0].remedy)
    allowed = ", ".join(f"{most} x {name}" for name, most in needed.items())
    return ok(f"The region offers {', '.join(names)}, and the quotas allow {allowed}.")


@check("update_quota", remedy=f"-c update=plain, or request an increase: {REQUEST_INCREASE}")
def update_quota(account: Account, plan: Plan, *, request: bool) -> Finding | None:
    """The quota allows a new release to start beside the running release.

    Not listed if endpoint_quota fails. Fallbacks that fallback_quota refuses do not count.
    """
    settings = plan.settings
    first, *others = (find_quota(account, "sagemaker", _endpoint_quota(name)) for name in settings.pool)
    most = needed_instances(plan, plan.instance_type)
    if first is None or first.value < most or settings.endpoint == "off":
        return None
    quotas = [first, *(quota for quota in others if quota and quota.value >= most)]
    needed = 2 * most
    values = ", ".join(f"'{quota.name}' is {quota.value:g}" for quota in quotas)
    message = f"update={settings.update} starts a new release beside the running one and needs {needed}; {values}."
    too_small = [quota for quota in quotas if quota.value < needed]
    if not too_small:
        return ok(message)
    if settings.update == "plain":
        wait = "Wait until the endpoint has scaled to zero, or " if settings.min_instances == 0 else ""
        return ok(f"{message} An update must remove the running release first.", f"{wait}{RECREATE_ENDPOINT}")
    increases = [quota.increase(account, needed, request=request) for quota in too_small]
    sentences = "".join(dict.fromkeys(sentence for sentence, _ in increases))
    fix = increases[0][1]
    return failed(f"{message}{sentences}", f"-c update=plain. Or: {fix}")
