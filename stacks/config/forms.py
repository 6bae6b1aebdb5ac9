"""Types of single settings: the form that each text must have."""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator

from stacks.config.names import NAME_CHARACTERS, NAME_FORM
from stacks.config.validation import WholeNumber, failure, matches

Mode = Literal["async", "realtime"]
Switch = Literal["off", "on"]

LogDays = Annotated[Literal[1, 3, 5, 7, 14, 30, 60, 90, 180, 365, 731, 1827, 3653], WholeNumber]
LOG_DAYS: tuple[int, ...] = get_args(get_args(LogDays)[0])
"""The retentions that CloudWatch Logs offers."""

_TYPE = r"ml\.[a-z0-9-]+\.[a-z0-9]+"
_ARN = r"arn:aws[a-z-]*:{}:[a-z0-9-]+:\d{{12}}:{}"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_WEB_ACL = _ARN.format("wafv2", r"(regional|global)/webacl/[\w-]+/[0-9a-f-]{36}")

Name = Annotated[
    str,
    matches(
        rf"(?=.{{1,{NAME_CHARACTERS}}}$){NAME_FORM}",
        f"at most {NAME_CHARACTERS} lower-case letters, digits and single hyphens, with a letter first, like easel-dev",
    ),
]
InstanceType = Annotated[str, matches(_TYPE, "like ml.g4dn.xlarge")]
AutomaticInstanceType = Annotated[str, matches(rf"{_TYPE}|", "like ml.g4dn.xlarge")]
InstanceTypes = Annotated[str, matches(rf"|{_TYPE}(,{_TYPE})*", "like ml.g5.xlarge,ml.g6.xlarge")]
# ASCII only, as SNS requires.
Email = Annotated[str, matches(r"[!-?A-~]{1,64}@[\w.-]+\.[\w-]+|", "like you@example.com")]
WebAcl = Annotated[str, matches(f"off|on|{_WEB_ACL}", "off, on or the ARN of a web ACL")]
Layer = Annotated[
    str,
    matches(
        _ARN.format("lambda", r"layer:[\w-]+:\d+|"), "like arn:aws:lambda:us-east-1:123456789012:layer:powertools:1"
    ),
]
DomainName = Annotated[
    str,
    matches(
        rf"|(?=.{{1,253}}$)({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])", "like images.example.com, in lower case"
    ),
]
Certificate = Annotated[
    str,
    matches(_ARN.format("acm", "certificate/[0-9a-f-]{36}|"), "like arn:aws:acm:us-east-1:123456789012:certificate/…"),
]
HostedZone = Annotated[str, matches(r"|Z[A-Z0-9]{1,31}", "like Z0123456789ABCDEFGHIJ")]
Vpc = Annotated[str, matches(r"|vpc-[0-9a-f]{8,17}", "like vpc-0a1b2c3d")]
Policy = Annotated[
    str,
    matches(
        r"|[\w+=,.@-]{1,128}|arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]{1,512}",
        "the name or the ARN of an IAM policy, like easel-boundary",
    ),
]
Cloud9Environment = Annotated[str, matches(r"[0-9a-f]{32}|", "32 hexadecimal digits")]
Subnets = Annotated[
    str, matches(r"|subnet-[0-9a-f]{8,17}(,subnet-[0-9a-f]{8,17})*", "like subnet-0a1b2c3d,subnet-4e5f6a7b")
]
SecurityGroups = Annotated[str, matches(r"|sg-[0-9a-f]{8,17}(,sg-[0-9a-f]{8,17})*", "like sg-0a1b2c3d,sg-4e5f6a7b")]
SecurityGroup = Annotated[str, matches(r"sg-[0-9a-f]{8,17}|", "like sg-0a1b2c3d")]


def split(text: str) -> tuple[str, ...]:
    """Return the items of a text with commas between them."""
    return tuple(filter(None, text.split(",")))


# --- forms whose error says more than an example -------------------------------------------------


def _hub_url(url: str) -> str:
    if "@" in url:  # the error must not show the value
        raise failure(
            "secret",
            "hub_url",
            "hub_url contains a user name or a password, which templates and logs would show. Remove it. A token "
            "belongs in the secret that hub_token_secret names.",
        )
    return url


_HOST = r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?"
HubUrl = Annotated[
    str, AfterValidator(_hub_url), matches(rf"https://{_HOST}(/[^\s?#]*)?", "like https://huggingface.co")
]


_SECRET = _ARN.format("secretsmanager", r"secret:[\w/+=.@-]+") + r"|[\w/+=.@-]{1,512}|"


def _token_secret(setting: str, name: str) -> str:
    if not re.fullmatch(_SECRET, name, re.ASCII) or name.startswith("hf_"):
        example = setting.removesuffix("_secret").replace("_", "-")
        raise failure(
            "secret",
            setting,
            f"{setting} must be the name or ARN of a secret, not the token itself, which templates and logs would "
            f"show. Create one: aws secretsmanager create-secret --name {example} --secret-string file://token.txt",
        )
    return name


TokenSecret = Annotated[str, AfterValidator(partial(_token_secret, "hub_token_secret"))]
ModelTokenSecret = Annotated[str, AfterValidator(partial(_token_secret, "model_token_secret"))]


Issuer = Annotated[
    str, matches(r"|https://[\w.-]+(:\d{1,5})?(/[\w./~-]*)?", "like https://login.example.com/, without a query")
]
ClientId = Annotated[str, matches(r"|[!-~]{1,255}", "1 to 255 visible ASCII characters")]
ClientSecret = Annotated[
    str, matches(_SECRET, "the name or ARN of a secret in Secrets Manager, not the secret itself, like easel-sign-in")
]


def _kms_key(arn: str) -> str:
    if not re.fullmatch(_ARN.format("kms", r"key/([0-9a-f-]{36}|mrk-[0-9a-f]{32})|"), arn, re.ASCII):
        raise failure(
            "wrong_form",
            "kms_key_arn",
            f"kms_key_arn is {arn!r}; it must be like arn:aws:kms:us-east-1:123456789012:key/…. IAM policies do not "
            "accept an alias. The key of an alias: aws kms describe-key --key-id alias/yours --query KeyMetadata.Arn "
            "--output text",
        )
    return arn


KmsKey = Annotated[str, AfterValidator(_kms_key)]


def _cidr(cidr: str) -> str:
    if not cidr:
        return cidr
    try:
        network = ipaddress.ip_network(cidr)
    except ValueError as error:
        message = f"cloud9_cidr is {cidr!r}: {error}. A single address is written 203.0.113.7/32."
        raise failure("wrong_form", "cloud9_cidr", message) from None
    if not re.fullmatch(r"[0-9a-fA-F:.]+/\d+", cidr, re.ASCII):
        message = f"cloud9_cidr is {cidr!r}; it must end with the length of the prefix. Write {network}."
        raise failure("wrong_form", "cloud9_cidr", message)
    if network.prefixlen < (8 if network.version == 4 else 32):
        raise failure(
            "too_open",
            "cloud9_cidr",
            f"cloud9_cidr {cidr} would open port 8080 of your development machine to the internet, and with it the AWS "
            "credentials on that machine; scanners find such a port within minutes. Safer: (1) Cloud9's own preview, "
            "which needs no rule; (2) `aws ssm start-session --document-name AWS-StartPortForwardingSession` or `ssh "
            "-L 8080:localhost:8080`; (3) your own address, for example 203.0.113.7/32 (`curl "
            "https://checkip.amazonaws.com`).",
        )
    return cidr


Cidr = Annotated[str, AfterValidator(_cidr)]
