"""Infotext in image files, as other tools read it."""

import base64
import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sd_parsers import ParserManager
from sd_prompt_reader.image_data_reader import ImageDataReader

import contract
from images.files import encode_image
from images.infotext import Origin, render_infotext
from loading import revision
from loading.revision import read_revision
from model_folder import check_folder
from stacks.config.catalogue import read_model
from tests.model_code.images.infotext_reader import read_infotext

EXAMPLES = Path(__file__).parents[3] / "examples"
PROFILE = contract.parse_profile((EXAMPLES / "profile.json").read_text())
GOLDEN = json.loads((EXAMPLES / "infotext.json").read_text())
ORIGIN = Origin("emoji", "451f4fe16113", "CreativeML OpenRAIL-M", {"comic": "0123456789ab", "ink": "ba9876543210"})
Send = Callable[..., Any]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_the_text_of_an_image(case: dict[str, Any]) -> None:
    request = contract.parse_request(json.dumps(case["body"]), PROFILE, lambda: 7)
    assert render_infotext(request, case["image_index"], Origin(PROFILE.id)) == case["text"]


def test_loras_are_tags_at_the_end_of_the_prompt() -> None:
    """As AUTOMATIC1111 writes them."""
    body = {"prompt": "a red apple", "loras": [{"id": "flat", "scale": 0.8}, {"id": "ink"}]}
    profile = dataclasses.replace(PROFILE, loras=tuple(contract.ProfileLora(id=id) for id in ("flat", "ink")))
    text = render_infotext(contract.parse_request(json.dumps(body), profile), 0, Origin("example"))
    assert text.splitlines()[0] == "a red apple <lora:flat:0.8> <lora:ink:1>"


@pytest.mark.parametrize("output_format", contract.OUTPUT_FORMATS)
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_every_format_has_the_text(case: dict[str, Any], output_format: str) -> None:
    file = encode_image(np.full((8, 8, 3), 99, np.uint8), output_format, case["text"])
    assert read_infotext(file) == case["text"]


@pytest.mark.parametrize("output_format", contract.OUTPUT_FORMATS)
@pytest.mark.parametrize("prompt", ["a red apple", "café", "一只熊猫 🐼"])
def test_other_readers_find_the_parameters(prompt: str, output_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # It keeps the comment of the last image by an address in memory that the next image may have, too.
    monkeypatch.setattr("sd_parsers.extractors._jpeg_usercomment._image_id", None)
    request = contract.GenerationRequest(
        prompt=(prompt,), negative_prompt="fog 雾", width=64, height=96, num_inference_steps=12, guidance_scale=4.5,
        seed=7, scheduler="euler_a",
    )  # fmt: skip
    text = render_infotext(request, 0, ORIGIN)
    file = encode_image(np.full((8, 8, 3), 99, np.uint8), output_format, text)
    parsed = ParserManager().parse(io.BytesIO(file))
    assert parsed and (parsed.full_prompt, parsed.full_negative_prompt) == (prompt, "fog 雾")
    (sampler,) = parsed.samplers
    assert (sampler.name, sampler.parameters["steps"], sampler.parameters["seed"]) == ("Euler a", "12", "7")
    assert (parsed.metadata["Model revision"], parsed.metadata["Model licence"]) == (ORIGIN.revision, ORIGIN.licence)
    reader = ImageDataReader(io.BytesIO(file))
    assert 'Lora hashes: "comic: 0123456789ab, ink: ba9876543210", ' in reader.setting
    assert (reader.positive, reader.negative, reader.width, reader.height) == (prompt, "fog 雾", "64", "96")


@pytest.mark.parametrize(("output_format", "pointer"), [("webp", b"EXIF"), ("jpeg", b"Exif\0\0")])
def test_the_user_comment_is_of_type_undefined(output_format: str, pointer: bytes) -> None:
    """As EXIF 2.3 wants it; many readers refuse another type."""
    file = encode_image(np.zeros((8, 8, 3), np.uint8), output_format, "a")
    assert b"\x92\x86\x00\x07\x00\x00\x00\x0a" in file[file.index(pointer) :]


@pytest.mark.parametrize(("text", "chunk"), [("a", b"tEXt"), ("caf\u00e9", b"tEXt"), ("\u718a", b"iTXt")])
def test_png_uses_itxt_beyond_latin_1(text: str, chunk: bytes) -> None:
    assert chunk in encode_image(np.zeros((8, 8, 3), np.uint8), "png", text)


def test_the_longest_texts_fit_every_format(model: Any, send: Send) -> None:
    longest = "\U0001f43c" * contract.PROMPT_CHARS.maximum
    for name in contract.OUTPUT_FORMATS:
        response = send(model, prompt=longest, negative_prompt=longest, embed_parameters=True, output_format=name)
        assert read_infotext(base64.b64decode(response["generated_images"][0])).count(longest) == 2


def test_each_image_has_its_own_prompt_and_seed(model: Any, send: Send) -> None:
    response = send(model, prompt=["a", "b"], num_images_per_prompt=2, embed_parameters=True)
    texts = [read_infotext(base64.b64decode(image)) for image in response["generated_images"]]
    assert [text[0] for text in texts] == ["a", "a", "b", "b"]
    assert all(f"Seed: {seed}, " in text for text, seed in zip(texts, response["seeds"], strict=True))


def test_infotext_does_not_change_the_pixels(model: Any, send: Send) -> None:
    plain, with_text = (send(model, embed_parameters=embed)["generated_images"][0] for embed in (False, True))
    assert plain != with_text
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))) for image in (plain, with_text)]
    assert np.array_equal(pixels[0], pixels[1])


