"""An image to start from."""

import base64
import io

from PIL import Image


def _image() -> str:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


START = _image()
"""base64 of a PNG file."""
