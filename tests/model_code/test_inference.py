import base64
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import inference
from contract import ERRORS, EaselError, parse_profile, parse_response
from easel.cloud.known_failures import find_known_failure
from tests.model_code import fakes

EXAMPLES = Path(__file__).parents[2] / "examples"
Ask = Callable[..., Any]


def test_the_article_s_payload(model: Any, ask: Ask) -> None:
    prompts = ["A cute panda is sitting on the sofa", "a photograph of an astronaut riding a horse"]
    answer = ask(model, prompt=prompts, height=64, width=72, num_images_per_prompt=1)
    assert answer["seeds"] == [7, 8]
    assert answer["parameters"] == {
        "prompt": prompts,
        "negative_prompt": "",
        "width": 72,
        "height": 64,
        "num_images_per_prompt": 1,
        "num_inference_steps": 2,
        "guidance_scale": 4.0,
        "seed": 7,
        "scheduler": "ddim",
        "output_format": "png",
        "deadline_ms": None,
        "init_image": None,
        "strength": None,
        "embed_parameters": False,
    }
    timings = answer["timings"]
    assert set(timings) == {"generate_s", "encode_s", "total_s"}
    assert 0 < timings["generate_s"] <= timings["total_s"]
    sizes = [Image.open(io.BytesIO(base64.b64decode(image))).size for image in answer["generated_images"]]
    assert sizes == [(72, 64)] * 2
    assert all("reads the first 14" in warning for warning in answer["warnings"]) and len(answer["warnings"]) == 2


@pytest.mark.parametrize("name", ["png", "webp", "jpeg"])
def test_the_output_format_is_the_one_asked_for(model: Any, ask: Ask, name: str) -> None:
    image = ask(model, output_format=name)["generated_images"][0]
    assert Image.open(io.BytesIO(base64.b64decode(image))).format == name.upper()


def test_the_same_request_gives_the_same_bytes(model: Any, ask: Ask) -> None:
    images = [ask(model, scheduler="euler_a")["generated_images"] for _ in range(2)]
    assert images[0] == images[1]
    assert ask(model, scheduler="euler_a", seed=8)["generated_images"] != images[0]


def test_a_seed_is_drawn_and_told_when_none_is_given(model: Any, ask: Ask) -> None:
    answer = ask(model, seed=None)
    assert answer["parameters"]["seed"] == answer["seeds"][0]
    assert ask(model, seed=answer["seeds"][0])["generated_images"] == answer["generated_images"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-npy",
        "application/x-npz",
        "text/csv",
        "text/plain",
        "application/jsonlines",
        "image/png",
        "",
        None,
    ],
)
def test_only_json_is_read(content_type: Any, fake: Any) -> None:
    evil = pickle.dumps(pytest.fail)
    answer = inference.predict_fn(inference.input_fn(evil, content_type), fake(fakes.grey))
    assert isinstance(answer, EaselError)
    assert answer.code == "unsupported_media_type"


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
@pytest.mark.parametrize("kind", [str, str.encode, lambda text: bytearray(text.encode())])
def test_json_is_read_in_every_shape_the_toolkit_hands_it_over(kind: Any, content_type: str, fake: Any) -> None:
    data = inference.input_fn(kind('{"prompt": "小猫", "seed": 1}'), content_type)
    assert not isinstance(inference.predict_fn(data, fake(fakes.grey)), EaselError)


@pytest.mark.parametrize("case", json.loads((EXAMPLES / "rejected.json").read_text()), ids=lambda case: case["name"])
def test_what_the_contract_rejects_never_reaches_the_model(case: dict[str, Any], fake: Any) -> None:
    profile = parse_profile((EXAMPLES / "profile.json").read_text())
    model = fake(lambda *_: pytest.fail("the model was called"))
    model.profile = profile
    answer = inference.predict_fn(inference.input_fn(case["body"], "application/json"), model)
    assert isinstance(answer, EaselError)
    assert (answer.code, answer.param) == (case["code"], case["param"])


