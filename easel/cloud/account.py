"""One AWS account in one region: boto3's clients, and what AWS refuses in words of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from easel.console.errors import ENVIRONMENT, FAILED, USAGE, CommandError

if TYPE_CHECKING:
    import boto3

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 20, 3
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
SKEWED = ("RequestTimeTooSkewed", "SignatureDoesNotMatch", "InvalidSignatureException")
UNKNOWN = (
    "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "InvalidAccessKeyId", "OptInRequired",
)  # fmt: skip
THROTTLED = ("Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown")
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403")
NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}
LOGGED_OUT = {"SSOError", "TokenRetrievalError", "LoginError"}
UNREACHABLE = {
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyConnectionError", "SSLError",
    "ConnectionClosedError", "HTTPClientError",
}  # fmt: skip


class Account:
    """Clients by service and region, each made once. `region` is where Easel is, or is to be."""

    def __init__(self, session: boto3.Session, region: str) -> None:
        self._session, self.region = session, region
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = Lock()  # a session makes one client at a time

    @property
    def partition(self) -> str:
        return str(self._session.get_partition_for_region(self.region))

    def has(self, service: str) -> bool:
        """Whether the partition has the service somewhere: GovCloud has no CloudFront and no budgets."""
        return bool(self._session.get_available_regions(service, self.partition, allow_non_regional=True))

    def client(self, service: str, region: str = "") -> Any:
        from botocore.config import Config

        key = service, region or self.region
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        with self._lock, explained():  # a client reads the credentials when it is made
            if key not in self._clients:
                self._clients[key] = self._session.client(key[0], region_name=key[1], config=config)
            return self._clients[key]

    def all(self, service: str, operation: str, member: str, *, region: str = "", **asked: Any) -> Iterator[Any]:
        """Every item below `member` ("A.B" goes deeper) of all pages of an operation."""
        for page in _pages(self.client(service, region), operation, asked):
            for name in member.split("."):
                page = page.get(name) or {}
            yield from page

    def regions(self) -> list[str]:
        """Those that are switched on in this account."""
        return sorted(region["RegionName"] for region in self.all("ec2", "describe_regions", "Regions"))


def _pages(client: Any, operation: str, asked: dict[str, Any]) -> Iterator[Any]:
    """WAF's lists have pages of which boto3 does not know."""
    if client.can_paginate(operation):
        yield from client.get_paginator(operation).paginate(**asked)
        return
    more: dict[str, str] = {}
    while True:
        page = getattr(client, operation)(**asked, **more)
        yield page
        if page.get("NextMarker") in (None, more.get("NextMarker")):
            return
        more = {"NextMarker": page["NextMarker"]}


def open_account(region: str | None, *, otherwise: str = "") -> Account:
    """Reads the shell's settings as the CDK does, AWS_REGION first; asks nothing of AWS. Raises CommandError.

    `otherwise`: the region where nothing names one.
    """
    try:
        import boto3
    except ImportError:
        fix = ".venv/bin/pip install -r requirements.txt   (`make synth` does it, too)"
        raise _missing("boto3 is not installed", ".venv", "a laptop alone does not need it", fix) from None
    with explained():
        session = boto3.Session()
        found = region or os.environ.get("AWS_REGION") or session.region_name or otherwise
    if not found:
        raise _missing("No region is set", "AWS_REGION", "nothing names one", "export AWS_REGION=us-east-1")
    return Account(session, checked_region(found))


def checked_region(name: str) -> str:
    """Raises CommandError for what no region can be called."""
    if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", name, re.ASCII):
        return name
    why = "a region is written like us-east-1"
    raise CommandError(f"{name!r} is not a region", where="--region or AWS_REGION", why=why, fix="", code=USAGE)


def _missing(what: str, where: str, why: str, fix: str) -> CommandError:
    return CommandError(what, where=where, why=why, fix=fix, code=ENVIRONMENT)


@contextmanager
def explained() -> Iterator[None]:
    """What botocore raises inside, as a CommandError; also what it lets through of a `credential_process` that is not
    there, of an address that is none, and of an answer that is not AWS's."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _refused(error.operation_name, error.response.get("Error", {})) from error
    except (BotoCoreError, ResponseParserError, OSError, ValueError) as error:
        raise _failed(error) from error


def _refused(operation: str, told: dict[str, str]) -> CommandError:
    code, message = told.get("Code", ""), told.get("Message", "")
    if code in EXPIRED:
        return _missing("The AWS credentials have expired", operation, message, "aws sso login, or set new ones")
    if code in SKEWED:
        return _missing("AWS does not accept the signature", operation, message, "Set the clock of this machine")
    if code in UNKNOWN:
        return _missing("AWS does not know these credentials", operation, message, "Check AWS_PROFILE and the region")
    if code in THROTTLED:
        return _missing("AWS takes no more calls at the moment", operation, message, "Wait a minute, then run it again")
    if code in DENIED:
        return _missing(f"You may not call {operation}", "IAM", message, f"Ask for the right to {operation}")
    return CommandError(f"AWS refused {operation}", where=code, why=message, fix="", code=FAILED)


def _failed(error: Exception) -> CommandError:
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & LOGGED_OUT:
        fix = "aws sso login, or aws login: as this shell's AWS_PROFILE was made"
        return _missing("You are not logged in to AWS", "the shell", str(error), fix)
    if names & NO_CREDENTIALS:
        fix = "export AWS_PROFILE=… (aws configure sso makes one), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return _missing("There are no AWS credentials", "the shell", str(error), fix)
    if names & UNREACHABLE:
        return _missing("AWS cannot be reached", "the network", str(error), "Check the network and the region")
    fix = "Check the shell's AWS settings: AWS_… variables, ~/.aws/config"
    return _missing("AWS could not be asked", type(error).__name__, str(error), fix)


def missing(error: CommandError) -> bool:
    """Whether AWS says that the thing asked for does not exist, and not this machine that something of its own does."""
    text = error.why.lower()
    return error.code == FAILED and any(words in text for words in ("could not find", "does not exist", "not found"))
