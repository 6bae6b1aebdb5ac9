"""The handler of API Gateway's authorizer. It needs little of the others, and each request waits for it."""

from __future__ import annotations

import json
import os
import time
from functools import cache
from typing import Any

from api_keys.authorizer import Authorizer
from aws.ledger import AccountTable
from aws.operator_key import GatewayKey


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Return who sends a request of API Gateway. Raises UnauthorizedError, or EaselError if the table fails."""
    return _authorizer()(event)


@cache
def _authorizer() -> Authorizer:
    return Authorizer(
        keys=AccountTable(os.environ["EASEL_ACCOUNTS"]),
        operator=GatewayKey(os.environ["EASEL_OPERATOR_KEY"]),
        usage_prefix=os.environ["EASEL_USAGE_PREFIX"],
        now=time.time,
        on_refused=_log_refusal,
    )


def _log_refusal(reason: str, id: str) -> None:
    """Log why a request is refused. `id` is that of a known key."""
    service = os.environ.get("POWERTOOLS_SERVICE_NAME", "easel")
    print(json.dumps({"level": "INFO", "message": "refused", "service": service, "reason": reason, "key": id}))
