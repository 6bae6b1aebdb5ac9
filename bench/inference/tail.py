"""What follows the generation: PNG, base64 and JSON of one image."""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.inference.cases import ROOT
from bench.inference.photo import photo

REPEATS = 15


def measure_tail(side: int | None = None) -> list[dict[str, Any]]:
    """Return milliseconds and bytes of a PNG by Pillow's defaults and by Easel, in turns."""
    sys.path.insert(0, str(ROOT / "model_code"))
    from PIL import Image

    from images.files import encode_image

    def pillow(pixels: Any) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    found = []
    for width in [side] if side else [512, 1024]:
        pixels = photo(width, width)
        encoders: dict[str, Callable[[], bytes]] = {
            "pillow": lambda pixels=pixels: pillow(pixels),  # type: ignore[misc]
            "easel": lambda pixels=pixels: encode_image(pixels, "png"),  # type: ignore[misc]
        }
        times: dict[str, list[float]] = {name: [] for name in encoders}
        for _ in range(REPEATS):
            for name, encode in encoders.items():
                started = time.perf_counter()
                encode()
                times[name].append((time.perf_counter() - started) * 1000)
        medians = {name: statistics.median(values) for name, values in times.items()}
        sizes = {name: len(encode()) for name, encode in encoders.items()}
        found.append({"side": width, "ms": medians, "bytes": sizes, "ratio": medians["pillow"] / medians["easel"]})
    return found
