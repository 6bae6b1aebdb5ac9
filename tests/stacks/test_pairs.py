"""Every pair of settings: each row of a pairwise plan is synthesised once, and its templates are checked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

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
    "name": ({}, {"name": "easel-2"}),
    "region": ({}, {"region": "cn-north-1"}, {"region": "us-gov-west-1"}),
    "mode": ({}, {"mode": "realtime"}, {"mode": "realtime", "idle_hours": "9"}),
    "instances": ({}, {"min_instances": "1", "max_instances": "3"}, {"min_instances": "2", "max_instances": "2"}),
    "api_auth": ({}, {"api_auth": "iam"}, {"api_auth": "none"}),
    "site": ({}, {"site": "off"}, {"site": "on"}),
    "sign_in": (
        {},
        {"sign_in": "cognito", "sign_in_images_a_day": "0", "sign_in_mfa": "on"},
        {
            "sign_in": "cognito",
            "sign_in_issuer": "https://login.example.com",
            "sign_in_client_id": "easel",
            "sign_in_client_secret": "easel-sign-in",
        },
    ),
    "cloud9": (
        {},
        {"cloud9_cidr": "203.0.113.7/32", "cloud9_environment_id": ENVIRONMENT},
        {"cloud9_cidr": "2001:db8::7/128", "cloud9_security_group_id": GROUP},
    ),
    "instance_type": (
        {},
        {"instance_type": "ml.g5.xlarge"},
        {"instance_type": "ml.g5.xlarge", "instance_fallbacks": "ml.g6.xlarge"},
        {"instance_type": "ml.g5.xlarge,hub=ml.g6.xlarge", "instance_fallbacks": "hub=ml.g5.xlarge"},
    ),
    "gpu_host": ({}, {"gpu_host": "al2023"}),
    "throttle": ({}, {"throttle_rate": "5", "daily_quota": "77"}),
    "days": ({}, {"result_days": "30", "log_days": "7"}),
    "queue": ({}, {"queue_minutes": "5", "api_concurrency": "7"}),
    "budget_usd": ({}, {"budget_usd": "9", "budget_action": "stop"}, {"budget_usd": "0"}),
    "tracing": ({}, {"tracing": "on"}),
    "webhooks": ({}, {"webhooks": "on"}),
    "content": ({}, {"content": "flag"}),
    "alert_email": ({}, {"alert_email": "you@example.com"}),
    "model": ({}, {"model": "hub"}, {"model": "s3"}, {"model": "tiny,hub"}),
    "hub_url": ({}, {"hub_url": "https://hub.example.org"}),
    "hub_token_secret": ({}, {"hub_token_secret": "hub-token"}),
    "model_token_secret": ({}, {"model_token_secret": "model-token"}),
    "update": ({}, {"update": "blue_green"}),
    "shell": ({}, {"shell": "on"}),
    "endpoint": ({}, {"endpoint": "off"}),
    "removal": ({}, {"removal": "retain"}),
    "domain": (
        {},
        {"domain_name": "images.example.com", "certificate_arn": CERTIFICATE},
        {"domain_name": "images.example.com", "certificate_arn": CERTIFICATE, "hosted_zone_id": "Z0123456789"},
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
    "permissions_boundary": ({}, {"permissions_boundary": "easel-boundary"}),
}
"""Name to the alternatives of settings that belong together; the first is the default."""


def is_refused(row: Row) -> bool:
    """Return whether the settings exclude each other: what is not in a region, a site where none can be, or a value of
    a model that is not deployed."""
    china = row.get("region") == {"region": "cn-north-1"}
    no_page = bool(row.get("region") or row.get("api_auth") == {"api_auth": "iam"})
    site_on, site_off = row.get("site") == {"site": "on"}, row.get("site") == {"site": "off"}
    front = (site_on and no_page) or (row.get("waf") == {"waf": GLOBAL} and (no_page or site_off))
    no_sign_in = bool(row.get("sign_in")) and (no_page or site_off or bool(row.get("api_auth")))
    no_budgets = bool(row.get("region") and "budget_action" in row.get("budget_usd", {}))
    has_hub = "hub" in row.get("model", {}).get("model", "")
    needs_hub = "hub=" in row.get("instance_type", {}).get("instance_type", "")
    no_model = needs_hub and not has_hub and "model" in row
    no_hub = china and (has_hub or needs_hub) and row.get("hub_url") == {}
    return front or no_sign_in or no_budgets or no_model or no_hub


def pairs(row: Row) -> set[Any]:
    """Return the pairs of (factor, value) in the row."""
    return set(itertools.combinations([(name, str(row[name])) for name in FACTORS if name in row], 2))


def rows() -> Iterator[Row]:
    """Start from a missing pair, and take the completion of several that adds most missing pairs."""
    two = (
        dict(zip(names, values, strict=True))
        for names in itertools.combinations(FACTORS, 2)
        for values in itertools.product(*map(FACTORS.__getitem__, names))
    )
    starts = [row for row in two if not is_refused(row)]
    missing = set().union(*map(pairs, starts))
    orders = [
        Random(number).sample(list(FACTORS), len(FACTORS)) for number in range(845, 850)
    ]  # fewest rows of 200 ranges
    for start in starts:
        if pairs(start) <= missing:
            completed = (complete(start, order, missing) for order in orders)
            row = max(completed, key=lambda row: len(pairs(row) & missing))
            missing -= pairs(row)
            yield row


def complete(start: Row, order: list[str], missing: set[Any]) -> Row:
    """Choose for each factor, in this order, the value that adds most missing pairs."""
    row = dict(start)
    for name in (name for name in order if name not in start):
        allowed = [value for value in FACTORS[name] if not is_refused(row | {name: value})]
        row[name] = max(allowed, key=lambda value: sum(pair in missing for pair in new_pairs(row, name, value)))
    return row


def new_pairs(row: Row, name: str, value: dict[str, str]) -> Iterator[Any]:
    """Yield the pairs of a value and the row's values, in the order of `pairs`."""
    names = list(FACTORS)
    new, place = (name, str(value)), names.index(name)
    for other, chosen in row.items():
        old = (other, str(chosen))
        yield (old, new) if names.index(other) < place else (new, old)


