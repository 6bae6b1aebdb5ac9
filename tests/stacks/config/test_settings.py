"""What a user can set, what is refused, and what the refusal says."""

from __future__ import annotations

import dataclasses

import pytest

from stacks.common.logs import LOG_DAYS as KNOWN_DAYS
from stacks.config.settings import LOG_DAYS, Settings, SettingsError, parse_settings

GROUP = {"cloud9_security_group_id": "sg-0123456789abcdef0"}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
NET = {"vpc_subnet_ids": "subnet-0a1b2c3d,subnet-1a2b3c4d", "vpc_security_group_ids": "sg-0a1b2c3d"}
DOMAIN = {
    "domain_name": "draw.example.com",
    "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef",
}
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:mine:1"
READ = [
    ("model", "mine", "mine"),
    ("hub_url", "https://mirror.example", "https://mirror.example"),
    ("hub_token_secret", "hub-token", "hub-token"),
    ("mode", "realtime", "realtime"),
    ("instance_type", "ml.g6e.2xlarge", "ml.g6e.2xlarge"),
    ("instance_fallbacks", "ml.g5.xlarge,ml.g6.xlarge", "ml.g5.xlarge,ml.g6.xlarge"),
    ("min_instances", "1", 1),
    ("max_instances", "100", 100),
    ("queue_minutes", "360", 360),
    ("update", "blue_green", "blue_green"),
    ("endpoint", "off", "off"),
    ("shell", "on", "on"),
    ("budget_usd", "1000000", 1_000_000),
    ("alert_email", "you+easel@mail.example.com", "you+easel@mail.example.com"),
    ("api_concurrency", "1000", 1000),
    ("api_auth", "none", "none"),
    ("waf", "on", "on"),
    ("throttle_rate", "1", 1),
    ("throttle_burst", "5000", 5000),
    ("daily_quota", "100000000", 100_000_000),
    ("result_days", "3650", 3650),
    ("log_days", "3653", 3653),
    ("removal", "retain", "retain"),
    ("kms_key_arn", KEY, KEY),
    ("site", "off", "off"),
    ("notebook", "on", "on"),
    ("notebook_instance_type", "ml.t3.medium", "ml.t3.medium"),
    ("notebook_gb", "16384", 16_384),
    ("notebook_idle_hours", "0", 0),
    ("powertools_layer", LAYER, LAYER),
]


def test_nothing_set_is_an_async_endpoint_that_sleeps_behind_keys() -> None:
    settings = parse_settings({"@aws-cdk/core:checkSecretUsage": True, "aws:cdk:version-reporting": True})
    assert settings == Settings()
    assert (settings.mode, settings.min_instances, settings.max_instances) == ("async", 0, 1)
    assert (settings.api_auth, settings.instance_type, settings.cloud9) == ("key", "", False)


@pytest.mark.parametrize(("mode", "own"), [("async", (0, 360, 0)), ("realtime", (1, 15, 4))])
def test_each_mode_has_its_own_instances_queue_and_idle_hours(mode: str, own: tuple[int, ...]) -> None:
    settings = parse_settings({"mode": mode})
    assert (settings.min_instances, settings.queue_minutes, settings.idle_hours) == own


@pytest.mark.parametrize("hours", ["0", "1", "168"])
def test_the_idle_guard_is_for_realtime(hours: str) -> None:
    assert parse_settings({"mode": "realtime", "idle_hours": hours}).idle_hours == int(hours)


@pytest.mark.parametrize(("key", "text", "value"), READ)
def test_every_key_is_read_from_text(key: str, text: str, value: object) -> None:
    assert getattr(parse_settings({key: text}), key) == value


