"""The OpenAPI 3.1 document: requests from the contract's bounds, answers from `views.py`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

import contract
from contract import ERRORS, Bound, ModelProfile, Span
from gateway.problem_details import Problem, View
from routes import views

RECENT = Bound(1, 40)
"""Jobs of one GET /jobs. 40 with the longest prompts fit into one answer."""

ARTICLE = {
    "prompt": ["A cute panda is sitting on the sofa", "a photograph of an astronaut riding a horse"],
    "height": 512,
    "width": 512,
    "num_images_per_prompt": 1,
}
"""An accepted message of examples/, whatever the model."""

_ALWAYS = (401, 403, 404, 405, 429, 500, 502, 503, 504)
"""Any route may meet the gateway's refusals, a wrong path or method, and a failing store or endpoint."""

_VIEWS = (views.Job, views.Jobs, views.Generated, views.Models, views.Health, Problem)
_REF = "#/components/schemas/{model}"
_JOB_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{44}$"},
}
_LIMIT = {
    "name": "limit",
    "in": "query",
    "description": "At most so many jobs",
    "schema": {
        "type": "integer",
        "minimum": RECENT.minimum,
        "maximum": RECENT.maximum,
        "default": RECENT.maximum // 2,
    },
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request gives the same job, however often it is sent",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
}


