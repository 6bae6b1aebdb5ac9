"""The OpenAPI 3.1 document of all APIs, and the native API's part: requests from the bounds in `contract.py`, responses
from `views.py`. It is imported when the document is requested."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

import contract
from contract import ERRORS, Bound, FloatBound, ModelProfile
from gateway.problem_details import Problem, View
from routes import views
from routes.api import Api, Documentation
from routes.apis import APIS
from routes.job_views import JOBS_LIMIT

EXAMPLE = {
    "prompt": ["A cute panda is sitting on the sofa", "a photograph of an astronaut riding a horse"],
    "height": 512,
    "width": 512,
    "num_images_per_prompt": 1,
}
"""The request of the article that Easel is based on. Also in `examples/accepted.json`."""

_EVERYWHERE = (401, 403, 404, 405, 429, 500, 502, 503, 504)
"""Errors of every route: rejected by the gateway, wrong path or method, or a failure of the store or endpoint."""

_VIEWS = (views.Job, views.Jobs, views.Generated, views.Models, views.Health, views.Usage, views.WebhookSecret, Problem)
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
    "description": "Largest number of jobs",
    "schema": {
        "type": "integer",
        "minimum": JOBS_LIMIT.minimum,
        "maximum": JOBS_LIMIT.maximum,
        "default": JOBS_LIMIT.maximum // 2,
    },
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Requests with the same key and body return the same job",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
}


@cache
def document(
    profiles: tuple[ModelProfile, ...],
    webhook_events: tuple[str, ...] = contract.WEBHOOK_EVENTS,
    apis: tuple[type[Api], ...] = APIS,
) -> dict[str, Any]:
    """Return the document for these models, the default first, and a service that sends webhooks of these events."""
    parts = [api.documentation(profiles[0], webhook_events) for api in reversed(apis)]
    schemas = {name: schema for part in parts for name, schema in part.schemas.items()}
    if len(profiles) > 1:
        schemas["GenerationRequest"] = _any_model(profiles, webhook_events)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Easel",
            "version": "1",
            "description": "Text to image. Responses are JSON whatever the Accept header is.",
        },
        "security": [{"key": []}, {"bearer": []}, {"basic": []}, {}],
        "paths": {path: item for part in parts for path, item in part.paths.items()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "The API key is the password"},
            },
        },
    }


def native(profile: ModelProfile, webhook_events: tuple[str, ...]) -> Documentation:
    """Return the native API's part."""
    _, schemas = models_json_schema([(view, "serialization") for view in _VIEWS], ref_template=_REF)
    components = {**schemas["$defs"], "GenerationRequest": request_schema(profile, webhook_events)}
    return Documentation(_paths(), components)


