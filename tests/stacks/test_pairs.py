"""Every setting with every other: each row of a pairwise plan is synthesised once, and all that it sets must show."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from stacks.config import images
from stacks.config.regions import why_no_site
from stacks.config.settings import Settings, parse_settings
from stacks.storage.stack import EXPIRING_PREFIXES
from tests.stacks.assembly import Assembly, synthesise

Row = dict[str, dict[str, str]]
Check = Callable[[Assembly, Settings], None]

ENVIRONMENT, GROUP = "0123456789abcdef0123456789abcdef", "sg-0123456789abcdef0"
SUBNETS = "subnet-0123456789abcdef0,subnet-0123456789abcdef1"
CERTIFICATE = "arn:{partition}:acm:{region}:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"
ACL = "webacl/mine/01234567-89ab-cdef-0123-456789abcdef"
REGIONAL = f"arn:{{partition}}:wafv2:{{region}}:123456789012:regional/{ACL}"
GLOBAL = f"arn:aws:wafv2:us-east-1:123456789012:global/{ACL}"
ENCRYPTED = {
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
}
LAYER = "arn:{partition}:lambda:{region}:123456789012:layer:mine:1"

FACTORS: Mapping[str, tuple[dict[str, str], ...]] = {
    "region": ({}, {"region": "cn-north-1"}, {"region": "us-gov-west-1"}),
    "mode": ({}, {"mode": "realtime"}, {"mode": "realtime", "idle_hours": "9"}),
    "instances": ({}, {"min_instances": "1", "max_instances": "3"}, {"min_instances": "2", "max_instances": "2"}),
    "api_auth": ({}, {"api_auth": "iam"}, {"api_auth": "none"}),
    "site": ({}, {"site": "off"}, {"site": "on"}),
    "cloud9": (
        {},
        {"cloud9_cidr": "203.0.113.7/32", "cloud9_environment_id": ENVIRONMENT},
        {"cloud9_cidr": "2001:db8::7/128", "cloud9_security_group_id": GROUP},
    ),
    "instance_type": (
        {},
        {"instance_type": "ml.g5.xlarge"},
        {"instance_type": "ml.g5.xlarge", "instance_fallbacks": "ml.g6.xlarge"},
    ),
    "throttle": ({}, {"throttle_rate": "5", "throttle_burst": "7", "daily_quota": "77"}),
    "days": ({}, {"result_days": "30", "log_days": "7"}),
    "queue": ({}, {"queue_minutes": "5", "api_concurrency": "7"}),
    "budget_usd": ({}, {"budget_usd": "9"}, {"budget_usd": "0"}),
    "alert_email": ({}, {"alert_email": "you@example.com"}),
    "model": ({}, {"model": "hub"}, {"model": "s3"}),
    "hub_url": ({}, {"hub_url": "https://hub.example.org"}),
    "hub_token_secret": ({}, {"hub_token_secret": "hub-token"}),
    "update": ({}, {"update": "blue_green"}),
    "shell": ({}, {"shell": "on"}),
    "endpoint": ({}, {"endpoint": "off"}),
    "removal": ({}, {"removal": "retain"}),
    "domain": (
        {},
        {"domain_name": "draw.example.com", "certificate_arn": CERTIFICATE},
        {"domain_name": "draw.example.com", "certificate_arn": CERTIFICATE, "hosted_zone_id": "Z0123456789"},
    ),
    "waf": ({}, {"waf": "on"}, {"waf": REGIONAL}, {"waf": GLOBAL}),
    "network": (
        {},
        {"vpc_subnet_ids": SUBNETS, "vpc_security_group_ids": GROUP},
        {"vpc_subnet_ids": SUBNETS, "vpc_security_group_ids": GROUP, "vpc_id": "vpc-0123456789abcdef0"},
    ),
    "kms_key_arn": (
        {},
        {"kms_key_arn": "arn:{partition}:kms:{region}:123456789012:key/mrk-0123456789abcdef0123456789abcdef"},
    ),
    "notebook": (
        {},
        {"notebook": "on"},
        {"notebook": "on", "notebook_instance_type": "ml.m5.xlarge", "notebook_gb": "50", "notebook_idle_hours": "0"},
    ),
    "powertools_layer": ({}, {"powertools_layer": LAYER}),
}
"""What is set together, by name; the first is the default."""


def refused(row: Row) -> bool:
    """What needs a site cannot be asked for where no page can be, and the hub itself is out of China's reach."""
    china = row.get("region") == {"region": "cn-north-1"}
    elsewhere = bool(row.get("region") or row.get("api_auth") == {"api_auth": "iam"})
    asked, off = row.get("site") == {"site": "on"}, row.get("site") == {"site": "off"}
    front = (asked and elsewhere) or (row.get("waf") == {"waf": GLOBAL} and (elsewhere or off))
    return front or (china and row.get("model") == {"model": "hub"} and row.get("hub_url") == {})


