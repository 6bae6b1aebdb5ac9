"""The page recognises warnings and refusals by their English text: its patterns match what model_code writes."""

import base64
import io
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from contract import EaselError, GenerationRequest, parse_profile, parse_request
from generation import generate, img2img, pipeline_arguments, prompt_length
from generation.prompt_encoder import PromptEncoder
from generation.vocabulary import Vocabulary
from stacks.config.catalogue import read_model
from tests.conftest import ROOT, WEB
from tests.model_code import tiny

REQUEST = GenerationRequest(
    prompt=("a",), width=512, height=512, num_inference_steps=1, guidance_scale=1, seed=7, scheduler="ddim",
    negative_prompt="b",
)  # fmt: skip


def test_patterns_of_the_page_match_the_warnings() -> None:
    patterns = page_patterns("warnings")
    warnings = model_warnings()
    assert set(warnings) == set(patterns)
    for name, warning in warnings.items():
        matching = [candidate for candidate, pattern in patterns.items() if pattern.fullmatch(warning)]
        assert matching[:1] == [name], warning


def test_patterns_of_the_page_match_the_refusals() -> None:
    body = {"prompt": "a (cat:25)", "prompt_syntax": "weighted"}
    with pytest.raises(EaselError) as caught:
        parse_request(json.dumps(body), parse_profile(read_model("emoji", ROOT).profile))
    (pattern,) = page_patterns("refusals").values()
    assert pattern.fullmatch(caught.value.message)


def page_patterns(part: str) -> dict[str, re.Pattern[str]]:
    """Return a part of the English locale as patterns, in their order."""
    source = (WEB / "src/locales/en.ts").read_text("utf-8")
    section = source.partition(f"  {part}: {{")[2].partition("\n  },")[0]
    texts = re.findall(r"(\w+):\s+'([^']+)'", section)
    return {name: re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(text))) for name, text in texts}


def model_warnings() -> dict[str, str]:
    profile = parse_profile(read_model("emoji", ROOT).profile)
    image = io.BytesIO()
    Image.new("RGB", (640, 480)).save(image, "PNG")
    tokenizer = SimpleNamespace(tokenizer=_LetterTokenizer())
    unguided, guided = (SimpleNamespace(__call__=call) for call in (lambda: None, lambda negative_prompt: None))
    (scaled,) = generate.scaling_warnings((512, 512), (128, 128), profile)
    (extended,) = generate.scaling_warnings((512, 256), (128, 128), profile)
    (cropped,) = img2img.read_init_image(base64.b64encode(image.getvalue()).decode(), 512, 512).warnings
    texts = {"Prompt 1": "b" * 11, "negative_prompt": "b" * 11}
    truncated, negative_truncated = prompt_length.truncation_warnings(tokenizer, {}, texts)
    vocabulary = Vocabulary((("panda", "熊猫"), ("steam train", "蒸汽火车")))
    ((unknown,), (near,)) = vocabulary.advice(["木琴"]), vocabulary.advice(["a fast train"])
    (ignored,) = pipeline_arguments._negative_prompt(unguided, REQUEST, False)[1]
    (without_effect,) = pipeline_arguments._negative_prompt(guided, REQUEST, False)[1]
    (guidance_ignored,) = pipeline_arguments.guidance_warnings(unguided, REQUEST, profile)
    encoder = PromptEncoder(tiny.stable_diffusion(), True, None, None)
    unclosed, negative_unclosed = encoder.warnings({"Prompt 1": "(a", "negative_prompt": "(b"})
    return {
        "extended": extended,
        "scaled": scaled,
        "cropped": cropped,
        "truncated": truncated,
        "negativeTruncated": negative_truncated,
        "unknownSubject": unknown,
        "unknownSubjectNear": near,
        "negativeIgnored": ignored,
        "guidanceIgnored": guidance_ignored,
        "negativeWithoutEffect": without_effect,
        "unclosed": unclosed,
        "negativeUnclosed": negative_unclosed,
    }


class _LetterTokenizer:
    """A tokenizer with a token for each letter."""

    model_max_length = 12

    def num_special_tokens_to_add(self) -> int:
        return 2

    def __call__(self, text: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(input_ids=list(text))
