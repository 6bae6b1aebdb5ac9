"""Settings of a deploy: `-c key=value` or `context` in the project's cdk.json, validated before anything is created.

The CDK also merges the context of the user's own ~/.cdk.json, which applies to all of their projects. Easel does not
read settings from there: an unknown key that comes from it is ignored, and a setting that comes from it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from stacks.config import forms
from stacks.config.forms import Mode, Switch, split
from stacks.config.names import DEFAULT_NAME, Names
from stacks.config.validation import ConfigError, WholeNumber, explain, failure, nearest

HUB = "https://huggingface.co"
MOST_MODELS = 8
"""CloudFormation allows 500 resources in a stack, and each model has about 50 in that of the models."""
MAX_POOL = 5
"""SageMaker tries at most this many instance types for an endpoint."""
MODE_DEFAULTS: dict[Mode, dict[str, int]] = {
    "async": {"min_instances": 0, "queue_minutes": 360, "idle_hours": 0},
    "realtime": {"min_instances": 1, "queue_minutes": 15, "idle_hours": 4},
}
PER_MODEL = ("instance_type", "instance_fallbacks", "min_instances", "max_instances", "idle_hours")
"""Settings that a model can have a value of its own of: `id=value` among the items, which commas separate."""


class SettingsError(ConfigError):
    """A setting that cannot be used: which, why, and what is allowed."""


def _by_mode(key: str) -> Callable[[dict[str, Any]], int]:
    return lambda values: MODE_DEFAULTS[values["mode"]][key]


class Settings(BaseModel):
    """Everything that differs between two deployments of Easel. Each docstring ends with who needs the setting."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: forms.Name = DEFAULT_NAME
    """Start of all names in the account, such as those of the stacks: `easel-dev` creates EaselDevStorage. For several
    Easels in one account and region."""
    model: str = "sd-1.5"
    """Id of a catalogue entry, or the path of an entry elsewhere: `path/to/mine` reads `path/to/mine.json`. Several,
    separated by commas, share one API; the first is the default. For everybody who wants another model than Stable
    Diffusion 1.5."""
    hub_url: forms.HubUrl = HUB
    """Address of the model hub. For networks that reach only a mirror, such as those in China."""
    hub_token_secret: forms.TokenSecret = ""
    """Name or ARN of a secret in Secrets Manager that holds the token of the hub; empty: no token. For gated models."""
    model_token_secret: forms.ModelTokenSecret = ""
    """Name or ARN of a secret in Secrets Manager that holds the token of the site of a model behind a link; empty: no
    token. For sites that let nobody download without one, such as Civitai."""
    mode: Mode = "async"
    """`async` queues jobs and scales to zero; `realtime` always keeps an instance. `realtime` is for users who cannot
    wait minutes for the first image."""
    instance_type: forms.AutomaticInstanceType = ""
    """SageMaker hosting type of the endpoint; empty: the cheapest type that holds the model. For users with a quota
    for another type, or who want a faster GPU."""
    instance_fallbacks: forms.InstanceTypes = ""
    """Up to four more types, separated by commas, that SageMaker tries in this order when AWS has no `instance_type`
    free. For regions short of GPUs."""
    gpu_host: Literal["al2", "al2023"] = "al2"
    """Host image of GPU instances: `al2` is Amazon Linux 2 with driver 550, for the serving image's CUDA 12.4; `al2023`
    is Amazon Linux 2023 with driver 580. For the day on which AWS no longer offers `al2`."""
    min_instances: Annotated[int, WholeNumber, Field(ge=0, le=100)] = Field(default_factory=_by_mode("min_instances"))
    """Instances that always run; default 0 in `async`, 1 in `realtime`. For users who pay to avoid the start."""
    max_instances: Annotated[int, WholeNumber, Field(ge=1, le=100)] = 1
    """Most instances that may run, which limits the cost of an hour. For more load than one instance carries."""
    queue_minutes: Annotated[int, WholeNumber, Field(ge=1, le=360)] = Field(default_factory=_by_mode("queue_minutes"))
    """Minutes after which a waiting job is dropped; default 360 in `async`, 15 in `realtime`. For callers that give
    up earlier."""
    idle_hours: Annotated[int, WholeNumber, Field(ge=0, le=168)] = Field(default_factory=_by_mode("idle_hours"))
    """Hours without a call after which a `realtime` endpoint is deleted; 0: never; default 4. For services that must
    stay up, or must cost less."""
    update: Literal["plain", "blue_green"] = "plain"
    """How new code or another model is rolled out: `blue_green` watches it for ten minutes and rolls back on errors.
    For services in use, with a quota for twice the instances."""
    endpoint: Switch = "on"
    """`off` deletes the endpoint and keeps everything else. For updates with a quota of one instance, and to pause
    mode `async`."""
    shell: Switch = "off"
    """`on` lets SSM open a shell in the container, which then has network access; also on the notebook. For debugging;
    AWS must have enabled it for the account."""
    budget_usd: Annotated[int, WholeNumber, Field(ge=0, le=1_000_000)] = 50
    """USD a month of SageMaker after which alerts are sent; 0: no budget. For everybody who expects to spend more."""
    budget_action: Literal["alert", "stop"] = "alert"
    """What happens at 100 % of the budget: `stop` takes all instances from the endpoint and refuses jobs, until
    `easel resume`. For everybody who must not spend more."""
    alert_email: forms.Email = ""
    """Address that receives alarms, budget alerts and notices of the idle guard; empty: none. For operators."""
    api_auth: Literal["key", "iam", "none"] = "key"
    """Who may call the API: holders of an API `key`, callers that sign with `iam`, or, with `none`, everybody, at your
    cost. For AWS-internal callers (`iam`) and for APIs behind another gateway (`none`)."""
    sign_in: Literal["off", "cognito"] = "off"
    """`cognito` creates a user pool, and people whom you invite sign in on the page; API keys work as before. For pages
    that several people use."""
    sign_in_images_a_day: Annotated[int, WholeNumber, Field(ge=0, le=1_000_000)] = 100
    """Images a day (UTC) of each person who signs in; 0: no quota. For users of `sign_in`."""
    sign_in_mfa: Switch = "off"
    """`on` requires a code of an authenticator app of everybody who signs in. For organisations that require a second
    factor."""
    sign_in_issuer: forms.Issuer = ""
    """URL of an OpenID Connect provider where people sign in; empty: the pool's own users. Needs `sign_in_client_id`
    and `sign_in_client_secret`. For organisations with accounts of their own."""
    sign_in_client_id: forms.ClientId = ""
    """The id that the provider gave Easel. For users of `sign_in_issuer`."""
    sign_in_client_secret: forms.ClientSecret = ""
    """Name or ARN of a secret in Secrets Manager that holds the client's secret as plain text. For users of
    `sign_in_issuer`."""
    content: Literal["refuse", "flag"] = "refuse"
    """What a request may choose for images that the model's safety checker flags: `refuse` fails them; with `flag` a
    request may get them, with the flag. Has no effect on models without a checker. For services that decide themselves
    what to show."""
    webhooks: Switch = "off"
    """`on` lets a request name a public https URL that gets the job's events. For callers that cannot poll; off by
    default, because callers then choose what your account calls."""
    waf: forms.WebAcl = "off"
    """`on` creates a firewall for the API; the ARN of a web ACL attaches it, a global web ACL to the site. For
    public APIs, and for organisations that require a firewall."""
    throttle_rate: Annotated[int, WholeNumber, Field(ge=1, le=10_000)] = 10
    """Requests a second of all callers, and of each API key; a burst may be twice that. Beyond eight keys of `easel
    keys` some share it. For more or less traffic."""
    daily_quota: Annotated[int, WholeNumber, Field(ge=1, le=100_000_000)] = 10_000
    """Requests a day of each API key, polling included; beyond eight keys of `easel keys` some share it. For more or
    less traffic."""
    site: Literal["auto", "on", "off"] = "auto"
    """The page on CloudFront: `auto` creates it where CloudFront exists and a page can call the API; `on` fails where
    it cannot. `off` is for users of the API alone."""
    result_days: Annotated[int, WholeNumber, Field(ge=1, le=3650)] = 7
    """Days after which jobs and images are deleted. For users who need them longer, or must delete them earlier."""
    tracing: Switch = "off"
    """`on` sends traces of gateway, functions and their calls of AWS to X-Ray, with the job's id as an annotation. For
    operators who look for slow or failed steps."""
    log_days: forms.LogDays = 30
    """Days after which log lines are deleted. For organisations with a rule for logs."""
    api_concurrency: Annotated[int, WholeNumber, Field(ge=0, le=1_000)] = 0
    """Concurrent calls reserved for the API function; 0: shares the account's. For accounts with other functions."""
    removal: Literal["destroy", "retain"] = "destroy"
    """What `cdk destroy` does with the bucket. `retain` is for users whose images must survive the stacks."""
    domain_name: forms.DomainName = ""
    """Your domain for the site, or without a site for the API; empty: AWS's address. Needs `certificate_arn`. For
    public services."""
    certificate_arn: forms.Certificate = ""
    """The domain's certificate in ACM, of us-east-1 for the site, else of the region. For users of `domain_name`."""
    hosted_zone_id: forms.HostedZone = ""
    """Your Route 53 zone, which gets the domain's records; empty: an output names the record to create. For domains
    hosted there."""
    vpc_subnet_ids: forms.Subnets = ""
    """2 to 16 subnets, separated by commas, through which SageMaker fetches the model and the requests; empty: AWS's
    network. Needs `vpc_security_group_ids`. For organisations that require a VPC."""
    vpc_security_group_ids: forms.SecurityGroups = ""
    """1 to 5 security groups of those network interfaces, separated by commas. For users of `vpc_subnet_ids`."""
    vpc_id: forms.Vpc = ""
    """VPC of those subnets; with it the model import runs there, too. For hubs that only the VPC reaches."""
    kms_key_arn: forms.KmsKey = ""
    """KMS key that encrypts bucket, topics, queue, logs and, where the type allows it, the instance's disk; empty:
    AWS's keys. For organisations that require their own key."""
    permissions_boundary: forms.Policy = ""
    """Name or ARN of an IAM policy that limits every role of the stacks; empty: none. For organisations that require
    one; `easel policies` writes it."""
    cloud9_cidr: forms.Cidr = ""
    """Network that may reach port 8080 of a Cloud9 environment; empty: no rule. For readers of the article."""
    cloud9_environment_id: forms.Cloud9Environment = ""
    """Id of the Cloud9 environment that gets the rule. For environments of your own account and region."""
    cloud9_security_group_id: forms.SecurityGroup = ""
    """The security group of the environment, in place of `cloud9_environment_id`. For users who know it: then no
    function looks it up."""
    notebook: Switch = "off"
    """`on` creates a SageMaker notebook instance with the notebook of this project. For readers of the article."""
    notebook_instance_type: forms.InstanceType = "ml.g4dn.xlarge"
    """Type of the notebook instance; it has its own quota. For models that need another GPU, or none."""
    notebook_gb: Annotated[int, WholeNumber, Field(ge=20, le=16_384)] = 20
    """GB of its volume, which keeps ~/SageMaker while the instance is stopped. For larger models."""
    notebook_idle_hours: Annotated[int, WholeNumber, Field(ge=0, le=168)] = 1
    """Hours without use of Jupyter after which it stops; 0: never. For long-running cells."""
    powertools_layer: forms.Layer = ""
    """ARN of a layer with Powertools for AWS Lambda; empty: the public layer. For regions without it."""

    _own: Mapping[str, Settings] = PrivateAttr(default_factory=dict)
    """Settings of the models with values of their own, by id."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_models(self)
        _check_network(self)
        _check_domain(self)
        _check_budget(self)
        _check_sign_in(self)
        _check_cloud9(self)
        return self

    @property
    def names(self) -> Names:
        return Names(self.name)

    @property
    def models(self) -> tuple[str, ...]:
        """The entries of `model`; the first is the default."""
        return split(self.model)

    @property
    def model_ids(self) -> tuple[str, ...]:
        """The ids of the models: an entry has the name of its file."""
        return tuple(PurePosixPath(name).name.removesuffix(".json") for name in self.models)

    def of(self, model: str) -> Settings:
        """Return the settings of the endpoint of a model, by its id."""
        return self._own.get(model, self)

    @property
    def pool(self) -> tuple[str, ...]:
        """The instance types in the order in which SageMaker tries them."""
        return (self.instance_type, *split(self.instance_fallbacks))

    @property
    def throttle_burst(self) -> int:
        """Requests at the same moment; API Gateway allows 5,000 in an account."""
        return min(2 * self.throttle_rate, 5_000)

    @property
    def subnets(self) -> tuple[str, ...]:
        return split(self.vpc_subnet_ids)

    @property
    def security_groups(self) -> tuple[str, ...]:
        return split(self.vpc_security_group_ids)

    @property
    def global_waf(self) -> str:
        """ARN of a web ACL for CloudFront, or empty."""
        return self.waf if ":global/" in self.waf else ""

    @property
    def regional_waf(self) -> str:
        """`on`, the ARN of a web ACL for the API, or empty."""
        return "" if self.waf == "off" or self.global_waf else self.waf

    @property
    def cloud9(self) -> bool:
        return bool(self.cloud9_cidr)


_CDK_KEY = re.compile(r"[@:/]|^(acknowledged-issue-numbers|cli-telemetry)$")
"""Context keys of the CDK itself: feature flags, `aws:cdk:…`, look-ups, state of its command line."""


def parse_settings(context: Mapping[str, Any], user_context: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings in the CDK's `context`, where `-c` makes every value a text.

    `user_context` is what only ~/.cdk.json has, not the project. Raises SettingsError with the key and a stable code.
    """
    values = {key: value for key, value in context.items() if not _CDK_KEY.search(key)}
    for key, value in (user_context or {}).items():
        if key in values and values[key] == value:
            if key in Settings.model_fields:
                raise _misplaced(key, value)
            del values[key]
    plain, own = _by_model(values)
    settings = _validate(plain)
    settings._own = _own_settings(settings, plain, own)
    for id in settings.model_ids:
        with _naming(id if own else ""):
            _check_instances(settings.of(id))
    return settings


