"""A function's log group is created by a log line only if the function's role may. MiniStack 1.5.33 asks no role.

A function that ends after its stack's deletion would leave the log group otherwise.
"""

from contextlib import suppress
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc

from ..aws_api import identity
from ..aws_api.service import ServiceError


def install() -> None:
    """Replace MiniStack's function."""
    emit = lambda_svc._emit_lambda_logs

    def emit_if_allowed(function: dict[str, Any], *more: Any, **named: Any) -> None:
        config = function.get("config") or function
        group = config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        with suppress(ServiceError):  # the line is lost
            if group not in cloudwatch_logs._log_groups:
                needed = ("logs:CreateLogGroup", cloudwatch_logs._make_group_arn(group), dict[str, str]())
                identity.check_permissions(config["Role"], [needed], "lambda.amazonaws.com")
            emit(function, *more, **named)

    lambda_svc._emit_lambda_logs = emit_if_allowed
