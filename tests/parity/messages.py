"""The golden messages as they are sent, and whether two servers gave the same answer."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tests.deploy.harness.environment import ROOT
from tests.parity.servers import JSON, Answer

SEED = 7
LARGEST, MEAN = 16, 0.1
"""Tolerance, in steps of 8-bit pixels: the most that one value may be off, and all on average. A lossy file (JPEG,
WebP) makes several steps of one that the drawings differ by."""


@dataclass(frozen=True)
class Message:
    name: str
    body: bytes
    kind: str = JSON
    """Its content type."""


def golden() -> list[Message]:
    """Those of examples/ that a container is sent."""
    accepted = [(case["name"], _seeded(case["body"])) for case in _read("accepted") + _read("infotext")]
    rejected = [(case["name"], _reseeded(case["body"])) for case in _read("rejected")]
    return [Message(name, body.encode()) for name, body in accepted + rejected]


def others() -> list[Message]:
    """What only a container meets: the API sends JSON in UTF-8 alone."""
    return [
        Message("a body that is not UTF-8", b'{"prompt": "\xff"}'),
        Message("JSON by another name", b'{"prompt": "a red apple", "seed": 7}', "Application/JSON; charset=utf-8"),
        Message("a pickled array", b"\x93NUMPY", "application/x-npy"),
        Message("a table", b"prompt\na red apple\n", "text/csv"),
    ]


def _read(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((ROOT / "examples" / f"{name}.json").read_text())
    return cases


def _seeded(body: dict[str, Any]) -> str:
    return json.dumps({**body, "seed": SEED if body.get("seed") is None else body["seed"]})


def _reseeded(body: str) -> str:
    """Those that this model takes, unlike the one of the examples, need a seed too; all else stays as it is."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return body
    takes = isinstance(parsed, dict) and "prompt" in parsed and "seed" not in parsed
    return f'{body[:-1]}, "seed": {SEED}}}' if takes else body


def compare(message: Message, laptop: Answer, image: Answer) -> dict[str, Any]:
    """A line of the record; `differs` says how the answers differ, or nothing."""
    ours, theirs = json.loads(laptop.body), json.loads(image.body)
    line = {"message": message.name, "status": image.status, "answer": _told(theirs)}
    line |= {"laptop_s": round(laptop.seconds, 2), "image_s": round(image.seconds, 2)}
    plain = _plain(ours), _plain(theirs)
    if laptop.status != image.status or plain[0] != plain[1]:
        return {**line, "differs": f"laptop {laptop.status} {plain[0]}, image {image.status} {plain[1]}"}
    pictures = zip(ours.get("generated_images", ()), theirs.get("generated_images", ()), strict=True)
    distances = [_distance(*pair) for pair in pictures]
    if not distances:
        return {**line, "differs": ""}
    largest, mean = max(one for one, _ in distances), max(mean for _, mean in distances)
    line |= {"largest_difference": largest, "mean_difference": round(mean, 4)}
    return {**line, "differs": "" if largest <= LARGEST and mean <= MEAN else "the pictures"}


def _told(answer: dict[str, Any]) -> str:
    if "generated_images" in answer:
        return f"{len(answer['generated_images'])} pictures"
    return str(answer["error"]["code"]) if "error" in answer else str(answer.get("type"))


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: all but the pixels, the seconds, and the words of a failure of the server itself."""
    images = [_kind(image) for image in answer.get("generated_images", ())]
    own = {"message": ""} if "type" in answer else {}
    timed = {"generated_images": images, "timings": sorted(answer["timings"])} if images else {}
    return {**answer, **timed, **own}


def _kind(image: str) -> tuple[str | None, tuple[int, int], list[str]]:
    """Format, size and the texts that it carries."""
    opened = Image.open(io.BytesIO(base64.b64decode(image)))
    return opened.format, opened.size, sorted(str(value) for name, value in opened.info.items() if name != "exif")


def _distance(one: str, other: str) -> tuple[int, float]:
    first, second = (np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), dtype=int) for text in (one, other))
    off = np.abs(first - second)
    return int(off.max()), float(off.mean())
