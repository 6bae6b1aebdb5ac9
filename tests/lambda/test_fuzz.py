"""Any input gets a valid response without 5xx, and nothing invalid reaches the endpoint."""

import json
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
import schemathesis
from fakes import ROOT, UNLIMITED, World, event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi import checks

import contract
from contract import EaselError

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)

ANY_TEXT = st.text(st.characters())  # with unpaired surrogates
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
IMAGES = [
    case["body"]["init_image"]
    for case in json.loads((ROOT / "examples/accepted.json").read_text())
    if "init_image" in case["body"]
]
GOOD = [
    ("prompt", "一只熊猫"), ("prompt", ["a", "b"]), ("width", 64), ("width", 768), ("height", 512), ("seed", None),
    ("num_images_per_prompt", 2), ("num_inference_steps", 1), ("num_inference_steps", 150), ("guidance_scale", 7.5),
    ("guidance_scale", 30), ("seed", 0), ("seed", 2**32 - 1), ("scheduler", "euler"), ("output_format", "webp"),
    ("negative_prompt", ""), ("deadline_ms", 60_000), ("width", None), ("init_image", IMAGES[0]),
    ("init_image", IMAGES[1]), ("embed_parameters", True), ("strength", None), ("mask_image", IMAGES[0]),
    ("mask_mode", "black"), ("mask_blur", 64), ("outpaint", {"left": 64, "top": 64}), ("prompt_syntax", "weighted"),
    ("prompt", "[a] (b:1.3) BREAK c"), ("clip_skip", 12), ("hires", {}), ("hires", {"scale": 1.5, "steps": 3}),
    ("content", "flag"),
]  # fmt: skip
VALUES = ["a", ["a"], 0, 1, 7, 64, 65, 776, 2**32, -1, 1e9, 20.0, True, "", [], {}, None, "\0", "euler ", "x" * 2001]
BAD = [(name, value) for name in [*contract.REQUEST_FIELDS, "steps"] for value in VALUES]


