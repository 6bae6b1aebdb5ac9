"""Images in a response of a tool: WebP, small enough for an assistant."""

from __future__ import annotations

import io
import warnings

import PIL.Image

from easel.client.contract import INIT_IMAGE_PIXELS, image_size
from easel.client.results import Image

MAX_BYTES = 1_000_000
"""Most bytes of all images of one response, before base64. Assistants refuse or cut larger ones."""
QUALITIES = (90, 75, 60)
"""Tried in this order, at full size first."""
SHRINK = 0.75


def to_webp(image: Image, limit: int) -> bytes | None:
    """Return the image as WebP of at most `limit` bytes, or None if it cannot be decoded."""
    if image.media_type == "image/webp" and len(image.data) <= limit:
        return image.data
    width, height = image_size(image.data) or (0, 0)
    if not 0 < width * height <= INIT_IMAGE_PIXELS:
        return None
    try:
        with warnings.catch_warnings(action="ignore"), PIL.Image.open(io.BytesIO(image.data)) as opened:
            pixels = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # Pillow's errors for damaged files
        return None
    while True:
        for quality in QUALITIES:
            body = io.BytesIO()
            pixels.save(body, "WEBP", quality=quality)
            if body.tell() <= limit:
                return body.getvalue()
        smaller = max(1, int(pixels.width * SHRINK)), max(1, int(pixels.height * SHRINK))
        if smaller == pixels.size:
            return None
        pixels = pixels.resize(smaller)
