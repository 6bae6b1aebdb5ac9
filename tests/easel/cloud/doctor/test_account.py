"""Checks of the account: identity, region, Lambda concurrency, bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from easel.cloud.doctor import account as checks
from easel.cloud.doctor.plan import Plan, read_plan
from easel.cloud.doctor.run import ACCOUNT_CHECKS
from tests.easel.cloud.doctor.conftest import RunDoctor
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import REGION, FakeAws, client_error
from tests.easel.cloud.fake_deployment import NOW, concurrency, healthy_deployment, price_list
from tests.easel.running import ROOT


def test_identity_hides_the_middle_of_the_account_number() -> None:
    result = checks.identity.run(healthy_deployment().account())
    assert_result(result, "ok", "1234…9012", "assumed-role/dev/me", REGION)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (botocore.exceptions.NoCredentialsError(), "export AWS_PROFILE="),
        (botocore.exceptions.ProfileNotFound(profile="x"), "export AWS_PROFILE="),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://sts"), "network"),
        (client_error("ExpiredToken", "The security token is expired"), "aws sso login"),
        (client_error("SignatureDoesNotMatch", "Expired"), "clock"),
        (client_error("InvalidClientTokenId", "invalid"), "AWS_PROFILE"),
    ],
)
def test_without_an_account_the_other_checks_are_unknown(doctor: RunDoctor, error: Exception, remedy: str) -> None:
    aws = healthy_deployment()
    aws.responses["sts.GetCallerIdentity"] = error
    results = doctor(aws)
    assert_result(results["account"], "failed", remedy=remedy)
    for code in ACCOUNT_CHECKS:
        assert_result(results[code], "unknown")
    assert [name for name, _ in aws.requests] == ["sts.GetCallerIdentity"]


@pytest.mark.parametrize(
    ("prices", "status", "message", "remedy"),
    [
        (price_list("EU-AsyncInf:ml.m5.large"), "ok", "0.128 USD", ""),
        (price_list("EU-Host:ml.m5.large"), "failed", "async", "another region"),
        (price_list("EU-AsyncInf:ml.g5.xlarge", "EU-AsyncInf:ml.m5.xlarge"), "failed", "async",
         "-c instance_type=ml.m5.xlarge"),
        (price_list(), "unknown", "", "console"),
    ],
)  # fmt: skip
def test_the_region_must_offer_the_instance_type(
    plan: Plan, prices: Callable[..., Any], status: Any, message: str, remedy: str
) -> None:
    aws = FakeAws(**{"pricing.GetProducts": prices})
    result = checks.region.run(aws.account(), plan)
    assert_result(result, status, REGION, message, remedy=remedy)
    assert status == "unknown" or "ml.m5.large" in str(result)


@pytest.mark.parametrize(
    ("unreserved", "status", "remedy"), [(9, "failed", "lambda"), (10, "ok", "100"), (99, "ok", "100"), (100, "ok", "")]
)
def test_lambda_needs_ten_concurrent_executions(plan: Plan, unreserved: int, status: Any, remedy: str) -> None:
    aws = FakeAws(**{"lambda.GetAccountSettings": concurrency(unreserved)})
    assert_result(checks.concurrency.run(aws.account(), plan), status, str(unreserved), remedy=remedy)


@pytest.mark.parametrize(("total", "status"), [(119, "failed"), (120, "ok")])
def test_a_hundred_concurrent_executions_stay_unreserved(total: int, status: Any) -> None:
    aws = FakeAws(**{"lambda.GetAccountSettings": concurrency(100, total)})
    result = checks.concurrency.run(aws.account(), read_plan(["api_concurrency=20"], ROOT))
    if status == "failed":
        assert_result(result, status, "119", "100", "api_concurrency=20", remedy="-c api_concurrency=0")
    else:
        assert_result(result, status)


@pytest.mark.parametrize(
    ("response", "status", "message"),
    [
        (client_error("ParameterNotFound"), "failed", REGION),
        ({"Parameter": {"Value": "5"}}, "failed", "5"),
        ({"Parameter": {"Value": "6"}}, "ok", "6"),
    ],
)
def test_the_bootstrap_stack_must_have_version_6(response: Any, status: Any, message: str) -> None:
    aws = FakeAws(**{"ssm.GetParameter": response})
    remedy = f"AWS_REGION={REGION} npx cdk bootstrap" if status == "failed" else ""
    assert_result(checks.bootstrap.run(aws.account()), status, message, remedy=remedy)


def test_a_call_without_permission_makes_the_check_unknown(plan: Plan) -> None:
    aws = FakeAws(**{"lambda.GetAccountSettings": client_error("AccessDeniedException", "no")})
    result = checks.concurrency.try_run(aws.account(), plan)
    assert_result(result, "unknown", "GetAccountSettings", "IAM", remedy="GetAccountSettings")


LINKED = "Account 123456789012 is a linked account. To enable budgets, ask the owner of the payer account."
SCP = "User is not authorized to perform: budgets:ViewBudget with an explicit deny in a service control policy"


@pytest.mark.parametrize(
    ("response", "status", "message", "remedy"),
    [
        ({"Budgets": []}, "ok", "50 USD", ""),
        (client_error("AccessDeniedException", LINKED), "failed", "linked account", "-c budget_usd=0"),
        (client_error("AccessDeniedException", SCP), "failed", "service control policy", "-c budget_usd=0"),
        (client_error("AccessDeniedException", "not authorized"), "unknown", "DescribeBudgets", "-c budget_usd=0"),
    ],
)
def test_an_account_that_may_have_no_budget(plan: Plan, response: Any, status: Any, message: str, remedy: str) -> None:
    aws = FakeAws(**{
        "sts.GetCallerIdentity": {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"},
        "budgets.DescribeBudgets": response,
    })  # fmt: skip
    assert_result(checks.budget.run(aws.account(), plan), status, message, remedy=remedy)


def test_a_budget_that_is_left_is_listed() -> None:
    plan = read_plan(["model=emoji", "budget_usd=0", "name=easel-dev"], ROOT)
    stack = {"StackName": "EaselDevBudget", "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE"}
    aws = FakeAws(**{"cloudformation.DescribeStacks": {"Stacks": [stack]}})
    account = aws.account(names=plan.settings.names)
    assert_result(checks.budget.run(account, plan), "ok", "EaselDevBudget", remedy="npx cdk destroy EaselDevBudget")
    gone = FakeAws(**{"cloudformation.DescribeStacks": client_error("ValidationError", "Stack does not exist")})
    assert checks.budget.run(gone.account(), plan) is None


def test_regions_without_budgets(plan: Plan) -> None:
    assert checks.budget.run(FakeAws().account("cn-north-1"), plan) is None
