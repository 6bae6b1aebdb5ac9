"""Checks of the resources that you own and name in a setting: KMS key, VPC, certificate, web ACL. Read only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from easel.cloud.account import Account, aws_errors
from easel.cloud.doc_pages import KMS_KEY, VPC
from easel.cloud.doctor.check import Finding, check, failed, ok
from easel.cloud.doctor.plan import Plan
from easel.console.errors import CommandError

KEY_SERVICES = (
    "logs.{region}.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com", "sns.amazonaws.com",
)  # fmt: skip
"""Services that use the KMS key under their own name. The key policy must allow them."""
CREATE_COMMAND = "aws secretsmanager create-secret --name easel-sign-in --secret-string file://secret.txt"
NO_BUDGETS = ("aws-cn", "aws-us-gov")
"""Partitions without AWS Budgets."""


def find_secret(account: Account, name: str) -> Finding:
    """Return whether Secrets Manager has a secret. Raises CommandError."""
    try:
        with aws_errors():
            secret = account.client("secretsmanager").describe_secret(SecretId=name)
    except CommandError as error:
        if error.where != "ResourceNotFoundException":
            raise
        return failed(f"The secret {name} does not exist in {account.region}.")
    if "DeletedDate" in secret:
        restore = f"aws secretsmanager restore-secret --secret-id {name}"
        return failed(f"The secret {name} is scheduled for deletion.", restore)
    return ok(f"The secret {name} exists.")


@check("sign_in_secret", remedy=f"Create the secret: {CREATE_COMMAND}")
def sign_in_secret(account: Account, plan: Plan) -> Finding | None:
    """Secrets Manager has the secret of `sign_in_client_secret`."""
    name = plan.settings.sign_in_client_secret
    return find_secret(account, name) if name else None


@check("kms_key", remedy="Correct kms_key_arn.")
def kms_key(account: Account, plan: Plan) -> Finding | None:
    """The KMS key is usable, and its policy allows the roles and services of Easel."""
    arn = plan.settings.kms_key_arn
    if not arn:
        return None
    client = account.client("kms", arn.split(":")[3])
    try:
        with aws_errors():
            key = client.describe_key(KeyId=arn)["KeyMetadata"]
            policy = client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    except CommandError as error:
        if error.where != "NotFoundException":
            raise
        return failed(f"The key {arn} does not exist.")
    if key["KeyState"] != "Enabled" or key.get("KeySpec") != "SYMMETRIC_DEFAULT":
        message = f"The key is {key['KeyState']} and {key.get('KeySpec')}; it must be Enabled and SYMMETRIC_DEFAULT."
        return failed(message, f"aws kms enable-key --key-id {arn}, or choose another key")
    allowed, owner = set(_decrypt_principals(json.loads(policy))), arn.split(":")[4]
    root = f"arn:{account.partition}:iam::{owner}:root"
    denied = [] if allowed & {"*", owner, root} else [root]
    if denied := denied + [name for name in _key_services(account) if name not in allowed]:
        fix = f"Add the statements in {KMS_KEY} with: aws kms put-key-policy"
        return failed(f"The key policy does not allow {', '.join(denied)}.", fix)
    return ok("The key is enabled, and its policy allows all roles and services of Easel.")


def _decrypt_principals(policy: dict[str, Any]) -> Iterator[str]:
    """Return the principals that a statement of the key policy allows to decrypt.

    A role may decrypt only if the key policy allows its account, whatever the role's own policies say:
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
    """
    for statement in _as_list(policy["Statement"]):
        actions = [action.lower() for action in _as_list(statement.get("Action", []))]
        if statement["Effect"] == "Allow" and any(fnmatchcase("kms:decrypt", action) for action in actions):
            principal = statement.get("Principal", {})
            for names in principal.values() if isinstance(principal, dict) else [principal]:
                yield from _as_list(names)


def _as_list(value: Any) -> list[Any]:
    """Return a policy's value as a list: policies write a list of length 1 as its item."""
    return value if isinstance(value, list) else [value]


def _key_services(account: Account) -> list[str]:
    names = [name.format(region=account.region) for name in KEY_SERVICES]
    return [name for name in names if not (name.startswith("budgets") and account.partition in NO_BUDGETS)]


