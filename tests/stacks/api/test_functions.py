"""The functions of lambda/: each has exactly the variables and permissions that its code uses."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import authorizer
import handlers
from app import ROOT
from contract import parse_profile
from gateway.events import GATEWAY_TIMEOUT_S
from routes.generations import RESERVE_S
from stacks.api.models_layer import FILE
from stacks.config.names import USAGE_SLOT
from stacks.config.powertools import PYTHON, VERSION
from stacks.config.prices import USD_PER_HOUR
from tests.stacks.assembly import Assembly

FUNCTION, METHOD = "AWS::Lambda::Function", "AWS::ApiGateway::Method"


ACCOUNTS = {"dynamodb:Query": ["itself"], "dynamodb:UpdateItem": ["itself"]}


def functions(assembly: Assembly) -> dict[str, dict[str, Any]]:
    """Return handler to properties of the API stack's functions."""
    found = (resource["Properties"] for resource in assembly.resources(FUNCTION, "EaselApi").values())
    return {properties["Handler"]: properties for properties in found}


def variables(assembly: Assembly, handler: str) -> dict[str, Any]:
    environment: dict[str, Any] = functions(assembly)[handler]["Environment"]["Variables"]
    return environment


def actions(assembly: Assembly, function: str) -> dict[str, list[str]]:
    """Return what a function's role may do: action to the ends of the ARNs, "itself" for an ARN of a resource."""
    policies = assembly.resources("AWS::IAM::Policy", "EaselApi")
    (policy,) = (resource for id, resource in policies.items() if id.startswith(f"Functions{function}Role"))
    granted: dict[str, list[str]] = {}
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        names = [item["Fn::Join"][1][-1] if "Fn::Join" in item else end_of_arn(item) for item in resources]
        for action in statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]:
            granted.setdefault(action, []).extend(names)
    return {action: sorted(set(names)) for action, names in granted.items()}


def test_each_mode_has_its_functions(default: Assembly, realtime: Assembly) -> None:
    assert set(functions(default)) == {"handlers.api", "handlers.finalizer", "authorizer.handler"}
    assert set(functions(realtime)) == {"handlers.api", "handlers.runner", "authorizer.handler"}
    for handler in {*functions(default), *functions(realtime)}:
        module, _, name = handler.partition(".")
        assert callable(getattr({"handlers": handlers, "authorizer": authorizer}[module], name))


