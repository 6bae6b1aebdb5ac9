"""Textual-inversion embeddings: which files are accepted for a model."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from model_folder import ModelFolderError, check_embedding, check_folder
from model_folder.extras import EXTRAS, read_extra
from model_folder.extras.embeddings import MOST_VECTORS
from tests.model_code import tiny
from tests.model_files import tensors

PATH = "embeddings/toy.safetensors"
Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny.stable_diffusion(), tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny.stable_diffusion_xl(), tmp_path_factory.mktemp("xl"))


def saved(pipeline: object, folder: Path) -> Path:
    pipeline.save_pretrained(folder)  # type: ignore[attr-defined]
    (folder / "embeddings").mkdir()
    return folder


def write(folder: Path, shapes: Shapes) -> Path:
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, folder / PATH)
    return folder


def refusal(folder: Path) -> ModelFolderError:
    with pytest.raises(ModelFolderError) as caught:
        check_folder(folder, extras=[PATH])
    assert caught.value.message.startswith(PATH)
    return caught.value


@pytest.mark.parametrize(
    "shapes",
    [{"emb_params": (1, 32)}, {"emb_params": (MOST_VECTORS, 32)}, {"<toy>": (3, 32)}, {"<toy>": (32,)}],
)
def test_layouts_for_one_text_encoder(sd: Path, shapes: Shapes) -> None:
    assert PATH in check_folder(write(sd, shapes), extras=None).files


@pytest.mark.parametrize("vectors", [1, MOST_VECTORS])
def test_the_layout_for_two_text_encoders(xl: Path, vectors: int) -> None:
    write(xl, {"clip_l": (vectors, 32), "clip_g": (vectors, 32)})
    assert check_folder(xl, extras=[PATH]).extras == (PATH,)


@pytest.mark.parametrize(
    ("shapes", "word"),
    [
        ({"emb_params": (0, 32)}, "shape [0, 32]"),
        ({"emb_params": (MOST_VECTORS + 1, 32)}, "shape [76, 32]"),
        ({"emb_params": (1, 1, 32)}, "shape [1, 1, 32]"),
        ({"emb_params": ()}, "shape []"),
        ({"emb_params": (1, 31)}, "its vectors for text_encoder have 31 numbers, and here they have 32"),
        ({"clip_l": (1, 32), "clip_g": (1, 32)}, "two text encoders"),
        ({"a": (1, 32), "b": (1, 32)}, "it has 2 tensors, a, b"),
    ],
)
def test_what_is_refused_for_one_text_encoder(sd: Path, shapes: Shapes, word: str) -> None:
    assert word in refusal(write(sd, shapes)).message


@pytest.mark.parametrize(
    ("shapes", "word"),
    [
        ({"emb_params": (1, 32)}, "one text encoder"),
        ({"clip_l": (1, 32), "clip_g": (2, 32)}, "1 and 2 vectors"),
        ({"clip_l": (1, 32), "clip_g": (1, 33)}, "its vectors for text_encoder_2 have 33 numbers"),
        ({"clip_l": (1, 33), "clip_g": (1, 32)}, "its vectors for text_encoder have 33 numbers"),
    ],
)
def test_what_is_refused_for_two_text_encoders(xl: Path, shapes: Shapes, word: str) -> None:
    assert word in refusal(write(xl, shapes)).message


@pytest.mark.parametrize(
    ("shapes", "base"),
    [
        ({"emb_params": (2, 768)}, "Stable Diffusion 1.x"),
        ({"<toy>": (1024,)}, "Stable Diffusion 2.x"),
        ({"clip_l": (1, 768), "clip_g": (1, 1280)}, "Stable Diffusion XL"),
        ({"emb_params": (2, 2048)}, "another model"),
    ],
)
def test_another_base_is_named(sd: Path, shapes: Shapes, base: str) -> None:
    assert f"It is for {base}." in refusal(write(sd, shapes)).hint


def test_numbers_must_be_real(sd: Path) -> None:
    save_file({"emb_params": torch.zeros(1, 32, dtype=torch.int32)}, sd / PATH)
    assert "dtype I32" in refusal(sd).message


def test_pickled_and_damaged_files_are_refused(sd: Path) -> None:
    (sd / PATH).write_bytes(pickle.dumps({"string_to_param": {"*": [0.0] * 64}}))
    refusal(sd)
    (sd / PATH).write_bytes(write(sd, {"emb_params": (1, 32)}).joinpath(PATH).read_bytes()[:-1])
    refusal(sd)
    (sd / PATH).unlink()
    refusal(sd)


@pytest.mark.parametrize("name", ["toy.pt", "toy.bin"])
def test_pickled_files_beside_the_model_are_refused(sd: Path, name: str) -> None:
    file = sd / "embeddings" / name
    file.write_bytes(b"")
    try:
        with pytest.raises(ModelFolderError, match=name):
            check_folder(sd)
    finally:
        file.unlink()


def test_a_pipeline_that_takes_none_is_named() -> None:
    content = tensors({"a": (1,)})
    files = SimpleNamespace(sizes={PATH: len(content)}, read=lambda *_: content)
    with pytest.raises(ModelFolderError, match="FluxPipeline takes no embeddings"):
        check_embedding(files, PATH, "FluxPipeline", {})


@pytest.mark.parametrize("more", [0, 1])
def test_the_size_is_bounded(more: int) -> None:
    files = SimpleNamespace(sizes={PATH: EXTRAS["embeddings"].max_bytes + more}, read=lambda *_: b"")
    with pytest.raises(ModelFolderError) as caught:
        read_extra(files, PATH)
    assert ("too large" in caught.value.message) == bool(more)
