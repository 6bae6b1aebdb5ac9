"""Where botocore finds the stand-ins, without an account around them."""

from typing import Any

import boto3
from botocore.config import Config

from tests.deploy.emulator.service import REGION
from tests.deploy.emulator.wire import serve


class Door:
    """One port for all tests: making botocore's clients takes longer than the tests."""

    def __init__(self) -> None:
        self.gateway: Any = None
        self.server = serve(self, 0)  # type: ignore[arg-type]
        self.clients = {
            name: self.client(name) for name in ("sagemaker", "sagemaker-runtime", "application-autoscaling")
        }

    def answer(self, *request: Any) -> Any:
        return self.gateway.answer(*request)

    def client(self, name: str) -> Any:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        once = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        return boto3.client(name, REGION, endpoint_url=url, config=once, **keys)