def test_schedulers_that_a1111_lacks_keep_their_name() -> None:
    request = contract.GenerationRequest(
        prompt=("a",), width=64, height=64, num_inference_steps=2, guidance_scale=0, seed=0, scheduler="flow_euler"
    )
    assert render_infotext(request, 0, Origin('a "b", c')).endswith(
        'Sampler: flow_euler, CFG scale: 0, Seed: 0, Size: 64x64, Model: "a \\"b\\", c", Version: Easel'
    )


SECOND_PASS = [
    ({"steps": 20}, "Denoising strength: 0.5, Hires upscale: 2, Hires steps: 10, Hires upscaler: Lanczos"),
    (
        {"scale": 1.5, "strength": 0.33, "steps": 20},
        "Denoising strength: 0.33, Hires upscale: 1.5, Hires steps: 7, Hires upscaler: Lanczos, Hires schedule: 20",
    ),
]


@pytest.mark.parametrize(("hires", "settings"), SECOND_PASS)
def test_weights_and_a_second_pass_have_the_names_of_a1111(hires: Any, settings: str) -> None:
    body = {
        "prompt": "(a:1.3)",
        "width": 256,
        "prompt_syntax": "weighted",
        "clip_skip": 2,
        "hires": hires,
        "height": 64,
    }
    request = contract.parse_request(json.dumps(body), PROFILE, lambda: 7)
    text = render_infotext(request, 0, Origin(PROFILE.id))
    assert f"Size: 256x64, Model: example, Clip skip: 2, {settings}, Prompt syntax: weighted, Version: Easel" in text


def test_files_name_the_revision_the_licence_and_the_loras(
    send: Send, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the embedded model and its LoRA, whose hash AUTOMATIC1111 computes from what follows the file's header."""
    from loading.load import load_model

    monkeypatch.setenv("EASEL_MODEL_PROFILE", read_model("emoji", EXAMPLES.parent).container_profile)
    model = load_model(EXAMPLES.parent / "models" / "emoji")
    fields: dict[str, Any] = {"num_inference_steps": 1, "embed_parameters": True}
    lora = (model.loras.folder / "loras" / "comic.safetensors").read_bytes()  # type: ignore[union-attr]
    short = hashlib.sha256(lora[8 + int.from_bytes(lora[:8], "little") :]).hexdigest()[:12]
    for output_format in contract.OUTPUT_FORMATS:
        response = send(model, **fields, output_format=output_format, loras=[{"id": "comic", "scale": 0.5}])
        text = read_infotext(base64.b64decode(response["generated_images"][0]))
        assert f", Model: emoji, Model revision: {model.revision}, Model licence: MIT, " in text
        assert text.endswith(f', Lora hashes: "comic: {short}", Version: Easel')
        origin = {"revision": model.revision, "licence": "MIT", "lora_hashes": {"comic": short}}
        assert response["origin"] == origin
    plain = send(model, **fields)
    assert "Lora hashes" not in read_infotext(base64.b64decode(plain["generated_images"][0]))


COMMIT = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"


@pytest.mark.parametrize(
    ("commits", "expected"),
    [
        ({"a/b": COMMIT}, COMMIT),
        ({"a/b": COMMIT, "c/d": "1"}, f"a/b@{COMMIT}, c/d@1"),
        ({"a/b": COMMIT, "a/lora": "2"}, COMMIT),
    ],
)
def test_a_release_has_the_commits_of_its_source(folder: Path, tmp_path: Path, commits: Any, expected: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "tiny")
    source = {"kind": "hub", "repository": "a/b", "parts": {"vae": {"repository": "c/d"}}}
    manifest = {"source": source, "commits": commits, "licence": "mit", "files": []}
    (copy / "release.json").write_text(json.dumps(manifest))
    assert read_revision(copy, check_folder(copy)) == expected


def test_a_folder_without_commits_has_the_hash_of_its_files(folder: Path, tmp_path: Path) -> None:
    """The same on a laptop, and in a release, whose manifest has the digests of all files."""
    copy = shutil.copytree(folder, tmp_path / "tiny")
    checked = check_folder(copy)
    on_a_laptop = read_revision(copy, checked)
    digests = [(path, f"sha256:{hashlib.sha256((copy / path).read_bytes()).hexdigest()}") for path in checked.files]
    files = [{"path": path, "size": 1, "digest": digest} for path, digest in [*digests, ("code/inference.py", "x")]]
    (copy / "release.json").write_text(json.dumps({"source": {}, "commits": {}, "files": files}))
    assert read_revision(copy, checked) == on_a_laptop
    assert len(on_a_laptop) == 16
    for damaged in (
        "",
        "[]",
        '{"source": {}, "commits": 1}',
        '{"source": 7}',
        '{"source": {}, "commits": {}, "files": [1]}',
    ):
        (copy / "release.json").write_text(damaged)
        assert read_revision(copy, checked) == on_a_laptop
    (copy / "vae" / "config.json").write_text((copy / "vae" / "config.json").read_text() + " ")
    assert read_revision(copy, checked) != on_a_laptop


def test_a_large_folder_without_a_manifest_has_no_revision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum((folder / path).stat().st_size for path in check_folder(folder).files)
    for limit, known in ((size, True), (size - 1, False)):
        monkeypatch.setattr(revision, "HASHED_BYTES", limit)
        assert bool(read_revision(folder, check_folder(folder))) == known
