"""The training data that `prepare.py` writes, and the folder of all intermediate files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

HERE = Path(__file__).parent
WORK = HERE / "work"
USUAL, SITTING = WORK / "cutouts.npy", WORK / "sitting.npy"
SIZE = 128


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An emoji: its hexcode, its names (the first is the usual name), and the keywords of no other emoji."""

    code: str
    emoji: str
    en: list[str]
    zh: list[str]
    keywords_en: list[str]
    keywords_zh: list[str]


def load_subjects() -> list[Subject]:
    return [Subject(**entry) for entry in json.loads((WORK / "subjects.json").read_text())]


def load_cutouts(file: Path = USUAL) -> npt.NDArray[np.uint8]:
    """Return the images of all subjects as RGBA: (n, 128, 128, 4)."""
    pixels: npt.NDArray[np.uint8] = np.load(file)
    return pixels


def half_is_faster() -> bool:
    """Return whether bfloat16 is faster on this processor. Without AVX-512 its matrix products take minutes."""
    return torch.cuda.is_available() or bool(torch.cpu._is_avx512_bf16_supported())
