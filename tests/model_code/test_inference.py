"""The four functions of the container: requests, error responses and the log."""

import base64
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

import inference
from contract import ERRORS, EaselError, parse_profile, parse_response
from easel.cloud.known_failures import find_known_failure
from tests.model_code import fakes

EXAMPLES = Path(__file__).parents[2] / "examples"
Send = Callable[..., Any]


def test_the_article_s_request(model: Any, send: Send) -> None:
    prompts = ["A cute panda is sitting on the sofa", "a photograph of an astronaut riding a horse"]
    response = send(model, prompt=prompts, height=64, width=72, num_images_per_prompt=1)
    assert response["seeds"] == [7, 8]
    assert response["parameters"] == {
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
        "mask_image": None,
        "mask_mode": None,
        "mask_blur": None,
        "outpaint": None,
        "images": None,
        "embed_parameters": False,
        "loras": None,
        "prompt_syntax": "plain",
        "clip_skip": None,
        "hires": None,
        "control": None,
        "content": None,
    }
    timings = response["timings"]
    assert set(timings) == {"generate_s", "encode_s", "total_s"}
    assert 0 < timings["generate_s"] <= timings["total_s"]
    sizes = [Image.open(io.BytesIO(base64.b64decode(image))).size for image in response["generated_images"]]
    assert sizes == [(72, 64)] * 2
    assert len(response["warnings"]) == 2  # both prompts are too long


@pytest.mark.parametrize("name", ["png", "webp", "jpeg"])
def test_images_have_the_requested_format(model: Any, send: Send, name: str) -> None:
    image = send(model, output_format=name)["generated_images"][0]
    assert Image.open(io.BytesIO(base64.b64decode(image))).format == name.upper()


def test_the_same_request_gives_the_same_bytes(model: Any, send: Send) -> None:
    images = [send(model, scheduler="euler_a")["generated_images"] for _ in range(2)]
    assert images[0] == images[1]
    assert send(model, scheduler="euler_a", seed=8)["generated_images"] != images[0]


def test_a_request_without_a_seed_gets_a_random_one(model: Any, send: Send) -> None:
    response = send(model, seed=None)
    assert response["parameters"]["seed"] == response["seeds"][0]
    assert send(model, seed=response["seeds"][0])["generated_images"] == response["generated_images"]


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
def test_only_json_is_read(content_type: Any, fake_model: Any) -> None:
    evil = pickle.dumps(pytest.fail)
    response = inference.predict_fn(inference.input_fn(evil, content_type), fake_model(fakes.grey))
    assert isinstance(response, EaselError)
    assert response.code == "unsupported_media_type"


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
@pytest.mark.parametrize("convert", [str, str.encode, lambda text: bytearray(text.encode())])
def test_json_is_read_in_every_type_of_the_toolkit(convert: Any, content_type: str, fake_model: Any) -> None:
    data = inference.input_fn(convert('{"prompt": "小猫", "seed": 1}'), content_type)
    assert not isinstance(inference.predict_fn(data, fake_model(fakes.grey)), EaselError)


@pytest.mark.parametrize("case", json.loads((EXAMPLES / "rejected.json").read_text()), ids=lambda case: case["name"])
def test_a_request_that_the_contract_rejects_does_not_reach_the_model(case: dict[str, Any], fake_model: Any) -> None:
    profile = parse_profile((EXAMPLES / "profile.json").read_text())
    model = fake_model(lambda *_: pytest.fail("the model was called"))
    model.profile = profile
    response = inference.predict_fn(inference.input_fn(case["body"], "application/json"), model)
    assert isinstance(response, EaselError)
    assert (response.code, response.param) == (case["code"], case["param"])


def test_a_refused_folder_is_the_response_to_every_request(tmp_path: Path) -> None:
    """If model_fn raised, the toolkit would hide it and call model_fn again for every request."""
    model = inference.model_fn(str(tmp_path))
    for body in ('{"prompt": "a"}', "not JSON"):
        response = inference.predict_fn(inference.input_fn(body, "application/json"), model)
        assert isinstance(response, EaselError)
        assert (response.code, response.__traceback__) == ("config_error", None)
        assert "model_index.json" in inference.output_fn(response, "*/*")


def test_an_error_response_holds_no_tensors(fake_model: Any) -> None:
    def render(images: int, width: int, height: int) -> torch.Tensor:
        return fakes.grey(images, width, height) * torch.nan

    data = inference.input_fn('{"prompt": "a"}', "application/json")
    response = inference.predict_fn(data, fake_model(render))
    assert isinstance(response, EaselError)
    assert response.__traceback__ is None and response.__context__ is None
    with pytest.raises(EaselError) as caught:
        parse_response(inference.output_fn(response, "image/png"))
    assert caught.value.code == "nan_output"