def _validate(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        message, code, key = explain(error, lambda _: Settings, kind="setting")
        raise SettingsError(message, code=code, key=key) from None


def _by_model(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, list[str]]]]:
    """Return the values for all models, and the values of `PER_MODEL` for single models, by id and key.

    Raises SettingsError.
    """
    plain, own = dict(values), dict[str, dict[str, list[str]]]()
    for key in PER_MODEL:
        text = values.get(key)
        if not isinstance(text, str) or "=" not in text:
            continue
        items = [item.partition("=") if "=" in item else ("", "", item) for item in text.split(",")]
        for id, equals, value in items:
            if equals:
                own.setdefault(id, {}).setdefault(key, []).append(value)
        for_all = [value for _, equals, value in items if not equals]
        if "" in for_all:
            raise SettingsError(f"{key} is {text!r}, with an empty item. Remove a comma.", code="wrong_form", key=key)
        del plain[key]
        if for_all:
            plain[key] = ",".join(for_all)
    return plain, own


def _own_settings(
    settings: Settings, plain: Mapping[str, Any], own: Mapping[str, Mapping[str, Sequence[str]]]
) -> dict[str, Settings]:
    """Return the settings of the models with values of their own. Raises SettingsError."""
    found = {}
    for id, values in own.items():
        for key, items in values.items():
            if id not in settings.model_ids:
                message = f"{key} has a value for {id!r}, which is not in model. {nearest(id, settings.model_ids)}"
                raise SettingsError(message, code="unknown_model", key=key)
            if len(items) > 1 and key != "instance_fallbacks":
                message = f"{key} has {len(items)} values for {id}: {', '.join(items)}. Set one."
                raise SettingsError(message, code="conflict", key=key)
        with _naming(id):
            found[id] = _validate({**plain, **{key: ",".join(items) for key, items in values.items()}})
    return found