def test_functions_have_exactly_the_variables_that_they_read(
    default: Assembly, realtime: Assembly, own: Assembly
) -> None:
    """Only `lambda/handlers.py` reads variables, each with `_variable(environ, name, …)`."""
    read = {
        node.args[1].value
        for node in ast.walk(ast.parse((ROOT / "lambda" / "handlers.py").read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "_variable"
        and isinstance(node.args[1], ast.Constant)
    }
    queue, service = {"EASEL_WEBHOOK_QUEUE"}, {"POWERTOOLS_SERVICE_NAME"}
    stored = {"EASEL_BUCKET", "EASEL_ACCOUNTS"}
    optional = {"EASEL_STOP_MARKER", *queue}
    assert set(variables(default, "handlers.api")) == service | read - optional - {"EASEL_RUNNER"}
    assert set(variables(realtime, "handlers.api")) == service | read - optional
    assert set(variables(default, "handlers.finalizer")) == service | stored
    assert set(variables(realtime, "handlers.runner")) == service | stored | {"EASEL_MODELS"}
    traced = service | {"EASEL_TRACING"}
    assert set(variables(own, "handlers.api")) == traced | read
    assert set(variables(own, "handlers.runner")) == traced | stored | {"EASEL_MODELS"} | queue
    assert set(variables(own, "handlers.webhooks")) == traced | queue | {
        "EASEL_BUCKET", "EASEL_MODE", "EASEL_MODELS",
    }  # fmt: skip
    text = (ROOT / "lambda" / "authorizer.py").read_text()
    authorizing = set(re.findall(r'"(EASEL_\w+)"', text))
    sign_in = {name for name in authorizing if "SIGN_IN" in name} | {"EASEL_USER_IMAGES_A_DAY", "EASEL_USAGE_SLOTS"}
    assert set(variables(default, "authorizer.handler")) == service | authorizing - sign_in
    assert set(variables(own, "authorizer.handler")) == service | authorizing


def models_of(assembly: Assembly) -> list[dict[str, Any]]:
    """Return the models in the layer's file."""
    (layer,) = assembly.resources("AWS::Lambda::LayerVersion", "EaselApi").values()
    key = layer["Properties"]["Content"]["S3Key"].partition(".")[0]
    file = assembly.folder / f"asset.{key}" / "python" / FILE
    models: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["models"]
    return models


def test_the_price_of_an_hour_is_that_of_the_most_expensive_type(default: Assembly, cloud9: Assembly) -> None:
    assert models_of(default)[0]["usd_per_hour"] == USD_PER_HOUR["ml.g4dn.xlarge"]
    assert models_of(cloud9)[0]["usd_per_hour"] == float(f"{USD_PER_HOUR['ml.g6.xlarge']:.4g}")


def test_functions_have_the_layer_of_the_models_if_they_read_it(own: Assembly, default: Assembly) -> None:
    for assembly in (own, default):
        for handler, properties in functions(assembly).items():
            layers = [str(layer) for layer in properties.get("Layers", ())]
            has_layer = any("FunctionsModels" in layer for layer in layers)
            assert has_layer is ("EASEL_MODELS" in properties["Environment"]["Variables"]), handler


def test_the_documented_variables_are_set(own: Assembly) -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    cells = re.findall(r"^\| (`EASEL_[^|]+) \|", page, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    names = {*variables(own, "handlers.api"), *variables(own, "authorizer.handler")}
    assert names - {"POWERTOOLS_SERVICE_NAME"} | {"EASEL_MODEL_PROFILE"} == documented


def test_tracing_is_on_with_its_permissions_or_leaves_no_trace(own: Assembly, default: Assembly) -> None:
    traces = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    for function, handler in {"Api": "handlers.api", "Runner": "handlers.runner"}.items():
        assert functions(own)[handler]["TracingConfig"] == {"Mode": "Active"}
        assert set(traces) <= actions(own, function).keys()
    assert own.only("AWS::ApiGateway::Stage")["TracingEnabled"] is True
    assert "xray:" not in str(default.templates)
    assert not any("TracingConfig" in properties for properties in functions(default).values())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "realtime"])
def test_the_code_accepts_its_variables(
    mode: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly = request.getfixturevalue(mode)
    environment = variables(assembly, "handlers.api")
    file = tmp_path / environment["EASEL_MODELS"]
    file.write_text(json.dumps({"models": models_of(assembly)}))
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = handlers.ApiSettings.read(
        {name: value if isinstance(value, str) else "x" for name, value in environment.items()}
    )
    (model,) = settings.models
    assert model.profile == parse_profile(json.dumps(models_of(assembly)[0]["profile"]))
    assert model.endpoint.startswith(f"easel-{settings.mode}")
    assert (settings.mode, settings.wait_s) == ({"default": "async"}.get(mode, mode), 25)
    assert settings.deadline_ms == {"default": 600_000, "realtime": 55_000}[mode]
    assert settings.ttl_s == {"default": 22_800, "realtime": 600}[mode]


def test_concurrency_is_reserved_for_the_api_if_it_is_set(default: Assembly, realtime: Assembly) -> None:
    assert "ReservedConcurrentExecutions" not in functions(default)["handlers.api"]
    assert functions(realtime)["handlers.api"]["ReservedConcurrentExecutions"] == 7
    assert "ReservedConcurrentExecutions" not in functions(realtime)["handlers.runner"]


def test_each_timeout_is_longer_than_the_next(default: Assembly) -> None:
    methods = [method["Properties"] for method in default.resources(METHOD).values()]
    calls = [method for method in methods if method["HttpMethod"] == "ANY"]
    assert {method["Integration"]["TimeoutInMillis"] for method in calls} == {29_000}
    assert functions(default)["handlers.api"]["Timeout"] == 28
    assert variables(default, "handlers.api")["EASEL_WAIT_SECONDS"] == "25"
    assert (GATEWAY_TIMEOUT_S, RESERVE_S) == (29, 28 - 25)


def test_functions_run_the_laptops_powertools(default: Assembly, china: Assembly) -> None:
    assert f"aws-lambda-powertools=={VERSION} " in (ROOT / "requirements-laptop.txt").read_text()
    assert {function["Runtime"] for function in functions(default).values()} == {PYTHON}
    assert "Layers" not in functions(default)["authorizer.handler"], "each request would wait for its import"
    parameters = default.templates["EaselApi"]["Parameters"]
    layers = [layer["Ref"] for layer in functions(default)["handlers.api"]["Layers"]]
    (parameter,) = (parameters[name] for name in layers if name in parameters)
    assert parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
    assert parameter["Default"] == f"/aws/service/powertools/python/x86_64/python3.13/{VERSION}"
    powertools = "arn:aws-cn:lambda:cn-north-1:498634801083:layer:AWSLambdaPowertoolsPythonV3-python313-x86_64:27"
    assert powertools in functions(china)["handlers.api"]["Layers"]


def end_of_arn(resource: Any) -> str:
    """Return the end of an ARN that is a text, with the colon before it."""
    return f":{resource.rpartition(':')[2]}" if isinstance(resource, str) else "itself"


def endpoint_arn(assembly: Assembly) -> list[str]:
    return [f":endpoint/{assembly.only('AWS::SageMaker::Endpoint')['EndpointName']}"]


def test_the_api_may_do_what_its_code_does(default: Assembly, realtime: Assembly) -> None:
    common = {
        "s3:PutObject": ["/idempotency/*", "/jobs/*"],
        "s3:DeleteObject": [
            "/idempotency/*",
            "/jobs/*/control-images",
            "/jobs/*/init-image",
            "/jobs/*/input-images",
            "/jobs/*/mask-image",
            "/jobs/*/request.json",
        ],
        "s3:ListBucket": ["itself"],
        "logs:CreateLogStream": ["itself"],
        "logs:PutLogEvents": ["itself"],
        **ACCOUNTS,
    }
    assert actions(default, "Api") == {
        **common,
        "sagemaker:DescribeEndpoint": endpoint_arn(default),
        "s3:GetObject": ["/async-failures/*", "/async-output/*", "/idempotency/*", "/jobs/*"],
        "sagemaker:InvokeEndpointAsync": endpoint_arn(default),
    }
    assert actions(realtime, "Api") == {
        **common,
        "sagemaker:DescribeEndpoint": endpoint_arn(realtime),
        "s3:GetObject": ["/idempotency/*", "/jobs/*"],
        "lambda:InvokeFunction": ["itself"],
    }


def test_the_authorizer_may_read_one_key_and_the_table(default: Assembly) -> None:
    policies = default.resources("AWS::IAM::Policy", "EaselApi")
    (policy,) = (resource for id, resource in policies.items() if "Authorizer" in id)
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    granted = {item["Action"]: item["Resource"] for item in statements if isinstance(item["Action"], str)}
    (key,) = (id for id, item in default.resources("AWS::ApiGateway::ApiKey").items() if USAGE_SLOT not in id)
    assert granted.keys() == {"apigateway:GET", "dynamodb:GetItem"}
    assert granted["apigateway:GET"]["Fn::Join"][1][-2:] == ["::/apikeys/", {"Ref": key}]


def test_finalizer_and_runner_may_do_what_their_code_does(default: Assembly, realtime: Assembly) -> None:
    common = {
        "s3:PutObject": ["/jobs/*"],
        "s3:ListBucket": ["itself"],
        "logs:CreateLogStream": ["itself"],
        "logs:PutLogEvents": ["itself"],
        **ACCOUNTS,
    }
    send = {f"sqs:{action}": ["itself"] for action in ("SendMessage", "GetQueueAttributes", "GetQueueUrl")}
    assert actions(default, "Finalizer") == {**common, **send, "s3:GetObject": ["/async-output/*", "/jobs/*"]}
    assert actions(realtime, "Runner") == {
        **common,
        **send,
        "s3:GetObject": ["/jobs/*"],
        "sagemaker:InvokeEndpoint": endpoint_arn(realtime),
        "sagemaker:DescribeEndpoint": endpoint_arn(realtime),
    }


def test_events_that_cannot_be_handled_go_to_the_queue(default: Assembly) -> None:
    subscriptions = [s["Properties"] for s in default.resources("AWS::SNS::Subscription").values()]
    assert len(subscriptions) == 2
    (queue,) = default.resources("AWS::SQS::Queue")
    target = {"Fn::GetAtt": [queue, "Arn"]}
    assert all(s["RedrivePolicy"] == {"deadLetterTargetArn": target} for s in subscriptions)
    invoke = default.only("AWS::Lambda::EventInvokeConfig")
    assert invoke["MaximumRetryAttempts"] == 2
    assert invoke["DestinationConfig"] == {"OnFailure": {"Destination": target}}


def test_the_runner_is_never_retried(realtime: Assembly) -> None:
    invoke = realtime.only("AWS::Lambda::EventInvokeConfig")
    assert (invoke["MaximumRetryAttempts"], invoke["MaximumEventAgeInSeconds"]) == (0, 300)
    assert "Destination" in invoke["DestinationConfig"]["OnFailure"]


def test_only_code_and_its_data_are_shipped(default: Assembly) -> None:
    (key,) = {function["Code"]["S3Key"] for function in functions(default).values()}
    folder = default.folder / f"asset.{Path(key).stem}"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"handlers.py", "vocabulary.json"} <= names
    assert all(name.endswith(".py") for name in names - {"vocabulary.json"}), names
