"""A function with a role and a log group of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.parts.findings import acknowledge
from stacks.parts.logs import Logs

RUNTIME = lambda_.Runtime.PYTHON_3_13


class Function(Construct):
    """Python code of a folder of ours. It may do what `allow` says, write its own log, and nothing else.

    `lost` takes events of asynchronous calls that failed `retries` times more.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Path,
        handler: str,
        memory_mb: int,
        timeout: cdk.Duration,
        log_days: int,
        environment: Mapping[str, str] | None = None,
        layers: Sequence[lambda_.ILayerVersion] = (),
        lost: lambda_.IDestination | None = None,
        retries: int | None = None,
    ) -> None:
        super().__init__(scope, id)
        logs = Logs(self, "Logs", days=log_days)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.allow(["logs:CreateLogStream", "logs:PutLogEvents"], [logs.log_group_arn])
        self.function = lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(str(code), exclude=["__pycache__", ".*"], ignore_mode=cdk.IgnoreMode.GIT),
            handler=handler,
            runtime=RUNTIME,
            memory_size=memory_mb,
            timeout=timeout,
            environment=dict(environment or {}),
            layers=list(layers),
            role=self.role,
            log_group=logs,
            retry_attempts=retries,
            on_failure=lost,
        )
        acknowledge(
            self,
            {
                "AwsSolutions-L1": "Python 3.13 is what the pinned Powertools layer, the tests and the laptop agree on; "
                "it is supported until 2029"
            },
        )

    def allow(
        self, actions: Sequence[str], resources: Sequence[str], conditions: Mapping[str, object] | None = None
    ) -> None:
        self.role.add_to_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
        )
