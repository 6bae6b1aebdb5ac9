"""A Python function with its own role and log group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.common.grants import allow
from stacks.common.logs import Logs
from stacks.common.nag_suppressions import suppress

CUSTOM_RESOURCES = Path(__file__).parents[2] / "custom_resources"
RUNTIME = lambda_.Runtime.PYTHON_3_13
_NOT_SHIPPED = ("__pycache__", ".*")
_L1_REASON = "Python 3.13 is what the Powertools layer and our tests agree on; AWS supports it until 2029"
_TRACING_REASON = "IAM cannot limit the traces that X-Ray receives to a resource; tracing=off, the default, grants none"


@dataclass(frozen=True, kw_only=True)
class Code:
    """A folder to ship. `exclude` has the patterns of a .gitignore."""

    path: Path
    exclude: tuple[str, ...]


def folder_code(folder: Path) -> Code:
    """Ship the files of `folder`, which is the import root."""
    return Code(path=folder, exclude=_NOT_SHIPPED)


def package_code(package: Path) -> Code:
    """Ship the package `package`. The folder that holds it is the import root, so relative imports work."""
    return Code(path=package.parent, exclude=("/*", f"!/{package.name}", *_NOT_SHIPPED))


class Function(Construct):
    """A function with its own `role`, which may write to its own log group `logs`.

    `concurrency` is reserved from the account's limit; 0 reserves nothing. `tracing` sends traces to X-Ray.
    `async_invoke` sets retries and the destination of failed events.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str,
        memory_mb: int,
        seconds: int,
        log_days: int,
        concurrency: int = 0,
        environment: Mapping[str, str] | None = None,
        layers: Sequence[lambda_.ILayerVersion] = (),
        tracing: bool = False,
        async_invoke: lambda_.EventInvokeConfigOptions | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.logs = logs = Logs(self, "Logs", days=log_days)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        allow(self.role, ["logs:CreateLogStream", "logs:PutLogEvents"], [logs.log_group_arn])
        self.function = lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(str(code.path), exclude=list(code.exclude), ignore_mode=cdk.IgnoreMode.GIT),
            handler=handler,
            runtime=RUNTIME,
            memory_size=memory_mb,
            timeout=cdk.Duration.seconds(seconds),
            reserved_concurrent_executions=concurrency or None,
            environment=environment,
            layers=list(layers),
            tracing=lambda_.Tracing.ACTIVE if tracing else None,
            role=self.role,
            log_group=logs,
        )
        if async_invoke:
            self.function.configure_async_invoke(
                on_failure=async_invoke.on_failure,
                retry_attempts=async_invoke.retry_attempts,
                max_event_age=async_invoke.max_event_age,
            )
        if tracing:  # the CDK adds the permissions
            suppress(self.role, {"AwsSolutions-IAM5[Resource::*]": _TRACING_REASON})
        suppress(self.function, {"AwsSolutions-L1": _L1_REASON})

    def allow_self_invocation(self) -> iam.Policy:
        """Let the function invoke itself. A separate policy: in the role's default policy it would be a cycle."""
        policy = iam.Policy(self, "InvokeSelf", roles=[self.role])
        invoke = iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.function.function_arn])
        policy.add_statements(invoke)
        return policy