PLAN = list(rows())


def test_every_setting_is_in_the_plan() -> None:
    keys = {key for values in FACTORS.values() for value in values for key in value}
    assert keys - {"region"} == Settings.model_fields.keys()


@pytest.mark.parametrize("row", PLAN, ids=range(len(PLAN)))
def test_templates_match_the_settings(row: Row, tmp_path: Path, catalogue: Path) -> None:
    values = {key: value for group in row.values() for key, value in group.items()}
    region = values.pop("region", "")
    actual = region or "us-east-1"
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(actual.rsplit("-", 2)[0], "aws")
    values = {key: text.replace("{region}", actual).replace("{partition}", partition) for key, text in values.items()}
    env = ("123456789012", region) if region else None
    assembly = synthesise(tmp_path, catalogue, values, env)
    settings = parse_settings({"model": "tiny", **values})
    for check in CHECKS:
        check(assembly, settings)
    site = not why_no_site(settings, region)
    assert (settings.names.site in assembly.templates) is site
    account = images.ACCOUNTS[region] if region else "FindInMap"
    models = assembly.properties("AWS::SageMaker::Model")
    assert len(models) == len(settings.models)
    assert all(account in json.dumps(model["PrimaryContainer"]["Image"]) for model in models)


# --- one check for each group of settings --------------------------------------------------------


def configs(assembly: Assembly, settings: Settings) -> Iterator[tuple[dict[str, Any], Settings]]:
    """Yield the endpoint configuration and the settings of each model."""
    found = assembly.properties("AWS::SageMaker::EndpointConfig")
    for config, id in zip(found, settings.models, strict=True):
        yield config, settings.of(id)


def check_endpoint(assembly: Assembly, settings: Settings) -> None:
    for config, own in configs(assembly, settings):
        (variant,) = config["ProductionVariants"]
        assert ("AsyncInferenceConfig" in config) is (settings.mode == "async")
        pools = [(pool["Priority"], pool["InstanceType"]) for pool in variant.get("InstancePools", ())]
        assert pools == (list(enumerate(own.pool, 1)) if own.instance_fallbacks else [])
        assert variant.get("InstanceType") == (None if pools else own.instance_type or "ml.m5.large")
        assert variant["InitialInstanceCount"] == max(1, settings.min_instances)
    targets = assembly.resources("AWS::ApplicationAutoScaling::ScalableTarget").values()
    bounds = [(resource["Properties"]["MinCapacity"], resource["Properties"]["MaxCapacity"]) for resource in targets]
    count = len(settings.models) * (settings.endpoint == "on")
    assert bounds == [(settings.min_instances, settings.max_instances)] * count
    assert len(assembly.resources("AWS::SageMaker::Endpoint")) == count