def test_why_a_folder_is_refused_is_the_answer_to_every_call(tmp_path: Path) -> None:
    """The toolkit swallows what model_fn raises, and calls it again at every call."""
    model = inference.model_fn(str(tmp_path))
    for body in ('{"prompt": "a"}', "not JSON"):
        answer = inference.predict_fn(inference.input_fn(body, "application/json"), model)
        assert isinstance(answer, EaselError)
        assert (answer.code, answer.__traceback__) == ("config_error", None)
        assert "model_index.json" in inference.output_fn(answer, "*/*")


def test_an_error_is_an_answer_that_holds_no_memory(fake: Any) -> None:
    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        return fakes.grey(pictures, width, height) * torch.nan

    data = inference.input_fn('{"prompt": "a"}', "application/json")
    answer = inference.predict_fn(data, fake(paint))
    assert isinstance(answer, EaselError)
    assert answer.__traceback__ is None and answer.__context__ is None
    with pytest.raises(EaselError) as caught:
        parse_response(inference.output_fn(answer, "image/png"))
    assert caught.value.code == "nan_output"


def test_a_failure_of_the_pipeline_is_an_answer_too(fake: Any, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        raise RuntimeError("in the middle of it")

    error = ask(fake(paint))["error"]
    assert error["code"] == "model_error" and error["code"] in ERRORS
    assert "in the middle" not in error["message"]  # for the log, not for a caller
    line = json.loads(capsys.readouterr().out)
    assert line["message"] == "in the middle of it"
    assert line["where"][-1].startswith("test_inference.py:")


@pytest.mark.parametrize(
    ("fails", "above", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 0, "gpu_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 1, ""),
        (RuntimeError("CUDA error: device-side assert triggered"), 0, "gpu_error"),
        (torch.nan, 0, "blank_output"),
        (0.0, 0, "blank_output"),
    ],
    ids=["memory", "memory-of-two", "context", "nan", "black"],
)
def test_easel_doctor_knows_what_the_log_says_of_a_picture_that_failed(
    fails: Exception | float, above: int, code: str, fake: Any, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch that was halved and then drawn is no failure."""

    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        if pictures <= above:
            return fakes.grey(pictures, width, height)
        if isinstance(fails, Exception):
            raise fails
        return fakes.grey(pictures, width, height) * fails

    assert ("error" in ask(fake(paint), num_images_per_prompt=2)) is bool(code)
    lines = capsys.readouterr().out.splitlines()
    codes = {failure.code for line in lines if (failure := find_known_failure(line))}
    assert (bool(lines), codes) == (True, {code} if code else set())


def test_the_log_names_the_call(model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The serving toolkit's context, as `sagemaker-huggingface-inference-toolkit` 2.6.0 and MMS 1.1 make it."""

    class Processor:
        def get_request_properties(self) -> dict[str, str]:
            return {"X-Amzn-SageMaker-Inference-Id": "owner-job", "Content-Type": "application/json"}

    class Context:
        request_processor = (Processor(),)

    for context in (Context(), None):
        data = inference.input_fn('{"prompt": "a", "width": 5}', "application/json", context)
        inference.predict_fn(data, model)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["event"], first["inference_id"]) == ("refused", "owner-job")
    assert "inference_id" not in second


def test_the_log_has_no_prompt(model: Any, fake: Any, ask: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    """Nor have the warnings of diffusers and transformers, which quote what they cut off."""

    def paint(pictures: int, width: int, height: int) -> torch.Tensor:
        raise ValueError("cannot draw 'secret garden secret'")

    words = "secret garden secret " * 20
    ask(model, prompt=words, negative_prompt=words)
    ask(fake(paint), prompt="secret garden secret")
    told = capfd.readouterr()
    assert "secret" not in told.out + told.err
    assert json.loads(told.out.splitlines()[0])["prompt_chars"] == [len(words)]
