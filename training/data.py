"""The drawings, prepared once (`prepare.py`), and where the recipe keeps its work."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

HERE = Path(__file__).parent
WORK = HERE / "work"
SIZE = 128


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One drawing: its hexcode, its names (the first is *the* name) and the keywords it alone has."""

    code: str
    emoji: str
    en: list[str]
    zh: list[str]
    keywords_en: list[str]
    keywords_zh: list[str]


def load_drawings() -> list[Drawing]:
    return [Drawing(**d) for d in json.loads((WORK / "drawings.json").read_text())]


def load_cutouts() -> npt.NDArray[np.uint8]:
    """All drawings as RGBA, (n, 128, 128, 4)."""
    pixels: npt.NDArray[np.uint8] = np.load(WORK / "cutouts.npy")
    return pixels


def half_is_faster() -> bool:
    """Whether bfloat16 pays on this processor; without AVX-512 its matrix products take minutes."""
    return torch.cuda.is_available() or bool(torch.cpu._is_avx512_bf16_supported())
