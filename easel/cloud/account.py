"""One Easel in one AWS account and region: its names, boto3 clients, and botocore's errors as CommandError."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from easel.console.certificates import read_certificates
from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError
from stacks.config.names import DEFAULT, Names

if TYPE_CHECKING:
    import boto3
    import botocore.session

CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, ATTEMPTS = 5, 20, 3

EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
BAD_SIGNATURE = ("RequestTimeTooSkewed", "SignatureDoesNotMatch", "InvalidSignatureException")
UNKNOWN_CREDENTIALS = (
    "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "InvalidAccessKeyId", "OptInRequired",
)  # fmt: skip
THROTTLED = ("Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown")
ACCESS_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403")

PROFILE_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""Variables that name the profile, in the CDK's order of priority. boto3 has the opposite order."""
CA_FIX = (
    "export AWS_CA_BUNDLE=… with the PEM file of your company's or proxy's certificate authority; the CDK reads it too"
)

NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
LOGGED_OUT = {"SSOError", "TokenRetrievalError", "LoginError"}
UNREACHABLE = {
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyConnectionError",
    "ConnectionClosedError", "HTTPClientError",
}  # fmt: skip


class Account:
    """boto3 clients by service and region, each created once. `region` and `names` are those of the deploy."""

    def __init__(self, session: boto3.Session, region: str, names: Names = DEFAULT) -> None:
        self._session, self.region, self.names = session, region, names
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = Lock()  # boto3 sessions are not thread-safe

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`."""
        return str(self._session.get_partition_for_region(self.region))

    def has_service(self, service: str) -> bool:
        """Return whether the partition has the service. GovCloud has no CloudFront and no Budgets, for example."""
        return bool(self._session.get_available_regions(service, self.partition, allow_non_regional=True))

    def client(self, service: str, region: str = "") -> Any:
        """Return the client of a service. Raises CommandError: no usable credentials."""
        from botocore.config import Config

        key = service, region or self.region
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        with self._lock, aws_errors():
            with _credential_errors():
                _check_credentials(self._session.get_credentials())
            if key not in self._clients:
                self._clients[key] = self._session.client(key[0], region_name=key[1], config=config)
            return self._clients[key]

    def items(self, service: str, operation: str, member: str, *, region: str = "", **request: Any) -> Iterator[Any]:
        """Return the items of all pages of an operation. `member` is their path in a page, such as "A.B"."""
        for page in _pages(self.client(service, region), operation, request):
            for name in member.split("."):
                page = page.get(name) or {}
            yield from page

    def enabled_regions(self) -> list[str]:
        """Return the regions that are enabled in this account."""
        return sorted(region["RegionName"] for region in self.items("ec2", "describe_regions", "Regions"))


def _pages(client: Any, operation: str, request: dict[str, Any]) -> Iterator[Any]:
    """Return the pages of an operation. boto3 has no paginators for WAF, whose pages have a NextMarker."""
    if client.can_paginate(operation):
        yield from client.get_paginator(operation).paginate(**request)
        return
    marker: dict[str, str] = {}
    while True:
        page = getattr(client, operation)(**request, **marker)
        yield page
        if page.get("NextMarker") in (None, marker.get("NextMarker")):
            return
        marker = {"NextMarker": page["NextMarker"]}


def open_account(region: str | None, names: Names = DEFAULT, *, default_region: str = "") -> Account:
    """Open the account of the shell's AWS settings, without calling AWS.

    The region is `region`, AWS_REGION (as for the CDK), the profile's region or `default_region`, in this order.
    Raises CommandError: boto3 is not installed, no region is set, or the AWS settings are unusable.
    """
    try:
        import boto3
    except ImportError:
        why = "commands for AWS need it; a laptop installation does not include it"
        fix = ".venv/bin/pip install -r requirements.txt, or make synth"
        raise _environment_error("boto3 is not installed", ".venv", why, fix) from None
    with aws_errors():
        core = _core_session()
        _check_certificates(core.get_config_variable("ca_bundle"))
        session = boto3.Session(botocore_session=core)
        found = region or os.environ.get("AWS_REGION") or session.region_name or default_region
    if not found:
        why = "neither --region, AWS_REGION nor the AWS profile names one"
        raise _environment_error("No region is set", "AWS_REGION", why, "export AWS_REGION=us-east-1")
    return Account(session, validate_region(found), names)


def profile() -> str:
    """Return the name of the profile that the CDK would use."""
    return next((os.environ[name] for name in PROFILE_VARIABLES if os.environ.get(name)), "default")


def _core_session() -> botocore.session.Session:
    """Return a session of `profile()` also where boto3 would choose another."""
    import botocore.session

    if os.environ.get("AWS_DEFAULT_PROFILE", profile()) == profile():
        return botocore.session.Session()
    # Not profile_name: boto3 would then ignore the keys in variables, which have precedence.
    return botocore.session.Session({"profile": (None, [PROFILE_VARIABLES[0]], None, None)})


def _check_certificates(bundle: str | None) -> None:
    """Check the file of certificates that botocore will read: a pipe would hold it. Raises CommandError."""
    by_variable = bundle == os.environ.get("AWS_CA_BUNDLE")
    if bundle:
        read_certificates("AWS_CA_BUNDLE" if by_variable else "ca_bundle in ~/.aws/config", bundle)
    elif path := os.environ.get("REQUESTS_CA_BUNDLE"):
        read_certificates("REQUESTS_CA_BUNDLE", path)


def validate_region(name: str) -> str:
    """Return `name` if it has the form of a region. Raises CommandError, a usage error, if not."""
    if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", name, re.ASCII):
        return name
    why = "a region has the form us-east-1"
    raise CommandError(f"{name!r} is not a region", where="--region or AWS_REGION", why=why, fix="", code=USAGE)


def _environment_error(what: str, where: str, why: str, fix: str) -> CommandError:
    return CommandError(what, where=where, why=why, fix=fix, code=ENVIRONMENT)


def _check_credentials(credentials: Any) -> None:
    """Get the keys now, also those that expire. Raises RuntimeError or TypeError: botocore would when it signs."""
    keys = credentials.get_frozen_credentials() if credentials else ()
    if not all(isinstance(key, str | None) for key in keys):
        raise TypeError("a key is not a text")


@contextmanager
def _credential_errors() -> Iterator[None]:
    """Raise CommandError if `credential_process` does not start or prints no valid credentials: botocore does not."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError:  # some are OSError too
        raise
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise _profile_error(f"its credential_process cannot be used: {type(error).__name__}: {error}") from error


def _profile_error(why: str) -> CommandError:
    fix = "Correct the profile in ~/.aws/config, or export AWS_PROFILE=… with another profile"
    return _environment_error("The AWS profile gives no credentials", f"profile {profile()}", why, fix)


@contextmanager
def aws_errors() -> Iterator[None]:
    """Raise botocore's errors as CommandError.

    OSError and ValueError included: botocore lets them through for an invalid URL, for example. EOFError: nobody can
    type an MFA code. ResponseParserError: the response did not come from AWS, but from a proxy, for example.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _service_error(error.operation_name, error.response.get("Error", {})) from error
    except EOFError as error:
        why, fix = "its role needs an MFA code, and there is no terminal to type it", "Run the command in a terminal"
        raise _environment_error("No MFA code", f"profile {profile()}", why, fix) from error
    except (BotoCoreError, ResponseParserError, OSError, ValueError) as error:
        raise _client_error(error) from error


def _service_error(operation: str, response: dict[str, str]) -> CommandError:
    """Return the error for a code with which AWS refused `operation`."""
    code, message = response.get("Code", ""), response.get("Message", "")
    if code in EXPIRED:
        fix = "aws sso login, or set new credentials"
        return _environment_error("The AWS credentials have expired", operation, message, fix)
    if code in BAD_SIGNATURE:
        fix = "Set this computer's clock; check AWS_SECRET_ACCESS_KEY"
        return _environment_error("AWS rejects the request's signature", operation, message, fix)
    if code in UNKNOWN_CREDENTIALS:
        fix = "Check AWS_PROFILE and whether the region is enabled for the account"
        return _environment_error("AWS rejects the credentials", operation, message, fix)
    if code in THROTTLED:
        return _environment_error("AWS throttles the requests", operation, message, "Run it again in a minute")
    if code in ACCESS_DENIED:
        fix = f"Ask an administrator for permission to call {operation}"
        return _environment_error(f"You have no permission to call {operation}", "IAM", message, fix)
    return CommandError(f"AWS refused {operation}", where=code, why=message, fix="", code=FAILED)


def _client_error(error: Exception) -> CommandError:
    """Return the error for what failed before AWS responded."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & LOGGED_OUT:
        fix = "aws sso login or aws login, depending on the profile in AWS_PROFILE"
        return _environment_error("You are not logged in to AWS", "AWS_PROFILE", str(error), fix)
    if names & NO_CREDENTIALS:
        fix = "export AWS_PROFILE=… (create one with aws configure sso), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return _environment_error("No AWS credentials found", "AWS_PROFILE", str(error), fix)
    if "CredentialRetrievalError" in names:
        return _profile_error(str(error))
    if "SSLError" in names:
        return _environment_error("The certificate of AWS is not trusted", "AWS_CA_BUNDLE", str(error), CA_FIX)
    if names & UNREACHABLE:
        return _environment_error("AWS cannot be reached", "network", str(error), "Check the network and the region")
    fix = "Check the AWS_… variables and ~/.aws/config"
    return _environment_error("The AWS settings are invalid", type(error).__name__, str(error), fix)


def is_not_found(error: CommandError) -> bool:
    """Return whether AWS responded that the resource does not exist.

    Only errors of AWS have the code FAILED; a missing SSO token on this computer has similar words.
    """
    text = error.why.lower()
    return error.code == FAILED and any(words in text for words in ("could not find", "does not exist", "not found"))