def check_authentication(assembly: Assembly, settings: Settings) -> None:
    methods = assembly.properties("AWS::ApiGateway::Method", settings.names.api)
    calls = [method for method in methods if method["HttpMethod"] != "OPTIONS"]
    kinds = {"iam": "AWS_IAM", "key": "CUSTOM", "none": "NONE"}
    for method in calls:
        assert method["AuthorizationType"] == kinds[settings.api_auth]
        assert method.get("ApiKeyRequired", False) is (settings.api_auth == "key")
    assert len(calls) == 2


def check_limits(assembly: Assembly, settings: Settings) -> None:
    (limits,) = assembly.only("AWS::ApiGateway::Stage")["MethodSettings"]
    both = (settings.throttle_rate, settings.throttle_burst)
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == both
    plans = assembly.properties("AWS::ApiGateway::UsagePlan")
    assert len(plans) == (settings.api_auth == "key")
    for plan in plans:
        assert (plan["Throttle"]["RateLimit"], plan["Throttle"]["BurstLimit"]) == both
        assert plan["Quota"] == {"Limit": settings.daily_quota, "Period": "DAY"}


def check_update_and_shell(assembly: Assembly, settings: Settings) -> None:
    endpoints = assembly.properties("AWS::SageMaker::Endpoint")
    resources = assembly.resources("AWS::CloudWatch::Alarm", settings.names.model)
    alarms: set[str] = set()
    for endpoint, model in zip(endpoints, settings.models, strict=False):
        deployment = endpoint.get("DeploymentConfig", {})
        assert bool(deployment) is (settings.update == "blue_green")
        named = deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
        alarms = {alarm["AlarmName"]["Ref"] for alarm in named}
        first = model == settings.models[0]
        start = "EndpointRollback" if first else f"Model{model}EndpointRollback"
        assert alarms == {id for id in resources if id.startswith(start)}
        dimensions = [{item["Name"] for item in resources[id]["Properties"]["Dimensions"]} for id in alarms]
        jobs = {"service", "code"} if first else {"service", "code", "model"}
        counts = [dimensions.count(names) for names in ({"EndpointName", "VariantName"}, jobs)]
        assert counts == ([2, 3] if alarms else [0, 0])
    shell = settings.shell == "on"
    for config, _ in configs(assembly, settings):
        assert config["ProductionVariants"][0].get("EnableSSMAccess", False) is shell
    for served in assembly.properties("AWS::SageMaker::Model"):
        assert served["EnableNetworkIsolation"] is not shell
    policies = json.dumps(assembly.resources("AWS::IAM::Policy", settings.names.model))
    assert policies.count("ssmmessages:") == (4 * len(settings.models) if shell else 0)
    assert ("cloudwatch:DescribeAlarms" in policies) is bool(alarms)
    outputs = assembly.outputs(settings.names.model)
    assert ("ShellCommand" in outputs) is (shell and bool(endpoints))
    next_update, most = outputs["NextUpdate"], settings.max_instances
    assert ("10 minutes" in next_update) is bool(alarms)
    assert f" {2 * most if endpoints else most} x " in next_update


def check_costs(assembly: Assembly, settings: Settings) -> None:
    budgets = [budget["Budget"] for budget in assembly.properties("AWS::Budgets::Budget")]
    amounts = [settings.budget_usd] * bool(settings.budget_usd and assembly.region == "us-east-1")
    assert [budget["BudgetLimit"]["Amount"] for budget in budgets] == amounts
    guards = assembly.resources("AWS::Events::Rule", settings.names.model)
    stops = settings.budget_action == "stop"
    idle = len(settings.models) * bool(settings.idle_hours)
    assert len(guards) == (idle + stops) * (settings.endpoint == "on")
    mails = assembly.properties("AWS::SNS::Subscription", settings.names.storage)
    assert [mail["Endpoint"] for mail in mails] == [settings.alert_email] * bool(settings.alert_email)
    functions = assembly.properties("AWS::Lambda::Function", settings.names.api)
    (api,) = (function for function in functions if function["Handler"] == "handlers.api")
    assert api.get("ReservedConcurrentExecutions", 0) == settings.api_concurrency
    ttl = int(api["Environment"]["Variables"]["EASEL_JOB_TTL_SECONDS"])
    assert 60 * settings.queue_minutes < ttl < 60 * settings.queue_minutes + 1300


