"""Pictures made and read by Pillow."""

import base64
import io
import re

from PIL import Image


def png(width: int, height: int) -> bytes:
    """Two colours, so that it is not blank."""
    image = Image.new("RGB", (width, height), "orange")
    image.paste("navy", (0, 0, width // 2, height // 2))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def base64_png(width: int, height: int) -> str:
    return base64.b64encode(png(width, height)).decode()


def shown(html: str) -> Image.Image:
    """The picture of the data URI in a fragment, decoded."""
    (found,) = re.findall(r'<img src="data:image/(?:png|jpeg|webp);base64,([^"]+)"', html)
    image = Image.open(io.BytesIO(base64.b64decode(found, validate=True)))
    image.load()
    return image
