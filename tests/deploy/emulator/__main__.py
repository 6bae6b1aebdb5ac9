"""MiniStack with the services and resource types that it lacks: `python -m emulator PORT PROGRAM...`.

PORT is the port of SageMaker, Application Auto Scaling and Budgets, PROGRAM the serving program. The variables of
MiniStack (GATEWAY_PORT, AUTH, USE_SSL, ...) are set by ../harness/account.py.
"""

import functools
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from ministack import app
from ministack.core import router
from ministack.services import ssm

from .aws_api import descriptions, identity
from .aws_api.http_server import Router, serve
from .aws_api.service import REGION, Service
from .cloudformation_types import concurrent_creation, conditions, register, stack_deletion
from .cloudformation_types.execution_role import ExecutionRoles
from .sagemaker.control_plane import SageMaker
from .sagemaker.endpoint import StateHold
from .sagemaker.notebooks import Notebooks
from .sagemaker.runtime import Runtime
from .services import (
    apigateway,
    cloudfront,
    cloudwatch,
    codebuild,
    cognito,
    kms,
    lambda_logs,
    lambda_start,
    log_streams,
    s3_missing,
)
from .services.autoscaling import AutoScaling
from .services.budgets import Budgets

LAYER = "/aws/service/powertools/python/x86_64/python3.13/3.37.0"
"""AWS's public parameter with the ARN of the Powertools layer. Here the functions' interpreter has its modules."""

MISSING_SERVICES = frozenset({"pricing", "servicequotas"})
"""Services that `easel` calls and nobody plays. MiniStack would read the descriptions of every service to know them."""

# Each assumed role has a session of botocore of its own, which would read the services' descriptions again.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)


@functools.cache
def root_client(name: str) -> Any:
    return boto3.client(name, region_name=REGION)


def count_metric(metric: str, dimensions: dict[str, str]) -> None:
    """Add one to a metric. MiniStack evaluates its alarms at each request."""
    pairs = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    datum = {"MetricName": metric, "Dimensions": pairs, "Value": 1.0, "Unit": "Count"}
    root_client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])


def publish_of_budgets(topic: str, text: str) -> None:
    """Publish as AWS Budgets. Without a permission in the topic's policy the message is lost, as on AWS."""
    sns = root_client("sns")
    policy = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    if identity.may_publish(policy, topic, "budgets.amazonaws.com"):
        sns.publish(TopicArn=topic, Message=text)


def exit_with_parent() -> None:
    """End this process when its parent ends: standard input is a pipe that only the parent holds."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main(port: int, program: list[str]) -> None:
    principal = "sagemaker.amazonaws.com"
    assume_role = functools.partial(identity.assume_role, principal=principal)
    check_permissions = functools.partial(identity.check_permissions, principal=principal)
    hold = StateHold(Path(os.environ["HOLD"]))
    control = SageMaker(program, assume_role, check_permissions, hold, count_metric)
    notebooks = Notebooks(assume_role, check_permissions, hold, Path(os.environ["TMPDIR"]) / "instances")
    runtime = Runtime(control.endpoints)
    scaling = AutoScaling(control.endpoints, runtime.backlog, hold.folder / "Scaling")
    services = {
        "sagemaker": Service("sagemaker", control, notebooks),
        "application-autoscaling": Service("application-autoscaling", scaling),
        "budgets": Service("budgets", Budgets(hold.folder / "NoBudgets", hold.folder / "Spent", publish_of_budgets)),
    }
    serve(Router(Service("sagemaker-runtime", runtime), [*services.values()], identity.authorize), port)
    register.register(services, control, notebooks, root_client)
    install_extensions()
    threading.Thread(target=exit_with_parent, daemon=True).start()
    sys.argv = ["ministack"]
    try:
        app.main()
    finally:
        for endpoint in list(control.endpoints.values()):
            endpoint.stop()


def install_extensions() -> None:
    """Replace functions of MiniStack."""
    identity.parse_policies_once()
    apigateway.install()
    cloudwatch.install()
    cognito.install()
    descriptions.install()
    kms.install()
    s3_missing.install()
    lambda_logs.install()
    lambda_start.install(os.environ["FUNCTION_PYTHON"])
    log_streams.install()
    conditions.install()
    stack_deletion.StackDeletion().install()
    concurrent_creation.ConcurrentCreation().install()
    ExecutionRoles(Path(os.environ["REGISTRY"])).install()
    assume_role = functools.partial(identity.assume_role, principal="codebuild.amazonaws.com")
    codebuild.install(assume_role, os.environ["HUB_URL"])
    cloudfront.route_to_gateway(int(os.environ["GATEWAY_PORT"]))
    cloudfront.allow_emulated_s3(int(os.environ["GATEWAY_PORT"]))
    ssm._PUBLIC_AMI_PARAMETERS[LAYER] = f"arn:aws:lambda:{REGION}:017000801446:layer:AWSLambdaPowertools:1"
    router._KNOWN_AWS_SERVICE_NAMES = MISSING_SERVICES
    app._port_is_bindable = lambda *_: False  # prevents listening on port 443 too


if __name__ == "__main__":
    os.environ.setdefault("AWS_REGION", REGION)
    main(int(sys.argv[1]), sys.argv[2:])