def request_schema(profile: ModelProfile, webhook_events: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of what a request may contain, except rules that JSON Schema cannot express."""
    side = Bound(contract.SIDE.minimum, min(contract.SIDE.maximum, profile.max_side))
    steps = {name: contract.steps_bound(profile, name) for name in profile.schedulers}
    prompt = {**_text(contract.PROMPT_CHARS), "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}
    prompts = {"type": "array", "items": prompt, "minItems": contract.PROMPTS.minimum}
    optional = {
        "negative_prompt": {**_text(contract.NEGATIVE_PROMPT_CHARS), "pattern": r"^[^\u0000]*$"},
        "width": {**_number(side), "multipleOf": contract.SIDE_MULTIPLE},
        "height": {**_number(side), "multipleOf": contract.SIDE_MULTIPLE},
        "num_images_per_prompt": _number(contract.IMAGES),
        "num_inference_steps": _number(max(steps.values(), key=lambda bound: bound.maximum)),
        "guidance_scale": _number(contract.GUIDANCE, "number"),
        "seed": _number(contract.SEED),
        "scheduler": {"type": "string", "enum": list(profile.schedulers)},
        "output_format": {"type": "string", "enum": list(contract.OUTPUT_FORMATS)},
        "deadline_ms": _number(contract.DEADLINE_MS),
        **_files(profile),
        "embed_parameters": {"type": "boolean"},
        **_choices(profile),
        **_about_prompts(profile, steps),
        **(_webhook(webhook_events) if webhook_events else dict.fromkeys(contract.WEBHOOK_FIELDS, False)),
    }
    return {
        "type": "object",
        "description": _budget(profile),
        "properties": {
            "prompt": {"oneOf": [prompt, {**prompts, "maxItems": contract.PROMPTS.maximum}]},
            **{name: {"oneOf": [schema, {"type": "null"}]} for name, schema in optional.items()},
        },
        "allOf": [
            *(_limit_images(), *_limit_steps(profile.scheduler, steps)),
            *((_needs_init_image(),) if profile.image_to_image else ()),
            *([_needs_webhook()] if webhook_events else []),
        ],
        "required": ["prompt"],
        "additionalProperties": False,
        "examples": [EXAMPLE],
    }


def _choices(profile: ModelProfile) -> dict[str, Any]:
    """Return the schemas of the model, and of what it brings along."""
    model = {"type": "string", "enum": [profile.id], "description": "Id of a model of GET /models"}
    return {"model": model, "loras": _loras(profile), "control": _control(profile)}


def _any_model(profiles: tuple[ModelProfile, ...], webhook_events: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of requests to a service with several models. Only those to the first may name none."""
    default, *others = (request_schema(profile, webhook_events) for profile in profiles)
    named = [
        {**schema, "properties": {**schema["properties"], "model": {"const": profile.id}},
         "required": ["prompt", "model"]}
        for schema, profile in zip(others, profiles[1:], strict=True)
    ]  # fmt: skip
    return {"anyOf": [default, *named]}


def _budget(profile: ModelProfile) -> str:
    return (
        f"At most {contract.IMAGES.maximum} images: prompts x num_images_per_prompt. "
        f"width x height x steps x images is at most {profile.max_pixel_steps}; with an init_image only the steps "
        "that run count: num_inference_steps x strength. With hires, those of both passes count together. "
        f"Each LoRA adds {contract.LORA_COST_PERCENT} % to the product, each ControlNet "
        f"{profile.control_cost_percent} %, and each of images {contract.EDIT_PIXELS} to width x height."
    )


def _loras(profile: ModelProfile) -> dict[str, Any]:
    """Return the schema of the LoRAs to use."""
    scale = {"scale": _number(contract.LORA_SCALE, "number")}
    return _listed([lora.id for lora in profile.loras], scale, (), contract.LORAS, "Each LoRA at most once")


def _control(profile: ModelProfile) -> dict[str, Any]:
    """Return the schema of the ControlNets to use."""
    part = _number(contract.CONTROL_RANGE, "number")
    fields = {
        "image": {**_image(), "description": "The map, or with preprocess an image to make it of"},
        "scale": _number(contract.CONTROL_SCALE, "number"),
        "start": {**part, "description": "Part of the steps after which it has an effect"},
        "end": {**part, "description": "Part of the steps until which it has an effect, after start"},
        "preprocess": {"type": "string", "enum": list(contract.PREPROCESSORS)},
    }
    if "range" in profile.control_without:
        fields |= {
            "start": {"enum": [contract.CONTROL_RANGE.minimum]},
            "end": {"enum": [contract.CONTROL_RANGE.maximum]},
        }
    ids = [control.id for control in profile.controls]
    bound = Bound(contract.CONTROLS.minimum, profile.most_controls)
    return _listed(ids, fields, ("image",), bound, "Each ControlNet at most once")


def _listed(
    ids: list[str], fields: dict[str, Any], required: tuple[str, ...], bound: Bound, text: str
) -> dict[str, Any]:
    """Return the schema of a list of objects with the id of something that the model has, each at most once."""
    if not ids:
        return {"type": "array", "maxItems": 0}
    optional = {name: {"oneOf": [schema, {"type": "null"}]} for name, schema in fields.items() if name not in required}
    properties = {"id": {"type": "string", "enum": ids}, **fields, **optional}
    item = {"type": "object", "properties": properties, "required": ["id", *required], "additionalProperties": False}
    return {"type": "array", "items": item, "maxItems": min(bound.maximum, len(ids)), "description": text}


def _image() -> dict[str, Any]:
    return {"type": "string", "contentEncoding": "base64", "maxLength": 4 * contract.INIT_IMAGE_BYTES // 3}


def _limit_images() -> dict[str, Any]:
    """Return the condition that limits prompts x num_images_per_prompt: so many of these, at most so many of those.

    It has few branches, because tools that generate requests multiply those of all conditions.
    """
    total = contract.IMAGES.maximum
    limits = sorted({total // n for n in range(1, contract.PROMPTS.maximum + 1)})
    prompt = {limit: {"oneOf": [{"type": "string"}, {"type": "array", "maxItems": total // limit}]} for limit in limits}
    return {
        "anyOf": [
            {"properties": {"prompt": prompt[limit], "num_images_per_prompt": {"maximum": limit}}} for limit in limits
        ]
    }


def _limit_steps(default: str, steps: Mapping[str, Bound]) -> list[dict[str, Any]]:
    """Return the condition that limits the steps by the scheduler, if they have different limits."""
    branches, limits = [], sorted({bound.maximum for bound in steps.values()})
    for limit in limits:
        names = [name for name, bound in steps.items() if bound.maximum >= limit]
        fields = {"scheduler": {"enum": [*names, *([None] if default in names else [])]},
                  "num_inference_steps": {"maximum": limit},
                  "hires": {"properties": {"steps": {"maximum": limit}}}}  # fmt: skip
        branches.append({"properties": fields, "required": [] if default in names else ["scheduler"]})
    return [{"anyOf": branches}] if len(limits) > 1 else []


_FORMATS = "base64 of a PNG, WebP or JPEG file"


def _files(profile: ModelProfile) -> dict[str, Any]:
    """Return the schemas of the images to start from and to look at, and of the fields about them."""
    from_image = {name: schema if profile.image_to_image else False for name, schema in _input_images().items()}
    return {**from_image, "images": _edit_images(profile)}


def _edit_images(profile: ModelProfile) -> dict[str, Any]:
    """Return the schema of the images to look at; of a model that takes none, only an empty list is allowed."""
    what = f"Images to look at, of which the prompt speaks: {_FORMATS}. Together as large as one"
    items = {"items": _image(), "description": what} if profile.edits else {}
    return {"type": "array", "maxItems": profile.edits, **items}


def _input_images() -> dict[str, Any]:
    """Return the schemas of init_image and of the fields that need one."""
    image, formats = _image(), _FORMATS
    margin = {"oneOf": [_number(contract.OUTPAINT), {"type": "null"}]}
    return {
        "init_image": {**image, "description": f"Image to start from: {formats}"},
        "strength": _number(contract.STRENGTH, "number"),
        "mask_image": {**image, "description": f"Which part of the init_image is generated anew: {formats}"},
        "mask_mode": {
            "type": "string",
            "enum": list(contract.MASK_MODES),
            "description": "Which pixels of the mask_image are generated anew",
        },
        "mask_blur": {
            **_number(contract.MASK_BLUR),
            "description": "Pixels over which what is generated fades in, inside of the mask",
        },
        "outpaint": {
            "type": "object",
            "properties": dict.fromkeys(contract.OUTPAINT_SIDES, margin),
            "additionalProperties": False,
            "description": "Pixels by which the init_image is extended. Width and height are those of the whole result",
        },
    }


def _about_prompts(profile: ModelProfile, steps: Mapping[str, Bound]) -> dict[str, Any]:
    """Return the schemas of fields about how prompts are read, of a second pass, and of flagged images."""
    syntaxes = contract.PROMPT_SYNTAXES if profile.clip_layers else contract.PROMPT_SYNTAXES[:1]
    layer = "Layer of the text encoder that is used, counted from the last, which is 1"
    skip = (
        {**_number(contract.clip_skip_bound(profile.clip_layers)), "description": layer}
        if profile.clip_layers
        else False
    )
    return {
        "prompt_syntax": {
            "type": "string",
            "enum": list(syntaxes),
            "description": "weighted: (a), [a] and (a:1.3) weigh parts, BREAK separates them; long prompts are read",
        },
        "clip_skip": skip,
        "hires": _hires(steps) if profile.image_to_image else False,
        "content": _content(profile),
    }


def _content(profile: ModelProfile) -> Any:
    """Return the schema of what happens to images that the safety checker flags; False: the model has none."""
    what = "What happens to images that the model's safety checker flags: the job fails, or they are returned with it"
    schema = {"type": "string", "enum": list(profile.content), "description": what}
    return schema if profile.content else False


def _hires(steps: Mapping[str, Bound]) -> dict[str, Any]:
    fields = {
        "scale": _number(contract.HIRES_SCALE, "number"),
        "strength": _number(contract.STRENGTH, "number"),
        "steps": _number(max(steps.values(), key=lambda bound: bound.maximum)),
    }
    return {
        "type": "object",
        "properties": {name: {"oneOf": [schema, {"type": "null"}]} for name, schema in fields.items()},
        "additionalProperties": False,
        "description": "A second pass at scale times width and height, which starts from the image of the first",
    }


def _needs_init_image() -> dict[str, Any]:
    """Return the condition under which fields need an init_image, a mask_image or outpaint, or exclude hires."""
    init_image, mask_image = _given("init_image", "string"), _given("mask_image", "string")
    whole = _absent("mask_image", "mask_mode", "mask_blur", "outpaint")
    extended = {"allOf": [_given("outpaint", "object"), _absent("mask_image", "mask_mode")]}
    from_image = {"allOf": [init_image, _absent("hires"), {"anyOf": [whole, mask_image, extended]}]}
    return {
        "anyOf": [_absent("init_image", "strength", "mask_image", "mask_mode", "mask_blur", "outpaint"), from_image]
    }


def _needs_webhook() -> dict[str, Any]:
    return {"anyOf": [_absent("webhook_events"), _given("webhook", "string")]}


def _given(field: str, kind: str) -> dict[str, Any]:
    return {"properties": {field: {"type": kind}}, "required": [field]}


def _absent(*names: str) -> dict[str, Any]:
    """Return the condition that none of these fields is there, but as null."""
    return {"properties": {name: {"type": "null"} for name in names}}


def _webhook(events: tuple[str, ...]) -> dict[str, Any]:
    label, port = (
        "[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?",
        "443|102[4-9]|10[3-9][0-9]|1[1-9][0-9]{2}|[2-9][0-9]{3}",
    )
    port += "|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
    host = rf"(?![^/?:]{{254}})({label}\.)+[a-zA-Z]([a-zA-Z0-9-]{{0,61}}[a-zA-Z0-9])?"
    url = {
        **_text(contract.WEBHOOK_CHARS),
        "pattern": rf"^https://{host}(:({port}))?([/?]((?![#\\])[!-~])*)?$",
        "description": "Public https URL that gets the job's events. A laptop's operator can allow other origins",
    }
    names = {"type": "array", "items": {"type": "string", "enum": list(events)}, "minItems": 1, "uniqueItems": True}
    return {"webhook": url, "webhook_events": {**names, "description": "Default: completed"}}


def _number(bound: Bound | FloatBound, kind: str = "integer") -> dict[str, Any]:
    return {"type": kind, "minimum": bound.minimum, "maximum": bound.maximum}


def _text(bound: Bound) -> dict[str, Any]:
    return {"type": "string", "minLength": bound.minimum, "maxLength": bound.maximum}


def _paths() -> dict[str, Any]:
    request = {"parameters": [_IDEMPOTENCY_KEY], "requestBody": _request_body()}
    errors = (400, 409, 413, 415, 422)
    job = {"parameters": [_JOB_ID]}
    return {
        "/generate": {
            "post": {
                **request,
                **_operation(
                    "generate", "Generate images and wait for them", {200: views.Generated, 202: views.Job}, errors
                ),
            }
        },
        "/jobs": {
            "post": {**request, **_operation("submit", "Start a job without waiting", {202: views.Job}, errors)},
            "get": {"parameters": [_LIMIT], **_operation("recent", "Your newest jobs", {200: views.Jobs}, (400,))},
        },
        "/jobs/{id}": {
            "get": {**job, **_operation("job", "The state of a job", {200: views.Job})},
            "delete": {
                **job,
                **_operation(
                    "cancel",
                    "Cancel a job, also a running one with the feature cancel_running",
                    {200: views.Job},
                    (409,),
                ),
            },
        },
        "/webhooks/secret": _webhook_secret(),
        "/models": {"get": _operation("models", "The model, its defaults and bounds", {200: views.Models})},
        "/health": {"get": _operation("health", "Whether a new job will run", {200: views.Health})},
        "/usage": {"get": _operation("usage", "What you have used of your quota", {200: views.Usage})},
        "/openapi.json": {"get": _operation("openapi", "This document", {200: None})},
    }


def _webhook_secret() -> dict[str, Any]:
    body, errors = {200: views.WebhookSecret}, (400,)
    return {
        "get": _operation("webhook_secret", "The secret of your webhooks' signatures", body, errors),
        "post": _operation(
            "rotate_webhook_secret", "Replace the secret; the old is valid for a day more", body, errors
        ),
    }


def _request_body() -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="GenerationRequest")}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _operation(
    name: str, summary: str, bodies: Mapping[int, type[View] | None], errors: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Return an operation with its successful responses (by status, with their bodies) and its errors."""
    successes = {str(status): _success(status, view) for status, view in bodies.items()}
    problems = {str(status): _problem(status) for status in sorted({*_EVERYWHERE, *errors})}
    return {"operationId": name, "summary": summary, "responses": {**successes, **problems}}


def _success(status: int, view: type[View] | None) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=view.__name__)} if view else {"type": "object"}
    headers = _headers("x-request-id", *(("location", "retry-after") if status == 202 else ()))
    description = (view.__doc__ or "").strip() if view else "OpenAPI 3.1"
    return {"description": description, "headers": headers, "content": {"application/json": {"schema": schema}}}


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
