"""Models for the tests of the container's code: a tiny Stable Diffusion, and a fake pipeline."""

import os

# Before torch is imported: see easel/laptop/container/server.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from contract import ModelProfile, render_profile
from tests.model_code import fakes, tiny

# Two threads that share the operations of a tiny model wait for each other longer than one computes.
torch.set_num_threads(1)

PROFILE = ModelProfile(
    id="tiny",
    name="Tiny",
    licence="MIT",
    sizes=((tiny.SIDE, tiny.SIDE),),
    max_side=256,
    steps=2,
    guidance_scale=4.0,
    scheduler="ddim",
    schedulers=("ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_a", "heun", "lcm", "pndm", "unipc"),
)


def pytest_configure(config: pytest.Config) -> None:
    """diffusers 0.42.1 passes torch tensors to numpy 2 in its schedulers, and has classes that it deprecates itself."""
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation:DeprecationWarning:diffusers")
    config.addinivalue_line("filterwarnings", "ignore:`FluxPosEmbed` is deprecated:FutureWarning")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion as diffusers saves it. Read only: copy it before you change it."""
    return tiny.save(tiny.stable_diffusion(), tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def loaded(folder: Path) -> Iterator[Any]:
    """The tiny Stable Diffusion as model_fn returns it, with PROFILE."""
    import inference

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EASEL_MODEL_PROFILE", render_profile(PROFILE))
        yield inference.model_fn(str(folder))


@pytest.fixture
def model(loaded: Any) -> Any:
    """The same weights in a Model of its own, whose fields a test may set."""
    return replace(loaded)


@pytest.fixture
def fake_model() -> Callable[..., Any]:
    """Creates a Model around a pipeline whose images come from a function."""
    return lambda render, **changes: fakes.create_model(render, replace(PROFILE, **changes))


@pytest.fixture
def send() -> Callable[..., Any]:
    """Sends one request through the container's functions and returns the JSON of the response."""
    import inference

    def send_request(model: Any, **fields: Any) -> Any:
        data = inference.input_fn(json.dumps({"prompt": "a", "seed": 7} | fields), "application/json")
        return json.loads(inference.output_fn(inference.predict_fn(data, model), "application/json"))

    return send_request