@contextmanager
def _naming(id: str) -> Iterator[None]:
    """Let an error name the model `id`, unless that is empty."""
    try:
        yield
    except SettingsError as error:
        if not id:
            raise
        raise SettingsError(f"For {id}: {error}", code=error.code, key=error.key) from None


def _misplaced(key: str, value: object) -> SettingsError:
    """Return the error of a setting in ~/.cdk.json. It may also be set by `-c`, so it cannot be ignored."""
    message = (
        f"{key} is {value!r} in ~/.cdk.json, which applies to all of your CDK projects. Easel reads settings only from "
        f"`context` in its own cdk.json and from -c. Set {key} in cdk.json, which has priority, or remove it from "
        "~/.cdk.json."
    )
    return SettingsError(message, code="misplaced", key=key)


# --- checks of several settings ------------------------------------------------------------------


def _check_models(settings: Settings) -> None:
    if not settings.models:
        raise failure("wrong_form", "model", f"model is {settings.model!r}; it must be the id of a catalogue entry.")
    if len(settings.models) > MOST_MODELS:
        message = (
            f"model has {len(settings.models)} models; one Easel can have {MOST_MODELS}. Deploy another: -c name=…"
        )
        raise failure("out_of_range", "model", message)


def _check_network(settings: Settings) -> None:
    for key, (least, most) in {"vpc_subnet_ids": (2, 16), "vpc_security_group_ids": (1, 5)}.items():
        ids = split(text := getattr(settings, key))
        if len(set(ids)) != len(ids) or (ids and not least <= len(ids) <= most):
            raise failure("out_of_range", key, f"{key} is {text!r}; it must be {least} to {most} different ids.")
    if bool(settings.subnets) != bool(settings.security_groups):
        raise _together("vpc_subnet_ids", "vpc_security_group_ids")
    if settings.vpc_id and not settings.subnets:
        raise failure("conflict", "vpc_id", "vpc_id also needs vpc_subnet_ids and vpc_security_group_ids.")