@check("network", remedy="Correct vpc_subnet_ids and vpc_security_group_ids.")
def network(account: Account, plan: Plan) -> Finding | None:
    """The subnets and security groups are in one VPC, in two zones, and reach S3."""
    settings = plan.settings
    if not settings.subnets:
        return None
    try:
        with aws_errors():
            client = account.client("ec2")
            subnets = client.describe_subnets(SubnetIds=list(settings.subnets))["Subnets"]
            groups = client.describe_security_groups(GroupIds=list(settings.security_groups))["SecurityGroups"]
    except CommandError as error:
        if error.where not in ("InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidGroupId.NotFound"):
            raise
        return failed(f"{error.why.rstrip('.')}.")
    vpcs = {item["VpcId"] for item in [*subnets, *groups]} | ({settings.vpc_id} - {""})
    if len(vpcs) > 1:
        message = f"Subnets, security groups and vpc_id belong to several VPCs: {', '.join(sorted(vpcs))}."
        return failed(message, "Choose subnets and security groups of one VPC.")
    if len({subnet["AvailabilityZone"] for subnet in subnets}) < 2:
        message = f"All subnets are in {subnets[0]['AvailabilityZone']}; SageMaker needs two availability zones."
        return failed(message, "Add a subnet in another availability zone to vpc_subnet_ids.")
    if isolated := _subnets_without_s3(account, vpcs.pop(), settings.subnets):
        message = f"{', '.join(isolated)} cannot reach S3, which has the model."
        return failed(message, f"Add a gateway endpoint for S3 to the VPC. It is free; see {VPC}.")
    return ok(f"{len(subnets)} subnets with {len(groups)} security groups reach S3.")


def _subnets_without_s3(account: Account, vpc: str, subnets: Iterable[str]) -> list[str]:
    """Return the subnets without a route to S3.

    A route is a gateway or interface endpoint, or a default route other than an internet gateway's: SageMaker's
    network interfaces have no public address.
    """
    in_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    with aws_errors():
        endpoints = [
            endpoint for endpoint in account.items("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=in_vpc)
            if endpoint["ServiceName"].endswith(f".{account.region}.s3")
        ]  # fmt: skip
        tables = list(account.items("ec2", "describe_route_tables", "RouteTables", Filters=in_vpc))
    if any(endpoint.get("PrivateDnsEnabled") for endpoint in endpoints):
        return []
    with_gateway = {table for endpoint in endpoints for table in endpoint.get("RouteTableIds", ())}
    return [
        subnet for subnet in subnets
        if not any(_reaches_s3(table, with_gateway) for table in _tables_of(subnet, tables))
    ]  # fmt: skip


def _tables_of(subnet: str, tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the subnet's route tables; without any, the VPC's main table."""
    own = [table for table in tables if any(link.get("SubnetId") == subnet for link in table["Associations"])]
    return own or [table for table in tables if any(link.get("Main") for link in table["Associations"])]


def _reaches_s3(table: dict[str, Any], with_gateway: set[str]) -> bool:
    if table["RouteTableId"] in with_gateway:
        return True
    default = [route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
    return any(not route.get("GatewayId", "").startswith("igw-") for route in default)


@check("certificate", remedy="Correct certificate_arn.")
def certificate(account: Account, plan: Plan) -> Finding | None:
    """The certificate is issued and valid for domain_name."""
    arn, domain = plan.settings.certificate_arn, plan.settings.domain_name
    if not arn:
        return None
    try:
        with aws_errors():
            response = account.client("acm", arn.split(":")[3]).describe_certificate(CertificateArn=arn)
    except CommandError as error:
        if error.where != "ResourceNotFoundException":
            raise
        return failed(f"The certificate {arn} does not exist.")
    description = response["Certificate"]
    names = {description["DomainName"], *description.get("SubjectAlternativeNames", ())}
    if not names & {domain, f"*.{domain.partition('.')[2]}"}:
        message = f"The certificate is valid for {', '.join(sorted(names))}, but not for {domain}."
        return failed(message, f"Request a certificate for {domain} in ACM, then set certificate_arn.")
    if description["Status"] != "ISSUED":
        command = f"aws acm describe-certificate --certificate-arn {arn}"
        message = f"The certificate has status {description['Status']}; it must be ISSUED."
        return failed(message, f"Create the DNS record that this command prints: {command}")
    return ok(f"The certificate for {domain} is issued.")


@check("web_acl", remedy="Correct waf, or let Easel create a web ACL: -c waf=on")
def web_acl(account: Account, plan: Plan) -> Finding | None:
    """The web ACL that waf names exists. Listed only if waf is an ARN."""
    arn, is_global = plan.settings.waf, bool(plan.settings.global_waf)
    if not arn.startswith("arn:"):
        return None
    _, _, name, id = arn.split("/")
    scope = "CLOUDFRONT" if is_global else "REGIONAL"
    try:
        with aws_errors():
            account.client("wafv2", arn.split(":")[3]).get_web_acl(Name=name, Id=id, Scope=scope)
    except CommandError as error:
        if error.where != "WAFNonexistentItemException":
            raise
        return failed(f"The web ACL {arn} does not exist.")
    return ok(f"The web ACL {name} exists and protects the {'site' if is_global else 'API'}.")
