"""A fake AWS: botocore validates requests and responses against its own models, and nothing leaves the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import botocore.session
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from botocore.validate import validate_parameters

from easel.cloud.account import Account
from stacks.config.names import DEFAULT, Names

REGION = "eu-west-1"
ACCOUNT = "123456789012"
LOADER = create_loader()
"""Caches the service models for all tests."""

FakeResponse = dict[str, Any] | Exception | Callable[[dict[str, Any]], Any]


def client_error(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "")


class FakeAws:
    """An AWS with prepared responses. A call without one fails the test.

    `responses["service.Operation"]` is a response, an exception, or a function of the request that returns either.
    `requests` has all requests, in order.
    """

    def __init__(self, **responses: FakeResponse) -> None:
        self.responses: dict[str, FakeResponse] = dict(responses)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.session = self.plain_session()
        self.session.events.register("provide-client-params.*.*", self._record)
        self.session.events.register("before-call.*.*", self._respond)

    @staticmethod
    def plain_session() -> boto3.Session:
        core = botocore.session.get_session()
        core.register_component("data_loader", LOADER)
        return boto3.Session(aws_access_key_id="fake", aws_secret_access_key="fake", botocore_session=core)

    def account(self, region: str = REGION, names: Names = DEFAULT) -> Account:
        return Account(self.session, region, names)

    def calls(self, name: str) -> list[dict[str, Any]]:
        """Return the requests of one operation."""
        return [request for called, request in self.requests if called == name]

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.requests.append((_operation(model), params))

    def _respond(self, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        name = _operation(model)
        assert name in self.responses, f"the test has no response for {name}"
        response = self.responses[name]
        if callable(response):
            response = response(self.requests[-1][1])
        if isinstance(response, ClientError):
            raise ClientError(response.response, model.name)
        if isinstance(response, Exception):
            raise response
        if model.output_shape:
            validate_parameters(response, model.output_shape)
        return HttpResponse(), {"ResponseMetadata": {}, **response}


class HttpResponse:
    """The HTTP response that botocore expects beside the parsed one."""

    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012


def _operation(model: Any) -> str:
    return f"{model.service_model.service_name}.{model.name}"