def check_tracing(assembly: Assembly, settings: Settings) -> None:
    is_on = settings.tracing == "on"
    assert assembly.only("AWS::ApiGateway::Stage").get("TracingEnabled", False) is is_on
    for function in assembly.properties("AWS::Lambda::Function", settings.names.api):
        assert function.get("TracingConfig") == ({"Mode": "Active"} if is_on else None)
        annotates = is_on and function["Handler"].startswith("handlers.")
        assert function["Environment"]["Variables"].get("EASEL_TRACING") == ("on" if annotates else None)
    functions = 2 + (settings.webhooks == "on") + (settings.api_auth == "key")
    assert json.dumps(assembly.templates).count("xray:PutTraceSegments") == functions * is_on


def check_webhooks(assembly: Assembly, settings: Settings) -> None:
    is_on = settings.webhooks == "on"
    functions = assembly.properties("AWS::Lambda::Function", settings.names.api)
    assert [function["Handler"] for function in functions].count("handlers.webhooks") == is_on
    for function in functions:
        announces = is_on and function["Handler"].startswith("handlers.")
        assert ("EASEL_WEBHOOK_QUEUE" in function["Environment"]["Variables"]) is announces
    assert len(assembly.resources("AWS::Lambda::EventSourceMapping")) == is_on


def check_retention(assembly: Assembly, settings: Settings) -> None:
    groups = assembly.properties("AWS::Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups} == {settings.log_days}
    ((_, bucket),) = assembly.resources("AWS::S3::Bucket", settings.names.storage).items()
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") in EXPIRING_PREFIXES} == {
        settings.result_days
    }
    assert bucket["DeletionPolicy"] == ("Delete" if settings.removal == "destroy" else "Retain")


def imported(settings: Settings) -> list[str]:
    """Return the models that are not in a folder."""
    return [model for model in settings.models if model != "tiny"]


def check_source(assembly: Assembly, settings: Settings) -> None:
    imports = assembly.resources("Custom::EaselImport")
    assert len(imports) == len(imported(settings))
    for resource in imports.values():
        assert settings.hub_url in json.dumps(resource)
        assert settings.hub_token_secret in json.dumps(resource)
    assert assembly.outputs(settings.names.model)["Model"] == settings.model


def check_domain(assembly: Assembly, settings: Settings) -> None:
    name, site = settings.domain_name, settings.names.site in assembly.templates
    for resource in assembly.resources("AWS::CloudFront::Distribution").values():
        config = resource["Properties"]["DistributionConfig"]
        assert config.get("Aliases", []) == [name] * bool(name)
        assert config.get("ViewerCertificate", {}).get("AcmCertificateArn", "") == settings.certificate_arn
    gateway = assembly.properties("AWS::ApiGateway::DomainName")
    assert [domain["DomainName"] for domain in gateway] == [name] * (bool(name) and not site)
    for domain in gateway:
        assert domain["RegionalCertificateArn"] == settings.certificate_arn
    records = assembly.properties("AWS::Route53::RecordSet")
    assert len(records) == (1 + site) * bool(settings.hosted_zone_id)
    for record in records:
        assert (record["Name"], record["HostedZoneId"]) == (name, settings.hosted_zone_id)
    outputs = assembly.outputs(settings.names.site if site else settings.names.api)
    assert ("DomainRecord" in outputs) is bool(name)
    assert ("CNAME" in json.dumps(outputs)) is (bool(name) and not records)


def check_firewall(assembly: Assembly, settings: Settings) -> None:
    created = assembly.resources("AWS::WAFv2::WebACL")
    attached = [
        resource["Properties"]["WebACLArn"] for resource in assembly.resources("AWS::WAFv2::WebACLAssociation").values()
    ]
    assert len(created) == (settings.waf == "on")
    assert attached == [{"Fn::GetAtt": [id, "Arn"]} for id in created] or attached == [settings.regional_waf]
    assert bool(attached) is bool(settings.regional_waf)
    for resource in assembly.resources("AWS::CloudFront::Distribution").values():
        assert resource["Properties"]["DistributionConfig"].get("WebACLId", "") == settings.global_waf
    for acl in created.values():
        names = [rule["Name"] for rule in acl["Properties"]["Rules"]]
        caller = ["Caller"] if settings.names.site in assembly.templates else []
        assert names == ["Common", *caller, "Address"]
    assert ("FirewallCosts" in assembly.outputs(settings.names.api)) is bool(created)


