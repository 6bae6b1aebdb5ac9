"""Images of whole subjects, where the emoji shows only a head, or more than the subject.

An animal that sits gets the body of the teddy bear. The sofa loses its lamp.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Colour = tuple[int, int, int]


class Fur(NamedTuple):
    """Colours of the body below a head."""

    trunk: Colour
    limbs: Colour
    belly: Colour
    """Also of the soles."""


FURS: Final = {
    "monkey": Fur((112, 64, 60), (104, 58, 56), (232, 176, 160)),
    "dog": Fur((206, 152, 106), (150, 96, 62), (244, 222, 196)),
    "wolf": Fur((140, 138, 150), (120, 118, 130), (222, 220, 230)),
    "fox": Fur((250, 136, 50), (90, 54, 54), (255, 222, 190)),
    "raccoon": Fur((140, 134, 142), (72, 66, 74), (214, 210, 216)),
    "cat": Fur((255, 184, 60), (255, 172, 50), (255, 226, 150)),
    "lion": Fur((250, 186, 82), (240, 172, 70), (255, 224, 166)),
    "tiger": Fur((255, 150, 54), (250, 142, 48), (255, 236, 214)),
    "cow": Fur((240, 236, 244), (84, 76, 88), (250, 214, 214)),
    "pig": Fur((255, 130, 164), (255, 118, 154), (255, 190, 206)),
    "mouse": Fur((186, 184, 194), (176, 172, 184), (250, 206, 212)),
    "rabbit": Fur((236, 232, 240), (226, 222, 232), (252, 248, 255)),
    "bear": Fur((134, 84, 74), (118, 72, 64), (250, 206, 150)),
    "polar bear": Fur((244, 242, 250), (232, 230, 242), (255, 252, 255)),
    "koala": Fur((160, 160, 168), (146, 146, 154), (226, 224, 230)),
    "panda": Fur((240, 236, 250), (72, 66, 104), (250, 246, 255)),
    "frog": Fur((66, 190, 130), (54, 172, 118), (250, 214, 120)),
    "astronaut": Fur((228, 226, 238), (212, 210, 226), (120, 150, 220)),
}
"""By the usual name of each subject of which the emoji shows the head alone."""

SIDE = 256
"""Pixels of a side of the packages' images."""
NECK = 0.36
"""Height above which the teddy bear's own head is."""
CHIN = 0.54
"""Height of the lower edge of the other head."""
HEAD_WIDTH = 0.62
SOFA = (14, 132, 203, 242)
"""Box of the sofa beside its lamp: left, upper, right, lower."""
FOOT = (199, 228)
"""Left and upper edge of the lamp's foot."""
WIDE = 226


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Return a mask, (256, 256), from fractions of the side."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    inside: npt.NDArray[np.bool_] = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
    return inside


LEGS: Final = ellipse((0.28, 0.81), (0.14, 0.15)) | ellipse((0.71, 0.81), (0.14, 0.15))
SOLES: Final = ellipse((0.275, 0.815), (0.085, 0.1)) | ellipse((0.715, 0.815), (0.085, 0.1))
TRUNK: Final = ellipse((0.5, 0.66), (0.25, 0.27)) & ~LEGS
BELLY: Final = ellipse((0.5, 0.67), (0.155, 0.155)) & ~LEGS


def recoloured_body(teddy: Image.Image, fur: Fur) -> Image.Image:
    """Return the teddy bear without its head, in other colours and its own shading."""
    pixels = np.asarray(teddy, dtype=np.float32)
    light, alpha = pixels[..., :3].mean(-1), pixels[..., 3]
    coloured = np.zeros_like(pixels)
    for mask, colour in (
        (~TRUNK & ~SOLES, fur.limbs),
        (TRUNK & ~BELLY, fur.trunk),
        (BELLY | SOLES, fur.belly),
    ):
        usual = np.percentile(light[mask & (alpha == 255)], 75)
        shade = np.clip(light / usual, 0, 1.1)[..., None]
        coloured[mask, :3] = np.clip(np.array(colour) * shade, 0, 255)[mask]
    coloured[..., 3] = alpha
    coloured[: round(NECK * SIDE)] = 0
    return Image.fromarray(coloured.round().astype(np.uint8))


def sitting(head: Image.Image, teddy: Image.Image, fur: Fur) -> Image.Image:
    """Return the whole animal. All images are RGBA of 256×256 pixels."""
    cropped = head.crop(head.getbbox())
    width = round(HEAD_WIDTH * SIDE)
    cropped = cropped.resize((width, round(cropped.height * width / cropped.width)), Image.Resampling.LANCZOS)
    whole = Image.new("RGBA", (SIDE, SIDE))
    whole.alpha_composite(recoloured_body(teddy, fur))
    top = round(CHIN * SIDE) - cropped.height
    whole.alpha_composite(cropped, ((SIDE - width) // 2, max(0, top)))
    return whole


def without_lamp(sofa: Image.Image) -> Image.Image:
    """Return the sofa alone, as wide as the other emoji."""
    pixels = np.array(sofa)
    pixels[FOOT[1] :, FOOT[0] :] = 0
    alone = Image.fromarray(pixels).crop(SOFA)
    alone = alone.resize((WIDE, round(alone.height * WIDE / alone.width)), Image.Resampling.LANCZOS)
    whole = Image.new("RGBA", (SIDE, SIDE))
    whole.alpha_composite(alone, ((SIDE - WIDE) // 2, (SIDE - alone.height) // 2))
    return whole


def whole_images(images: dict[str, Image.Image]) -> tuple[dict[str, Image.Image], dict[str, Image.Image]]:
    """Return the subjects' images by usual name, and how they are on another subject. All are RGBA, 256×256."""
    usual = images | {"sofa": without_lamp(images["sofa"])}
    sitters = {name: sitting(usual[name], usual["teddy bear"], fur) for name, fur in FURS.items()}
    return usual, usual | sitters
