"""MiniStack with what it lacks. `python -m emulator PORT PROGRAM...`: the stand-ins' port, the serving program.

The variables of MiniStack (GATEWAY_PORT, AUTH, USE_SSL, ...) come from whoever starts this; see ../cloud.py.
"""

import functools
import os
import sys
from typing import Any

import boto3
from ministack import app

from . import cloudformation, identity
from .autoscaling import AutoScaling
from .inference import Runtime
from .sagemaker import SageMaker
from .service import REGION, Service
from .wire import Gateway, serve


@functools.cache
def root_client(name: str) -> Any:
    return boto3.client(name, region_name=REGION)


def main(port: int, program: list[str]) -> None:
    control = SageMaker(program, functools.partial(identity.act_as, principal="sagemaker.amazonaws.com"))
    sagemaker = Service("sagemaker", control)
    autoscaling = Service("application-autoscaling", AutoScaling(control.endpoints))
    runtime = Service("sagemaker-runtime", Runtime(control.endpoints))
    serve(Gateway(runtime, [sagemaker, autoscaling], identity.authorize), port)
    cloudformation.register(sagemaker, control, autoscaling, root_client)
    app._port_is_bindable = lambda *_: False  # it would listen on 443 as well
    sys.argv = ["ministack"]
    try:
        app.main()
    finally:
        for endpoint in control.endpoints.values():
            endpoint.delete()


if __name__ == "__main__":
    os.environ.setdefault("AWS_REGION", REGION)
    main(int(sys.argv[1]), sys.argv[2:])
