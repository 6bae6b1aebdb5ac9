"""The golden messages as requests, and the comparison of two servers' responses."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tests.deploy.harness.environment import ROOT
from tests.parity.servers import JSON, Response

SEED = 7
LARGEST, MEAN = 16, 0.1
"""Tolerance in steps of 8-bit pixels: the largest difference of a value, and the mean of all. A lossy format (JPEG,
WebP) can turn a difference of one step into several."""


@dataclass(frozen=True)
class Message:
    name: str
    body: bytes
    content_type: str = JSON


def all_messages() -> list[Message]:
    return golden() + features() + container_only()


def golden() -> list[Message]:
    """Return the messages of examples/ that a container receives."""
    accepted = [(case["name"], _with_seed(case["body"])) for case in _read("accepted") + _read("infotext")]
    rejected = [(case["name"], _with_seed_if_valid(case["body"])) for case in _read("rejected")]
    return [Message(name, body.encode()) for name, body in accepted + rejected]


def features() -> list[Message]:
    """Return messages with fields that the examples' model lacks and the embedded model has."""
    image, mask = (_png(color) for color in ((250, 200, 40), (0, 0, 0)))
    bodies: dict[str, dict[str, Any]] = {
        "a LoRA at half its scale": {"loras": [{"id": "comic", "scale": 0.5}]},
        "an unknown LoRA": {"loras": [{"id": "other"}]},
        "a masked part with a LoRA": {"init_image": image, "mask_image": mask, "loras": [{"id": "comic"}]},
        "an extended image": {"init_image": image, "outpaint": {"left": 32, "right": 32}},
        "weights in the prompt": {"prompt": "a (red:1.3) [apple] BREAK a panda", "prompt_syntax": "weighted"},
        "a skipped layer of the text encoder": {"clip_skip": 1},
        "a second pass": {"hires": {"scale": 2, "strength": 0.5, "steps": 10}},
        "a second pass of an init_image": {"init_image": image, "hires": {}},
    }  # fmt: skip
    return [
        Message(name, json.dumps({"prompt": "a red apple", "seed": SEED, **body}).encode())
        for name, body in bodies.items()
    ]


def _png(color: tuple[int, int, int]) -> str:
    """Return the base64 of an image of this colour with a white square."""
    image = Image.new("RGB", (128, 128), color)
    image.paste((255, 255, 255), (32, 32, 96, 96))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def container_only() -> list[Message]:
    """Return messages that the API never sends: it sends JSON in UTF-8 only."""
    return [
        Message("a body that is not UTF-8", b'{"prompt": "\xff"}'),
        Message(
            "JSON with another content type", b'{"prompt": "a red apple", "seed": 7}', "Application/JSON; charset=utf-8"
        ),
        Message("a pickled array", b"\x93NUMPY", "application/x-npy"),
        Message("a table", b"prompt\na red apple\n", "text/csv"),
    ]


def _read(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((ROOT / "examples" / f"{name}.json").read_text())
    return cases


def _with_seed(body: dict[str, Any]) -> str:
    return json.dumps({**body, "seed": SEED if body.get("seed") is None else body["seed"]})


def _with_seed_if_valid(body: str) -> str:
    """Add a seed where the embedded model accepts what the examples' model rejects. Keep all else byte by byte."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return body
    needs_seed = isinstance(parsed, dict) and "prompt" in parsed and "seed" not in parsed
    return f'{body[:-1]}, "seed": {SEED}}}' if needs_seed else body


def compare(message: Message, laptop: Response, image: Response) -> dict[str, Any]:
    """Return a line of the record. `difference` says how the responses differ; empty if they are equal."""
    laptop_json, image_json = json.loads(laptop.body), json.loads(image.body)
    line = {"message": message.name, "status": image.status, "result": _summary(image_json)}
    line |= {"laptop_s": round(laptop.seconds, 2), "image_s": round(image.seconds, 2)}
    expected, actual = _comparable(laptop_json), _comparable(image_json)
    if laptop.status != image.status or expected != actual:
        return {**line, "difference": f"laptop {laptop.status} {expected}, image {image.status} {actual}"}
    pairs = zip(laptop_json.get("generated_images", ()), image_json.get("generated_images", ()), strict=True)
    distances = [_distance(*pair) for pair in pairs]
    if not distances:
        return {**line, "difference": ""}
    largest, mean = max(largest for largest, _ in distances), max(mean for _, mean in distances)
    line |= {"largest_difference": largest, "mean_difference": round(mean, 4)}
    return {**line, "difference": "" if largest <= LARGEST and mean <= MEAN else "the images"}


def _summary(response: dict[str, Any]) -> str:
    if "generated_images" in response:
        return f"{len(response['generated_images'])} images"
    return str(response["error"]["code"]) if "error" in response else str(response.get("type"))


def _comparable(response: dict[str, Any]) -> dict[str, Any]:
    """Return what must be equal: all but the pixels, the seconds, and messages of the server itself."""
    images = [_image_properties(image) for image in response.get("generated_images", ())]
    server_error = {"message": ""} if "type" in response else {}
    generated = {"generated_images": images, "timings": sorted(response["timings"])} if images else {}
    return {**response, **generated, **server_error}


def _image_properties(image: str) -> tuple[str | None, tuple[int, int], list[str]]:
    """Return format, size and texts of an image."""
    opened = Image.open(io.BytesIO(base64.b64decode(image)))
    return opened.format, opened.size, sorted(str(value) for name, value in opened.info.items() if name != "exif")


def _distance(first: str, second: str) -> tuple[int, float]:
    """Return the largest and the mean difference of two images."""
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(image))), dtype=int) for image in (first, second)]
    difference = np.abs(pixels[0] - pixels[1])
    return int(difference.max()), float(difference.mean())