def check_network(assembly: Assembly, settings: Settings) -> None:
    network = {"Subnets": SUBNETS.split(","), "SecurityGroupIds": [GROUP]}
    for model in assembly.properties("AWS::SageMaker::Model"):
        assert model.get("VpcConfig") == (network if settings.subnets else None)
    for project in assembly.resources("AWS::CodeBuild::Project").values():
        config = project["Properties"].get("VpcConfig")
        assert config == ({**network, "VpcId": settings.vpc_id} if settings.vpc_id else None)
    roles = {
        id
        for id, policy in assembly.resources("AWS::IAM::Policy").items()
        if "ec2:CreateNetworkInterface" in json.dumps(policy)
    }
    imports = len(imported(settings)) * bool(settings.vpc_id)
    users = len(settings.models) + imports + (settings.notebook == "on")
    assert len(roles) == users * bool(settings.subnets)
    for function in assembly.resources("AWS::Lambda::Function").values():
        assert "VpcConfig" not in function["Properties"]


def check_kms_key(assembly: Assembly, settings: Settings) -> None:
    key = settings.kms_key_arn
    (store,) = assembly.resources("AWS::S3::Bucket", settings.names.storage).values()
    (encryption,) = store["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"].get("KMSMasterKeyID", "") == key
    found = {
        resource["Properties"].get(name, "")
        for kind, name in ENCRYPTED.items()
        for resource in assembly.resources(kind).values()
    }
    assert found == {key}
    for config, own in configs(assembly, settings):
        output = config.get("AsyncInferenceConfig", {}).get("OutputConfig", {"KmsKeyId": key})
        assert output.get("KmsKeyId", "") == key
        disk = "" if own.instance_type.startswith("ml.g") else key
        assert config.get("KmsKeyId", "") == disk
    assert ("kms:" in json.dumps(assembly.resources("AWS::IAM::Policy"))) is bool(key)


def check_cloud9(assembly: Assembly, settings: Settings) -> None:
    rules = assembly.properties("AWS::EC2::SecurityGroupIngress")
    assert [rule.get("CidrIp") or rule["CidrIpv6"] for rule in rules] == ([settings.cloud9_cidr] * settings.cloud9)
    text = json.dumps(assembly.templates.get(settings.names.cloud9))
    assert settings.cloud9_environment_id in text
    assert settings.cloud9_security_group_id in text


def check_notebook(assembly: Assembly, settings: Settings) -> None:
    assert (settings.names.notebook in assembly.templates) is (settings.notebook == "on")
    if settings.notebook == "on":
        notebook = assembly.only("AWS::SageMaker::NotebookInstance")
        assert notebook["InstanceType"] == settings.notebook_instance_type
        assert notebook["VolumeSizeInGB"] == settings.notebook_gb
        assert notebook["DirectInternetAccess"] == ("Disabled" if settings.subnets else "Enabled")
        assert notebook.get("SubnetId", "") == next(iter(settings.subnets), "")
        assert notebook.get("SecurityGroupIds", []) == list(settings.security_groups)
        assert notebook.get("KmsKeyId", "") == settings.kms_key_arn
        policies = json.dumps(assembly.resources("AWS::IAM::Policy", settings.names.notebook))
        assert policies.count("ssmmessages:") == (4 if settings.shell == "on" else 0)
        outputs = assembly.outputs(settings.names.notebook)
        assert ("NotebookIdleStop" in outputs) is bool(settings.notebook_idle_hours)
        assert f"for {settings.notebook_gb} GB" in outputs["NotebookPriceStopped"]


def check_layer(assembly: Assembly, settings: Settings) -> None:
    functions = assembly.properties("AWS::Lambda::Function", settings.names.api)
    layers = [function["Layers"] for function in functions if "Layers" in function]
    assert layers
    assert all((settings.powertools_layer in item) is bool(settings.powertools_layer) for item in layers)


CHECKS: tuple[Check, ...] = (
    check_endpoint,
    check_authentication,
    check_limits,
    check_costs,
    check_update_and_shell,
    check_tracing,
    check_webhooks,
    check_retention,
    check_source,
    check_domain,
    check_firewall,
    check_network,
    check_kms_key,
    check_cloud9,
    check_notebook,
    check_layer,
)
