"""Textual-inversion embeddings: what their tokens change in a prompt, and that nothing else is changed."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from contract import PROMPT_CHUNKS, ProfileEmbedding, render_profile
from generation.generate import Model
from loading.load import load_model
from model_folder import ModelFolderError
from tests.model_code import tiny
from tests.model_code.conftest import PROFILE
from tests.model_code.images.infotext_reader import read_infotext

Send = Callable[..., Any]
SMALL = {"prompt": "a", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 7, "guidance_scale": 2.0}
PIPELINES = {"StableDiffusionPipeline": tiny.stable_diffusion, "StableDiffusionXLPipeline": tiny.stable_diffusion_xl}
TOKENS = {"toy": "<toy>", "bad": "bad-art", "bad2": "bad-art-2"}
VECTORS = {"toy": 3, "bad": 1, "bad2": 2}
USABLE = tiny.TOKENS - 2


@pytest.fixture(scope="module", params=PIPELINES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a pipeline with the embeddings of TOKENS."""
    folder: Path = tmp_path_factory.mktemp("models") / kind
    PIPELINES[kind]().save_pretrained(folder)
    (folder / "embeddings").mkdir()
    torch.manual_seed(1)
    names = ("clip_l", "clip_g") if "XL" in kind else ("emb_params",)
    for id, vectors in VECTORS.items():
        found = {name: torch.randn(vectors, 32) for name in names}
        save_file(found, folder / f"embeddings/{id}.safetensors")
    return folder


def load(folder: Path, embeddings: tuple[ProfileEmbedding, ...]) -> Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EASEL_MODEL_PROFILE", render_profile(replace(PROFILE, clip_layers=2, embeddings=embeddings)))
        return load_model(folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder, tuple(ProfileEmbedding(id=id, token=token) for id, token in TOKENS.items()))


@pytest.fixture(scope="module")
def plain(folder: Path) -> Model:
    """The model without embeddings."""
    return load(folder, ())


def pixels(response: Any) -> Any:
    (image,) = response["generated_images"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))).astype(int)


def with_diffusers(kind: str, folder: Path, prompt: str, negative_prompt: str) -> Any:
    """Return what diffusers generates with embeddings that it loaded itself."""
    pipeline = PIPELINES[kind]()
    for id, token in TOKENS.items():
        tensors = load_file(folder / f"embeddings/{id}.safetensors")
        if "emb_params" in tensors:
            pipeline.load_textual_inversion(tensors["emb_params"], token=token)
        else:
            for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
                parts = {part: getattr(pipeline, part + suffix) for part in ("tokenizer", "text_encoder")}
                pipeline.load_textual_inversion(tensors[name], token=token, **parts)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        prompt=[prompt], negative_prompt=[negative_prompt], width=64, height=64, num_inference_steps=2,
        guidance_scale=2.0, output_type="np", generator=torch.Generator("cpu").manual_seed(7),
    )  # fmt: skip
    return (output.images[0] * 255).round().astype(int)


def test_it_generates_what_diffusers_does(send: Send, model: Model, plain: Model, kind: str, folder: Path) -> None:
    texts = {"prompt": "a <toy> b", "negative_prompt": "bad-art c"}
    found = pixels(send(model, **{**SMALL, **texts}))
    assert np.abs(found - pixels(send(plain, **{**SMALL, **texts}))).max() > 2
    expected = with_diffusers(kind, folder, **texts)
    assert np.abs(found - expected).max() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a cat", "negative_prompt": "dog"},
        {"prompt": "toy bad art bad-artist xbad-art"},
        {"prompt": "(a:1.3) BREAK cat", "prompt_syntax": "weighted"},
        {"prompt": "a cat", "clip_skip": 2},
    ],
)
def test_without_a_token_the_bytes_are_the_same(send: Send, model: Model, plain: Model, fields: dict[str, Any]) -> None:
    sent = {**SMALL, **fields}
    expected = send(plain, **sent)["generated_images"]
    assert send(model, **sent)["generated_images"] == expected
    used = send(model, **{**sent, "prompt": "<toy> cat"})["generated_images"]
    assert used != expected
    assert send(model, **sent)["generated_images"] == expected
    assert send(model, **{**sent, "prompt": "<toy> cat"})["generated_images"] == used


