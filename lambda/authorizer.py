"""The handler of API Gateway's authorizer. It needs little of the others, and each request waits for it."""

from __future__ import annotations

import json
import os
import time
from functools import cache
from typing import Any

from api_keys.authorizer import Authorizer
from api_keys.tokens import Tokens
from api_keys.users import Users
from aws.ledger import AccountTable
from aws.operator_key import GatewayKey
from aws.signing_keys import IssuerKeys


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Return who sends a request of API Gateway. Raises UnauthorizedError, or EaselError if the table fails."""
    return _authorizer()(event)


@cache
def _authorizer() -> Authorizer:
    table = AccountTable(os.environ["EASEL_ACCOUNTS"])
    return Authorizer(
        keys=table,
        operator=GatewayKey(os.environ["EASEL_OPERATOR_KEY"]),
        usage_prefix=os.environ["EASEL_USAGE_PREFIX"],
        now=time.time,
        users=_users(table),
        on_refused=_log_refusal,
    )


def _users(table: AccountTable) -> Users | None:
    """Return who may sign in; None with `sign_in=off`."""
    issuer = os.environ.get("EASEL_SIGN_IN_ISSUER")
    if not issuer:
        return None
    return Users(
        tokens=Tokens(issuer=issuer, scope=os.environ["EASEL_SIGN_IN_SCOPE"], keys=IssuerKeys(issuer)),
        store=table,
        images_a_day=int(os.environ["EASEL_USER_IMAGES_A_DAY"]) or None,
        slots=int(os.environ["EASEL_USAGE_SLOTS"]),
        now=time.time,
    )


def _log_refusal(reason: str, id: str) -> None:
    """Log why a request is refused. `id` is that of a known key."""
    service = os.environ.get("POWERTOOLS_SERVICE_NAME", "easel")
    print(json.dumps({"level": "INFO", "message": "refused", "service": service, "reason": reason, "key": id}))
