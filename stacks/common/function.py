"""A function with a role and a log group of its own."""

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
from stacks.common.nag_suppressions import acknowledge

CUSTOM_RESOURCES = Path(__file__).parents[2] / "custom_resources"
_UNSHIPPED = ("__pycache__", ".*")
RUNTIME = lambda_.Runtime.PYTHON_3_13
_L1 = "Python 3.13 is what the Powertools layer and our tests agree on; AWS supports it until 2029"


@dataclass(frozen=True, kw_only=True)
class Code:
    """A folder to ship, and the paths in it to leave out, as in a .gitignore."""

    path: Path
    exclude: tuple[str, ...]


def folder_code(folder: Path) -> Code:
    """Ship the files of `folder`: it is the root that imports start from."""
    return Code(path=folder, exclude=_UNSHIPPED)


def package_code(package: Path) -> Code:
    """Ship the package `package`: the folder that holds it is the root that imports start from."""
    return Code(path=package.parent, exclude=("/*", f"!/{package.name}", *_UNSHIPPED))


class Function(Construct):
    """Python code of a folder. `role` may write `logs`, its own; `asynchronous` says what becomes of lost events.

    `concurrency` is reserved in the account's limit; 0 reserves nothing.
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
        asynchronous: lambda_.EventInvokeConfigOptions | None = None,
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
            role=self.role,
            log_group=logs,
        )
        if asynchronous:
            self.function.configure_async_invoke(
                on_failure=asynchronous.on_failure,
                retry_attempts=asynchronous.retry_attempts,
                max_event_age=asynchronous.max_event_age,
            )
        acknowledge(self.function, {"AwsSolutions-L1": _L1})

    def allow_itself(self) -> iam.Policy:
        """The right to call itself, in a policy of its own, or the function would wait for itself."""
        again = iam.Policy(self, "Again", roles=[self.role])
        call = iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.function.function_arn])
        again.add_statements(call)
        return again