@cache
def document(profile: ModelProfile) -> dict[str, Any]:
    """True for the model of `profile`."""
    _, schemas = models_json_schema([(view, "serialization") for view in _VIEWS], ref_template=_REF)
    components = {**schemas["$defs"], "GenerationRequest": request_schema(profile)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Easel",
            "version": "1",
            "description": "Text to image. Answers are JSON, whatever Accept says.",
        },
        "security": [{"key": []}, {}],
        "paths": _paths(),
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def request_schema(profile: ModelProfile) -> dict[str, Any]:
    """What `contract.parse_request` takes, short of the budget and of what JSON Schema cannot say."""
    side = Bound(contract.SIDE.minimum, min(contract.SIDE.maximum, profile.max_side))
    prompt = {**_text(contract.PROMPT_CHARS), "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}
    prompts = {"type": "array", "items": prompt, "minItems": contract.PROMPTS.minimum}
    optional = {
        "negative_prompt": {**_text(contract.NEGATIVE_PROMPT_CHARS), "pattern": r"^[^\u0000]*$"},
        "width": {**_integer(side), "multipleOf": contract.SIDE_MULTIPLE},
        "height": {**_integer(side), "multipleOf": contract.SIDE_MULTIPLE},
        "num_images_per_prompt": _integer(contract.IMAGES),
        "num_inference_steps": _integer(contract.STEPS),
        "guidance_scale": _integer(contract.GUIDANCE, "number"),
        "seed": _integer(contract.SEED),
        "scheduler": {"type": "string", "enum": list(profile.schedulers)},
        "output_format": {"type": "string", "enum": list(contract.OUTPUT_FORMATS)},
        "deadline_ms": _integer(contract.DEADLINE_MS),
        **(_starting() if profile.image_to_image else {"init_image": False, "strength": False}),
        "embed_parameters": {"type": "boolean"},
    }
    return {
        "type": "object",
        "description": f"At most {contract.IMAGES.maximum} pictures: prompts x num_images_per_prompt. "
        f"width x height x steps x pictures is at most {profile.budget}; of the steps, those that strength leaves.",
        "properties": {
            "prompt": {"oneOf": [prompt, {**prompts, "maxItems": contract.PROMPTS.maximum}]},
            **{name: {"oneOf": [schema, {"type": "null"}]} for name, schema in optional.items()},
        },
        "allOf": [*_pictures(), _strength()],
        "required": ["prompt"],
        "additionalProperties": False,
        "examples": [ARTICLE],
    }


def _pictures() -> list[dict[str, Any]]:
    """prompts x num_images_per_prompt is bounded, in the words of JSON Schema."""
    most = {n: contract.IMAGES.maximum // n for n in range(1, contract.PROMPTS.maximum + 1)}
    return [
        {
            "if": {"properties": {"prompt": {"type": "array", "minItems": n}}},
            "then": {"properties": {"num_images_per_prompt": {"maximum": most[n]}}},
        }
        for n in range(2, contract.PROMPTS.maximum + 1)
        if most[n] < most[n - 1]
    ]


def _starting() -> dict[str, Any]:
    """What JSON Schema can say of a picture to start from, which is not what is a picture."""
    picture = {
        "type": "string",
        "contentEncoding": "base64",
        "maxLength": 4 * contract.INIT_IMAGE_BYTES // 3,
        "description": "The picture to start from: base64 of a PNG, WebP or JPEG file",
    }
    return {"init_image": picture, "strength": _integer(contract.STRENGTH, "number")}


def _strength() -> dict[str, Any]:
    """strength needs an init_image."""
    given = {"properties": {"strength": {"type": "number"}}, "required": ["strength"]}
    return {"if": given, "then": {"properties": {"init_image": {"type": "string"}}, "required": ["init_image"]}}


def _integer(bound: Bound | Span, kind: str = "integer") -> dict[str, Any]:
    return {"type": kind, "minimum": bound.minimum, "maximum": bound.maximum}


def _text(bound: Bound) -> dict[str, Any]:
    return {"type": "string", "minLength": bound.minimum, "maxLength": bound.maximum}


def _paths() -> dict[str, Any]:
    posting = {"parameters": [_IDEMPOTENCY_KEY], "requestBody": _request_body()}
    bad_post = (400, 409, 413, 415, 422)
    job = {"parameters": [_JOB_ID]}
    return {
        "/generate": {
            "post": {
                **posting,
                **_operation("generate", "Draw and wait", {200: views.Generated, 202: views.Job}, bad_post),
            }
        },
        "/jobs": {
            "post": {**posting, **_operation("submit", "Draw without waiting", {202: views.Job}, bad_post)},
            "get": {"parameters": [_LIMIT], **_operation("recent", "Your newest jobs", {200: views.Jobs}, (400,))},
        },
        "/jobs/{id}": {
            "get": {**job, **_operation("job", "One job", {200: views.Job})},
            "delete": {**job, **_operation("cancel", "Cancel a job that has not started", {200: views.Job}, (409,))},
        },
        "/models": {"get": _operation("models", "What can be asked for", {200: views.Models})},
        "/health": {"get": _operation("health", "Whether a job would be drawn", {200: views.Health})},
        "/openapi.json": {"get": _operation("openapi", "This document", {200: None})},
    }


def _request_body() -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="GenerationRequest")}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _operation(
    name: str, summary: str, answers: Mapping[int, type[View] | None], refusals: tuple[int, ...] = ()
) -> dict[str, Any]:
    told = {str(status): _answer(status, view) for status, view in answers.items()}
    problems = {str(status): _problem(status) for status in sorted({*_ALWAYS, *refusals})}
    return {"operationId": name, "summary": summary, "responses": {**told, **problems}}


def _answer(status: int, view: type[View] | None) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=view.__name__)} if view else {"type": "object"}
    headers = _headers("x-request-id", *(("location", "retry-after") if status == 202 else ()))
    said = (view.__doc__ or "").strip() if view else "OpenAPI 3.1"
    return {"description": said, "headers": headers, "content": {"application/json": {"schema": schema}}}


def _problem(status: int) -> dict[str, Any]:
    codes = [code for code, kind in ERRORS.items() if kind.status == status]
    schema = {"$ref": _REF.format(model="Problem")}
    return {
        "description": "; ".join(f"`{code}`: {ERRORS[code].title}" for code in codes),
        "headers": _headers("x-request-id", "retry-after", "x-should-retry"),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _headers(*names: str) -> dict[str, Any]:
    required = {"x-request-id"}
    return {name: {"required": name in required, "schema": {"type": "string"}} for name in names}
