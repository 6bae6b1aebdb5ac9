"""The gateway, the functions, and that each may do and is told what its code does and reads."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import handlers
from app import ROOT
from contract import ERRORS, EaselError, ModelProfile, parse_profile
from gateway import events as proxy
from gateway import problem_details
from stacks.api.gateway_responses import SAID
from stacks.api.powertools import VERSION
from tests.stacks.assembly import Assembly

FUNCTION, METHOD = "AWS::Lambda::Function", "AWS::ApiGateway::Method"


def functions(assembly: Assembly) -> dict[str, dict[str, Any]]:
    """Properties of our functions by their handlers."""
    found = (resource["Properties"] for resource in assembly.resources(FUNCTION, "EaselApi").values())
    return {properties["Handler"]: properties for properties in found}


def variables(assembly: Assembly, handler: str) -> dict[str, Any]:
    set_: dict[str, Any] = functions(assembly)[handler]["Environment"]["Variables"]
    return set_


def actions(assembly: Assembly, role: str) -> dict[str, list[str]]:
    """Action to the last parts of what it may touch, of one role."""
    policies = assembly.resources("AWS::IAM::Policy", "EaselApi")
    (policy,) = (resource for id, resource in policies.items() if id.startswith(f"{role}Role"))
    granted: dict[str, list[str]] = {}
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        names = [item["Fn::Join"][1][-1] if "Fn::Join" in item else "itself" for item in resources]
        for action in statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]:
            granted.setdefault(action, []).extend(names)
    return {action: sorted(names) for action, names in granted.items()}


# --- functions -----------------------------------------------------------------------------------


def test_each_mode_has_its_functions(default: Assembly, realtime: Assembly) -> None:
    assert set(functions(default)) == {"handlers.api", "handlers.finalizer"}
    assert set(functions(realtime)) == {"handlers.api", "handlers.runner"}
    for handler in {*functions(default), *functions(realtime)}:
        assert callable(getattr(handlers, handler.removeprefix("handlers.")))


def test_functions_are_told_exactly_what_they_read(default: Assembly, realtime: Assembly) -> None:
    """`lambda/handlers.py` alone reads variables, each by `_variable(environ, name, …)`."""
    read = {
        node.args[1].value
        for node in ast.walk(ast.parse((ROOT / "lambda" / "handlers.py").read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "_variable"
        and isinstance(node.args[1], ast.Constant)
    }
    told = {
        handler: set(variables(assembly, handler))
        for assembly in (default, realtime)
        for handler in functions(assembly)
    }
    assert told["handlers.api"] == read
    assert set(variables(default, "handlers.api")) == read - {"EASEL_RUNNER"}
    assert told["handlers.finalizer"] == {"EASEL_BUCKET"}
    assert told["handlers.runner"] == {"EASEL_BUCKET", "EASEL_ENDPOINT"}


def test_documented_variables_are_the_ones_set(default: Assembly, realtime: Assembly) -> None:
    documented = set(re.findall(r"^\| `(EASEL_\w+)`", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE))
    assert {*variables(default, "handlers.api"), *variables(realtime, "handlers.api")} == documented


@pytest.mark.parametrize("mode", ["default", "realtime"])
def test_the_code_takes_what_it_is_told(mode: str, request: pytest.FixtureRequest) -> None:
    told = variables(request.getfixturevalue(mode), "handlers.api")
    settings = handlers.ApiSettings.read(
        {name: value if isinstance(value, str) else "x" for name, value in told.items()}
    )
    assert isinstance(settings.profile, ModelProfile)
    assert settings.profile == parse_profile(told["EASEL_MODEL_PROFILE"])
    assert (settings.mode, settings.wait_s) == ({"default": "async"}.get(mode, mode), 25)
    assert settings.deadline_ms == {"default": 600_000, "realtime": 55_000}[mode]
    assert settings.ttl_s == {"default": 22_800, "realtime": 600}[mode]


def test_calls_at_once_are_limited_where_asked(default: Assembly, realtime: Assembly) -> None:
    assert "ReservedConcurrentExecutions" not in functions(default)["handlers.api"]
    assert functions(realtime)["handlers.api"]["ReservedConcurrentExecutions"] == 7
    assert "ReservedConcurrentExecutions" not in functions(realtime)["handlers.runner"]


def test_who_waits_waits_longer_than_whom_it_waits_for(default: Assembly) -> None:
    assert {method["Integration"]["TimeoutInMillis"] for method in methods(default, "ANY")} == {29_000}
    assert functions(default)["handlers.api"]["Timeout"] == 28
    assert variables(default, "handlers.api")["EASEL_WAIT_SECONDS"] == "25"


def test_functions_run_the_laptops_powertools(default: Assembly, china: Assembly) -> None:
    assert f"aws-lambda-powertools=={VERSION} " in (ROOT / "requirements-laptop.txt").read_text()
    layers = functions(default)["handlers.api"]["Layers"]
    parameter = default.templates["EaselApi"]["Parameters"][layers[0]["Ref"]]
    assert parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
    assert parameter["Default"] == f"/aws/service/powertools/python/x86_64/python3.13/{VERSION}"
    assert functions(china)["handlers.api"]["Layers"] == [
        "arn:aws-cn:lambda:cn-north-1:498634801083:layer:AWSLambdaPowertoolsPythonV3-python313-x86_64:27"
    ]


def test_the_api_may_do_what_its_code_does(default: Assembly, realtime: Assembly) -> None:
    objects = {
        "s3:PutObject": ["/idempotency/*", "/jobs/*"],
        "s3:DeleteObject": ["/idempotency/*", "/jobs/*/init-image", "/jobs/*/request.json"],
        "s3:ListBucket": ["itself"],
        "sagemaker:DescribeEndpoint": ["itself"],
        "logs:CreateLogStream": ["itself"],
        "logs:PutLogEvents": ["itself"],
    }
    assert actions(default, "Api") == {
        **objects,
        "s3:GetObject": ["/answers/*", "/failures/*", "/idempotency/*", "/jobs/*"],
        "sagemaker:InvokeEndpointAsync": ["itself"],
    }
    assert actions(realtime, "Api") == {
        **objects,
        "s3:GetObject": ["/idempotency/*", "/jobs/*"],
        "lambda:InvokeFunction": ["itself"],
    }


def test_finalizer_and_runner_may_do_what_their_code_does(default: Assembly, realtime: Assembly) -> None:
    common = {
        "s3:PutObject": ["/jobs/*"],
        "s3:ListBucket": ["itself"],
        "logs:CreateLogStream": ["itself"],
        "logs:PutLogEvents": ["itself"],
    }
    lost = {f"sqs:{action}": ["itself"] for action in ("SendMessage", "GetQueueAttributes", "GetQueueUrl")}
    assert actions(default, "Finalizer") == {**common, **lost, "s3:GetObject": ["/answers/*", "/jobs/*"]}
    assert actions(realtime, "Runner") == {
        **common,
        **lost,
        "s3:GetObject": ["/jobs/*"],
        "sagemaker:InvokeEndpoint": ["itself"],
        "sagemaker:DescribeEndpoint": ["itself"],
    }


def test_no_end_of_a_job_is_lost(default: Assembly) -> None:
    subscriptions = [s["Properties"] for s in default.resources("AWS::SNS::Subscription").values()]
    assert len(subscriptions) == 2
    (queue,) = default.resources("AWS::SQS::Queue")
    target = {"Fn::GetAtt": [queue, "Arn"]}
    assert all(s["RedrivePolicy"] == {"deadLetterTargetArn": target} for s in subscriptions)
    invoke = default.only("AWS::Lambda::EventInvokeConfig")
    assert invoke["MaximumRetryAttempts"] == 2
    assert invoke["DestinationConfig"] == {"OnFailure": {"Destination": target}}


def test_a_picture_is_drawn_once_in_realtime(realtime: Assembly) -> None:
    invoke = realtime.only("AWS::Lambda::EventInvokeConfig")
    assert (invoke["MaximumRetryAttempts"], invoke["MaximumEventAgeInSeconds"]) == (0, 300)
    assert "Destination" in invoke["DestinationConfig"]["OnFailure"]


# --- gateway -------------------------------------------------------------------------------------


def methods(assembly: Assembly, verb: str) -> list[dict[str, Any]]:
    found = [resource["Properties"] for resource in assembly.resources(METHOD).values()]
    return [properties for properties in found if properties["HttpMethod"] == verb]


@pytest.mark.parametrize(
    ("variant", "key", "kind"), [("default", True, "NONE"), ("cloud9", False, "AWS_IAM"), ("china", False, "NONE")]
)
def test_who_may_call(variant: str, key: bool, kind: str, request: pytest.FixtureRequest) -> None:
    assembly: Assembly = request.getfixturevalue(variant)
    assert len(methods(assembly, "ANY")) == 2
    for method in methods(assembly, "ANY"):
        assert (method["ApiKeyRequired"], method["AuthorizationType"]) == (key, kind)
    assert bool(assembly.resources("AWS::ApiGateway::ApiKey")) is key
    assert ("ApiKeyCommand" in assembly.outputs("EaselApi")) is key


def test_everybody_is_throttled(default: Assembly, china: Assembly) -> None:
    plan = default.only("AWS::ApiGateway::UsagePlan")
    assert (plan["Throttle"], plan["Quota"]) == (
        {"BurstLimit": 20, "RateLimit": 10},
        {"Limit": 10_000, "Period": "DAY"},
    )
    for assembly in (default, china):
        (settings,) = assembly.only("AWS::ApiGateway::Stage")["MethodSettings"]
        assert (settings["ThrottlingBurstLimit"], settings["ThrottlingRateLimit"]) == (20, 10)


def test_a_preflight_says_what_the_function_would(default: Assembly) -> None:
    for method in methods(default, "OPTIONS"):
        assert (method["ApiKeyRequired"], method["Integration"]["Type"]) == (False, "MOCK")
        (answer,) = method["Integration"]["IntegrationResponses"]
        said = {
            name.removeprefix("method.response.header.").lower(): [part.strip() for part in value.strip("'").split(",")]
            for name, value in answer["ResponseParameters"].items()
        }
        assert said.pop("access-control-allow-origin") == ["*"]
        assert said == {name: [part.strip() for part in value.split(",")] for name, value in proxy.PREFLIGHT.items()}


def test_the_gateways_own_answers_are_errors_of_the_api(default: Assembly) -> None:
    for resource in default.resources("AWS::ApiGateway::GatewayResponse").values():
        properties = resource["Properties"]
        body = json.loads(properties["ResponseTemplates"]["application/json"])
        kind = ERRORS[body["code"]]
        error = EaselError(body["code"], kind.title, hint=body["hint"])
        ours = problem_details.problem(error, body["instance"], "$context.requestId")
        assert body == json.loads(ours.model_dump_json())
        assert properties["StatusCode"] == str(kind.status)
        headers = {
            name.removeprefix("gatewayresponse.header.").lower(): value.strip("'")
            for name, value in properties["ResponseParameters"].items()
        }
        assert headers["content-type"] == problem_details.MEDIA_TYPE
        for name in ("access-control-allow-origin", "cache-control", "x-content-type-options"):
            assert headers[name] == proxy._ALWAYS[name]
        assert problem_details.problem_headers(error).items() <= headers.items()


def test_the_integrations_failures_are_never_to_be_sent_again(default: Assembly) -> None:
    responses = [r["Properties"] for r in default.resources("AWS::ApiGateway::GatewayResponse").values()]
    integration = [r for r in responses if r["ResponseType"].startswith("INTEGRATION_")]
    assert len(integration) == 2
    assert all(r["ResponseParameters"]["gatewayresponse.header.x-should-retry"] == "'false'" for r in integration)
    assert {r["ResponseType"] for r in responses} == {kind.response_type for kind in SAID}


def test_the_outputs_lead_to_the_first_picture(default: Assembly) -> None:
    outputs = default.outputs("EaselApi")
    assert {name for name in outputs if not name.startswith("Publish")} == {"ApiUrl", "ApiKeyCommand", "DashboardName"}
    before, _, where, region, after = outputs["ApiKeyCommand"]["Fn::Join"][1]
    assert (before, where, region) == ("aws apigateway get-api-key --api-key ", " --region ", {"Ref": "AWS::Region"})
    assert after == " --include-value --query value --output text"


def test_only_code_and_the_names_it_reads_are_shipped(default: Assembly) -> None:
    (handlers,) = {f["Code"]["S3Key"] for f in functions(default).values()}
    folder = default.folder / f"asset.{Path(handlers).stem}"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"handlers.py", "vocabulary.json"} <= names
    assert all(name.endswith(".py") for name in names - {"vocabulary.json"}), names