def test_weights_apply_to_the_vectors(send: Send, model: Model) -> None:
    def image(prompt: str, syntax: str = "weighted", **fields: Any) -> Any:
        return send(model, **{**SMALL, "prompt": prompt, "prompt_syntax": syntax, **fields})["generated_images"]

    assert image("(<toy>:1) a") == image("<toy> a") == image("<TOY> a", "plain")
    assert image("(<toy>:1.5) a") != image("<toy> a")
    assert image("a", negative_prompt="(bad-art:1.5)") != image("a", negative_prompt="bad-art")
    assert image("bad-art-2") != image("bad-art")


def test_an_image_does_not_depend_on_the_others(send: Send, model: Model) -> None:
    prompts = ["a", "<toy>", "bad-art c"]
    together = send(replace(model, batch_size=4), **{**SMALL, "prompt": prompts})["generated_images"]
    for i, (prompt, image) in enumerate(zip(prompts, together, strict=True)):
        alone = pixels(send(model, **{**SMALL, "prompt": prompt, "seed": 7 + i}))
        assert np.abs(alone - pixels({"generated_images": [image]})).max() <= 1


@pytest.mark.parametrize("syntax", ["plain", "weighted"])
def test_the_length_counts_the_vectors(send: Send, model: Model, syntax: str) -> None:
    letters = "a" * (USABLE - VECTORS["toy"])
    chunks = 1 if syntax == "plain" else PROMPT_CHUNKS
    full = " ".join(["<toy>", letters, "a" * USABLE * (chunks - 1)]).strip()
    sent = {**SMALL, "prompt_syntax": syntax}
    assert send(model, **{**sent, "prompt": full})["warnings"] == []
    (warning,) = send(model, **{**sent, "prompt": f"{full} a"})["warnings"]
    assert warning == f"Prompt 1 has {USABLE * chunks + 1} tokens; this model reads the first {USABLE * chunks}."


def test_a_file_names_those_that_were_used(send: Send, model: Model, folder: Path) -> None:
    response = send(
        model, **{**SMALL, "prompt": ["a <toy>", "b"], "negative_prompt": "Bad-Art", "embed_parameters": True}
    )
    first, second = (read_infotext(base64.b64decode(image)) for image in response["generated_images"])
    hashes = {
        token: hashlib.sha256((folder / f"embeddings/{id}.safetensors").read_bytes()).hexdigest()[:12]
        for id, token in TOKENS.items()
    }
    assert f'TI hashes: "<toy>: {hashes["<toy>"]}, bad-art: {hashes["bad-art"]}", ' in first
    assert f'TI hashes: "bad-art: {hashes["bad-art"]}", ' in second
    (plain,) = send(model, **SMALL, embed_parameters=True)["generated_images"]
    assert "TI hashes" not in read_infotext(base64.b64decode(plain))


def test_an_id_is_the_token_by_default(send: Send, folder: Path, model: Model) -> None:
    own = load(folder, (ProfileEmbedding(id="toy"),))
    assert [item.token for item in own.embeddings.items] == ["toy"]
    image = send(own, **{**SMALL, "prompt": "a toy b"})["generated_images"]
    assert image == send(model, **{**SMALL, "prompt": "a <toy> b"})["generated_images"]


def test_a_folder_without_an_entry_offers_what_it_has(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)
    assert {item.token for item in load_model(folder).embeddings.items} == {*TOKENS}


def test_numbers_that_are_not_finite_are_refused(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "model")
    file = own / "embeddings/toy.safetensors"
    save_file({name: tensor.fill_(float("inf")) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(ModelFolderError, match="not finite"):
        load(own, (ProfileEmbedding(id="toy"),))
