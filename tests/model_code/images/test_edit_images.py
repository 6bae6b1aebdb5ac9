"""Editing by instruction: images that a pipeline looks at, through `predict_fn` with a pipeline of each class."""

import base64
import inspect
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import contract
import inference
from contract import EDIT_PIXELS, EDITS, EaselError, ModelProfile
from generation.prompt_length import truncation_warnings
from images.edit_images import read_edit_images
from loading.image_prompts import ImagePromptProcessor, place_images
from model_folder import EDITORS, PIPELINES, WITHOUT_NEGATIVE_PROMPT
from tests.conftest import ROOT
from tests.model_code import every_pipeline
from tests.model_code.conftest import PROFILE
from tests.model_code.generation.test_img2img import encode, red

Send = Callable[..., Any]
Editor = Any
RED, BLUE = encode(red(size=(64, 64))), encode(Image.new("RGB", (64, 64), (0, 0, 250)))
NOISE = encode(Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)))


def profile_of(name: str) -> ModelProfile:
    flow = ("flow_euler",)
    return replace(PROFILE, name=name, edits=EDITORS[name], scheduler=flow[0], schedulers=flow, guidance_scale=1.0)


@pytest.fixture(scope="module", params=[*EDITORS])
def editor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """A pipeline of each class as model_fn returns it."""
    folder = tmp_path_factory.mktemp("editors") / request.param
    every_pipeline.create(request.param).save_pretrained(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EASEL_MODEL_PROFILE", contract.render_profile(profile_of(request.param)))
        # Each image would be scaled up to 1024 x 1024, which takes seconds.
        patch.setattr("diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus.VAE_IMAGE_SIZE", 64 * 64)
        yield inference.model_fn(str(folder))


def images(response: Any) -> list[str]:
    assert "error" not in response, response
    found: list[str] = response["generated_images"]
    return found


def size(image: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(image))).size


def test_the_result_depends_on_each_image_and_on_their_order(editor: Editor, send: Send) -> None:
    sent = [[], [RED], [BLUE], [RED, BLUE], [BLUE, RED], [RED, RED]]
    assert len({images(send(editor, images=several, width=64, height=64))[0] for several in sent}) == len(sent)


def test_as_many_images_as_the_entry_says(editor: Editor, send: Send) -> None:
    most = [RED] * editor.profile.edits
    response = send(editor, images=most)
    assert response["parameters"]["images"] == [f"sha256:{sha256(base64.b64decode(RED)).hexdigest()}"] * len(most)
    assert size(images(response)[0]) == (64, 64)
    error = send(editor, images=[*most, RED])["error"]
    assert (error["code"], error["param"]) == ("out_of_range", "images")


def test_each_of_several_results_is_that_of_its_seed_alone(editor: Editor, send: Send) -> None:
    """With several images asked for, other servers edit only the first, or go on from the result before."""
    several = images(send(editor, images=[NOISE], prompt=["a", "a longer b"], num_images_per_prompt=2, seed=7))
    alone = [
        *images(send(editor, images=[NOISE], prompt="a", seed=7)),
        *images(send(editor, images=[NOISE], prompt="a", seed=8)),
        *images(send(editor, images=[NOISE], prompt="a longer b", seed=9)),
        *images(send(editor, images=[NOISE], prompt="a longer b", seed=10)),
    ]
    assert several == alone
    assert len({*several}) == 4


def test_nothing_of_a_request_stays(editor: Editor, send: Send) -> None:
    """Other servers give the second request the image of the first."""
    plain, of_red = images(send(editor)), images(send(editor, images=[RED]))
    truncated = base64.b64encode(base64.b64decode(NOISE)[:-40]).decode()
    assert images(send(editor, images=[BLUE])) != of_red
    assert send(editor, images=[RED, truncated])["error"]["param"] == "images[1]"
    assert images(send(editor, images=[RED])) == of_red
    assert images(send(editor)) == plain


def test_the_size_follows_the_first_image_or_the_request(editor: Editor, send: Send) -> None:
    follows, sent = send(editor, images=[NOISE, RED]), send(editor, images=[NOISE], width=72, height=128)
    assert (size(images(follows)[0]), size(images(sent)[0])) == (
        contract.edit_size((96, 80), editor.profile),
        (72, 128),
    )


def test_parameters_in_the_file_name_the_images(editor: Editor, send: Send) -> None:
    (image,) = images(send(editor, images=[RED, BLUE], embed_parameters=True))
    text = Image.open(io.BytesIO(base64.b64decode(image))).info["parameters"]
    hashes = [sha256(base64.b64decode(file)).hexdigest()[:10] for file in (RED, BLUE)]
    assert f"Images: {' '.join(hashes)}" in text


