"""API Gateway: who may call, limits, its own responses, and the outputs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from contract import ERRORS, EaselError
from easel.laptop.gateway.access import challenge
from gateway import callers, events, problem_details
from stacks.api.gateway_responses import KEY_RESPONSES, RESPONSES
from stacks.config.names import USAGE_SLOTS
from tests.stacks.assembly import Assembly


def methods(assembly: Assembly, verb: str) -> list[dict[str, Any]]:
    found = [resource["Properties"] for resource in assembly.resources("AWS::ApiGateway::Method").values()]
    return [properties for properties in found if properties["HttpMethod"] == verb]


@pytest.mark.parametrize(
    ("variant", "key", "kind"), [("default", True, "CUSTOM"), ("cloud9", False, "AWS_IAM"), ("china", False, "NONE")]
)
def test_api_auth_decides_who_may_call(variant: str, key: bool, kind: str, request: pytest.FixtureRequest) -> None:
    assembly: Assembly = request.getfixturevalue(variant)
    assert len(methods(assembly, "ANY")) == 2
    for method in methods(assembly, "ANY"):
        assert (method["ApiKeyRequired"], method["AuthorizationType"]) == (key, kind)
    source = assembly.only("AWS::ApiGateway::RestApi").get("ApiKeySourceType")
    assert source == ("AUTHORIZER" if key else None)
    assert bool(assembly.resources("AWS::ApiGateway::Authorizer")) is key
    assert bool(assembly.resources("AWS::ApiGateway::ApiKey")) is key
    assert ("ApiKeyCommand" in assembly.outputs("EaselApi")) is key
    (auth,) = {
        function["Properties"]["Environment"]["Variables"]["EASEL_AUTH"]
        for function in assembly.resources("AWS::Lambda::Function", "EaselApi").values()
        if function["Properties"]["Handler"] == "handlers.api"
    }
    assert auth == ("key" if key else "iam" if kind == "AWS_IAM" else "none")
    assert auth in callers.AUTH


def test_the_gateway_decompresses_requests_of_any_size(default: Assembly) -> None:
    """Without it a gzip body, which is not UTF-8, reaches the function damaged."""
    assert default.only("AWS::ApiGateway::RestApi")["MinimumCompressionSize"] == 0


def test_metrics_count_no_other_api_of_the_account(default: Assembly) -> None:
    """CloudWatch knows an API by its name, and "Api", the default, is a name that others have as well."""
    assert default.only("AWS::ApiGateway::RestApi")["Name"] == "EaselApi"
    (dashboard,) = default.properties("AWS::CloudWatch::Dashboard")
    text = json.dumps([dashboard, default.properties("AWS::CloudWatch::Alarm", "EaselApi")]).replace("\\", "")
    counted = re.findall(r'"ApiName", ?"(Easel)?|"Name": "ApiName", "Value": "(Easel)?', text)
    assert len(counted) > 1
    assert all("Easel" in names for names in counted)


def test_all_callers_are_throttled(default: Assembly, china: Assembly) -> None:
    plan = default.only("AWS::ApiGateway::UsagePlan")
    assert (plan["Throttle"], plan["Quota"]) == (
        {"BurstLimit": 20, "RateLimit": 10},
        {"Limit": 10_000, "Period": "DAY"},
    )
    for assembly in (default, china):
        (settings,) = assembly.only("AWS::ApiGateway::Stage")["MethodSettings"]
        assert (settings["ThrottlingBurstLimit"], settings["ThrottlingRateLimit"]) == (20, 10)


def test_every_key_is_in_the_plan(default: Assembly) -> None:
    """The gateway refuses a key that is in no plan."""
    keys = default.resources("AWS::ApiGateway::ApiKey")
    members = {item["KeyId"]["Ref"] for item in default.properties("AWS::ApiGateway::UsagePlanKey")}
    assert members == set(keys)
    values = [item["Properties"].get("Value") for item in keys.values()]
    assert values.count(None) == 1, "the stack's own key has a value of the gateway"
    ends = [value["Fn::Join"][1][-1] for value in values if value]
    assert ends == [f"-{i}" for i in range(USAGE_SLOTS)]
    assert not any("StageKeys" in item["Properties"] for item in keys.values()), "a circle of references"


def test_the_authorizer_runs_for_each_request(default: Assembly) -> None:
    """A cache would let a revoked key work, and needs a header that all clients send."""
    authorizer = default.only("AWS::ApiGateway::Authorizer")
    assert (authorizer["Type"], authorizer["AuthorizerResultTtlInSeconds"]) == ("REQUEST", 0)
    assert "IdentitySource" not in authorizer


def test_a_401_has_a_challenge_for_a_password_for_clients_of_automatic1111(default: Assembly, cloud9: Assembly) -> None:
    def challenges(assembly: Assembly) -> dict[str, str]:
        responses = assembly.properties("AWS::ApiGateway::GatewayResponse")
        name = "gatewayresponse.header.WWW-Authenticate"
        return {r["ResponseType"]: r["ResponseParameters"][name] for r in responses if name in r["ResponseParameters"]}

    assert challenges(default) == {
        "UNAUTHORIZED": "'Basic realm=\"Easel\"'",
        "ACCESS_DENIED": "'Bearer realm=\"Easel\"'",
    }
    assert challenges(cloud9) == {}
    assert challenge("/sdapi/v1/txt2img") == challenges(default)["UNAUTHORIZED"].strip("'")
    assert challenge("/hf/text-to-image") == challenges(default)["UNAUTHORIZED"].strip("'")
    assert challenge("/jobs") == challenges(default)["ACCESS_DENIED"].strip("'")


def test_a_preflight_has_the_headers_of_the_function(default: Assembly) -> None:
    for method in methods(default, "OPTIONS"):
        assert (method["ApiKeyRequired"], method["Integration"]["Type"]) == (False, "MOCK")
        assert method["Integration"]["ContentHandling"] == "CONVERT_TO_TEXT"
        (response,) = method["Integration"]["IntegrationResponses"]
        headers = {
            name.removeprefix("method.response.header.").lower(): [part.strip() for part in value.strip("'").split(",")]
            for name, value in response["ResponseParameters"].items()
        }
        assert headers.pop("access-control-allow-origin") == ["*"]
        expected = {name: [part.strip() for part in value.split(",")] for name, value in events.PREFLIGHT.items()}
        assert headers == expected


def test_forms_and_images_pass_as_bytes(each: Assembly) -> None:
    assert each.only("AWS::ApiGateway::RestApi")["BinaryMediaTypes"] == ["*/*"]


def test_the_gateways_own_responses_are_errors_of_the_api(default: Assembly) -> None:
    for resource in default.resources("AWS::ApiGateway::GatewayResponse").values():
        properties = resource["Properties"]
        body = json.loads(properties["ResponseTemplates"]["application/json"])
        kind = ERRORS[body["code"]]
        error = EaselError(body["code"], kind.title, hint=body["hint"])
        problem = problem_details.problem(error, body["instance"], "$context.requestId")
        plain = {"error": f"{kind.title}. {body['hint']}"} if properties["ResponseType"] == "UNAUTHORIZED" else {}
        assert body == json.loads(problem.model_dump_json()) | plain
        assert properties["StatusCode"] == str(kind.status)
        headers = {
            name.removeprefix("gatewayresponse.header.").lower(): value.strip("'")
            for name, value in properties["ResponseParameters"].items()
        }
        assert headers["content-type"] == problem_details.MEDIA_TYPE
        for name in ("access-control-allow-origin", "cache-control", "x-content-type-options"):
            assert headers[name] == events._COMMON_HEADERS[name]
        assert problem_details.problem_headers(error).items() <= headers.items()


def test_a_failed_integration_is_not_to_be_retried(default: Assembly) -> None:
    responses = [r["Properties"] for r in default.resources("AWS::ApiGateway::GatewayResponse").values()]
    integration = [r for r in responses if r["ResponseType"].startswith("INTEGRATION_")]
    assert len(integration) == 2
    assert all(r["ResponseParameters"]["gatewayresponse.header.x-should-retry"] == "'false'" for r in integration)
    assert {r["ResponseType"] for r in responses} == {kind.response_type for kind in (*RESPONSES, *KEY_RESPONSES)}


def test_the_outputs_are_all_that_a_first_request_needs(default: Assembly) -> None:
    outputs = default.outputs("EaselApi")
    assert {name for name in outputs if not name.startswith("Exports")} == {"ApiUrl", "ApiKeyCommand", "DashboardName"}
    before, _, option, region, after = outputs["ApiKeyCommand"]["Fn::Join"][1]
    assert (before, option, region) == ("aws apigateway get-api-key --api-key ", " --region ", {"Ref": "AWS::Region"})
    assert after == " --include-value --query value --output text"
