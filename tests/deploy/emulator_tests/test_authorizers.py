"""The emulator's authorizers and API keys, as API Gateway's developer guide describes them. No Easel is deployed."""

import io
import json
import zipfile
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION
from tests.deploy.harness.account import Account
from tests.deploy.harness.environment import set_up

pytestmark = [pytest.mark.xdist_group("gateway_account"), pytest.mark.timeout(900)]

SLOT = "a-value-of-twenty-characters"
CODE = f"""
import json

def backend(event, context):
    context = event["requestContext"]
    body = {{"authorizer": context.get("authorizer"), "identity": context["identity"]}}
    return {{"statusCode": 200, "body": json.dumps(body)}}

calls = 0

def authorize(event, context):
    global calls
    calls += 1
    sent = {{name.lower(): value for name, value in event["headers"].items()}}
    word = sent.get("authorization", "") or sent.get("x-api-key", "")
    if word == "raise":
        raise Exception("Unauthorized")
    statement = {{"Action": "execute-api:Invoke", "Effect": "Deny" if word == "deny" else "Allow", "Resource": "*"}}
    values = {{"calls": calls, **({{"nested": [1]}} if word == "nested" else {{}})}}
    response = {{"principalId": "me", "policyDocument": {{"Statement": [statement]}}, "context": values}}
    return response if word == "uncounted" else {{**response, "usageIdentifierKey": "{SLOT}"}}
"""


TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}],
})  # fmt: skip


class Gateway:
    """A REST API. The results of one authorizer are cached by the header Authorization, those of the other are not."""

    def __init__(self, account: Account) -> None:
        self.account, self.client = account, account.client("apigateway")
        self.api = self.client.create_rest_api(name="api", apiKeySource="AUTHORIZER")["id"]
        self.root = self.client.get_resources(restApiId=self.api)["items"][0]["id"]
        self.role = account.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        self.functions = {name: self._function(name) for name in ("backend", "authorize")}
        self.free = self.authorizer(authorizerResultTtlInSeconds=0)
        self.cached = self.authorizer(
            authorizerResultTtlInSeconds=60, identitySource="method.request.header.Authorization"
        )
        for path, authorizer in (("free", self.free), ("cached", self.cached)):
            self._method(path, authorizer)
        self.client.create_deployment(restApiId=self.api, stageName="v1")
        self._plan()

    def authorizer(self, **options: Any) -> str:
        uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{self.functions['authorize']}/invocations"
        id: str = self.client.create_authorizer(
            restApiId=self.api, name=f"a{len(options)}", type="REQUEST", authorizerUri=uri, **options
        )["id"]
        self.permit(id)
        return id

    def permit(self, authorizer: str, statement: str = "") -> None:
        arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{self.api}/authorizers/{authorizer}"
        self.account.client("lambda").add_permission(
            FunctionName="authorize", StatementId=statement or authorizer, Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com", SourceArn=arn,
        )  # fmt: skip

    def _function(self, name: str) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("functions.py", CODE)
        arn: str = self.account.client("lambda").create_function(
            FunctionName=name, Runtime="python3.13", Handler=f"functions.{name}", Code={"ZipFile": archive.getvalue()},
            Role=self.role,
        )["FunctionArn"]  # fmt: skip
        return arn

    def _method(self, path: str, authorizer: str) -> None:
        target = {"restApiId": self.api, "httpMethod": "GET"}
        target["resourceId"] = self.client.create_resource(restApiId=self.api, parentId=self.root, pathPart=path)["id"]
        self.client.put_method(**target, authorizationType="CUSTOM", authorizerId=authorizer, apiKeyRequired=True)
        uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{self.functions['backend']}/invocations"
        self.client.put_integration(**target, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)

    def _plan(self) -> None:
        key = self.client.create_api_key(name="slot", value=SLOT, enabled=True)["id"]
        plan = self.client.create_usage_plan(name="plan", apiStages=[{"apiId": self.api, "stage": "v1"}])["id"]
        self.client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        connection = HTTPSConnection("127.0.0.1", self.account.port, timeout=60, context=self.account.tls)
        host = {"host": f"{self.api}.execute-api.localhost:{self.account.port}"}
        connection.request("GET", f"/v1/{path}", headers=host | headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    set_up()
    folder: Path = tmp_path_factory.mktemp("gateway")
    with Account(folder) as account:
        yield Gateway(account)


def test_the_authorizer_names_the_key_that_counts(gateway: Gateway) -> None:
    for headers in ({"authorization": "Bearer x"}, {"authorization": "Basic eDp5"}, {"x-api-key": "anything"}, {}):
        status, body = gateway.get("free", **headers)
        assert status == 200, body
        assert (body["identity"]["apiKey"], body["authorizer"]["principalId"]) == (SLOT, "me")


def test_a_caller_without_a_key_that_counts_is_refused(gateway: Gateway) -> None:
    assert gateway.get("free", authorization="uncounted") == (403, {"message": "Forbidden"})
    assert gateway.get("free", **{"authorization": "uncounted", "x-api-key": SLOT})[0] == 403, (
        "the header does not count"
    )


def test_an_exception_is_401_and_a_denial_403(gateway: Gateway) -> None:
    assert gateway.get("free", authorization="raise")[0] == 401
    assert gateway.get("free", authorization="deny")[0] == 403


def test_a_missing_identity_source_is_401_without_a_call(gateway: Gateway) -> None:
    before = gateway.get("free", authorization="x")[1]["authorizer"]["calls"]
    assert gateway.get("cached")[0] == 401
    assert gateway.get("cached", **{"x-api-key": SLOT})[0] == 401
    after = gateway.get("free", authorization="x")[1]["authorizer"]["calls"]
    assert int(after) == int(before) + 1


def test_a_cached_result_counts_by_the_same_key(gateway: Gateway) -> None:
    first, second = (gateway.get("cached", authorization="Bearer x") for _ in range(2))
    assert first == second
    assert first[1]["identity"]["apiKey"] == SLOT


def test_a_context_with_a_list_is_refused(gateway: Gateway) -> None:
    assert gateway.get("free", authorization="nested")[0] == 500


def test_a_cache_needs_an_identity_source(gateway: Gateway) -> None:
    with pytest.raises(ClientError, match="BadRequestException"):
        gateway.authorizer(authorizerResultTtlInSeconds=60)


def test_the_function_must_let_the_gateway_call_it(gateway: Gateway) -> None:
    functions = gateway.account.client("lambda")
    functions.remove_permission(FunctionName="authorize", StatementId=gateway.free)
    assert gateway.get("free", authorization="x")[0] == 500
    gateway.permit(gateway.free)
    assert gateway.get("free", authorization="x")[0] == 200


@pytest.mark.parametrize("value", [SLOT, "x" * 129, "short"])
def test_the_value_of_a_key_is_checked(gateway: Gateway, value: str) -> None:
    with pytest.raises(ClientError):
        gateway.client.create_api_key(name="other", value=value, enabled=True)
