"""Settings: what is accepted, what is refused, and with which code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stacks.config.forms import LOG_DAYS
from stacks.config.settings import Settings, SettingsError, parse_settings
from stacks.config.user_context import read_user_context
from stacks.config.validation import allowed_values

GROUP = {"cloud9_security_group_id": "sg-0123456789abcdef0"}
CIDR = {"cloud9_cidr": "203.0.113.7/32"}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
NET = {"vpc_subnet_ids": "subnet-0a1b2c3d,subnet-1a2b3c4d", "vpc_security_group_ids": "sg-0a1b2c3d"}
DOMAIN = {
    "domain_name": "images.example.com",
    "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef",
}
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:mine:1"
SIX_GROUPS = ",".join(f"sg-0000000{i}" for i in range(6))
ACCEPTED = [
    ("name", "easel-dev", "easel-dev"),
    ("model", "mine", "mine"),
    ("hub_url", "https://mirror.example", "https://mirror.example"),
    ("hub_token_secret", "hub-token", "hub-token"),
    ("model_token_secret", "model-token", "model-token"),
    ("mode", "realtime", "realtime"),
    ("instance_type", "ml.g6e.2xlarge", "ml.g6e.2xlarge"),
    ("instance_fallbacks", "ml.g5.xlarge,ml.g6.xlarge", "ml.g5.xlarge,ml.g6.xlarge"),
    ("gpu_host", "al2023", "al2023"),
    ("min_instances", "1", 1),
    ("max_instances", "100", 100),
    ("queue_minutes", "360", 360),
    ("update", "blue_green", "blue_green"),
    ("endpoint", "off", "off"),
    ("shell", "on", "on"),
    ("budget_usd", "1000000", 1_000_000),
    ("budget_action", "stop", "stop"),
    ("alert_email", "you+easel@mail.example.com", "you+easel@mail.example.com"),
    ("api_concurrency", "1000", 1000),
    ("api_auth", "none", "none"),
    ("sign_in", "cognito", "cognito"),
    ("sign_in_images_a_day", "1000000", 1_000_000),
    ("content", "flag", "flag"),
    ("webhooks", "on", "on"),
    ("waf", "on", "on"),
    ("throttle_rate", "1", 1),
    ("daily_quota", "100000000", 100_000_000),
    ("result_days", "3650", 3650),
    ("tracing", "on", "on"),
    ("log_days", "3653", 3653),
    ("removal", "retain", "retain"),
    ("kms_key_arn", KEY, KEY),
    ("permissions_boundary", "easel-boundary", "easel-boundary"),
    ("site", "off", "off"),
    ("notebook", "on", "on"),
    ("notebook_instance_type", "ml.t3.medium", "ml.t3.medium"),
    ("notebook_gb", "16384", 16_384),
    ("notebook_idle_hours", "0", 0),
    ("powertools_layer", LAYER, LAYER),
]
REFUSED = [
    ({"mode": "Async"}, "not_allowed", "mode"),
    ({"mode": True}, "not_allowed", "mode"),
    ({"mode": "no", "min_instances": "1"}, "not_allowed", "mode"),
    ({"api_auth": "false"}, "not_allowed", "api_auth"),
    ({"removal": ""}, "not_allowed", "removal"),
    ({"update": "canary"}, "not_allowed", "update"),
    ({"shell": "true"}, "not_allowed", "shell"),
    ({"gpu_host": "al2022"}, "not_allowed", "gpu_host"),
    ({"notebook": "yes"}, "not_allowed", "notebook"),
    ({"log_days": "2"}, "not_allowed", "log_days"),
    ({"max_instances": "two"}, "wrong_type", "max_instances"),
    ({"max_instances": "1.0"}, "wrong_type", "max_instances"),
    ({"max_instances": 1.0}, "wrong_type", "max_instances"),
    ({"max_instances": True}, "wrong_type", "max_instances"),
    ({"max_instances": "٣"}, "wrong_type", "max_instances"),
    ({"max_instances": " 3"}, "wrong_type", "max_instances"),
    ({"model": 3}, "wrong_type", "model"),
    ({"max_instances": "0"}, "out_of_range", "max_instances"),
    ({"max_instances": "101"}, "out_of_range", "max_instances"),
    ({"min_instances": "-1"}, "out_of_range", "min_instances"),
    ({"queue_minutes": "0"}, "out_of_range", "queue_minutes"),
    ({"queue_minutes": 361}, "out_of_range", "queue_minutes"),
    ({"mode": "realtime", "idle_hours": "169"}, "out_of_range", "idle_hours"),
    ({"budget_action": "shout"}, "not_allowed", "budget_action"),
    ({"budget_action": "stop", "budget_usd": "0"}, "conflict", "budget_action"),
    ({"tracing": "true"}, "not_allowed", "tracing"),
    ({"budget_usd": "-1"}, "out_of_range", "budget_usd"),
    ({"budget_usd": "1000001"}, "out_of_range", "budget_usd"),
    ({"api_concurrency": "-1"}, "out_of_range", "api_concurrency"),
    ({"api_concurrency": "1001"}, "out_of_range", "api_concurrency"),
    ({"throttle_rate": "0"}, "out_of_range", "throttle_rate"),
    ({"throttle_rate": "10001"}, "out_of_range", "throttle_rate"),
    ({"daily_quota": "0"}, "out_of_range", "daily_quota"),
    ({"daily_quota": "10000000000"}, "out_of_range", "daily_quota"),
    ({"result_days": "0"}, "out_of_range", "result_days"),
    ({"notebook_gb": "19"}, "out_of_range", "notebook_gb"),
    ({"notebook_idle_hours": "169"}, "out_of_range", "notebook_idle_hours"),
    ({"instance_fallbacks": ",".join(["ml.g5.xlarge"] * 5)}, "out_of_range", "instance_fallbacks"),
    ({**NET, "vpc_subnet_ids": "subnet-0a1b2c3d"}, "out_of_range", "vpc_subnet_ids"),
    ({**NET, "vpc_subnet_ids": "subnet-0a1b2c3d,subnet-0a1b2c3d"}, "out_of_range", "vpc_subnet_ids"),
    ({**NET, "vpc_security_group_ids": SIX_GROUPS}, "out_of_range", "vpc_security_group_ids"),
    ({"min_instances": "2"}, "conflict", "min_instances"),
    ({"mode": "realtime", "min_instances": "0"}, "conflict", "min_instances"),
    ({"idle_hours": "1"}, "conflict", "idle_hours"),
    ({"vpc_security_group_ids": "sg-0a1b2c3d"}, "conflict", "vpc_subnet_ids"),
    ({"vpc_id": "vpc-0a1b2c3d"}, "conflict", "vpc_id"),
    ({"domain_name": "images.example.com"}, "conflict", "domain_name"),
    ({"hosted_zone_id": "Z0123456789"}, "conflict", "hosted_zone_id"),
    (GROUP, "conflict", "cloud9_cidr"),
    (CIDR, "conflict", "cloud9_cidr"),
    ({**CIDR, **GROUP, "cloud9_environment_id": "0" * 32}, "conflict", "cloud9_cidr"),
    ({"alert_email": "you"}, "wrong_form", "alert_email"),
    ({"alert_email": "用户@example.com"}, "wrong_form", "alert_email"),
    ({"alert_email": "a@b.c, d@e.f"}, "wrong_form", "alert_email"),
    ({"powertools_layer": "mine"}, "wrong_form", "powertools_layer"),
    ({"instance_type": "g4dn.xlarge"}, "wrong_form", "instance_type"),
    ({"instance_fallbacks": "ml.g5.xlarge, ml.g6.xlarge"}, "wrong_form", "instance_fallbacks"),
    ({"notebook_instance_type": ""}, "wrong_form", "notebook_instance_type"),
    ({**NET, "vpc_subnet_ids": "subnet-0a1b2c3d, subnet-1a2b3c4d"}, "wrong_form", "vpc_subnet_ids"),
    ({**NET, "vpc_id": "mine"}, "wrong_form", "vpc_id"),
    ({"kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:alias/mine"}, "wrong_form", "kms_key_arn"),
    ({**GROUP, "cloud9_cidr": "203.0.113.7/24"}, "wrong_form", "cloud9_cidr"),
    ({**GROUP, "cloud9_cidr": "203.0.113.7"}, "wrong_form", "cloud9_cidr"),
    ({**GROUP, "cloud9_cidr": "203.0.113.0/255.255.255.0"}, "wrong_form", "cloud9_cidr"),
    ({**GROUP, "cloud9_cidr": "me"}, "wrong_form", "cloud9_cidr"),
    ({**CIDR, "cloud9_environment_id": "mine"}, "wrong_form", "cloud9_environment_id"),
    ({**CIDR, "cloud9_security_group_id": "default"}, "wrong_form", "cloud9_security_group_id"),
    ({"hub_url": "https://mirror.example:port"}, "wrong_form", "hub_url"),
    ({"hub_url": "http://mirror.example"}, "wrong_form", "hub_url"),
    ({**DOMAIN, "certificate_arn": "arn:aws:iam::123456789012:server-certificate/mine"}, "wrong_form",
     "certificate_arn"),
    ({**DOMAIN, "hosted_zone_id": "example.com"}, "wrong_form", "hosted_zone_id"),
]  # fmt: skip


def refusal(context: dict[str, object], user_context: dict[str, object] | None = None) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse_settings(context, user_context)
    return caught.value


def test_default_is_an_async_endpoint_that_scales_to_zero_behind_keys() -> None:
    settings = parse_settings({"@aws-cdk/core:checkSecretUsage": True, "aws:cdk:version-reporting": True})
    assert settings == Settings()
    assert (settings.mode, settings.min_instances, settings.max_instances) == ("async", 0, 1)
    assert (settings.api_auth, settings.instance_type, settings.cloud9) == ("key", "", False)


@pytest.mark.parametrize(("mode", "values"), [("async", (0, 360, 0)), ("realtime", (1, 15, 4))])
def test_each_mode_has_its_own_defaults(mode: str, values: tuple[int, ...]) -> None:
    settings = parse_settings({"mode": mode})
    assert (settings.min_instances, settings.queue_minutes, settings.idle_hours) == values


@pytest.mark.parametrize("hours", ["0", "1", "168"])
def test_idle_hours_are_for_realtime(hours: str) -> None:
    assert parse_settings({"mode": "realtime", "idle_hours": hours}).idle_hours == int(hours)


@pytest.mark.parametrize(("key", "text", "value"), ACCEPTED)
def test_every_setting_is_read_from_text(key: str, text: str, value: object) -> None:
    assert getattr(parse_settings({key: text}), key) == value


def test_every_setting_is_tested_here_and_says_who_needs_it() -> None:
    elsewhere = {*DOMAIN, *NET, *GROUP, *CIDR, "hosted_zone_id", "vpc_id", "cloud9_environment_id", "idle_hours"}
    elsewhere |= {"sign_in_mfa", "sign_in_issuer", "sign_in_client_id", "sign_in_client_secret"}  # tests/stacks/users
    assert {key for key, _, _ in ACCEPTED} | elsewhere == Settings.model_fields.keys()
    for key, field in Settings.model_fields.items():
        assert re.search(r"\b[Ff]or\b", field.description or ""), key


@pytest.mark.parametrize(("context", "code", "key"), REFUSED)
def test_invalid_settings_are_refused(context: dict[str, object], code: str, key: str) -> None:
    error = refusal(context)
    assert (error.code, error.key) == (code, key)
    assert key in str(error) or code == "conflict"


def test_an_error_names_key_value_and_what_is_allowed() -> None:
    assert str(refusal({"mode": "Async"})) == "mode is 'Async'; it must be async or realtime."
    assert str(refusal({"max_instances": "0"})) == "max_instances is '0'; it must be 1 to 100."


@pytest.mark.parametrize("key", Settings.model_fields)
def test_no_error_has_the_words_of_pydantic(key: str) -> None:
    values: list[object] = [
        "",
        " ",
        "x",
        "https://[::1",
        "1.2.3.4/99",
        "\0",
        "a,,b",
        "nan",
        "9" * 30,
        None,
        True,
        [],
        {},
        1.5,
        b"x",
    ]
    for value in values:
        try:
            parse_settings({key: value})
        except SettingsError as error:
            assert not re.search("Value error|Input should|validation error|another type", str(error)), str(error)


def test_allowed_values_are_available_for_the_docs() -> None:
    values = {key: allowed_values(field) for key, field in Settings.model_fields.items()}
    expected = {"mode": "async or realtime", "max_instances": "1 to 100", "model": "", "vpc_id": "like vpc-0a1b2c3d"}
    assert {key: values[key] for key in expected} == expected


# --- values of one model ---------------------------------------------------------------------------

SEVERAL = {"model": "emoji,path/to/mine,sd-1.5"}


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("instance_type", "emoji=ml.m5.large", ("ml.m5.large", "", "")),
        ("instance_type", "mine=ml.g6.xlarge,ml.g5.xlarge", ("ml.g5.xlarge", "ml.g6.xlarge", "ml.g5.xlarge")),
        ("instance_type", "ml.g5.xlarge,emoji=", ("", "ml.g5.xlarge", "ml.g5.xlarge")),
        ("instance_fallbacks", "sd-1.5=ml.g5.xlarge,sd-1.5=ml.g6.xlarge", ("", "", "ml.g5.xlarge,ml.g6.xlarge")),
        ("max_instances", "mine=3,sd-1.5=100", (1, 3, 100)),
        ("max_instances", "7,mine=3", (7, 3, 7)),
        ("max_instances", "7", (7, 7, 7)),
        ("min_instances", "emoji=1", (1, 0, 0)),
    ],
)
def test_a_model_can_have_its_own_value(key: str, text: str, values: tuple[object, ...]) -> None:
    settings = parse_settings({**SEVERAL, key: text})
    assert tuple(getattr(settings.of(id), key) for id in ("emoji", "mine", "sd-1.5")) == values
    assert settings.of("emoji").models == settings.models


def test_values_of_one_model_belong_together() -> None:
    settings = parse_settings({**SEVERAL, "mode": "realtime", "min_instances": "mine=2", "max_instances": "mine=2"})
    assert [(settings.of(id).min_instances, settings.of(id).idle_hours) for id in ("emoji", "mine")] == [(1, 4), (2, 4)]
    assert parse_settings({**SEVERAL, "mode": "realtime", "idle_hours": "mine=0"}).of("mine").idle_hours == 0
    bounds = {"min_instances": "2", "max_instances": ",".join(f"{id}=3" for id in ("emoji", "mine", "sd-1.5"))}
    settings = parse_settings({**SEVERAL, **bounds})  # the 1 of max_instances is of no model
    assert {(settings.of(id).min_instances, settings.of(id).max_instances) for id in settings.model_ids} == {(2, 3)}
    idle = {"min_instances": "0,emoji=1,mine=1,sd-1.5=1", "mode": "realtime"}
    assert parse_settings({**SEVERAL, **idle}).of("mine").min_instances == 1


@pytest.mark.parametrize(
    ("context", "code", "key", "part"),
    [
        ({"instance_type": "sd-15=ml.g5.xlarge"}, "unknown_model", "instance_type", "Did you mean 'sd-1.5'?"),
        ({"instance_type": "=ml.g5.xlarge"}, "unknown_model", "instance_type", "emoji, mine, sd-1.5"),
        ({"instance_type": "mine=ml.g5.xlarge,mine=ml.g6.xlarge"}, "conflict", "instance_type", "2 values for mine"),
        ({"instance_type": "ml.g5.xlarge,ml.g6.xlarge,mine="}, "wrong_form", "instance_type", "ml.g4dn.xlarge"),
        ({"instance_type": "mine=ml.g5.xlarge,"}, "wrong_form", "instance_type", "Remove a comma."),
        ({"instance_type": "mine=g5"}, "wrong_form", "instance_type", "For mine: instance_type is 'g5'"),
        ({"instance_type": "mine=a=b"}, "wrong_form", "instance_type", "For mine: instance_type is 'a=b'"),
        ({"max_instances": "mine=101"}, "out_of_range", "max_instances", "For mine: max_instances is '101'"),
        ({"max_instances": "mine="}, "wrong_type", "max_instances", "For mine"),
        ({"max_instances": "1,2,mine=1"}, "wrong_type", "max_instances", "'1,2'"),
        ({"min_instances": "mine=2"}, "conflict", "min_instances", "For mine: min_instances 2 is greater"),
        (
            {"min_instances": "2", "max_instances": "emoji=3,mine=3"},
            "conflict",
            "min_instances",
            "For sd-1.5: min_instances 2 is greater than max_instances 1",
        ),
        ({"min_instances": "mine=0", "mode": "realtime"}, "conflict", "min_instances", "For mine"),
        ({"idle_hours": "mine=1"}, "conflict", "idle_hours", "For mine"),
        ({"instance_fallbacks": ",".join(["mine=ml.g5.xlarge"] * 5)}, "out_of_range", "instance_fallbacks", "For mine"),
        ({"queue_minutes": "mine=5"}, "wrong_type", "queue_minutes", "'mine=5'"),
    ],
)
def test_a_value_of_one_model_that_cannot_be_used(context: dict[str, object], code: str, key: str, part: str) -> None:
    error = refusal({**SEVERAL, **context})
    assert (error.code, error.key) == (code, key)
    assert part in str(error)


# --- unknown keys and ~/.cdk.json ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "nearest"), [("instancetype", "instance_type"), ("max_instance", "max_instances"), ("modle", "model")]
)
def test_unknown_key_is_refused_with_the_nearest_name(key: str, nearest: str) -> None:
    error = refusal({key: "x"})
    assert (error.code, error.key) == ("unknown_key", key)
    assert f"{nearest!r}" in str(error)


def test_unknown_key_without_a_near_name_is_refused_with_all_names() -> None:
    assert ", ".join(Settings.model_fields) in str(refusal({"colour": "red"}))


def test_unknown_key_of_the_users_own_file_is_ignored() -> None:
    assert parse_settings({"colour": "red", "mode": "realtime"}, {"colour": "red"}).mode == "realtime"
    assert refusal({"colour": "blue"}, {"colour": "red"}).code == "unknown_key"  # -c colour=blue


def test_setting_of_the_users_own_file_is_refused_unless_the_project_overrides_it() -> None:
    error = refusal({"model": "emoji"}, {"model": "emoji"})
    assert (error.code, error.key) == ("misplaced", "model")
    assert "~/.cdk.json" in str(error)
    assert parse_settings({"model": "sdxl"}, {"model": "emoji"}).model == "sdxl"


def test_user_context_is_what_the_project_does_not_override(tmp_path: Path) -> None:
    project, home = tmp_path / "project", tmp_path / "home"
    for file, value in {
        home / ".cdk.json": {"app": "x", "context": {"colour": "red", "model": "emoji", "zone": 1}},
        project / "cdk.json": {"context": {"model": "emoji"}},
        project / "cdk.context.json": {"zone": 1},
    }.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(value))
    assert read_user_context(project, home) == {"colour": "red"}


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"context": 3}', '{"app": "x"}'])
def test_without_context_in_the_users_own_file_there_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / ".cdk.json").write_text(text)
    assert read_user_context(tmp_path, tmp_path) == {}


# --- single settings -----------------------------------------------------------------------------


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0", "128.0.0.0/1", "8.0.0.0/7", "2000::/3"])
def test_the_internet_is_refused_with_three_safer_ways(cidr: str) -> None:
    error = refusal({"cloud9_cidr": cidr, **GROUP})
    assert error.code == "too_open"
    for part in ("(1)", "(2) `aws ssm start-session", "(3)"):
        assert part in str(error)


@pytest.mark.parametrize("cidr", ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::7/128"])
def test_a_network_is_accepted(cidr: str) -> None:
    assert parse_settings({"cloud9_cidr": cidr, **GROUP}).cloud9


@pytest.mark.parametrize(
    "context",
    [
        {"hub_url": "https://me:hf_secret@hub.example.org"},
        {"hub_token_secret": "hf_secret"},
        {"model_token_secret": "hf_secret"},
    ],
)
def test_an_error_does_not_show_a_secret(context: dict[str, object]) -> None:
    error = refusal(context)
    assert (error.code, error.key) == ("secret", next(iter(context)))
    assert "hf_secret" not in str(error)


def test_a_kms_alias_is_refused_with_the_command_that_finds_its_key() -> None:
    assert "aws kms describe-key" in str(refusal({"kms_key_arn": "alias/mine"}))


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
def test_any_other_firewall_is_refused(waf: str) -> None:
    error = refusal({"waf": waf})
    assert (error.code, error.key) == ("wrong_form", "waf")


@pytest.mark.parametrize("name", ["images.example.com", "a.xn--fiqs8s", "x" * 63 + ".example.org", "example.co"])
def test_a_domain_has_a_certificate(name: str) -> None:
    settings = parse_settings({**DOMAIN, "domain_name": name, "hosted_zone_id": "Z0123456789ABCDEFGHIJ"})
    assert (settings.domain_name, settings.hosted_zone_id) == (name, "Z0123456789ABCDEFGHIJ")


@pytest.mark.parametrize(
    "name",
    ["https://images.example.com", "Images.example.com", "images", "images.example.com.", "-a.example.com",
     "*.example.com", "x" * 64 + ".example.com", ".".join(["x" * 60] * 5)],
)  # fmt: skip
def test_an_invalid_domain_is_refused(name: str) -> None:
    error = refusal({**DOMAIN, "domain_name": name})
    assert (error.code, error.key) == ("wrong_form", "domain_name")


def test_subnets_and_groups_need_no_vpc_id() -> None:
    settings = parse_settings(NET)
    assert settings.subnets == ("subnet-0a1b2c3d", "subnet-1a2b3c4d")
    assert (settings.security_groups, settings.vpc_id) == (("sg-0a1b2c3d",), "")
    assert parse_settings({**NET, "vpc_id": "vpc-0a1b2c3d"}).vpc_id == "vpc-0a1b2c3d"


@pytest.mark.parametrize(("rate", "burst"), [("1", 2), ("10", 20), ("10000", 5000)])
def test_burst_follows_the_rate(rate: str, burst: int) -> None:
    assert parse_settings({"throttle_rate": rate}).throttle_burst == burst


@pytest.mark.cdk
def test_settings_and_constructs_have_the_same_retentions() -> None:
    from stacks.common.logs import LOG_DAYS as KNOWN_DAYS

    assert LOG_DAYS == KNOWN_DAYS