def _check_domain(settings: Settings) -> None:
    if bool(settings.domain_name) != bool(settings.certificate_arn):
        raise _together("domain_name", "certificate_arn")
    if settings.hosted_zone_id and not settings.domain_name:
        raise failure("conflict", "hosted_zone_id", "hosted_zone_id also needs domain_name and certificate_arn.")


def _check_instances(settings: Settings) -> None:
    """Raise SettingsError if the values of one endpoint do not go together."""
    if (count := len(settings.pool) - 1) >= MAX_POOL:
        message = f"instance_fallbacks has {count} types; it can have {MAX_POOL - 1}."
        raise SettingsError(message, code="out_of_range", key="instance_fallbacks")
    if settings.min_instances > settings.max_instances:
        message = f"min_instances {settings.min_instances} is greater than max_instances {settings.max_instances}."
        raise SettingsError(message, code="conflict", key="min_instances")
    if settings.mode == "realtime" and settings.min_instances == 0:
        message = "A realtime endpoint cannot scale to zero. Set min_instances=1 or mode=async."
        raise SettingsError(message, code="conflict", key="min_instances")
    if settings.mode == "async" and settings.idle_hours:
        message = "idle_hours is for mode=realtime. In async, min_instances=0 scales the endpoint to zero."
        raise SettingsError(message, code="conflict", key="idle_hours")


