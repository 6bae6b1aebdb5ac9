"""What a user can set with `-c key=value` or in cdk.json's context, typed and checked before anything is made."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

Mode = Literal["async", "realtime"]
ApiAuth = Literal["key", "iam", "none"]
Removal = Literal["destroy", "retain"]
Site = Literal["auto", "on", "off"]


Update = Literal["plain", "blue_green"]
Switch = Literal["off", "on"]


class SettingsError(ValueError):
    """A setting that cannot be used: which one, why, and what can be."""


HUB = "https://huggingface.co"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that differs between one Easel and another."""

    model: str = "sd-1.5"
    """An entry of the catalogue, or the path of one elsewhere (`path/to/mine`, which reads `path/to/mine.json`)."""
    hub_url: str = HUB
    """Where models of a hub come from; a mirror speaks the same API."""
    hub_token_secret: str = ""
    """Name or ARN of a secret of yours in Secrets Manager that is the hub's token, for gated models."""
    mode: Mode = "async"
    """`async` scales to zero and queues; `realtime` is always warm."""
    instance_type: str = ""
    """Empty: the cheapest that holds the model."""
    instance_fallbacks: str = ""
    """Types to try in this order, with commas between, where AWS has no `instance_type` free."""
    min_instances: int = -1
    """-1: the mode's own, 0 in async and 1 in realtime."""
    max_instances: int = 1
    queue_minutes: int = -1
    """How long a job may wait to be drawn. -1: the mode's own, 360 in async and 15 in realtime."""
    idle_hours: int = -1
    """After so many hours without a call a realtime endpoint is deleted; 0: never. -1: 4 in realtime, 0 in async."""
    update: Update = "plain"
    """How a changed model or code comes: `blue_green` watches it for ten minutes and goes back when it fails."""
    endpoint: Switch = "on"
    """`off` takes the endpoint down and keeps all else: with a quota of one the old goes before the new comes."""
    shell: Switch = "off"
    """`on`: SSM can open a shell in the container, which then has a network. AWS must have allowed the account. With
    `notebook` its role gets the right, too."""
    budget_usd: int = 50
    """A month; 0: no budget."""
    alert_email: str = ""
    """Who hears of alarms, of the budget and of the idle guard."""
    api_auth: ApiAuth = "key"
    waf: str = "off"
    """`on`: a firewall before the API, which costs by the month; or the ARN of a web ACL of yours, before the API or,
    where it is a global one, before the site."""
    throttle_rate: int = 10
    """Requests a second: of a key, or of everybody where there are no keys."""
    throttle_burst: int = 20
    daily_quota: int = 10_000
    """Requests a day and key. Polling a job counts."""
    site: Site = "auto"
    """The page on CloudFront; `auto`: where CloudFront is and a page can use the API."""
    result_days: int = 7
    """How long jobs and pictures are kept."""
    log_days: int = 30
    """One of the retentions that CloudWatch Logs knows."""
    api_concurrency: int = 0
    """Calls of the API's function at the same time, taken from the account's own; 0: as many as the account has."""
    removal: Removal = "destroy"
    """What `cdk destroy` does with the bucket."""
    domain_name: str = ""
    """Of yours, for the site, or where there is none for the API."""
    certificate_arn: str = ""
    """The domain's certificate in ACM: of us-east-1 for the site, else of the region."""
    hosted_zone_id: str = ""
    """A zone of yours in Route 53 that gets the domain's records; empty: an output says which to make."""
    vpc_subnet_ids: str = ""
    """Subnets of yours that SageMaker fetches model and requests through, with commas between."""
    vpc_security_group_ids: str = ""
    """Their security groups, with commas between."""
    vpc_id: str = ""
    """The VPC of those subnets; with it the import of a model runs in them, too."""
    kms_key_arn: str = ""
    """A key of yours that encrypts bucket, topics, queue, logs and, where the instance can, its disk; empty: AWS's."""
    cloud9_cidr: str = ""
    """Who may reach port 8080 of a Cloud9 environment; empty: no such rule."""
    cloud9_environment_id: str = ""
    cloud9_security_group_id: str = ""
    notebook: Switch = "off"
    """`on`: a SageMaker notebook instance with our notebook on it."""
    notebook_instance_type: str = "ml.g4dn.xlarge"
    notebook_gb: int = 20
    """Its volume, which keeps what is below ~/SageMaker while the instance is stopped."""
    notebook_idle_hours: int = 1
    """After so many hours without use of Jupyter it stops; 0: never."""
    powertools_layer: str = ""
    """ARN of the Powertools layer; empty: the public one."""

    def __post_init__(self) -> None:
        for key, value in MODES_OWN[self.mode].items():
            if getattr(self, key) == -1:
                object.__setattr__(self, key, value)
        _check_numbers(self)
        _check_hub(self)
        _check_instances(self)
        _check_key(self.kms_key_arn)
        _check_network(self)
        _check_domain(self)
        acl = r"arn:aws[a-z-]*:wafv2:[a-z0-9-]+:\d{12}:(regional|global)/webacl/[\w-]+/[0-9a-f-]{36}"
        _check_text(self.waf, f"off|on|{acl}", "waf is off, on, or the ARN of a web ACL of yours.")
        layer = r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[\w-]+:\d+|"
        like = "powertools_layer looks like arn:aws:lambda:us-east-1:123456789012:layer:powertools:1."
        _check_text(self.powertools_layer, layer, like)
        mail = r"[!-?A-~]{1,64}@[\w.-]+\.[\w-]+|"  # in ASCII, as SNS takes it
        _check_text(self.alert_email, mail, "alert_email looks like you@example.com.")
        _check_cloud9(self)

    @property
    def pool(self) -> tuple[str, ...]:
        """The instance types in the order in which AWS tries them."""
        return (self.instance_type, *_list(self.instance_fallbacks))

    @property
    def subnets(self) -> tuple[str, ...]:
        return _list(self.vpc_subnet_ids)

    @property
    def security_groups(self) -> tuple[str, ...]:
        return _list(self.vpc_security_group_ids)

    @property
    def global_waf(self) -> str:
        """ARN of a web ACL for CloudFront; empty where it is another or none."""
        return self.waf if ":global/" in self.waf else ""

    @property
    def regional_waf(self) -> str:
        """`on`, or the ARN of a web ACL for the API; empty where it is another or none."""
        return "" if self.waf == "off" or self.global_waf else self.waf

    @property
    def cloud9(self) -> bool:
        return bool(self.cloud9_cidr)


