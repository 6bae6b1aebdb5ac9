"""MiniStack with what it lacks. `python -m emulator PORT PROGRAM...`: the stand-ins' port, the serving program.

The variables of MiniStack (GATEWAY_PORT, AUTH, USE_SSL, ...) come from whoever starts this; see ../cloud.py.
"""

import functools
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
from ministack import app
from ministack.services import ssm

from . import builds, cdn, cloudformation, deletion, identity, keys
from .autoscaling import AutoScaling
from .budgets import Budgets
from .fleet import Hold
from .inference import Runtime
from .notebooks import Notebooks
from .sagemaker import SageMaker
from .service import REGION, Service
from .wire import Gateway, serve

LAYER = "/aws/service/powertools/python/x86_64/python3.13/3.37.0"
"""AWS's public parameter with the ARN of a layer that nobody here has: the functions' interpreter has its modules."""


@functools.cache
def root_client(name: str) -> Any:
    return boto3.client(name, region_name=REGION)


def count(metric: str, where: dict[str, str]) -> None:
    """MiniStack asks its alarms each time, and looks at no dimension."""
    dimensions = [{"Name": name, "Value": value} for name, value in where.items()]
    datum = {"MetricName": metric, "Dimensions": dimensions, "Value": 1.0, "Unit": "Count"}
    root_client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])


def end_with_starter() -> None:
    """Standard input is a pipe that only the starter holds."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main(port: int, program: list[str]) -> None:
    principal = "sagemaker.amazonaws.com"
    act_as = functools.partial(identity.act_as, principal=principal)
    permit = functools.partial(identity.permit, principal=principal)
    hold = Hold(Path(os.environ["HOLD"]))
    control = SageMaker(program, act_as, permit, hold, count)
    notebooks = Notebooks(act_as, permit, hold, Path(os.environ["TMPDIR"]) / "instances")
    planes = {
        "sagemaker": Service("sagemaker", control, notebooks),
        "application-autoscaling": Service("application-autoscaling", AutoScaling(control.endpoints)),
        "budgets": Service("budgets", Budgets()),
    }
    runtime = Service("sagemaker-runtime", Runtime(control.endpoints))
    serve(Gateway(runtime, [*planes.values()], identity.authorize), port)
    cloudformation.register(planes, control, notebooks, root_client)
    keys.take_over()
    deletion.Deletions().take_over()
    builds.register(functools.partial(identity.act_as, principal="codebuild.amazonaws.com"), os.environ["HUB_URL"])
    cdn.lead_to_gateway(int(os.environ["GATEWAY_PORT"]))
    ssm._PUBLIC_AMI_PARAMETERS[LAYER] = f"arn:aws:lambda:{REGION}:017000801446:layer:AWSLambdaPowertools:1"
    threading.Thread(target=end_with_starter, daemon=True).start()
    app._port_is_bindable = lambda *_: False  # it would listen on 443 as well
    sys.argv = ["ministack"]
    try:
        app.main()
    finally:
        for endpoint in list(control.endpoints.values()):
            endpoint.end()


if __name__ == "__main__":
    os.environ.setdefault("AWS_REGION", REGION)
    main(int(sys.argv[1]), sys.argv[2:])