def pairs(row: Row) -> set[Any]:
    """Of two factors each, with their values."""
    return set(itertools.combinations([(name, str(row[name])) for name in FACTORS if name in row], 2))


def rows() -> Iterator[Row]:
    """Greedily: a pair that is missing, then factor by factor the value that meets most others for the first time."""
    two = (
        dict(zip(names, values, strict=True))
        for names in itertools.combinations(FACTORS, 2)
        for values in itertools.product(*map(FACTORS.__getitem__, names))
    )
    starts = [row for row in two if not refused(row)]
    missing = set().union(*map(pairs, starts))
    for start in starts:
        if pairs(start) <= missing:
            row = dict(start)
            for name in FACTORS:
                allowed = [value for value in FACTORS[name] if not refused(row | {name: value})]
                row.setdefault(name, max(allowed, key=lambda value: len(pairs(row | {name: value}) & missing)))
            missing -= pairs(row)
            yield row


PLAN = list(rows())


def test_every_setting_is_in_the_plan() -> None:
    set_here = {key for values in FACTORS.values() for value in values for key in value}
    assert set_here - {"region"} == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("row", PLAN, ids=range(len(PLAN)))
def test_what_is_set_together_shows(row: Row, tmp_path: Path, catalogue: Path) -> None:
    told = {key: value for one in row.values() for key, value in one.items()}
    region = told.pop("region", "")
    there = region or "us-east-1"
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(there.rsplit("-", 2)[0], "aws")
    told = {key: value.replace("{region}", there).replace("{partition}", partition) for key, value in told.items()}
    env = cdk.Environment(account="123456789012", region=region) if region else None
    assembly = synthesise(tmp_path, catalogue, told, env)
    settings = parse_settings({"model": "tiny", **told})
    for check in CHECKS:
        check(assembly, settings)
    site = not why_no_site(settings, region)
    assert ("EaselSite" in assembly.templates) is site
    account = images.ACCOUNTS[region] if region else "FindInMap"
    assert account in json.dumps(assembly.only("AWS::SageMaker::Model")["PrimaryContainer"]["Image"])


# --- how each setting shows ----------------------------------------------------------------------


def shows_the_endpoint(assembly: Assembly, settings: Settings) -> None:
    config = assembly.only("AWS::SageMaker::EndpointConfig")
    (variant,) = config["ProductionVariants"]
    assert ("AsyncInferenceConfig" in config) is (settings.mode == "async")
    pools = [(pool["Priority"], pool["InstanceType"]) for pool in variant.get("InstancePools", ())]
    assert pools == (list(enumerate(settings.pool, 1)) if settings.instance_fallbacks else [])
    assert variant.get("InstanceType") == (None if pools else settings.instance_type or "ml.m5.large")
    targets = assembly.resources("AWS::ApplicationAutoScaling::ScalableTarget").values()
    bounds = [(one["Properties"]["MinCapacity"], one["Properties"]["MaxCapacity"]) for one in targets]
    there = settings.endpoint == "on"
    assert bounds == [(settings.min_instances, settings.max_instances)] * there
    assert len(assembly.resources("AWS::SageMaker::Endpoint")) == there
    assert variant["InitialInstanceCount"] == max(1, settings.min_instances)