def test_every_key_is_tested_here() -> None:
    elsewhere = {
        *DOMAIN,
        "hosted_zone_id",
        *NET,
        "vpc_id",
        "cloud9_cidr",
        "cloud9_environment_id",
        "cloud9_security_group_id",
        "idle_hours",
    }
    assert {key for key, _, _ in READ} | elsewhere == {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"instancetype": "ml.g5.xlarge"}, "'instancetype' is not a setting. Did you mean 'instance_type'?"),
        ({"max_instance": "2"}, "'max_instance' is not a setting. Did you mean 'max_instances'?"),
        ({"modle": "emoji"}, "'modle' is not a setting. Did you mean 'model'?"),
        (
            {"powertools_layer": "mine"},
            "powertools_layer looks like arn:aws:lambda:us-east-1:123456789012:layer:powertools:1. Given: 'mine'.",
        ),
        (
            {"colour": "red"},
            f"'colour' is not a setting. Known: {', '.join(field.name for field in dataclasses.fields(Settings))}.",
        ),
        ({"mode": "Async"}, "mode is 'Async'; it can be async, realtime."),
        ({"mode": True}, "mode is True; it can be async, realtime."),
        ({"api_auth": "false"}, "api_auth is 'false'; it can be key, iam, none."),
        ({"removal": ""}, "removal is ''; it can be destroy, retain."),
        ({"max_instances": "two"}, "max_instances must be a whole number, not 'two'."),
        ({"max_instances": "1.0"}, "max_instances must be a whole number, not '1.0'."),
        ({"max_instances": True}, "max_instances must be a whole number, not True."),
        ({"max_instances": "٣"}, "max_instances must be a whole number, not '٣'."),
        ({"max_instances": "0"}, "max_instances is 0; it can be 1 to 100."),
        ({"min_instances": "-2"}, "min_instances is -2; it can be 0 to 100."),
        ({"min_instances": "-1"}, "min_instances is -1; it can be 0 to 100."),
        ({"queue_minutes": -1}, "queue_minutes is -1; it can be 1 to 360."),
        ({"daily_quota": "10000000000"}, "daily_quota is 10000000000; it can be 1 to 100000000."),
        ({"min_instances": "2"}, "min_instances 2 is over max_instances 1."),
        (
            {"mode": "realtime", "min_instances": "0"},
            "A realtime endpoint cannot scale to zero. Set min_instances=1, or mode=async.",
        ),
        ({"update": "canary"}, "update is 'canary'; it can be plain, blue_green."),
        ({"shell": "true"}, "shell is 'true'; it can be off, on."),
        ({"queue_minutes": "0"}, "queue_minutes is 0; it can be 1 to 360."),
        ({"queue_minutes": "361"}, "queue_minutes is 361; it can be 1 to 360."),
        ({"mode": "realtime", "idle_hours": "169"}, "idle_hours is 169; it can be 0 to 168."),
        ({"idle_hours": "1"}, "idle_hours is for mode=realtime: in async min_instances=0 lets the endpoint sleep."),
        ({"budget_usd": "-2"}, "budget_usd is -2; it can be 0 to 1000000."),
        ({"budget_usd": "1000001"}, "budget_usd is 1000001; it can be 0 to 1000000."),
        ({"api_concurrency": "-1"}, "api_concurrency is -1; it can be 0 to 1000."),
        ({"api_concurrency": "1001"}, "api_concurrency is 1001; it can be 0 to 1000."),
        ({"alert_email": "you"}, "alert_email looks like you@example.com. Given: 'you'."),
        ({"alert_email": "用户@example.com"}, "alert_email looks like you@example.com. Given: '用户@example.com'."),
        ({"alert_email": "a@b.c, d@e.f"}, "alert_email looks like you@example.com. Given: 'a@b.c, d@e.f'."),
        ({"throttle_rate": "0"}, "throttle_rate is 0; it can be 1 to 10000."),
        ({"throttle_burst": "5001"}, "throttle_burst is 5001; it can be 1 to 5000."),
        ({"daily_quota": "0"}, "daily_quota is 0; it can be 1 to 100000000."),
        ({"result_days": "0"}, "result_days is 0; it can be 1 to 3650."),
        ({"log_days": "2"}, "log_days is 2; it can be 1, 3, 5, 7, 14, 30, 60, 90, 180, 365, 731, 1827, 3653."),
        ({"instance_type": "g4dn.xlarge"}, "instance_type looks like ml.g4dn.xlarge. Given: 'g4dn.xlarge'."),
        (
            {"instance_fallbacks": "ml.g5.xlarge, ml.g6.xlarge"},
            "instance_fallbacks looks like ml.g5.xlarge,ml.g6.xlarge. Given: 'ml.g5.xlarge, ml.g6.xlarge'.",
        ),
        (
            {"instance_fallbacks": ",".join(["ml.g5.xlarge"] * 5)},
            "instance_fallbacks has 5 types; it can have 4.",
        ),
        ({"notebook": "yes"}, "notebook is 'yes'; it can be off, on."),
        ({"notebook_gb": "19"}, "notebook_gb is 19; it can be 20 to 16384."),
        ({"notebook_idle_hours": "169"}, "notebook_idle_hours is 169; it can be 0 to 168."),
        (
            {"notebook_instance_type": ""},
            "notebook_instance_type looks like ml.g4dn.xlarge. Given: ''.",
        ),
        ({"model": 3}, "model must be a text, not 3."),
        (
            {**NET, "vpc_subnet_ids": "subnet-0a1b2c3d, subnet-1a2b3c4d"},
            "vpc_subnet_ids looks like subnet-0a1b2c3d,subnet-4e5f6a7b. Given: 'subnet-0a1b2c3d, subnet-1a2b3c4d'.",
        ),
        (
            {**NET, "vpc_subnet_ids": "subnet-0a1b2c3d"},
            "vpc_subnet_ids is subnet-0a1b2c3d; it can be 2 to 16 different ids.",
        ),
        (
            {**NET, "vpc_subnet_ids": "subnet-0a1b2c3d,subnet-0a1b2c3d"},
            "vpc_subnet_ids is subnet-0a1b2c3d,subnet-0a1b2c3d; it can be 2 to 16 different ids.",
        ),
        (
            {**NET, "vpc_security_group_ids": ",".join(f"sg-0000000{i}" for i in range(6))},
            "vpc_security_group_ids is sg-00000000,sg-00000001,sg-00000002,sg-00000003,sg-00000004,sg-00000005; it can "
            "be 1 to 5 different ids.",
        ),
        (
            {"vpc_security_group_ids": "sg-0a1b2c3d"},
            "vpc_subnet_ids and vpc_security_group_ids go together: set both, or none.",
        ),
        ({**NET, "vpc_id": "mine"}, "vpc_id looks like vpc-0a1b2c3d. Given: 'mine'."),
        (
            {"vpc_id": "vpc-0a1b2c3d"},
            "vpc_id alone says not where: set vpc_subnet_ids and vpc_security_group_ids, too.",
        ),
        (
            {"kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:alias/mine"},
            "kms_key_arn looks like arn:aws:kms:us-east-1:123456789012:key/…. Given: "
            "'arn:aws:kms:eu-west-1:123456789012:alias/mine'. Rights know no alias; its key: aws kms describe-key "
            "--key-id alias/yours --query KeyMetadata.Arn --output text",
        ),
        (GROUP, "The Cloud9 rule needs cloud9_cidr: who may reach port 8080, for example 203.0.113.7/32."),
        (
            {"cloud9_cidr": "203.0.113.7/32"},
            "Set either cloud9_environment_id or cloud9_security_group_id beside cloud9_cidr.",
        ),
        (
            {"cloud9_cidr": "203.0.113.7/32", "cloud9_environment_id": "0" * 32, **GROUP},
            "Set either cloud9_environment_id or cloud9_security_group_id beside cloud9_cidr.",
        ),
        (
            {"cloud9_cidr": "203.0.113.7/24", **GROUP},
            ("cloud9_cidr '203.0.113.7/24': 203.0.113.7/24 has host bits set. One address is written 203.0.113.7/32."),
        ),
        (
            {"cloud9_cidr": "203.0.113.7", **GROUP},
            "cloud9_cidr '203.0.113.7' must end with the bits that count. Write 203.0.113.7/32.",
        ),
        (
            {"cloud9_cidr": "203.0.113.0/255.255.255.0", **GROUP},
            "cloud9_cidr '203.0.113.0/255.255.255.0' must end with the bits that count. Write 203.0.113.0/24.",
        ),
        (
            {"hub_url": "https://mirror.example:port"},
            "hub_url looks like https://huggingface.co. Given: 'https://mirror.example:port'.",
        ),
        (
            {"hub_url": "https://me:hf_secret@hub.example.org"},
            "hub_url holds a name or a password, which templates and logs would show. Leave it out; a token goes into "
            "the secret of hub_token_secret.",
        ),
        (
            {"cloud9_cidr": "me", **GROUP},
            (
                "cloud9_cidr 'me': 'me' does not appear to be an IPv4 or IPv6 network. One address is written "
                "203.0.113.7/32."
            ),
        ),
        (
            {"cloud9_cidr": "203.0.113.7/32", "cloud9_environment_id": "mine"},
            "cloud9_environment_id has 32 hexadecimal digits. Given: 'mine'.",
        ),
        (
            {"cloud9_cidr": "203.0.113.7/32", "cloud9_security_group_id": "default"},
            "cloud9_security_group_id looks like sg-0a1b2c3d. Given: 'default'.",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_way_out(context: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings(context)
    assert str(refused.value) == said


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0", "128.0.0.0/1", "8.0.0.0/7", "2000::/3"])
def test_the_internet_is_refused_with_the_reason_and_three_safer_ways(cidr: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings({"cloud9_cidr": cidr, **GROUP})
    for part in ("to the internet", "(1) Cloud9's own preview", "(2) `aws ssm start-session", "(3) your own address"):
        assert part in str(refused.value)


@pytest.mark.parametrize("cidr", ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::7/128"])
def test_one_network_is_taken(cidr: str) -> None:
    assert parse_settings({"cloud9_cidr": cidr, **GROUP}).cloud9


ACL = "webacl/mine/01234567-89ab-cdef-0123-456789abcdef"
REGIONAL, GLOBAL = (f"arn:aws:wafv2:us-east-1:123456789012:{scope}/{ACL}" for scope in ("regional", "global"))


@pytest.mark.parametrize(
    ("waf", "regional", "for_site"),
    [("off", "", ""), ("on", "on", ""), (REGIONAL, REGIONAL, ""), (GLOBAL, "", GLOBAL)],
)
def test_a_web_acl_is_for_the_api_or_for_the_site(waf: str, regional: str, for_site: str) -> None:
    settings = parse_settings({"waf": waf})
    assert (settings.regional_waf, settings.global_waf) == (regional, for_site)


@pytest.mark.parametrize("waf", ["", "true", "mine", f"{REGIONAL}/x", REGIONAL.replace("regional", "local")])
def test_no_other_firewall_is_taken(waf: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings({"waf": waf})
    assert str(refused.value) == f"waf is off, on, or the ARN of a web ACL of yours. Given: {waf!r}."


@pytest.mark.parametrize("name", ["draw.example.com", "a.xn--fiqs8s", "x" * 63 + ".example.org", "example.co"])
def test_a_domain_has_a_certificate(name: str) -> None:
    settings = parse_settings({**DOMAIN, "domain_name": name, "hosted_zone_id": "Z0123456789ABCDEFGHIJ"})
    assert (settings.domain_name, settings.hosted_zone_id) == (name, "Z0123456789ABCDEFGHIJ")


@pytest.mark.parametrize(
    "name",
    ["https://draw.example.com", "Draw.example.com", "draw", "draw.example.com.", "-a.example.com", "*.example.com",
     "x" * 64 + ".example.com", ".".join(["x" * 60] * 5)],
)  # fmt: skip
def test_what_is_no_domain_is_refused(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings({**DOMAIN, "domain_name": name})
    assert str(refused.value) == f"domain_name looks like draw.example.com, in small letters. Given: {name!r}."


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (
            {**DOMAIN, "certificate_arn": "arn:aws:iam::123456789012:server-certificate/mine"},
            "certificate_arn looks like arn:aws:acm:us-east-1:123456789012:certificate/…. Given: "
            "'arn:aws:iam::123456789012:server-certificate/mine'.",
        ),
        ({"domain_name": "draw.example.com"}, "domain_name and certificate_arn go together: set both, or none."),
        (
            {"hosted_zone_id": "Z0123456789"},
            "hosted_zone_id is for the records of a domain: set domain_name and certificate_arn, too.",
        ),
        (
            {**DOMAIN, "hosted_zone_id": "example.com"},
            "hosted_zone_id looks like Z0123456789ABCDEFGHIJ. Given: 'example.com'.",
        ),
    ],
)
def test_half_a_domain_is_refused(context: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings(context)
    assert str(refused.value) == said


def test_a_network_is_subnets_and_groups_with_or_without_their_vpc() -> None:
    settings = parse_settings(NET)
    assert settings.subnets == ("subnet-0a1b2c3d", "subnet-1a2b3c4d")
    assert (settings.security_groups, settings.vpc_id) == (("sg-0a1b2c3d",), "")
    assert parse_settings({**NET, "vpc_id": "vpc-0a1b2c3d"}).vpc_id == "vpc-0a1b2c3d"


def test_settings_and_constructs_know_the_same_retentions() -> None:
    assert LOG_DAYS == KNOWN_DAYS
