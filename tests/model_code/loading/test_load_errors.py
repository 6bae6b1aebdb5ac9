"""Models that do not load: one error for every request, and retries of failures that may pass."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import inference
from contract import EaselError
from generation import gpu_memory
from loading import load, load_errors
from model_folder import ModelFolderError
from tests.model_code import fakes

BODY = '{"prompt": "a", "seed": 1}'
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def send(model: Any) -> dict[str, Any]:
    """Send one request to the endpoint."""
    data = inference.input_fn(BODY, "application/json")
    response: dict[str, Any] = json.loads(inference.output_fn(inference.predict_fn(data, model), "*/*"))
    return response


def only_log_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = (json.loads(text) for text in capsys.readouterr().out.splitlines())
    return dict(line)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def damage_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:8] + b"[" + file.read_bytes()[9:])


def replace_by_lfs_pointer(file: Path) -> None:
    file.write_bytes(b"version ht")


def change_shape(file: Path) -> None:
    """A tensor has a shape that the part does not have: only the library notices."""
    weights = load_file(file)
    name = max(weights)
    save_file(weights | {name: torch.cat([weights[name]] * 2)}, file, metadata={"format": "pt"})


@pytest.mark.parametrize("damage", [truncate, damage_header, replace_by_lfs_pointer])
def test_damaged_weights_are_named_before_anything_is_imported(
    copy: Path, damage: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(copy / UNET)
    monkeypatch.setattr(load, "_import_diffusers", lambda: pytest.fail("imported"))
    error = send(inference.model_fn(str(copy)))["error"]
    assert error["code"] == "config_error"
    assert UNET in error["message"] and error["hint"]


def test_missing_weights_are_an_error_response(copy: Path) -> None:
    (copy / UNET).unlink()
    error = send(inference.model_fn(str(copy)))["error"]
    assert error["code"] == "config_error"
    assert "unet" in error["message"] and "safetensors" in error["message"]


def replace_by_nonsense(file: Path) -> None:
    file.write_text('{"model": {"type": "?"}}')


@pytest.mark.parametrize(
    ("part", "name", "damage"),
    [("unet", UNET, change_shape), ("tokenizer", "tokenizer/tokenizer.json", replace_by_nonsense)],
)
def test_an_error_of_a_library_names_part_file_and_reason(
    copy: Path, capsys: pytest.CaptureFixture[str], part: str, name: str, damage: Callable[[Path], Any]
) -> None:
    damage(copy / name)
    error = send(inference.model_fn(str(copy)))["error"]
    assert error["code"] == "config_error"
    line = only_log_line(capsys)
    assert (line["event"], line["code"], line["tries_left"]) == ("refused", "config_error", 0)
    assert error["message"] == line["message"] and line["cause"]
    assert all(text in error["message"] for text in (part, name, line["error"]))
    assert all(place.rpartition(":")[2].isdecimal() for place in line["where"])
    assert not re.search(r"(?<![\w:/])/\w", error["message"])
    assert "elease the folder" not in error["hint"] and "transformers" in error["hint"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no /home/a b/easel-model-x1/unet/config.json", "no unet/config.json"),
        ("no file in '/opt/ml/model/unet'", "no file in 'unet'"),
        ("see https://github.com/x/y and/or a/b", "see https://github.com/x/y and/or a/b"),
        ("\x1b]0;x\x07 two\nlines \u202e", "\\x1b]0;x\\x07 two lines \\u202e"),
    ],
)
def test_the_reason_of_a_library_has_no_path_and_no_control_characters(text: str, shown: str) -> None:
    assert load_errors.readable(text) == shown


def test_a_missing_module_is_named(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    error = send(inference.model_fn(str(copy)))["error"]
    assert error["code"] == "config_error" and "diffusers" in error["message"]
    assert only_log_line(capsys)["error"] == "ModuleNotFoundError"


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr(load_errors, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


class FailingLoad:
    """Replaces `load_model`: fails once for each error, then returns a model."""

    def __init__(self, model: Any, *errors: Exception | Callable[[], Any]) -> None:
        self.model, self.errors, self.count = model, list(errors), 0

    def __call__(self, folder: Path) -> Any:
        self.count += 1
        if not self.errors:
            return self.model
        error = self.errors.pop(0)
        if callable(error):
            return error()
        raise error


def allocate_too_much() -> torch.Tensor:
    """Raise torch's own error for a machine without memory."""
    return torch.empty(2**50)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "gpu_out_of_memory"),
        (RuntimeError("MPS backend out of memory"), "gpu_out_of_memory"),
        (MemoryError(), "config_error"),
        (allocate_too_much, "config_error"),
        (OSError(12, "Cannot allocate memory"), "config_error"),
    ],
)
def test_too_little_memory_is_retried_after_a_while(
    error: Any, code: str, fake_model: Any, pass_time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier worker may still hold the memory."""
    loads = FailingLoad(fake_model(fakes.grey), error)
    monkeypatch.setattr(load, "load_model", loads)
    model = inference.model_fn("/opt/ml/model")
    for _ in range(3):
        response = send(model)["error"]
        assert response["code"] == code
        assert "memory" in response["message"] and "instance_type" in response["hint"]
    assert loads.count == 1
    pass_time(load_errors.RETRY_SECONDS)
    assert all("generated_images" in send(model) for _ in range(2))
    assert loads.count == 2


@pytest.mark.slow
def test_there_are_three_tries(pass_time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    loads = FailingLoad(None, *[MemoryError()] * 9)
    monkeypatch.setattr(load, "load_model", loads)
    model = inference.model_fn("/opt/ml/model")
    for _ in range(9):
        pass_time(load_errors.RETRY_SECONDS)
        assert send(model)["error"]["code"] == "config_error"
    assert loads.count == load_errors.MAX_TRIES == 3


@pytest.mark.parametrize(
    "error",
    [
        OSError("x"), ImportError("x"), EaselError("config_error", "x"), RuntimeError("x"), ModelFolderError("x", "y"),
    ],
)  # fmt: skip
def test_permanent_errors_are_not_retried(
    error: Exception, pass_time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = FailingLoad(None, error)
    monkeypatch.setattr(load, "load_model", loads)
    model = inference.model_fn("/opt/ml/model")
    for _ in range(5):
        pass_time(1e6)
        assert send(model)["error"]["code"] == "config_error"
    assert loads.count == 1
    assert isinstance(model, EaselError)
    assert model.__traceback__ is None and model.__context__ is None


def test_a_lost_gpu_context_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up: list[str] = []
    monkeypatch.setattr(gpu_memory.GpuMemory, "give_up", lambda self: given_up.append("yes"))
    monkeypatch.setattr(load, "load_model", FailingLoad(None, RuntimeError("CUDA error: an illegal memory access")))
    error = send(inference.model_fn("/opt/ml/model"))["error"]
    assert error["code"] == "model_error" and error["hint"]
    assert given_up == ["yes"]
