"""HTTP server of the emulated services, and their botocore clients, without an account."""

from collections.abc import Mapping, Sequence
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.deploy.emulator.aws_api.http_server import HttpResponse, Router, serve
from tests.deploy.emulator.aws_api.role_permissions import Permission
from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION, ServiceError

ROLE = f"arn:aws:iam::{ACCOUNT}:role/execution"
COMMON_ERRORS = {"ValidationException", "UnknownOperationException", "AccessDeniedException"}
"""Error codes of every AWS service, whether its model has them or not."""


class EmulatorServer:
    """One port for all tests: creating botocore's clients takes longer than the tests."""

    def __init__(self) -> None:
        self.router: Router | None = None
        self.server = serve(self, 0)  # type: ignore[arg-type]
        names = ("sagemaker", "sagemaker-runtime", "application-autoscaling")
        self.clients = {name: self._client(name) for name in names}

    def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        assert self.router
        return self.router.handle(path, headers, body)

    def _client(self, name: str) -> Any:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        return boto3.client(name, REGION, endpoint_url=url, config=config, **keys)

    def error(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return the error response of a request. Its code must be one that botocore documents for the operation."""
        client = self.clients[service]
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(**parameters)
        response: dict[str, Any] = caught.value.response
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
        assert response["Error"]["Code"] in {shape.name for shape in model.error_shapes} | COMMON_ERRORS
        assert response["Error"]["Message"]
        return response


class Roles:
    """Roles that exist, and actions that they may not do."""

    def __init__(self, session: Any) -> None:
        self.session, self.existing, self.denied = session, {ROLE}, ""
        self.checked = list[tuple[str, str]]()
        self.authorized = list[tuple[str, str]]()

    def assume(self, role: str) -> Any:
        if role not in self.existing:
            raise ServiceError("ValidationException", f"Could not assume role {role}.")
        return self.session

    def check(self, role: str, permissions: Sequence[Permission]) -> None:
        self.checked += [(action, resource.rpartition(":")[2]) for action, resource, _ in permissions]
        if self.denied in {action for action, *_ in permissions}:
            raise ServiceError("ValidationException", f"{role} may not {self.denied}")

    def authorize(
        self, path: str, headers: Mapping[str, str], body: bytes, action: str, resource: str, keys: Mapping[str, str]
    ) -> None:
        self.authorized.append((action, resource.rpartition(":")[2]))
        if action == self.denied:
            raise ServiceError("AccessDeniedException", f"not authorized to perform: {action} on resource: {resource}")
