"""Numbers and texts that no client should send, in every API: none is an error of the service."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fakes import ROOT, UNLIMITED, World, event

from contract import REQUEST_FIELDS, ProfileLora
from routes.automatic1111.fields import DEFAULTS, IMAGE_DEFAULTS
from routes.replicate.inputs import NAMES

SENT: list[Any] = [1e200, -1e308, 5e-324, 10**400, -(10**400), "1e308", str(10**400), "1" * 40, "nan", "-inf", "1e999"]
PAIRS = [("batch_size", "n_iter"), ("width", "height"), ("hr_resize_x", "hr_resize_y"), ("hr_scale", "steps")]
NESTED = {
    "hires": ("scale", "strength", "steps"), "outpaint": ("left",), "target_size": ("width", "height"),
    "override_settings": ("CLIP_stop_at_last_layers",),
}  # fmt: skip
OPENAI = ("n", "size", "quality", "partial_images", "output_compression", "steps", *REQUEST_FIELDS)
A1111 = tuple(name for name, default in {**DEFAULTS, **IMAGE_DEFAULTS}.items() if not isinstance(default, str))
REPLICATE = tuple(name for names in NAMES.values() for name in names)
START = next(
    case["body"]["init_image"]
    for case in json.loads((ROOT / "examples/accepted.json").read_text())
    if "init_image" in case["body"]
)
SURROGATE = "\ud800"
WORLD = World(replace(UNLIMITED, loras=(ProfileLora(id="flat"),)), auth="none")


def changes(fields: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield each field with each number; an object with a number also as its JSON text."""
    for number in SENT:
        yield from ({name: number} for name in fields)
        yield from (dict.fromkeys(pair, number) for pair in PAIRS)
        for name, keys in NESTED.items():
            for key in keys:
                yield from ({name: value} for value in ({key: number}, json.dumps({key: number})))
        yield {"loras": [{"id": "flat", "scale": number}]}
        yield {"prompt": f"a <lora:flat:{number}> (b:{number})", "prompt_syntax": "weighted"}


@pytest.mark.parametrize(
    ("path", "fields", "body"),
    [
        ("/generate", REQUEST_FIELDS, {"prompt": "a"}),
        ("/v1/images/generations", OPENAI, {"prompt": "a"}),
        ("/sdapi/v1/txt2img", A1111, {"prompt": "a"}),
        ("/sdapi/v1/txt2img", A1111, {"prompt": "a", "enable_hr": True, "denoising_strength": 0.01, "width": 128}),
        ("/sdapi/v1/img2img", A1111, {"prompt": "a", "init_images": [START], "mask": START}),
        ("/hf/text-to-image", REQUEST_FIELDS, {"inputs": "a", "parameters": {}}),
        ("/hf/image-to-image", REQUEST_FIELDS, {"inputs": START, "parameters": {"prompt": "a"}}),
        ("/v1/predictions", REPLICATE, {"input": {"prompt": "a"}}),
        ("/v1/predictions", REPLICATE, {"input": {"prompt": "a", "image": f"data:image/png;base64,{START}"}}),
    ],
)
def test_no_number_is_an_error_of_the_service(path: str, fields: Iterable[str], body: dict[str, Any]) -> None:
    inner = next((name for name in ("parameters", "input") if name in body), "")
    for change in changes(fields):
        WORLD.store.objects.clear()
        WORLD.endpoint.submitted.clear()
        changed = {**body, inner: {**body[inner], **change}} if inner else {**body, **change}
        response = WORLD.send(event("POST", path, changed))
        assert response["statusCode"] < 500, change


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a"}, {"User-Agent": "ai-sdk/openai/4.0.1"}])
@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/generate", 400, {"prompt": "a", SURROGATE: 1}),
        ("/v1/images/generations", 200, {"prompt": "a", "model": SURROGATE, "user": SURROGATE, SURROGATE: 1}),
        ("/sdapi/v1/txt2img", 200, {"prompt": "a", "sampler_name": SURROGATE, "styles": [SURROGATE], SURROGATE: 1}),
        ("/hf/text-to-image", 200, {"inputs": "a", "parameters": {"scheduler": SURROGATE, SURROGATE: 1}}),
        ("/v1/predictions", 201, {"input": {"prompt": "a", SURROGATE: 1}, "version": SURROGATE}),
    ],
)
def test_an_unpaired_surrogate_is_no_error_of_the_service(
    path: str, status: int, body: dict[str, Any], headers: dict[str, str]
) -> None:
    WORLD.store.objects.clear()
    response = WORLD.send(event("POST", path, body, headers=headers))
    assert response["statusCode"] == status
    json.dumps(response, ensure_ascii=False).encode()
