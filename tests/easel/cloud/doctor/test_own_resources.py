"""Checks of KMS key, VPC, certificate and web ACL."""

from __future__ import annotations

import json
from typing import Any

import pytest

from easel.cloud.doc_pages import KMS_KEY as KMS_PAGE
from easel.cloud.doctor import own_resources as checks
from easel.cloud.doctor.plan import Plan, read_plan
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import ACCOUNT, REGION, FakeAws, client_error
from tests.easel.running import ROOT

# --- KMS key -------------------------------------------------------------------------------------

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-0123456789abcdef0123456789abcdef"
SERVICES = [f"logs.{REGION}.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com", "sns.amazonaws.com"]
ROOT_USER = f"arn:aws:iam::{ACCOUNT}:root"
PUT_POLICY = "aws kms put-key-policy"
ENABLE = f"aws kms enable-key --key-id {KEY}"


def statement(principal: Any, *actions: str, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": list(actions) or "kms:*", "Resource": "*"}


def key_with_policy(*statements: dict[str, Any], **changes: str) -> dict[str, Any]:
    """Return the responses about a key with these statements; `changes` are fields of its metadata."""
    metadata = {"KeyId": "mrk-0", "KeyState": "Enabled", "KeySpec": "SYMMETRIC_DEFAULT", **changes}
    policy = json.dumps({"Statement": statements}, indent=2)
    return {"kms.DescribeKey": {"KeyMetadata": metadata}, "kms.GetKeyPolicy": {"Policy": policy}}


def key_for(services: list[str], root: str = ROOT_USER, **changes: str) -> dict[str, Any]:
    """Return the responses about a key that allows the account's roles and `services`."""
    allowed = statement({"Service": services}, "kms:Decrypt", "kms:GenerateDataKey*")
    return key_with_policy(statement({"AWS": root}), allowed, **changes)


def documented_policy() -> list[dict[str, Any]]:
    page = (ROOT / KMS_PAGE).read_text()
    policy = page[page.index("```json") + 7 :].partition("```")[0].replace("us-east-1", REGION)
    return [*json.loads(policy.replace("123456789012", ACCOUNT))["Statement"]]


DOCUMENTED = documented_policy()


@pytest.mark.parametrize(
    ("responses", "status", "message", "remedy"),
    [
        (key_for(SERVICES), "ok", [], ""),
        (key_for(SERVICES[1:]), "failed", [SERVICES[0]], PUT_POLICY),
        (key_for([]), "failed", SERVICES, PUT_POLICY),
        (key_with_policy(*DOCUMENTED), "ok", [], ""),
        (key_with_policy(*DOCUMENTED[1:]), "failed", [ROOT_USER], PUT_POLICY),
        (key_with_policy(statement({"AWS": ROOT_USER}, "kms:Put*", "kms:DescribeKey"), *DOCUMENTED[1:]), "failed",
         [ROOT_USER], PUT_POLICY),
        (key_with_policy(*DOCUMENTED[:2], statement({"Service": SERVICES[1:]}, effect="Deny")), "failed", SERVICES[1:],
         PUT_POLICY),
        (key_with_policy(statement({"AWS": [ACCOUNT]}), *DOCUMENTED[1:]), "ok", [], ""),
        (key_with_policy(statement("*"), *DOCUMENTED[1:]), "ok", [], ""),
        (key_for(SERVICES, KeyState="PendingDeletion"), "failed", ["PendingDeletion", "Enabled"], ENABLE),
        (key_for(SERVICES, KeySpec="RSA_2048"), "failed", ["RSA_2048", "SYMMETRIC_DEFAULT"], ENABLE),
        ({"kms.DescribeKey": client_error("NotFoundException", "no such key")}, "failed", [KEY], "kms_key_arn"),
    ],
)  # fmt: skip
def test_the_kms_key(responses: dict[str, Any], status: Any, message: list[str], remedy: str) -> None:
    plan = read_plan(["model=emoji", f"kms_key_arn={KEY}"], ROOT)
    result = checks.kms_key.run(FakeAws(**responses).account(), plan)
    assert_result(result, status, *message, remedy=remedy)
    if remedy == PUT_POLICY:
        assert result is not None
        named = {name for name in [*SERVICES, ROOT_USER] if name in result.message}
        assert named == set(message), "the message names no principal that the policy allows"


def test_the_key_policy_needs_no_budgets_in_china() -> None:
    arn = KEY.replace("arn:aws:", "arn:aws-cn:").replace(REGION, "cn-north-1")
    services = ["logs.cn-north-1.amazonaws.com", "cloudwatch.amazonaws.com", "sns.amazonaws.com"]
    aws = FakeAws(**key_for(services, ROOT_USER.replace("arn:aws:", "arn:aws-cn:")))
    plan = read_plan(["model=emoji", f"kms_key_arn={arn}"], ROOT)
    assert_result(checks.kms_key.run(aws.account("cn-north-1"), plan), "ok")


# --- certificate ---------------------------------------------------------------------------------

CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/01234567-89ab-cdef-0123-456789abcdef"
DOMAIN = "draw.example.com"


@pytest.mark.parametrize(
    ("certificate", "status", "message", "remedy"),
    [
        ({"DomainName": DOMAIN, "Status": "ISSUED"}, "ok", [DOMAIN], ""),
        ({"DomainName": "x.org", "SubjectAlternativeNames": ["*.example.com"], "Status": "ISSUED"}, "ok", [DOMAIN], ""),
        ({"DomainName": DOMAIN, "Status": "PENDING_VALIDATION"}, "failed", ["PENDING_VALIDATION"],
         f"aws acm describe-certificate --certificate-arn {CERTIFICATE}"),
        ({"DomainName": "example.com", "SubjectAlternativeNames": [f"*.{DOMAIN}"], "Status": "ISSUED"}, "failed",
         [f"*.{DOMAIN}, example.com"], DOMAIN),
        (None, "failed", [CERTIFICATE], "certificate_arn"),
    ],
)  # fmt: skip
def test_the_certificate(certificate: dict[str, Any] | None, status: Any, message: list[str], remedy: str) -> None:
    missing = client_error("ResourceNotFoundException", "Could not find certificate")
    aws = FakeAws(**{"acm.DescribeCertificate": {"Certificate": certificate} if certificate else missing})
    plan = read_plan(["model=emoji", f"domain_name={DOMAIN}", f"certificate_arn={CERTIFICATE}"], ROOT)
    assert_result(checks.certificate.run(aws.account(), plan), status, *message, remedy=remedy)


# --- web ACL -------------------------------------------------------------------------------------

ACL = "webacl/mine/01234567-89ab-cdef-0123-456789abcdef"
REGIONAL_ACL = f"arn:aws:wafv2:{REGION}:{ACCOUNT}:regional/{ACL}"
GLOBAL_ACL = f"arn:aws:wafv2:us-east-1:{ACCOUNT}:global/{ACL}"


@pytest.mark.parametrize(
    ("waf", "response", "status", "message", "scope"),
    [
        (REGIONAL_ACL, {}, "ok", "API", "REGIONAL"),
        (GLOBAL_ACL, {}, "ok", "site", "CLOUDFRONT"),
        (REGIONAL_ACL, client_error("WAFNonexistentItemException"), "failed", REGIONAL_ACL, "REGIONAL"),
    ],
)
def test_the_web_acl(waf: str, response: Any, status: Any, message: str, scope: str) -> None:
    aws = FakeAws(**{"wafv2.GetWebACL": response})
    result = checks.web_acl.run(aws.account(), read_plan(["model=emoji", f"waf={waf}"], ROOT))
    assert_result(result, status, message, remedy="-c waf=on" if status == "failed" else "")
    assert aws.calls("wafv2.GetWebACL") == [{"Name": "mine", "Id": ACL.rpartition("/")[2], "Scope": scope}]


def test_checks_of_unset_settings_are_not_listed(plan: Plan) -> None:
    account = FakeAws().account()
    for check in (checks.kms_key, checks.network, checks.certificate, checks.web_acl):
        assert check.run(account, plan) is None
    assert checks.web_acl.run(account, read_plan(["model=emoji", "waf=on"], ROOT)) is None


# --- network -------------------------------------------------------------------------------------

SUBNETS = ("subnet-0a1b2c3d", "subnet-1a2b3c4d")
NETWORK = [f"vpc_subnet_ids={','.join(SUBNETS)}", "vpc_security_group_ids=sg-0a1b2c3d", "vpc_id=vpc-0a1b2c3d"]


def vpc(*tables: dict[str, Any], endpoints: tuple[dict[str, Any], ...] = (), **changes: Any) -> dict[str, Any]:
    """Return the responses about a VPC with two subnets and these route tables."""
    zones = changes.get("zones", ("a", "b"))
    subnets = [
        {"SubnetId": id, "VpcId": "vpc-0a1b2c3d", "AvailabilityZone": f"{REGION}{zone}"}
        for id, zone in zip(SUBNETS, zones, strict=True)
    ]
    group = {"GroupId": "sg-0a1b2c3d", "VpcId": changes.get("group_vpc", "vpc-0a1b2c3d")}
    return {
        "ec2.DescribeSubnets": {"Subnets": subnets},
        "ec2.DescribeSecurityGroups": {"SecurityGroups": [group]},
        "ec2.DescribeRouteTables": {"RouteTables": list(tables)},
        "ec2.DescribeVpcEndpoints": {"VpcEndpoints": list(endpoints)},
    }


def table(id: str, *subnets: str, **default: str) -> dict[str, Any]:
    """Return a route table; without subnets, the main table. `default` is the target of 0.0.0.0/0."""
    links: list[dict[str, Any]] = [{"SubnetId": subnet} for subnet in subnets] or [{"Main": True}]
    routes = [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}]
    if default:
        routes.append({"DestinationCidrBlock": "0.0.0.0/0", **default})
    return {"RouteTableId": id, "Associations": links, "Routes": routes}