def test_a_pipeline_that_looks_at_no_images_refuses_them(model: Any, send: Send) -> None:
    error = send(model, images=[RED])["error"]
    assert (error["code"], error["param"]) == ("not_supported", "images")
    model.profile = replace(PROFILE, edits=1)  # a profile that does not fit the pipeline
    error = send(model, images=[RED])["error"]
    assert (error["code"], error["param"]) == ("not_supported", "images")


def test_a_derived_profile_says_what_the_pipeline_takes(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    from loading.profiles import model_profile
    from model_folder import CheckedModel

    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)
    profile = model_profile(editor.pipeline, ROOT, CheckedModel.__new__(CheckedModel))
    name = type(editor.pipeline).__name__
    assert (profile.edits, profile.takes_negative_prompt) == (EDITORS[name], name not in WITHOUT_NEGATIVE_PROMPT)
    assert profile.takes_guidance_scale is not editor.pipeline.config.get("is_distilled", False)


@pytest.mark.parametrize("entry", sorted((ROOT / "models").glob("*.json")), ids=lambda path: path.stem)
def test_entries_of_the_catalogue_say_whether_they_edit(entry: Any) -> None:
    value = json.loads(entry.read_text())
    assert value.get("edits", 0) == EDITORS.get(value["pipeline"], 0)


def test_editors_are_known_classes_within_the_contract() -> None:
    assert {*EDITORS} <= {*PIPELINES}
    assert all(EDITS.minimum <= most <= EDITS.maximum for most in EDITORS.values())


# --- files ---------------------------------------------------------------------------------------


def error_of(*sent: str) -> EaselError:
    with pytest.raises(EaselError) as caught:
        read_edit_images(sent)
    return caught.value


def test_an_image_is_upright_and_as_large_as_the_model_looks_at() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    phone = encode(Image.new("RGB", (2000, 1500), (250, 0, 0)), "JPEG", exif=exif)
    (image,) = read_edit_images([phone]).images
    assert (image.mode, image.size) == ("RGB", (886, 1182))
    assert image.width * image.height <= EDIT_PIXELS
    assert read_edit_images([RED]).images[0].size == (64, 64)


def test_warnings_and_errors_name_the_image() -> None:
    broken_profile = encode(red(size=(64, 64)), icc_profile=b"junk")
    assert all("images[1]" in warning for warning in read_edit_images([RED, broken_profile]).warnings)
    assert len(read_edit_images([RED, broken_profile]).warnings) == 1
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    animated = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    deep = encode(Image.fromarray(np.zeros((64, 64), np.uint16)))
    truncated = base64.b64encode(base64.b64decode(NOISE)[:-40]).decode()
    for bad in (animated, deep, truncated):
        error = error_of(RED, bad)
        assert (error.code, error.param) == ("bad_image", "images[1]")


def test_an_image_that_claims_too_many_pixels_takes_no_memory(editor: Editor, send: Send) -> None:
    bomb = encode(Image.new("1", (4096, 4097)))
    tracemalloc.start()
    error = send(editor, images=[RED, bomb])["error"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (error["code"], error["param"]) == ("out_of_range", "images[1]")
    assert peak < 20_000_000


# --- Qwen's prompts with images ------------------------------------------------------------------


def test_the_text_encoder_knows_which_tokens_are_images() -> None:
    """diffusers leaves that out, and transformers would number them as text."""
    pipeline = every_pipeline.create("QwenImageEditPlusPipeline")
    processor = ImagePromptProcessor(pipeline.processor, pipeline.tokenizer)
    prompts = ["1: <|image_pad|> 2: <|image_pad|> hello", "<|image_pad|>,<|image_pad|>"]
    images = [Image.new("RGB", (56, 56), "red"), Image.new("RGB", (28, 56), "blue")]
    inputs = processor(prompts, images=images, padding=True, return_tensors="pt")
    encoder = pipeline.text_encoder
    is_image = inputs["input_ids"] == encoder.config.image_token_id
    assert is_image.sum(dim=1).tolist() == [4 + 2] * 2  # 28 x 28 pixels each
    assert inputs["image_grid_thw"].tolist() == [[1, 4, 4], [1, 4, 2]] * 2
    expected = encoder(**inputs, mm_token_type_ids=is_image.int()).logits
    plain = encoder(**inputs).logits
    place_images(encoder)
    assert torch.equal(encoder(**inputs).logits, expected)
    assert not torch.equal(plain, expected)


def test_prompts_without_images_are_only_tokenized() -> None:
    pipeline = every_pipeline.create("QwenImageEditPlusPipeline")
    processor = ImagePromptProcessor(pipeline.processor, pipeline.tokenizer)
    assert {*processor(["hello"], padding=True, return_tensors="pt")} == {"input_ids", "attention_mask"}


def test_a_long_prompt_is_read_whole() -> None:
    pipeline = every_pipeline.create("QwenImageEditPlusPipeline")
    parameters = inspect.signature(pipeline.__call__).parameters
    assert truncation_warnings(pipeline, parameters, {"Prompt 1": "a " * 2000}) == []