def objects(changes: list[tuple[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(st.sampled_from(changes), max_size=3).map(lambda chosen: {"prompt": "a", **dict(chosen)})


TEXTS = (objects(GOOD) | objects(BAD) | JSON).map(json.dumps)
BODIES = st.lists(TEXTS | TEXTS | TEXTS | st.text() | st.binary(), min_size=10, max_size=10)

WORLD = World(UNLIMITED, auth="none")


def valid(body: str | bytes) -> bool:
    try:
        contract.parse_request(body, UNLIMITED)
    except EaselError:
        return False
    return True


def check_body(body: str | bytes) -> bool:
    """Check that the API accepts exactly what the contract accepts. Return whether it does."""
    WORLD.store.objects.clear()
    WORLD.endpoint.submitted.clear()
    sent = event("POST", "/generate", body if isinstance(body, str) else "")
    if isinstance(body, bytes):
        sent |= {"body": b64encode(body).decode(), "isBase64Encoded": True}
    status, legal = WORLD.send(sent)["statusCode"], valid(body)
    assert status == 200 if legal else 400 <= status < 500
    assert len(WORLD.endpoint.submitted) == legal
    return legal


@pytest.mark.slow
def test_two_thousand_bodies() -> None:
    seen: Counter[bool] = Counter()

    @settings(QUICK, max_examples=200)
    @given(bodies=BODIES)
    def check(bodies: list[str | bytes]) -> None:
        seen.update(map(check_body, bodies))

    check()
    assert seen.total() >= 2000
    assert min(seen[True], seen[False]) > 200, seen


PARTS = st.sampled_from(
    ["httpMethod", "path", "headers", "multiValueHeaders", "requestContext", "body", "isBase64Encoded",
     "queryStringParameters", "multiValueQueryStringParameters", "version", "Records"]
)  # fmt: skip
PATHS = st.sampled_from(["/generate", "/jobs", f"/jobs/{'0' * 44}", "/models", "/health", "/openapi.json", "/"])
EVENTS = st.builds(
    lambda method, path, changes: {**event(method, path, '{"prompt": "a"}'), **changes},
    st.sampled_from(["GET", "POST", "DELETE", "OPTIONS"]) | ANY_TEXT,
    PATHS | ANY_TEXT,
    st.dictionaries(PARTS, JSON, max_size=3),
)


@pytest.mark.slow
@settings(QUICK, max_examples=200)
@given(sent=EVENTS | JSON)
def test_any_event_gets_a_valid_response(sent: Any) -> None:
    WORLD.store.objects.clear()
    WORLD.endpoint.submitted.clear()
    response = WORLD.send(sent)
    assert response["statusCode"] < 500, response["body"]


SHAPES: dict[str, Any] = {
    "warm-up": {},
    "nothing": None,
    "a list": [],
    "HTTP API v2": {"version": "2.0", "rawPath": "/generate", "requestContext": {"http": {"method": "POST"}}},
    "SNS": {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "{}"}}]},
    "SQS": {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
}


@pytest.mark.parametrize("name", SHAPES)
def test_other_events_are_rejected(name: str) -> None:
    response = WORLD.send(SHAPES[name])
    assert (response["statusCode"], json.loads(response["body"])["code"]) == (400, "expected_object")


def test_a_body_that_is_not_a_string_is_rejected() -> None:
    sent = event("POST", "/generate")
    for body, encoded in [({"prompt": "a"}, False), (7, True), ("!!!", True), ("é", True)]:
        response = WORLD.send({**sent, "body": body, "isBase64Encoded": encoded})
        assert (response["statusCode"], json.loads(response["body"])["code"]) == (400, "invalid_json")


def test_an_event_of_a_load_balancer_and_base64_are_accepted() -> None:
    sent = event("POST", "/generate", "eyJwcm9tcHQiOiAiYSJ9")
    del sent["multiValueHeaders"], sent["multiValueQueryStringParameters"]
    sent |= {"isBase64Encoded": True, "requestContext": {"elb": {"targetGroupArn": "x"}}}
    assert WORLD.send(sent)["statusCode"] == 200


def wsgi(world: World) -> Any:
    """Return the API as a WSGI application that calls it like a gateway."""

    def application(environ: Any, start_response: Any) -> Any:
        headers = {k[5:].replace("_", "-"): v for k, v in environ.items() if k.startswith("HTTP_")}
        if "CONTENT_TYPE" in environ:
            headers["content-type"] = environ["CONTENT_TYPE"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        response = world.send(
            {
                "httpMethod": environ["REQUEST_METHOD"],
                "path": environ["PATH_INFO"],
                "headers": headers,
                "multiValueQueryStringParameters": parse_qs(environ["QUERY_STRING"], keep_blank_values=True),
                "body": b64encode(body).decode(),
                "isBase64Encoded": True,
            }
        )
        assert response["statusCode"] < 500, response
        start_response(f"{response['statusCode']} x", list(response["headers"].items()))
        return [response["body"].encode()]

    return application


def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """Skip 20.0 for an integer: JSON Schema accepts it and the contract does not."""
    if not isinstance(body, dict):
        return True
    margins = body.get("outpaint")
    numbers = [body.get(name) for name in INTEGERS] + ([*margins.values()] if isinstance(margins, dict) else [])
    hires = body.get("hires")
    numbers += [hires.get("steps")] if isinstance(hires, dict) else []
    return not any(isinstance(number, float) for number in numbers)


def map_body(context: schemathesis.HookContext | None, body: Any) -> Any:
    """Replace images by valid images, and margins by what fits into the size: a schema cannot describe them."""
    if not isinstance(body, dict):
        return body
    valid = dict(body)
    for name in contract.IMAGE_FIELDS:
        text = body.get(name)
        if isinstance(text, str) and len(text) <= 4 * contract.INIT_IMAGE_BYTES // 3:
            valid[name] = IMAGES[len(text) % 2]
    if is_outpaint(body.get("outpaint")):
        valid |= {"outpaint": {"left": 8, **dict.fromkeys(body["outpaint"], 16)}, "width": 128, "height": 128}
    if isinstance(body.get("hires"), dict):
        valid |= {"width": 128, "height": 128}
    if body.get("prompt_syntax") == "weighted":
        valid |= {"prompt": "a (b:1.3)", "negative_prompt": "[c]"}
    return valid


def is_outpaint(value: Any) -> bool:
    """Return whether the schema accepts a value of outpaint."""
    allowed = range(contract.OUTPAINT.minimum, contract.OUTPAINT.maximum + 1)
    return isinstance(value, dict) and all(
        side in contract.OUTPAINT_SIDES and (margin is None or (type(margin) is int and margin in allowed))
        for side, margin in value.items()
    )


INTEGERS = set(contract.REQUEST_FIELDS) - {"guidance_scale", "strength"}


COMPATIBLE = ("/v1/", "/sdapi/", "/hf/")
LENIENT: list[Any] = [checks.negative_data_rejection, checks.positive_data_acceptance]
"""Compatible APIs accept more than they document, and refuse jobs that are too large as a whole."""


def described(**changes: Any) -> BaseSchema:
    """Return the document of an API. A request's schema has up to four conditions.

    Schemathesis gives up on the product of four: each of the two worlds has three.
    """
    rules = {"rules": changes.pop("rules")} if "rules" in changes else {}
    world = World(replace(UNLIMITED, max_side=512, **changes), auth="none", **rules)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", wsgi(world))
    schema.hook(filter_body)
    schema.hook(map_body)
    return schema


@pytest.fixture
def webhooks(lazy_schemas: None) -> BaseSchema:
    return described(schedulers=("ddim", "dpmpp_2m"))


@pytest.fixture
def few_steps(lazy_schemas: None) -> BaseSchema:
    return described(schedulers=("ddim", "lcm"), rules=None)


# From fixtures: the cases of each operation are written by the worker that runs them, and not while it collects.
with_webhooks, with_few_steps = map(schemathesis.pytest.from_fixture, ("webhooks", "few_steps"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@with_webhooks.parametrize()
@settings(QUICK, max_examples=12)
def test_the_api_matches_its_openapi_document(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(excluded_checks=LENIENT if case.operation.path.startswith(COMPATIBLE) else None)


@pytest.mark.slow
@with_few_steps.include(method="POST", path=["/generate", "/jobs"]).parametrize()
@settings(QUICK, max_examples=20)
def test_a_model_that_allows_few_steps_matches_its_openapi_document(case: schemathesis.Case[Any]) -> None:
    case.body = map_body(None, case.body)  # schemathesis leaves out this hook where it combines fields
    case.call_and_validate()