MODES_OWN: dict[Mode, dict[str, int]] = {
    "async": {"min_instances": 0, "queue_minutes": 360, "idle_hours": 0},
    "realtime": {"min_instances": 1, "queue_minutes": 15, "idle_hours": 4},
}
"""What -1 stands for."""
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 180, 365, 731, 1827, 3653)

_FOREIGN = re.compile(r"[@:/]|^(acknowledged-issue-numbers|cli-telemetry)$")
"""Context that belongs to the CDK: feature flags, `aws:cdk:…`, look-ups, what its command line keeps for itself."""


def parse_settings(context: Mapping[str, Any]) -> Settings:
    """Settings from the CDK's context, where `-c` makes every value a text.

    Raises SettingsError for a key that is not known (naming the nearest one), a wrong type and a wrong value.
    """
    types = get_type_hints(Settings)
    sent = {key: value for key, value in context.items() if not _FOREIGN.search(key)}
    for key in sent:
        if key not in types:
            raise SettingsError(f"{key!r} is not a setting. {_nearest(key, list(types))}")
    return Settings(**{key: _parse(key, value, types[key]) for key, value in sent.items()})


def _nearest(key: str, known: list[str]) -> str:
    swapped = [name for name in known if sorted(name) == sorted(key)]
    near = swapped or difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."


def _parse(key: str, value: Any, kind: Any) -> Any:
    if choices := get_args(kind):
        if value not in choices:
            raise SettingsError(f"{key} is {value!r}; it can be {', '.join(choices)}.")
        return value
    if kind is int:
        return _bounded(key, _integer(key, value))
    if not isinstance(value, str):
        raise SettingsError(f"{key} must be a text, not {value!r}.")
    return value