def shows_who_may_call(assembly: Assembly, settings: Settings) -> None:
    methods = [one["Properties"] for one in assembly.resources("AWS::ApiGateway::Method", "EaselApi").values()]
    calls = [method for method in methods if method["HttpMethod"] != "OPTIONS"]
    for method in calls:
        assert method["AuthorizationType"] == ("AWS_IAM" if settings.api_auth == "iam" else "NONE")
        assert method.get("ApiKeyRequired", False) is (settings.api_auth == "key")
    assert len(calls) == 2


def shows_the_limits(assembly: Assembly, settings: Settings) -> None:
    (limits,) = assembly.only("AWS::ApiGateway::Stage")["MethodSettings"]
    both = (settings.throttle_rate, settings.throttle_burst)
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == both
    plans = [one["Properties"] for one in assembly.resources("AWS::ApiGateway::UsagePlan").values()]
    assert len(plans) == (settings.api_auth == "key")
    for plan in plans:
        assert (plan["Throttle"]["RateLimit"], plan["Throttle"]["BurstLimit"]) == both
        assert plan["Quota"] == {"Limit": settings.daily_quota, "Period": "DAY"}


def shows_how_it_is_updated_and_entered(assembly: Assembly, settings: Settings) -> None:
    endpoints = [one["Properties"] for one in assembly.resources("AWS::SageMaker::Endpoint").values()]
    deployment = endpoints[0].get("DeploymentConfig", {}) if endpoints else {}
    assert bool(deployment) is (settings.update == "blue_green" and settings.endpoint == "on")
    alarms = {one["AlarmName"]["Ref"] for one in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])}
    ours = assembly.resources("AWS::CloudWatch::Alarm", "EaselModel")
    assert alarms == {id for id in ours if id.startswith("EndpointRollback")}
    dimensions = [{one["Name"] for one in ours[id]["Properties"]["Dimensions"]} for id in alarms]
    assert [dimensions.count(names) for names in ({"EndpointName", "VariantName"}, {"service", "code"})] == (
        [2, 3] if alarms else [0, 0]
    )
    shell = settings.shell == "on"
    (variant,) = assembly.only("AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant.get("EnableSSMAccess", False) is shell
    assert assembly.only("AWS::SageMaker::Model")["EnableNetworkIsolation"] is not shell
    policies = json.dumps(assembly.resources("AWS::IAM::Policy", "EaselModel"))
    assert policies.count("ssmmessages:") == (4 if shell else 0)
    assert ("cloudwatch:DescribeAlarms" in policies) is bool(alarms)
    outputs = assembly.outputs("EaselModel")
    assert ("ShellCommand" in outputs) is (shell and bool(endpoints))
    said = outputs["NextUpdate"]
    watched = "watched for 10 minutes and rolled back" if alarms else "is not watched" if endpoints else "is away"
    assert watched in said
    most = settings.max_instances
    assert (f"a quota of up to {2 * most} x " if endpoints else f"needs a quota of {most} x ") in said


def shows_the_money(assembly: Assembly, settings: Settings) -> None:
    budgets = [one["Properties"]["Budget"] for one in assembly.resources("AWS::Budgets::Budget").values()]
    there = [settings.budget_usd] * bool(settings.budget_usd and assembly.region == "us-east-1")
    assert [budget["BudgetLimit"]["Amount"] for budget in budgets] == there
    guards = assembly.resources("AWS::Events::Rule", "EaselModel")
    assert len(guards) == bool(settings.idle_hours and settings.endpoint == "on")
    mails = [one["Properties"] for one in assembly.resources("AWS::SNS::Subscription", "EaselModel").values()]
    assert [mail["Endpoint"] for mail in mails] == [settings.alert_email] * bool(settings.alert_email)
    functions = [one["Properties"] for one in assembly.resources("AWS::Lambda::Function", "EaselApi").values()]
    (api,) = (one for one in functions if one["Handler"] == "handlers.api")
    assert api.get("ReservedConcurrentExecutions", 0) == settings.api_concurrency
    ttl = int(api["Environment"]["Variables"]["EASEL_JOB_TTL_SECONDS"])
    assert 60 * settings.queue_minutes < ttl < 60 * settings.queue_minutes + 1300


def shows_how_long_things_stay(assembly: Assembly, settings: Settings) -> None:
    groups = [one["Properties"] for one in assembly.resources("AWS::Logs::LogGroup").values()]
    assert {group["RetentionInDays"] for group in groups} == {settings.log_days}
    ((_, bucket),) = assembly.resources("AWS::S3::Bucket", "EaselStorage").items()
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") in EXPIRING_PREFIXES} == {settings.result_days}
    assert bucket["DeletionPolicy"] == ("Delete" if settings.removal == "destroy" else "Retain")


def shows_where_the_model_is_from(assembly: Assembly, settings: Settings) -> None:
    imports = assembly.resources("Custom::EaselImport")
    assert len(imports) == (settings.model != "tiny")
    for one in imports.values():
        assert settings.hub_url in json.dumps(one)
        assert settings.hub_token_secret in json.dumps(one)
    assert assembly.outputs("EaselModel")["Model"] == settings.model


def shows_the_domain(assembly: Assembly, settings: Settings) -> None:
    name, site = settings.domain_name, "EaselSite" in assembly.templates
    for one in assembly.resources("AWS::CloudFront::Distribution").values():
        config = one["Properties"]["DistributionConfig"]
        assert config.get("Aliases", []) == [name] * bool(name)
        assert config.get("ViewerCertificate", {}).get("AcmCertificateArn", "") == settings.certificate_arn
    gateway = [one["Properties"] for one in assembly.resources("AWS::ApiGateway::DomainName").values()]
    assert [one["DomainName"] for one in gateway] == [name] * (bool(name) and not site)
    for one in gateway:
        assert one["RegionalCertificateArn"] == settings.certificate_arn
    records = [one["Properties"] for one in assembly.resources("AWS::Route53::RecordSet").values()]
    assert len(records) == (1 + site) * bool(settings.hosted_zone_id)
    for record in records:
        assert (record["Name"], record["HostedZoneId"]) == (name, settings.hosted_zone_id)
    outputs = assembly.outputs("EaselSite" if site else "EaselApi")
    assert ("DomainRecord" in outputs) is bool(name)
    assert ("CNAME" in json.dumps(outputs)) is (bool(name) and not records)


def shows_the_firewall(assembly: Assembly, settings: Settings) -> None:
    ours = assembly.resources("AWS::WAFv2::WebACL")
    attached = [one["Properties"]["WebACLArn"] for one in assembly.resources("AWS::WAFv2::WebACLAssociation").values()]
    assert len(ours) == (settings.waf == "on")
    assert attached == [{"Fn::GetAtt": [id, "Arn"]} for id in ours] or attached == [settings.regional_waf]
    assert bool(attached) is bool(settings.regional_waf)
    for one in assembly.resources("AWS::CloudFront::Distribution").values():
        assert one["Properties"]["DistributionConfig"].get("WebACLId", "") == settings.global_waf
    for acl in ours.values():
        names = [rule["Name"] for rule in acl["Properties"]["Rules"]]
        caller = ["Caller"] if "EaselSite" in assembly.templates else []
        assert names == ["Common", *caller, "Address"]
    assert ("FirewallCosts" in assembly.outputs("EaselApi")) is bool(ours)


def shows_the_network(assembly: Assembly, settings: Settings) -> None:
    there = {"Subnets": SUBNETS.split(","), "SecurityGroupIds": [GROUP]}
    config = assembly.only("AWS::SageMaker::Model").get("VpcConfig")
    assert config == (there if settings.subnets else None)
    for project in assembly.resources("AWS::CodeBuild::Project").values():
        config = project["Properties"].get("VpcConfig")
        assert config == ({**there, "VpcId": settings.vpc_id} if settings.vpc_id else None)
    roles = {
        id
        for id, policy in assembly.resources("AWS::IAM::Policy").items()
        if "ec2:CreateNetworkInterface" in json.dumps(policy)
    }
    inside = [True, settings.notebook == "on", bool(settings.vpc_id) and settings.model != "tiny"]
    assert len(roles) == sum(inside) * bool(settings.subnets)
    for function in assembly.resources("AWS::Lambda::Function").values():
        assert "VpcConfig" not in function["Properties"]


def shows_the_key(assembly: Assembly, settings: Settings) -> None:
    key = settings.kms_key_arn
    (store,) = assembly.resources("AWS::S3::Bucket", "EaselStorage").values()
    (encryption,) = store["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"].get("KMSMasterKeyID", "") == key
    found = {
        one["Properties"].get(name, "") for kind, name in ENCRYPTED.items() for one in assembly.resources(kind).values()
    }
    assert found == {key}
    config = assembly.only("AWS::SageMaker::EndpointConfig")
    output = config.get("AsyncInferenceConfig", {}).get("OutputConfig", {"KmsKeyId": key})
    assert output.get("KmsKeyId", "") == key
    disk = "" if settings.instance_type == "ml.g5.xlarge" else key
    assert config.get("KmsKeyId", "") == disk
    assert ("kms:" in json.dumps(assembly.resources("AWS::IAM::Policy"))) is bool(key)


def shows_cloud9(assembly: Assembly, settings: Settings) -> None:
    rules = [one["Properties"] for one in assembly.resources("AWS::EC2::SecurityGroupIngress").values()]
    assert [rule.get("CidrIp") or rule["CidrIpv6"] for rule in rules] == ([settings.cloud9_cidr] * settings.cloud9)
    text = json.dumps(assembly.templates.get("EaselCloud9"))
    assert settings.cloud9_environment_id in text
    assert settings.cloud9_security_group_id in text


def shows_the_notebook(assembly: Assembly, settings: Settings) -> None:
    assert ("EaselNotebook" in assembly.templates) is (settings.notebook == "on")
    if settings.notebook == "on":
        one = assembly.only("AWS::SageMaker::NotebookInstance")
        asked = (settings.notebook_instance_type, settings.notebook_gb)
        assert (one["InstanceType"], one["VolumeSizeInGB"]) == asked
        assert one["DirectInternetAccess"] == ("Disabled" if settings.subnets else "Enabled")
        assert one.get("SubnetId", "") == next(iter(settings.subnets), "")
        assert one.get("SecurityGroupIds", []) == list(settings.security_groups)
        assert one.get("KmsKeyId", "") == settings.kms_key_arn
        policies = json.dumps(assembly.resources("AWS::IAM::Policy", "EaselNotebook"))
        assert policies.count("ssmmessages:") == (4 if settings.shell == "on" else 0)
        outputs = assembly.outputs("EaselNotebook")
        assert ("NotebookIdleStop" in outputs) is bool(settings.notebook_idle_hours)
        assert f"for {settings.notebook_gb} GB" in outputs["NotebookPriceStopped"]


def shows_the_layer(assembly: Assembly, settings: Settings) -> None:
    functions = [one["Properties"] for one in assembly.resources("AWS::Lambda::Function", "EaselApi").values()]
    layers = [function["Layers"] for function in functions if "Layers" in function]
    assert layers
    assert all((one == [settings.powertools_layer]) is bool(settings.powertools_layer) for one in layers)


CHECKS: tuple[Check, ...] = (
    shows_the_endpoint,
    shows_who_may_call,
    shows_the_limits,
    shows_the_money,
    shows_how_it_is_updated_and_entered,
    shows_how_long_things_stay,
    shows_where_the_model_is_from,
    shows_the_domain,
    shows_the_firewall,
    shows_the_network,
    shows_the_key,
    shows_cloud9,
    shows_the_notebook,
    shows_the_layer,
)