def _check_budget(settings: Settings) -> None:
    if settings.budget_action == "stop" and not settings.budget_usd:
        message = "budget_action=stop needs a budget, and budget_usd is 0. Set budget_usd, or leave budget_action out."
        raise failure("conflict", "budget_action", message)


def _check_sign_in(settings: Settings) -> None:
    provider = {key: getattr(settings, key) for key in ("sign_in_issuer", "sign_in_client_id", "sign_in_client_secret")}
    if settings.sign_in == "off":
        for key in ("sign_in_mfa", *provider):
            if getattr(settings, key) not in ("", "off"):
                raise failure("conflict", key, f"{key} needs sign_in=cognito.")
        return
    if settings.api_auth != "key":
        message = (
            f"sign_in=cognito needs api_auth=key, the default; with api_auth={settings.api_auth} nobody can sign in."
        )
        raise failure("conflict", "sign_in", message)
    if missing := [key for key, value in provider.items() if not value]:
        if len(missing) < len(provider):
            message = f"{', '.join(provider)} belong together: set all or none. Missing: {', '.join(missing)}."
            raise failure("conflict", missing[0], message)
    elif settings.sign_in_mfa == "on":
        message = "sign_in_mfa is for the pool's own users. With sign_in_issuer, the provider decides about it."
        raise failure("conflict", "sign_in_mfa", message)


def _check_cloud9(settings: Settings) -> None:
    targets = [name for name in (settings.cloud9_environment_id, settings.cloud9_security_group_id) if name]
    if settings.cloud9 and len(targets) != 1:
        message = "cloud9_cidr needs either cloud9_environment_id or cloud9_security_group_id."
        raise failure("conflict", "cloud9_cidr", message)
    if targets and not settings.cloud9:
        message = "The Cloud9 rule needs cloud9_cidr: the network that may reach port 8080, such as 203.0.113.7/32."
        raise failure("conflict", "cloud9_cidr", message)


def _together(key: str, other: str) -> Exception:
    return failure("conflict", key, f"{key} and {other} belong together: set both or neither.")
