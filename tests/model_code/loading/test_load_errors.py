"""A folder that does not load is one answer to every call, found once; what may pass by itself is tried again."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import inference
from contract import EaselError
from generation import gpu_memory
from loading import load as loading
from loading import load_errors
from tests.model_code import fakes

BODY = '{"prompt": "a", "seed": 1}'
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def call(model: Any) -> dict[str, Any]:
    """One call of the endpoint."""
    told: dict[str, Any] = json.loads(
        inference.output_fn(inference.predict_fn(inference.input_fn(BODY, "application/json"), model), "*/*")
    )
    return told


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line of the log."""
    (told,) = (json.loads(text) for text in capsys.readouterr().out.splitlines())
    return dict(told)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def spoil_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:8] + b"[" + file.read_bytes()[9:])


def move_tensor(file: Path) -> None:
    """Each header fits the file, and the tensors do not fit each other: only the library itself sees that."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    last = max((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    header[last]["shape"] = [1]
    text = json.dumps(header).encode().ljust(length)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


@pytest.mark.parametrize("damage", [cut, spoil_header, lambda file: file.write_bytes(b"version ht"), Path.unlink])
def test_damaged_weights_are_told_by_their_name_before_anything_is_imported(
    copy: Path, damage: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(copy / UNET)
    if (copy / UNET).exists():
        monkeypatch.setattr(loading, "_import_diffusers", lambda: pytest.fail("imported"))
        message, hint = f"{UNET} is damaged or cut off", "Fetch it anew; a pointer of Git LFS is no weights."
    else:
        message, hint = "the model does not load (OSError)", load_errors.AT_A_LOSS
    told = call(inference.model_fn(str(copy)))["error"]
    assert (told["code"], told["message"], told["hint"]) == ("config_error", message, hint)


def test_what_only_the_library_finds_is_an_answer_too_and_for_the_log(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    move_tensor(copy / UNET)
    model = inference.model_fn(str(copy))
    told = call(model)["error"]
    assert (told["code"], told["hint"]) == ("config_error", load_errors.AT_A_LOSS)
    assert str(copy) not in told["message"]
    logged = line(capsys)
    assert (logged["event"], logged["code"], logged["tries_left"]) == ("refused", "config_error", 0)
    assert told["message"] == logged["message"] == f"the model does not load ({logged['error']})"
    assert logged["cause"]
    assert all(place.rpartition(":")[2].isdecimal() for place in logged["where"])


def test_a_module_that_the_image_lacks(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    told = call(inference.model_fn(str(copy)))["error"]
    assert told["code"] == "config_error"
    assert told["message"] == "the serving image lacks diffusers, which the model needs"
    assert line(capsys)["error"] == "ModuleNotFoundError"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass."""
    now = [1000.0]
    monkeypatch.setattr(load_errors, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


class Loads:
    """`loading.load` that fails as often as there are errors, then gives a model."""

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


def too_much() -> torch.Tensor:
    """torch's own words for a machine without memory."""
    return torch.empty(2**50)


OUT = "the model does not fit into the GPU's memory"
SMALL = "the machine's memory is too small to load the model"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "gpu_out_of_memory", OUT),
        (RuntimeError("MPS backend out of memory"), "gpu_out_of_memory", OUT),
        (MemoryError(), "config_error", SMALL),
        (too_much, "config_error", SMALL),
        (OSError(12, "Cannot allocate memory"), "config_error", SMALL),
    ],
)
def test_too_little_memory_is_tried_again_after_a_while(
    error: Any, code: str, message: str, fake: Any, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker before may still hold it."""
    loads = Loads(fake(fakes.grey), error)
    monkeypatch.setattr(loading, "load", loads)
    model = inference.model_fn("/opt/ml/model")
    for _ in range(3):
        told = call(model)["error"]
        assert (told["code"], told["message"]) == (code, message)
        assert told["hint"] == "Deploy a larger instance_type, or a smaller model."
    assert loads.count == 1
    clock(load_errors.AGAIN_SECONDS)
    assert all("generated_images" in call(model) for _ in range(2))
    assert loads.count == 2


def test_what_does_not_pass_is_left_alone_after_three_tries(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads(None, *[MemoryError()] * 9)
    monkeypatch.setattr(loading, "load", loads)
    model = inference.model_fn("/opt/ml/model")
    for _ in range(9):
        clock(load_errors.AGAIN_SECONDS)
        assert call(model)["error"]["code"] == "config_error"
    assert loads.count == load_errors.TRIES


@pytest.mark.parametrize("error", [OSError("x"), ImportError("x"), EaselError("config_error", "x"), RuntimeError("x")])
def test_what_cannot_pass_is_found_once(
    error: Exception, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads(None, error)
    monkeypatch.setattr(loading, "load", loads)
    model = inference.model_fn("/opt/ml/model")
    for _ in range(5):
        clock(1e6)
        assert call(model)["error"]["code"] == "config_error"
    assert loads.count == 1
    assert isinstance(model, EaselError)
    assert model.__traceback__ is None and model.__context__ is None


def test_a_lost_card_is_for_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up: list[str] = []
    monkeypatch.setattr(gpu_memory.Memory, "give_up", lambda self: given_up.append("yes"))
    monkeypatch.setattr(loading, "load", Loads(None, RuntimeError("CUDA error: an illegal memory access")))
    told = call(inference.model_fn("/opt/ml/model"))["error"]
    assert (told["code"], told["hint"]) == ("model_error", "The model is started anew; send the request again.")
    assert given_up == ["yes"]
