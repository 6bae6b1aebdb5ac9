"""Create images, and read those of the app's pages."""

import base64
import io
import re

from PIL import Image


def png(width: int, height: int) -> bytes:
    """Return a PNG of two colours."""
    image = Image.new("RGB", (width, height), "orange")
    image.paste("navy", (0, 0, width // 2, height // 2))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def base64_png(width: int, height: int) -> str:
    return base64.b64encode(png(width, height)).decode()


def image_in(html: str) -> Image.Image:
    """Return the image of the data URI in `html`, decoded."""
    (data,) = re.findall(r'<img src="data:image/(?:png|jpeg|webp);base64,([^"]+)"', html)
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    image.load()
    return image
