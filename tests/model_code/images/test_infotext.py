"""What a file tells of how it was drawn, as other tools read it."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import contract
from images import files as pictures
from images import infotext

EXAMPLES = Path(__file__).parents[3] / "examples"
PROFILE = contract.parse_profile((EXAMPLES / "profile.json").read_text())
GOLDEN = json.loads((EXAMPLES / "infotext.json").read_text())
Ask = Callable[..., Any]


def told(file: bytes) -> str:
    """As Pillow reads it back."""
    image = Image.open(io.BytesIO(file))
    image.load()
    if image.format == "PNG":
        return str(image.text["parameters"])  # type: ignore[attr-defined]
    comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\0")
    return str(comment[8:].decode("utf-16-be"))


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_the_text_of_a_picture(case: dict[str, Any]) -> None:
    request = contract.parse_request(json.dumps(case["body"]), PROFILE, lambda: 7)
    assert infotext.render(request, case["picture"], PROFILE.id) == case["text"]


@pytest.mark.parametrize("kind", contract.OUTPUT_FORMATS)
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_every_format_carries_it(case: dict[str, Any], kind: str) -> None:
    assert told(pictures.encode(np.full((8, 8, 3), 99, np.uint8), kind, case["text"])) == case["text"]


@pytest.mark.parametrize(("text", "chunk"), [("a", b"tEXt"), ("caf\u00e9", b"tEXt"), ("\u718a", b"iTXt")])
def test_png_says_in_itxt_what_latin_1_cannot(text: str, chunk: bytes) -> None:
    assert chunk in pictures.encode(np.zeros((8, 8, 3), np.uint8), "png", text)


def test_the_longest_texts_fit_every_format(model: Any, ask: Ask) -> None:
    longest = "\U0001f43c" * contract.PROMPT_CHARS.maximum
    for kind in contract.OUTPUT_FORMATS:
        answer = ask(model, prompt=longest, negative_prompt=longest, embed_parameters=True, output_format=kind)
        assert told(base64.b64decode(answer["generated_images"][0])).count(longest) == 2


def test_each_picture_tells_its_own_prompt_and_seed(model: Any, ask: Ask) -> None:
    answer = ask(model, prompt=["a", "b"], num_images_per_prompt=2, embed_parameters=True)
    texts = [told(base64.b64decode(image)) for image in answer["generated_images"]]
    assert [text[0] for text in texts] == ["a", "a", "b", "b"]
    assert all(f"Seed: {seed}, " in text for text, seed in zip(texts, answer["seeds"], strict=True))


def test_it_is_the_same_picture_with_and_without(model: Any, ask: Ask) -> None:
    plain, telling = (ask(model, embed_parameters=embed)["generated_images"][0] for embed in (False, True))
    assert plain != telling
    seen = [np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))) for image in (plain, telling)]
    assert np.array_equal(seen[0], seen[1])


def test_schedulers_that_a1111_lacks_keep_their_name() -> None:
    request = contract.GenerationRequest(
        prompt=("a",), width=64, height=64, num_inference_steps=2, guidance_scale=0, seed=0, scheduler="flow_euler"
    )
    assert infotext.render(request, 0, 'a "b", c').endswith(
        'Sampler: flow_euler, CFG scale: 0, Seed: 0, Size: 64x64, Model: "a \\"b\\", c", Version: Easel'
    )
