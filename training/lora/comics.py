"""Cut-outs of the same subjects as a comic: flat colours, bold outlines. `python -m lora.comics` renders them."""

import io
import json
from typing import Final

import numpy as np
import resvg_py
import torch
from cutouts.whole_images import whole_images
from dataset import SIZE, WORK, Subject, load_subjects
from PIL import Image
from prepare import fetch
from scenes import COLOURS
from torch import Tensor
from torch.nn.functional import max_pool2d

PACKAGE: Final = "@iconify-json/fluent-emoji-flat@1.2.6"
INTEGRITY: Final = "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw=="
USUAL, SITTING = WORK / "comic.npy", WORK / "comic_sitting.npy"
LARGE: Final = 256
"""Pixels of a side before the reduction to `SIZE`, which smooths the edges."""
OUTSIDE, INSIDE = 8, 4
"""Width of the outline on both sides of the edge, of `LARGE` pixels. The decoder blurs thinner lines."""
INK: Final = torch.tensor(COLOURS["black"][1]) / 255


def icon_name(subject: Subject, names: dict[str, str]) -> str:
    """Return the name of a subject's icon. Packages write the variation selector in different places."""
    code = "-".join(f"{ord(c):x}" for c in subject.emoji)
    return next(names[c] for c in (code, code.replace("-fe0f", ""), code + "-fe0f") if c in names)


def grow(mask: Tensor, pixels: int) -> Tensor:
    """Return a mask (height, width) that is larger by about an octagon of this radius."""
    for step in range(pixels):
        across, down = (max_pool2d(mask[None], k, 1, p)[0] for k, p in (((1, 3), (0, 1)), ((3, 1), (1, 0))))
        mask = max_pool2d(mask[None], 3, 1, 1)[0] if step % 2 else torch.maximum(across, down)
    return mask


def outlined(icon: Image.Image) -> Image.Image:
    """Return an RGBA image with a bold outline, 128×128."""
    pixels = torch.from_numpy(np.array(icon)).float() / 255
    colours, opaque = pixels[..., :3], pixels[..., 3]
    outside, inside = grow(opaque, OUTSIDE), 1 - grow(1 - opaque, INSIDE)
    line = (outside - inside).clamp(0, 1)[..., None]
    rgba = torch.cat([colours * (1 - line) + INK * line, outside[..., None]], 2)
    large = Image.fromarray((255 * rgba).round().byte().numpy())
    return large.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def render(body: str) -> Image.Image:
    """Return an icon as RGBA, `LARGE` pixels a side."""
    view = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="{LARGE}" height="{LARGE}">'
    png = bytes(resvg_py.svg_to_bytes(svg_string=f"{view}{body}</svg>"))
    return Image.open(io.BytesIO(png)).convert("RGBA")


def main() -> None:
    folder = fetch(PACKAGE, INTEGRITY)
    icons = json.loads((folder / "icons.json").read_text())["icons"]
    names = json.loads((folder / "chars.json").read_text())
    rendered = {s.en[0]: render(icons[icon_name(s, names)]["body"]) for s in load_subjects()}
    for file, group in zip((USUAL, SITTING), whole_images(rendered), strict=True):
        np.save(file, np.stack([np.asarray(outlined(icon)) for icon in group.values()]))


if __name__ == "__main__":
    main()
