"""What `easel doctor` asks AWS of what is the user's own and only named in a setting. It describes, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from easel.cloud.account import Account, explained
from easel.cloud.doctor.check import Check
from easel.cloud.doctor.plan import Plan
from easel.console.errors import CommandError

CALLERS = ("logs.{region}.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com", "sns.amazonaws.com")
"""Services that use the key in their own name: the key's policy must let them."""
NO_BUDGETS = ("aws-cn", "aws-us-gov")


def key(account: Account, plan: Plan) -> Check | None:
    """Whether the KMS key can be used, and by whom its policy says; None where none is named."""
    arn = plan.settings.kms_key_arn
    if not arn:
        return None
    client = account.client("kms", arn.split(":")[3])
    try:
        with explained():
            told = client.describe_key(KeyId=arn)["KeyMetadata"]
            policy = client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    except CommandError as error:
        if error.where != "NotFoundException":
            raise
        return Check("key", "failed", f"There is no key {arn}.", "Mend kms_key_arn")
    if told["KeyState"] != "Enabled" or told.get("KeySpec") != "SYMMETRIC_DEFAULT":
        said = f"The key is {told['KeyState']} and {told.get('KeySpec')}; it must be Enabled and SYMMETRIC_DEFAULT."
        return Check("key", "failed", said, "aws kms enable-key, or another key")
    users, owner = set(_users(json.loads(policy))), arn.split(":")[4]
    root = f"arn:{account.partition}:iam::{owner}:root"
    missing = [] if users & {"*", owner, root} else [root]
    if missing := missing + [name for name in _callers(account) if name not in users]:
        said = f"The key's policy does not let in {', '.join(missing)}."
        return Check("key", "failed", said, "Add the statements of docs/options.md: aws kms put-key-policy")
    return Check("key", "ok", "The key is enabled, and its policy lets our roles and AWS's services in.")


def _users(policy: dict[str, Any]) -> Iterator[str]:
    """Whom the statements of a key's policy let decrypt. No role may where none lets in its account, whatever the
    role's own policies say: https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html"""
    for statement in _listed(policy["Statement"]):
        actions = [action.lower() for action in _listed(statement.get("Action", []))]
        if statement["Effect"] == "Allow" and any(fnmatchcase("kms:decrypt", action) for action in actions):
            named = statement.get("Principal", {})
            for names in named.values() if isinstance(named, dict) else [named]:
                yield from _listed(names)


def _listed(told: Any) -> list[Any]:
    """One thing stands alone in a policy, and several in a list."""
    return told if isinstance(told, list) else [told]


def _callers(account: Account) -> list[str]:
    names = [name.format(region=account.region) for name in CALLERS]
    return [name for name in names if not (name.startswith("budgets") and account.partition in NO_BUDGETS)]


def network(account: Account, plan: Plan) -> Check | None:
    """Whether SageMaker reaches S3 through the user's subnets; None where none are named."""
    settings = plan.settings
    if not settings.subnets:
        return None
    try:
        with explained():
            client = account.client("ec2")
            subnets = client.describe_subnets(SubnetIds=list(settings.subnets))["Subnets"]
            groups = client.describe_security_groups(GroupIds=list(settings.security_groups))["SecurityGroups"]
    except CommandError as error:
        if error.where not in ("InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidGroupId.NotFound"):
            raise
        return Check("network", "failed", f"{error.why.rstrip('.')}.", "Mend vpc_subnet_ids or vpc_security_group_ids")
    vpcs = {one["VpcId"] for one in [*subnets, *groups]} | ({settings.vpc_id} - {""})
    if len(vpcs) > 1:
        said = f"Subnets, security groups and vpc_id are of several VPCs: {', '.join(sorted(vpcs))}."
        return Check("network", "failed", said, "Name those of one VPC")
    if len({one["AvailabilityZone"] for one in subnets}) < 2:
        said = f"All subnets are in {subnets[0]['AvailabilityZone']}; SageMaker wants two zones."
        return Check("network", "failed", said, "Add a subnet in another zone to vpc_subnet_ids")
    if lost := _without_s3(account, vpcs.pop(), settings.subnets):
        said = f"There is no way from {', '.join(lost)} to S3, where the model is."
        return Check("network", "failed", said, "Add a gateway endpoint of S3, which is free: see docs/options.md")
    return Check("network", "ok", f"{len(subnets)} subnets in {len(groups)} security groups, with a way to S3.")


def _without_s3(account: Account, vpc: str, subnets: Iterable[str]) -> list[str]:
    """By a gateway or an interface endpoint, or by a default route that is not an internet gateway's: SageMaker's
    interfaces have no public address."""
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    with explained():
        endpoints = [
            one for one in account.all("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=here)
            if one["ServiceName"].endswith(f".{account.region}.s3")
        ]  # fmt: skip
        tables = list(account.all("ec2", "describe_route_tables", "RouteTables", Filters=here))
    if any(one.get("PrivateDnsEnabled") for one in endpoints):
        return []
    through = {table for one in endpoints for table in one.get("RouteTableIds", ())}
    return [id for id in subnets if not any(_leads(table, through) for table in _tables_of(id, tables))]


def _tables_of(subnet: str, tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Its own table, or the VPC's main one."""
    own = [one for one in tables if any(link.get("SubnetId") == subnet for link in one["Associations"])]
    return own or [one for one in tables if any(link.get("Main") for link in one["Associations"])]


def _leads(table: dict[str, Any], through: set[str]) -> bool:
    if table["RouteTableId"] in through:
        return True
    default = [one for one in table["Routes"] if one.get("DestinationCidrBlock") == "0.0.0.0/0"]
    return any(not one.get("GatewayId", "").startswith("igw-") for one in default)


def certificate(account: Account, plan: Plan) -> Check | None:
    """Whether the domain's certificate is issued and for the domain; None where none is named."""
    arn, domain = plan.settings.certificate_arn, plan.settings.domain_name
    if not arn:
        return None
    try:
        with explained():
            told = account.client("acm", arn.split(":")[3]).describe_certificate(CertificateArn=arn)["Certificate"]
    except CommandError as error:
        if error.where != "ResourceNotFoundException":
            raise
        return Check("certificate", "failed", f"There is no certificate {arn}.", "Mend certificate_arn")
    names = {told["DomainName"], *told.get("SubjectAlternativeNames", ())}
    if not names & {domain, f"*.{domain.partition('.')[2]}"}:
        said = f"The certificate is for {', '.join(sorted(names))}, not for {domain}."
        return Check("certificate", "failed", said, "Request one for the domain")
    if told["Status"] != "ISSUED":
        said, fix = f"The certificate is {told['Status']}.", "Make the DNS record that ACM names: describe-certificate"
        return Check("certificate", "failed", said, fix)
    return Check("certificate", "ok", f"The certificate for {domain} is issued.")


def firewall(account: Account, plan: Plan) -> Check | None:
    """Whether a web ACL of the user's is there; None where none is named."""
    arn, everywhere = plan.settings.waf, bool(plan.settings.global_waf)
    if not arn.startswith("arn:"):
        return None
    _, _, name, id = arn.split("/")
    scope = "CLOUDFRONT" if everywhere else "REGIONAL"
    try:
        with explained():
            account.client("wafv2", arn.split(":")[3]).get_web_acl(Name=name, Id=id, Scope=scope)
    except CommandError as error:
        if error.where != "WAFNonexistentItemException":
            raise
        return Check("firewall", "failed", f"There is no web ACL {arn}.", "Mend waf, or -c waf=on")
    return Check("firewall", "ok", f"The web ACL {name} is there, for the {'site' if everywhere else 'API'}.")
