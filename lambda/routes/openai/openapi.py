"""The part of the OpenAPI document about OpenAI's Images API. It is imported when the document is requested."""

from __future__ import annotations

from typing import Any

from contract import (
    CLIP_SKIP,
    GUIDANCE,
    IMAGES,
    OUTPUT_FORMATS,
    PROMPT_CHARS,
    PROMPT_SYNTAXES,
    SEED,
    STRENGTH,
    ModelProfile,
)
from routes.openai.fields import PARTIAL_IMAGES, QUALITIES
from routes.openapi_parts import operation

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "What was wrong, what is allowed, and what to do"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
                "job": {"type": "string", "description": "The job that goes on, or failed"},
            },
        }
    },
}
_EVENT = {"event": {"type": "string"}, "data": {"type": "string", "description": "JSON with b64_json and type"}}
_IMAGES = {
    "type": "object",
    "required": ["created", "data", "size", "output_format", "model", "seed", "timings", "warnings", "job"],
    "properties": {
        "created": {"type": "integer"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/OpenAIImage"}},
        "background": {"type": "string"},
        "output_format": {"type": "string"},
        "size": {"type": "string", "description": "The true size, which may differ from the requested size"},
        "model": {"type": "string", "description": "The model that generated, whatever the request named"},
        "seed": {"type": "integer"},
        "timings": {"type": "object", "additionalProperties": {"type": "number"}},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "job": {"type": "string"},
    },
}
_IMAGE = {
    "type": "object",
    "required": ["seed"],
    "properties": {"b64_json": {"type": "string"}, "url": {"type": "string"}, "seed": {"type": "integer"}},
}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/OpenAIModel"}},
    },
}


def schemas() -> dict[str, Any]:
    """Return the schemas of the responses."""
    return {
        "OpenAIErrorBody": _ERROR,
        "OpenAIImage": _IMAGE,
        "OpenAIImages": _IMAGES,
        "OpenAIModel": _MODEL,
        "OpenAIModels": _MODELS,
    }


def paths(profile: ModelProfile) -> dict[str, Any]:
    """Return the operations by path."""
    fields = _fields(profile)
    generate = {"type": "object", "required": ["prompt"], "properties": fields}
    files: dict[str, Any] = {"image": {"type": "string", "format": "binary", "description": "A PNG, WebP or JPEG file"}}
    files["mask"] = {**files["image"], "description": "A file with the same size: generated where it is transparent"}
    if profile.edits:
        files["image[]"] = {"type": "array", "items": files["image"], "maxItems": profile.edits}
    required = ["prompt"] if profile.edits else ["prompt", "image"]
    edit = {"type": "object", "required": required, "properties": {**fields, **files}}
    model = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/v1/images/generations": {
            "post": _images("openai_generate", "Generate images", {"application/json": {"schema": generate}})
        },
        "/v1/images/edits": {
            "post": _images("openai_edit", "Generate images from an image", {"multipart/form-data": {"schema": edit}})
        },
        "/v1/models": {"get": _operation("openai_models", "The model, as a list", "OpenAIModels")},
        "/v1/models/{id}": {
            "get": {"parameters": [model], **_operation("openai_model", "The model of this id", "OpenAIModel")}
        },
    }


def _fields(profile: ModelProfile) -> dict[str, Any]:
    """Return the fields with what they mean. Most other values are accepted too: changed to the nearest, or ignored."""
    flag, text = {"type": "boolean"}, {"type": "string"}
    return {
        "prompt": {**text, "minLength": PROMPT_CHARS.minimum, "maxLength": PROMPT_CHARS.maximum},
        "model": {**text, "description": f"A model of GET /v1/models; with any other name {profile.id} generates"},
        "n": {"type": "integer", "minimum": IMAGES.minimum, "maximum": IMAGES.maximum},
        "size": {**text, "description": "auto, or width x height", "examples": ["auto", "512x512"]},
        "quality": {**text, "enum": list(QUALITIES)},
        "response_format": {**text, "enum": ["b64_json", "url"]},
        "output_format": {**text, "enum": list(OUTPUT_FORMATS)},
        "background": {**text, "enum": ["auto", "opaque"]},
        "stream": flag,
        "partial_images": {"type": "integer", "minimum": 0, "maximum": PARTIAL_IMAGES},
        "negative_prompt": text,
        "seed": {"type": "integer", "minimum": -1, "maximum": SEED.maximum},
        "steps": {"type": "integer", "minimum": 1, "maximum": profile.max_steps},
        "guidance_scale": {"type": "number", "minimum": GUIDANCE.minimum, "maximum": GUIDANCE.maximum},
        "scheduler": {**text, "enum": list(profile.schedulers)},
        "loras": {"type": "array", "items": {"type": "object"}, "description": "As in a GenerationRequest"},
        "strength": {"type": "number", "minimum": STRENGTH.minimum, "maximum": STRENGTH.maximum},
        "prompt_syntax": {**text, "enum": list(PROMPT_SYNTAXES if profile.clip_layers else PROMPT_SYNTAXES[:1])},
        "clip_skip": {"type": "integer", "minimum": CLIP_SKIP.minimum, "maximum": CLIP_SKIP.maximum},
        "hires": {"type": "object", "description": "As in the native API"},
        **({"content": {**text, "enum": list(profile.content)}} if profile.content else {}),
    }


def _images(name: str, summary: str, content: dict[str, Any]) -> dict[str, Any]:
    described = _operation(name, summary, "OpenAIImages")
    event = {"type": "object", "required": ["event", "data"], "description": "With stream", "properties": _EVENT}
    events = {"schema": event}
    described["responses"]["200"]["content"]["text/event-stream"] = events
    started = {"description": "With the header Prefer: respond-async: the id of the job"}
    described["responses"]["202"] = {**started, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"requestBody": {"required": True, "content": content}, **described}


def _operation(name: str, summary: str, schema: str) -> dict[str, Any]:
    response, error = ({"$ref": f"#/components/schemas/{part}"} for part in (schema, "OpenAIErrorBody"))
    return operation("OpenAI", name, summary, response, error)