def _integer(key: str, value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        return int(value)
    if type(value) is int:
        return value
    raise SettingsError(f"{key} must be a whole number, not {value!r}.")


BOUNDS = {
    "min_instances": (0, 100),
    "max_instances": (1, 100),
    "queue_minutes": (1, 360),
    "idle_hours": (0, 168),
    "notebook_gb": (20, 16_384),
    "notebook_idle_hours": (0, 168),
    "budget_usd": (0, 1_000_000),
    "api_concurrency": (0, 1_000),
    "throttle_rate": (1, 10_000),
    "throttle_burst": (1, 5_000),
    "daily_quota": (1, 100_000_000),
    "result_days": (1, 3650),
}


def _bounded(key: str, number: int) -> int:
    low, high = BOUNDS.get(key, (number, number))
    if not low <= number <= high:
        raise SettingsError(f"{key} is {number}; it can be {low} to {high}.")
    return number


def _check_numbers(settings: Settings) -> None:
    for key in BOUNDS:
        _bounded(key, getattr(settings, key))
    if settings.log_days not in LOG_DAYS:
        raise SettingsError(f"log_days is {settings.log_days}; it can be {', '.join(map(str, LOG_DAYS))}.")


def _check_hub(settings: Settings) -> None:
    if "@" in settings.hub_url:
        raise SettingsError(
            "hub_url holds a name or a password, which templates and logs would show. Leave it out; a token goes into "
            "the secret of hub_token_secret."
        )
    host = r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?"
    _check_text(settings.hub_url, rf"https://{host}(/[^\s?#]*)?", "hub_url looks like https://huggingface.co.")
    name = r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+|[\w/+=.@-]{1,512}|"
    if not re.fullmatch(name, settings.hub_token_secret, re.ASCII) or settings.hub_token_secret.startswith("hf_"):
        raise SettingsError(
            "hub_token_secret is the name or ARN of a secret, never the token itself, which templates and logs "
            "would show: aws secretsmanager create-secret --name hub-token --secret-string file://token.txt"
        )


def _check_domain(settings: Settings) -> None:
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    like = "domain_name looks like draw.example.com, in small letters."
    _check_text(settings.domain_name, rf"|(?=.{{1,253}}$)({label}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])", like)
    arn = r"arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]{36}|"
    like = "certificate_arn looks like arn:aws:acm:us-east-1:123456789012:certificate/…."
    _check_text(settings.certificate_arn, arn, like)
    _check_text(settings.hosted_zone_id, r"|Z[A-Z0-9]{1,31}", "hosted_zone_id looks like Z0123456789ABCDEFGHIJ.")
    if bool(settings.domain_name) != bool(settings.certificate_arn):
        raise SettingsError("domain_name and certificate_arn go together: set both, or none.")
    if settings.hosted_zone_id and not settings.domain_name:
        raise SettingsError("hosted_zone_id is for the records of a domain: set domain_name and certificate_arn, too.")


LISTS = {"vpc_subnet_ids": ("subnet", 2, 16), "vpc_security_group_ids": ("sg", 1, 5)}
"""What their ids begin with, and how many of them SageMaker takes: the subnets in two zones at least."""


def _check_network(settings: Settings) -> None:
    for key, (start, least, most) in LISTS.items():
        text, id = getattr(settings, key), rf"{start}-[0-9a-f]{{8,17}}"
        _check_text(text, rf"|{id}(,{id})*", f"{key} looks like {start}-0a1b2c3d,{start}-4e5f6a7b.")
        ids = _list(text)
        if len(set(ids)) != len(ids) or (ids and not least <= len(ids) <= most):
            raise SettingsError(f"{key} is {text}; it can be {least} to {most} different ids.")
    if bool(settings.subnets) != bool(settings.security_groups):
        raise SettingsError("vpc_subnet_ids and vpc_security_group_ids go together: set both, or none.")
    _check_text(settings.vpc_id, r"|vpc-[0-9a-f]{8,17}", "vpc_id looks like vpc-0a1b2c3d.")
    if settings.vpc_id and not settings.subnets:
        raise SettingsError("vpc_id alone says not where: set vpc_subnet_ids and vpc_security_group_ids, too.")


def _check_key(arn: str) -> None:
    if not re.fullmatch(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/([0-9a-f-]{36}|mrk-[0-9a-f]{32})|", arn, re.ASCII):
        raise SettingsError(
            f"kms_key_arn looks like arn:aws:kms:us-east-1:123456789012:key/…. Given: {arn!r}. Rights know no alias; "
            "its key: aws kms describe-key --key-id alias/yours --query KeyMetadata.Arn --output text"
        )


POOL = 5
"""The most types that SageMaker tries."""
_TYPE = r"ml\.[a-z0-9-]+\.[a-z0-9]+"


def _check_instances(settings: Settings) -> None:
    _check_text(settings.instance_type, rf"|{_TYPE}", "instance_type looks like ml.g4dn.xlarge.")
    _check_text(settings.notebook_instance_type, _TYPE, "notebook_instance_type looks like ml.g4dn.xlarge.")
    like = "instance_fallbacks looks like ml.g5.xlarge,ml.g6.xlarge."
    _check_text(settings.instance_fallbacks, rf"|{_TYPE}(,{_TYPE})*", like)
    if len(settings.pool) > POOL:
        raise SettingsError(f"instance_fallbacks has {len(settings.pool) - 1} types; it can have {POOL - 1}.")
    if settings.min_instances > settings.max_instances:
        raise SettingsError(f"min_instances {settings.min_instances} is over max_instances {settings.max_instances}.")
    if settings.mode == "realtime" and settings.min_instances == 0:
        raise SettingsError("A realtime endpoint cannot scale to zero. Set min_instances=1, or mode=async.")
    if settings.mode == "async" and settings.idle_hours:
        raise SettingsError("idle_hours is for mode=realtime: in async min_instances=0 lets the endpoint sleep.")


def _check_cloud9(settings: Settings) -> None:
    targets = [name for name in (settings.cloud9_environment_id, settings.cloud9_security_group_id) if name]
    if settings.cloud9 and len(targets) != 1:
        raise SettingsError("Set either cloud9_environment_id or cloud9_security_group_id beside cloud9_cidr.")
    if settings.cloud9:
        _check_cidr(settings.cloud9_cidr)
    elif targets:
        raise SettingsError("The Cloud9 rule needs cloud9_cidr: who may reach port 8080, for example 203.0.113.7/32.")
    _check_text(settings.cloud9_environment_id, r"[0-9a-f]{32}|", "cloud9_environment_id has 32 hexadecimal digits.")
    _check_text(
        settings.cloud9_security_group_id, r"sg-[0-9a-f]{8,17}|", "cloud9_security_group_id looks like sg-0a1b2c3d."
    )


def _list(text: str) -> tuple[str, ...]:
    """The items of a text with commas between."""
    return tuple(filter(None, text.split(",")))


def _check_text(text: str, pattern: str, said: str) -> None:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise SettingsError(f"{said} Given: {text!r}.")


def _check_cidr(cidr: str) -> None:
    try:
        network = ipaddress.ip_network(cidr)
    except ValueError as error:
        raise SettingsError(f"cloud9_cidr {cidr!r}: {error}. One address is written 203.0.113.7/32.") from None
    if not re.fullmatch(r"[0-9a-fA-F:.]+/\d+", cidr, re.ASCII):
        raise SettingsError(f"cloud9_cidr {cidr!r} must end with the bits that count. Write {network}.")
    if network.prefixlen < (8 if network.version == 4 else 32):
        raise SettingsError(
            f"cloud9_cidr {cidr} would open port 8080 of your development machine, with the AWS credentials on it, to "
            "the internet; scanners find such a port within minutes. Safer: (1) Cloud9's own preview, which needs no "
            "rule at all; (2) `aws ssm start-session --document-name AWS-StartPortForwardingSession` or `ssh -L 8080:"
            "localhost:8080`; (3) your own address, for example 203.0.113.7/32 (`curl https://checkip.amazonaws.com`)."
        )
