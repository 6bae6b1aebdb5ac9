"""AWS for tests: botocore checks what is asked and answered by its own models, and nothing leaves the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import botocore.session
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from botocore.validate import validate_parameters

from easel.cloud.account import Account

REGION = "eu-west-1"
ACCOUNT = "123456789012"
LOADER = create_loader()
"""Keeps the models of the services for all tests."""

Answer = dict[str, Any] | Exception | Callable[[dict[str, Any]], Any]


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "")


class FakeAws:
    """`answers["service.Operation"]`: an answer, an exception, or a function of what was asked. No others."""

    def __init__(self, **answers: Answer) -> None:
        self.answers: dict[str, Answer] = dict(answers)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.session = self.plain_session()
        self.session.events.register("provide-client-params.*.*", self._remember)
        self.session.events.register("before-call.*.*", self._answer)

    @staticmethod
    def plain_session() -> boto3.Session:
        core = botocore.session.get_session()
        core.register_component("data_loader", LOADER)
        return boto3.Session(aws_access_key_id="fake", aws_secret_access_key="fake", botocore_session=core)

    def account(self, region: str = REGION) -> Account:
        return Account(self.session, region)

    def calls(self, name: str) -> list[dict[str, Any]]:
        return [asked for called, asked in self.requests if called == name]

    def _remember(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.requests.append((_name(model), params))

    def _answer(self, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        name = _name(model)
        assert name in self.answers, f"nobody expected {name}"
        answer = self.answers[name]
        if callable(answer):
            answer = answer(self.requests[-1][1])
        if isinstance(answer, ClientError):
            raise ClientError(answer.response, model.name)
        if isinstance(answer, Exception):
            raise answer
        if model.output_shape:
            validate_parameters(answer, model.output_shape)
        return Done(), {"ResponseMetadata": {}, **answer}


class Done:
    """The HTTP response behind an answer."""

    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012


def _name(model: Any) -> str:
    return f"{model.service_model.service_name}.{model.name}"
