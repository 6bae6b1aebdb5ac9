"""Operations of compatible APIs for the OpenAPI document. It is imported when the document is requested."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OBJECT: Mapping[str, Any] = {"type": "object"}
TEXT: Mapping[str, Any] = {"type": "string"}
JSON = "application/json"


def operation(
    tag: str,
    id: str,
    summary: str,
    schema: Mapping[str, Any],
    error: Mapping[str, Any],
    *,
    body: Mapping[str, Any] | None = None,
    media_types: tuple[str, ...] = (JSON,),
) -> dict[str, Any]:
    """Return an operation with one successful response. `error`: schema of errors; `body`: schema of the request."""
    content = {name: {"schema": dict(schema)} for name in media_types}
    sent = {"requestBody": {"required": True, "content": {JSON: {"schema": dict(body)}}}} if body else {}
    return {
        **sent,
        "operationId": id,
        "tags": [tag],
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": content},
            "default": {"description": "An error", "content": {JSON: {"schema": dict(error)}}},
        },
    }


def huggingface(media_types: tuple[str, ...]) -> dict[str, Any]:
    """Return Hugging Face's operations by path. `media_types`: of images."""
    error = {**OBJECT, "required": ["error"], "properties": {"error": TEXT, "estimated_time": {"type": "number"}}}
    body = {**OBJECT, "required": ["inputs"], "properties": {"inputs": TEXT, "parameters": OBJECT}}
    health = {**OBJECT, "required": ["status"], "properties": {"status": TEXT, "endpoint": TEXT}}
    image, paths = {"type": "string", "format": "binary"}, {}
    for name, source in (("text-to-image", "text"), ("image-to-image", "an image")):
        id = f"huggingface_{name.replace('-', '_')}"
        generate = operation(
            "Hugging Face", id, f"Generate an image from {source}", image, error, body=body, media_types=media_types
        )
        get = operation("Hugging Face", f"{id}_health", "Whether a new request gets an image", health, error)
        for prefix, suffix in (("", ""), ("{model}/", "_of_model")):
            named = {"parameters": [_in_path("model")]} if prefix else {}
            for route, method, described in ((name, "post", generate), (f"{name}/health", "get", get)):
                operation_id = {"operationId": f"{described['operationId']}{suffix}"}
                paths[f"/hf/{prefix}{route}"] = {method: {**described, **operation_id, **named}}
    return paths


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


def automatic1111() -> dict[str, Any]:
    """Return AUTOMATIC1111's operations by path."""
    names = ("error", "detail", "body", "errors")
    error = {**OBJECT, "required": list(names), "properties": dict.fromkeys(names, TEXT)}
    images = {"type": "array", "items": TEXT}
    generated = {**OBJECT, "required": ["images", "parameters", "info"],
                 "properties": {"images": images, "parameters": OBJECT, "info": TEXT}}  # fmt: skip
    whole = {"type": "integer"}
    fields = {"prompt": TEXT, "negative_prompt": TEXT, "steps": whole, "width": whole, "height": whole, "seed": whole,
              "cfg_scale": {"type": "number"}, "sampler_name": TEXT, "batch_size": whole, "n_iter": whole}  # fmt: skip
    from_image = {**fields, "init_images": images, "denoising_strength": {"type": "number"}}
    info = {**OBJECT, "required": ["info", "items", "parameters"]}
    entries: Mapping[str, Any] = {"type": "array", "items": OBJECT}
    table: dict[tuple[str, str], tuple[str, Mapping[str, Any], Mapping[str, Any] | None]] = {
        ("post", "txt2img"): ("Generate images", generated, {**OBJECT, "properties": fields}),
        ("post", "img2img"): ("Generate images from an image", generated, {**OBJECT, "properties": from_image}),
        ("get", "progress"): ("Progress of your running job", OBJECT, None),
        ("post", "interrupt"): ("Cancel your running job", OBJECT, None),
        ("post", "skip"): ("Cancel your running job", {"type": "null"}, None),
        ("post", "png-info"): ("The parameters in an image", info, {**OBJECT, "properties": {"image": TEXT}}),
        ("get", "options"): ("Your model", OBJECT, None),
        ("post", "options"): ("Accept options, and keep the model", {"type": "null"}, OBJECT),
        **{("get", name): (f"The {name}", entries, None)
           for name in ("sd-models", "samplers", "schedulers", "upscalers", "latent-upscale-modes", "sd-vae", "loras")},
        ("get", "scripts"): ("The scripts: none", OBJECT, None),
        ("get", "embeddings"): ("The embeddings", OBJECT, None),
    }  # fmt: skip
    paths: dict[str, Any] = {}
    for (method, name), (summary, schema, body) in table.items():
        id = f"automatic1111_{method}_{name.replace('-', '_')}"
        described = operation("AUTOMATIC1111", id, summary, schema, error, body=body)
        paths.setdefault(f"/sdapi/v1/{name}", {})[method] = described
    return paths


def replicate() -> dict[str, Any]:
    """Return Replicate's operations by path."""
    error = {**OBJECT, "required": ["detail"], "properties": {"detail": TEXT}}
    body = {**OBJECT, "required": ["input"], "properties": {"input": OBJECT, "version": TEXT, "webhook": TEXT}}
    table: dict[tuple[str, str], tuple[str, str, Mapping[str, Any] | None]] = {
        ("post", "predictions"): ("predict", "Start a prediction", body),
        ("get", "predictions"): ("recent", "Your newest predictions", None),
        ("get", "predictions/{id}"): ("prediction", "The state of a prediction", None),
        ("post", "predictions/{id}/cancel"): ("cancel", "Cancel a prediction", None),
        ("post", "files"): ("file", "Upload a file for a prediction", None),
        ("get", "webhooks/default/secret"): ("secret", "The secret of your webhooks", None),
        ("post", "models/{owner}/{name}/predictions"): ("model_predict", "Start a prediction with the model", body),
        ("get", "models/{owner}/{name}"): ("model", "The model", None),
        ("get", "models/{owner}/{name}/versions"): ("versions", "The model's version, as a list", None),
        ("get", "models/{owner}/{name}/versions/{id}"): ("version", "The model's version", None),
    }
    paths: dict[str, Any] = {}
    for (method, path), (id, summary, sent) in table.items():
        described = operation("Replicate", f"replicate_{id}", summary, OBJECT, error, body=sent)
        names = re.findall(r"{(\w+)}", path)
        described["parameters"] = [_in_path(name) for name in names]
        if method == "post":
            described["responses"] |= dict.fromkeys(("201", "202"), described["responses"]["200"])
        paths.setdefault(f"/v1/{path}", {})[method] = described
    return paths
