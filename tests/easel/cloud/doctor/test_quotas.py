"""Checks of the instance quotas."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from easel.cloud.doctor import quotas
from easel.cloud.doctor.plan import Plan, read_plan
from easel.cloud.doctor.run import Doctor
from easel.cloud.stack_state import RECREATE_ENDPOINT
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import REGION, FakeAws
from tests.easel.cloud.fake_deployment import QUOTA, price_list
from tests.easel.running import ROOT

PAGE = f"https://{REGION}.console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas/"
HISTORY = "service-quotas.ListRequestedServiceQuotaChangeHistoryByQuota"
INCREASE = "service-quotas.RequestServiceQuotaIncrease"
G4, G5, G6 = "ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6.xlarge"
CODES = {"ml.m5.large": "L-1", G4: "L-4", G5: "L-5", G6: "L-6"}


def quota_aws(**values: float) -> FakeAws:
    """Return an AWS whose SageMaker quotas have these values, by instance type with `_` for `.`."""
    types = {name.replace("_", "."): value for name, value in values.items()}
    return aws_with([
        {"QuotaName": f"{name} for endpoint usage", "QuotaCode": CODES[name], "Value": value}
        for name, value in types.items()
    ])  # fmt: skip


def aws_with(items: list[dict[str, Any]]) -> FakeAws:
    responses: dict[str, Any] = {
        "service-quotas.ListServiceQuotas": {"Quotas": items},
        "service-quotas.ListAWSDefaultServiceQuotas": {"Quotas": []},
        HISTORY: {"RequestedQuotas": []},
        INCREASE: {"RequestedQuota": {"Status": "PENDING"}},
        "pricing.GetProducts": price_list(*(f"EU-AsyncInf:{name}" for name in (G4, G5, G6))),
    }
    return FakeAws(**responses)


@pytest.mark.parametrize(("value", "status"), [(0.0, "failed"), (1.0, "ok")])
def test_the_endpoint_quota(plan: Plan, value: float, status: Any) -> None:
    result = quotas.endpoint_quota.run(quota_aws(ml_m5_large=value).account(), plan, request=False)
    remedy = f"easel doctor --request, or {PAGE}L-1" if status == "failed" else ""
    assert_result(result, status, "ml.m5.large for endpoint usage", f"{value:g}", REGION, remedy=remedy)


@pytest.mark.parametrize(("value", "status"), [(5.0, "failed"), (6.0, "ok")])
def test_models_that_share_a_type_share_its_quota(value: float, status: Any) -> None:
    settings = ["model=emoji,sd-1.5", "instance_type=ml.g4dn.xlarge", "max_instances=3"]
    shared = read_plan(settings, ROOT)
    result = quotas.endpoint_quota.run(quota_aws(ml_g4dn_xlarge=value).account(), shared, request=False)
    assert_result(result, status, "6 needed")


def test_models_with_other_types_have_quotas_of_their_own() -> None:
    plan = read_plan(["model=emoji,sd-1.5", "max_instances=3"], ROOT)
    assert [quotas.needed_instances(plan, name) for name in ("ml.m5.large", G4)] == [3, 3]


def test_a_model_has_its_own_type_bounds_and_fallbacks() -> None:
    own = ["instance_type=ml.g5.xlarge,emoji=", "max_instances=sd-1.5=3", "instance_fallbacks=sd-1.5=ml.g6.xlarge"]
    plan = read_plan(["model=emoji,sd-1.5,sdxl-lcm", *own], ROOT)
    assert [quotas.needed_instances(plan, name) for name in ("ml.m5.large", G5, G6)] == [1, 4, 3]
    aws = quota_aws(ml_m5_large=1.0, ml_g5_xlarge=3.0, ml_g6_xlarge=2.0)
    results = (result for result in Doctor(plan, ROOT)._plan_results(aws.account()) if "_quota" in result.code)
    found = list(islice(results, 4))
    assert [(result.code, result.status) for result in found] == [
        ("endpoint_quota", "ok"), ("endpoint_quota", "failed"), ("fallback_quota", "failed"), ("update_quota", "ok")
    ]  # fmt: skip
    assert "4 needed" in found[1].message and "3 needed" in found[2].message


def test_a_region_without_the_quota(plan: Plan) -> None:
    result = quotas.endpoint_quota.run(aws_with([]).account(), plan, request=False)
    assert_result(result, "failed", "ml.m5.large for endpoint usage", REGION, remedy="region")


def test_the_default_quota_counts_if_the_account_has_none(plan: Plan) -> None:
    aws = aws_with([])
    aws.responses["service-quotas.ListAWSDefaultServiceQuotas"] = {"Quotas": [QUOTA]}
    assert_result(quotas.endpoint_quota.run(aws.account(), plan, request=False), "ok", "2")


def test_an_increase_is_requested_once(plan: Plan) -> None:
    aws = quota_aws(ml_m5_large=0.0)
    assert_result(quotas.endpoint_quota.run(aws.account(), plan, request=True), "failed", "PENDING")
    assert aws.calls(INCREASE) == [{"ServiceCode": "sagemaker", "QuotaCode": "L-1", "DesiredValue": 1.0}]
    aws.responses[HISTORY] = {"RequestedQuotas": [{"Status": "DENIED"}, {"Status": "CASE_OPENED"}]}
    result = quotas.endpoint_quota.run(aws.account(), plan, request=True)
    assert_result(result, "failed", "CASE_OPENED", remedy=quotas.WAIT_FOR_AWS)
    assert len(aws.calls(INCREASE)) == 1


@pytest.mark.parametrize(("value", "status"), [(0.0, "failed"), (1.0, "ok")])
def test_the_notebook_has_its_own_quota(plan: Plan, value: float, status: Any) -> None:
    name = f"{G4} for notebook instance usage"
    aws = aws_with([{"QuotaName": name, "QuotaCode": "L-9", "Value": value}])
    with_notebook = read_plan(["model=emoji", "notebook=on"], ROOT)
    result = quotas.notebook_quota.run(aws.account(), with_notebook, request=False)
    assert_result(result, status, name, f"{value:g}", remedy=f"{PAGE}L-9" if status == "failed" else "")
    assert quotas.notebook_quota.run(aws.account(), plan, request=False) is None


# --- update --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "value", "status", "remedies"),
    [
        (["mode=realtime"], 1.0, "ok", [RECREATE_ENDPOINT]),
        ([], 1.0, "ok", ["Wait", RECREATE_ENDPOINT]),
        ([], 2.0, "ok", []),
        (["update=blue_green"], 1.0, "failed", ["-c update=plain", "easel doctor --request", f"{PAGE}L-1"]),
        (["update=blue_green"], 2.0, "ok", []),
    ],
)
def test_an_update_needs_twice_the_instances(
    settings: list[str], value: float, status: Any, remedies: list[str]
) -> None:
    plan = read_plan(["model=emoji", *settings], ROOT)
    result = quotas.update_quota.run(quota_aws(ml_m5_large=value).account(), plan, request=False)
    assert_result(
        result, status, f"update={plan.settings.update}", f"is {value:g}", remedy=remedies[0] if remedies else ""
    )
    assert result is not None
    assert all(part in result.remedy for part in remedies)
    assert ("Wait" in remedies) == ("Wait" in result.remedy)


def test_an_update_requests_the_increase_that_it_needs() -> None:
    aws, plan = quota_aws(ml_m5_large=1.0), read_plan(["model=emoji", "update=blue_green"], ROOT)
    result = quotas.update_quota.run(aws.account(), plan, request=True)
    assert_result(result, "failed", "2 is now requested (PENDING)", remedy="-c update=plain")
    (request,) = aws.calls(INCREASE)
    assert request == {"ServiceCode": "sagemaker", "QuotaCode": "L-1", "DesiredValue": 2.0}


@pytest.mark.parametrize(("setting", "value"), [("endpoint=off", 1.0), ("mode=async", 0.0)])
def test_the_update_quota_is_not_listed_without_an_endpoint_to_update(setting: str, value: float) -> None:
    plan = read_plan(["model=emoji", setting], ROOT)
    assert quotas.update_quota.run(quota_aws(ml_m5_large=value).account(), plan, request=False) is None


# --- fallbacks -----------------------------------------------------------------------------------


FALLBACKS = ["model=emoji", f"instance_type={G4}", f"instance_fallbacks={G5},{G6}"]


@pytest.mark.parametrize(
    ("offered", "g6", "status", "message", "remedy"),
    [
        ([G5, G6], 1.0, "ok", [G5, G6], ""),
        ([G5, G6], 0.0, "failed", [f"{G6} for endpoint usage"], f"easel doctor --request, or {PAGE}L-6"),
        ([G5], 0.0, "failed", [f"{G6} for mode async", f"{G6} for endpoint usage"], f"Remove {G6}"),
    ],
)
def test_each_fallback_is_checked(offered: list[str], g6: float, status: Any, message: list[str], remedy: str) -> None:
    aws = quota_aws(ml_g4dn_xlarge=2.0, ml_g5_xlarge=1.0, ml_g6_xlarge=g6)
    aws.responses["pricing.GetProducts"] = price_list(*(f"EU-AsyncInf:{name}" for name in [G4, *offered]))
    plan = read_plan(FALLBACKS, ROOT)
    result = quotas.fallback_quota.run(aws.account(), plan, request=False)
    assert_result(result, status, *message, remedy=remedy)
    assert_result(quotas.endpoint_quota.run(aws.account(), plan, request=False), "ok")


@pytest.mark.parametrize(
    ("update", "g5", "g6", "status", "remedy"),
    [
        ("blue_green", 2.0, 2.0, "ok", ""),
        ("plain", 1.0, 2.0, "ok", RECREATE_ENDPOINT),
        ("blue_green", 2.0, 1.0, "failed", f"{PAGE}L-6"),
        ("blue_green", 2.0, 0.0, "ok", ""),
    ],
)
def test_an_update_needs_the_quota_of_each_usable_type(
    update: str, g5: float, g6: float, status: Any, remedy: str
) -> None:
    """A fallback without any quota is reported by fallback_quota only."""
    aws = quota_aws(ml_g4dn_xlarge=2.0, ml_g5_xlarge=g5, ml_g6_xlarge=g6)
    plan = read_plan([*FALLBACKS, f"update={update}"], ROOT)
    result = quotas.update_quota.run(aws.account(), plan, request=False)
    usable = [f"'{G4} for endpoint usage' is 2", f"'{G5} for endpoint usage' is {g5:g}"]
    assert_result(result, status, f"update={update}", *usable, remedy=remedy)
    assert result is not None
    assert (G6 in result.message) is (g6 > 0)
    fallback = quotas.fallback_quota.run(aws.account(), plan, request=False)
    assert_result(fallback, "ok" if g6 > 0 else "failed")