def vpc_endpoint(service: str, **more: Any) -> dict[str, Any]:
    return {"ServiceName": f"com.amazonaws.{REGION}.{service}", **more}


@pytest.mark.parametrize(
    ("responses", "status", "message", "remedy"),
    [
        (vpc(table("rtb-1"), endpoints=(vpc_endpoint("s3", RouteTableIds=["rtb-1"]),)), "ok", ["2 subnets"], ""),
        (vpc(table("rtb-1"), endpoints=(vpc_endpoint("s3", PrivateDnsEnabled=True),)), "ok", ["2 subnets"], ""),
        (vpc(table("rtb-1", NatGatewayId="nat-1")), "ok", ["2 subnets"], ""),
        (vpc(table("rtb-1", TransitGatewayId="tgw-1")), "ok", ["2 subnets"], ""),
        (vpc(table("rtb-1")), "failed", [", ".join(SUBNETS)], "gateway endpoint"),
        (vpc(table("rtb-1", GatewayId="igw-1")), "failed", [", ".join(SUBNETS)], "gateway endpoint"),
        (vpc(table("rtb-1"), endpoints=(vpc_endpoint("dynamodb", RouteTableIds=["rtb-1"]),)), "failed",
         [", ".join(SUBNETS)], "gateway endpoint"),
        (vpc(table("rtb-1"), table("rtb-2", SUBNETS[1]), endpoints=(vpc_endpoint("s3", RouteTableIds=["rtb-1"]),)),
         "failed", [f"{SUBNETS[1]} "], "gateway endpoint"),
        (vpc(table("rtb-1", NatGatewayId="nat-1"), zones=("a", "a")), "failed", [f"{REGION}a"], "vpc_subnet_ids"),
        (vpc(table("rtb-1"), group_vpc="vpc-1"), "failed", ["vpc-0a1b2c3d, vpc-1"], "one VPC"),
        ({"ec2.DescribeSubnets": client_error("InvalidSubnetID.NotFound", "The subnet ID 'subnet-0' does not exist")},
         "failed", ["'subnet-0'"], "vpc_subnet_ids"),
    ],
)  # fmt: skip
def test_the_network(responses: dict[str, Any], status: Any, message: list[str], remedy: str) -> None:
    aws = FakeAws(**responses)
    result = checks.network.run(aws.account(), read_plan(["model=emoji", *NETWORK], ROOT))
    assert_result(result, status, *message, remedy=remedy)
    if message == [f"{SUBNETS[1]} "]:
        assert result is not None
        assert SUBNETS[0] not in result.message


# --- the secret of a provider --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "status", "remedy"),
    [
        ({"Name": "b"}, "ok", ""),
        (client_error("ResourceNotFoundException", "not found"), "failed", checks.CREATE_COMMAND),
    ],
)
def test_the_secret_of_a_provider_exists(response: Any, status: Any, remedy: str) -> None:
    provider = ["sign_in_issuer=https://a.example", "sign_in_client_id=a", "sign_in_client_secret=b"]
    aws = FakeAws(**{"secretsmanager.DescribeSecret": response})
    plan = read_plan(["model=emoji", "sign_in=cognito", *provider], ROOT)
    assert_result(checks.sign_in_secret.run(aws.account(), plan), status, remedy=remedy)
    assert checks.sign_in_secret.run(aws.account(), read_plan(["model=emoji"], ROOT)) is None
