"""Read the parameters of an image file as AUTOMATIC1111 does."""

import io

from PIL import Image


def read_infotext(file: bytes) -> str:
    image = Image.open(io.BytesIO(file))
    image.load()
    if image.format == "PNG":
        return str(image.text["parameters"])  # type: ignore[attr-defined]
    import piexif.helper  # here: make parity reads PNG files, and does not install it

    comment = piexif.load(image.info["exif"])["Exif"][piexif.ExifIFD.UserComment]
    return str(piexif.helper.UserComment.load(comment))