def test_an_exception_of_the_pipeline_is_an_error_response(
    fake_model: Any, send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    def render(images: int, width: int, height: int) -> torch.Tensor:
        raise RuntimeError("details of the failure")

    error = send(fake_model(render))["error"]
    assert error["code"] == "model_error" and error["code"] in ERRORS
    assert "details" not in error["message"]  # they are for the log only
    line = json.loads(capsys.readouterr().out)
    assert line["message"] == "details of the failure"
    assert line["where"][-1].startswith("test_inference.py:")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "room", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 0, "gpu_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 1, ""),
        (RuntimeError("CUDA error: device-side assert triggered"), 0, "gpu_error"),
        (torch.nan, 0, "blank_output"),
        (0.0, 0, "blank_output"),
    ],
    ids=["memory", "memory-of-two", "context", "nan", "black"],
)
def test_easel_doctor_knows_the_log_lines_of_failed_requests(
    failure: Exception | float,
    room: int,
    code: str,
    fake_model: Any,
    send: Send,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A batch that was halved and then succeeded is not a failure."""

    def render(images: int, width: int, height: int) -> torch.Tensor:
        if images <= room:
            return fakes.grey(images, width, height)
        if isinstance(failure, Exception):
            raise failure
        return fakes.grey(images, width, height) * failure

    assert ("error" in send(fake_model(render), num_images_per_prompt=2)) is bool(code)
    lines = capsys.readouterr().out.splitlines()
    codes = {known.code for line in lines if (known := find_known_failure(line))}
    assert (bool(lines), codes) == (True, {code} if code else set())


def context_of(**headers: str) -> Any:
    """Return a context as `sagemaker-huggingface-inference-toolkit` 2.6.0 and MMS 1.1 create it."""
    properties = {f"X-Amzn-SageMaker-{name.replace('_', '-')}": value for name, value in headers.items()}
    return SimpleNamespace(request_processor=(SimpleNamespace(get_request_properties=lambda: properties),))


@pytest.mark.parametrize("body", ['{"prompt": "a"}', '{"prompt": "a", "model": "replaced"}', "damaged"])
def test_a_job_of_a_model_that_was_replaced_is_refused(model: Any, body: str) -> None:
    """Jobs that a deploy finds in the endpoint's queue must not get images of its new model."""
    data = inference.input_fn(body, "application/json", context_of(Custom_Attributes="model=replaced"))
    with pytest.raises(EaselError) as failure:
        parse_response(inference.output_fn(inference.predict_fn(data, model), "application/json"))
    assert failure.value.code == "model_replaced"
    assert "replaced" in failure.value.message and model.profile.id in failure.value.message


@pytest.mark.parametrize("attributes", ["model={id}", "a=b", ""])
def test_other_attributes_change_nothing(model: Any, attributes: str) -> None:
    id = model.profile.id
    body = json.dumps({"prompt": "a", "width": 64, "height": 64, "num_inference_steps": 1})
    context = context_of(Custom_Attributes=attributes.format(id=id))
    data = inference.input_fn(body, "application/json", context)
    result = parse_response(inference.output_fn(inference.predict_fn(data, model), "application/json"))
    assert (len(result.generated_images), "model" in result.parameters) == (1, False)


def test_log_lines_have_the_inference_id(model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for context in (context_of(Inference_Id="owner-job"), None):
        data = inference.input_fn('{"prompt": "a", "width": 5}', "application/json", context)
        inference.predict_fn(data, model)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["event"], first["inference_id"]) == ("refused", "owner-job")
    assert "inference_id" not in second


def test_the_log_has_no_prompts(model: Any, fake_model: Any, send: Send, capfd: pytest.CaptureFixture[str]) -> None:
    """Warnings of diffusers and transformers would quote what they truncate."""

    def render(images: int, width: int, height: int) -> torch.Tensor:
        raise ValueError("cannot generate 'secret garden secret'")

    prompt = "secret garden secret " * 20
    send(model, prompt=prompt, negative_prompt=prompt)
    send(fake_model(render), prompt="secret garden secret")
    captured = capfd.readouterr()
    assert "secret" not in captured.out + captured.err
    assert json.loads(captured.out.splitlines()[0])["prompt_chars"] == [len(prompt)]
