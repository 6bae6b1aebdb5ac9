"""The fast layout on a CPU: it changes no bit in bfloat16, and in float32 no more than rounding."""

import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.inference.measure import ERROR_RATIO, EXACT, PSNR_DB, psnr
from contract import GenerationRequest, render_profile
from generation.generate import generate
from loading import hardware, layout, load
from loading.layout import prepare_layout
from tests.model_code import every_pipeline, tiny
from tests.model_code.conftest import PROFILE

REQUEST = GenerationRequest(
    prompt=("abc",), width=tiny.SIDE, height=tiny.SIDE, num_inference_steps=4, guidance_scale=4.0, seed=7,
    scheduler="ddim",
)  # fmt: skip

needs_onednn = pytest.mark.skipif(not layout._can_reorder(torch.float32), reason="oneDNN's operators are those of x86")
needs_bfloat16 = pytest.mark.skipif(
    not layout._can_reorder(torch.bfloat16), reason="this processor does not compute with bfloat16"
)


@pytest.fixture
def as_a_large_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load in bfloat16, as large models are on a CPU that computes with it."""
    monkeypatch.setenv("EASEL_MODEL_PROFILE", render_profile(PROFILE))
    monkeypatch.setattr(hardware, "SMALL_MODEL_BYTES", 0)
    monkeypatch.setattr(hardware, "_cpu_has_bfloat16", lambda: True)


def generated(folder: Path) -> tuple[Any, np.ndarray[Any, Any], torch.Tensor]:
    """Return the model, and pixels and latents of an image."""
    model, seen = load.load_model(folder), list[torch.Tensor]()
    decode = model.pipeline.vae.decode

    def record(latents: torch.Tensor, *rest: Any, **options: Any) -> Any:
        seen.append(latents.float())
        return decode(latents, *rest, **options)

    model.pipeline.vae.decode = record
    (image,) = generate(model, REQUEST, expires_at=None).images
    return model, image, seen[-1]


@needs_bfloat16
@pytest.mark.usefixtures("as_a_large_model")
def test_the_layout_changes_no_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image, latents = generated(folder)
    convolutions = [module for module in model.pipeline.unet.modules() if isinstance(module, nn.Conv2d)]
    assert convolutions and all(module.weight.is_mkldnn for module in convolutions)
    monkeypatch.setattr(layout, "_can_reorder", lambda _: False)
    model, plain, plain_latents = generated(folder)
    assert not any(module.weight.is_mkldnn for module in model.pipeline.unet.modules() if isinstance(module, nn.Conv2d))
    assert np.array_equal(image, plain) and torch.equal(latents, plain_latents)


@needs_onednn
def test_in_float32_the_layout_changes_no_more_than_rounding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_MODEL_PROFILE", render_profile(PROFILE))
    model, _, latents = generated(folder)
    convolutions = [module for module in model.pipeline.unet.modules() if isinstance(module, nn.Conv2d)]
    assert convolutions and all(module.weight.is_mkldnn for module in convolutions)
    monkeypatch.setattr(load, "prepare_layout", lambda _: None)
    _, _, plain_latents = generated(folder)
    assert (latents - plain_latents).norm() <= EXACT * plain_latents.norm()


@pytest.mark.usefixtures("as_a_large_model")
def test_the_errors_are_those_of_a_plain_pipeline_in_bfloat16(folder: Path) -> None:
    """The reference is the plain pipeline in float32, from the same noise."""
    from diffusers import StableDiffusionPipeline

    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator("cpu").manual_seed(7), dtype=torch.bfloat16)

    def plain(dtype: torch.dtype) -> tuple[np.ndarray[Any, Any], torch.Tensor]:
        pipeline = StableDiffusionPipeline.from_pretrained(folder).to(dtype)
        pipeline.set_progress_bar_config(disable=True)
        arguments = {"num_inference_steps": 4, "guidance_scale": 4.0, "height": tiny.SIDE, "width": tiny.SIDE}
        latents = pipeline("abc", latents=noise.to(dtype), output_type="latent", **arguments).images
        (image,) = pipeline("abc", latents=noise.to(dtype), **arguments).images
        return np.asarray(image), latents.float() / pipeline.vae.config.scaling_factor

    _, image, latents = generated(folder)
    _, reference = plain(torch.float32)
    plain_image, plain_latents = plain(torch.bfloat16)
    assert 0 < (latents - reference).norm() <= ERROR_RATIO * (plain_latents - reference).norm()
    assert psnr(image, plain_image) >= PSNR_DB


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bfloat16)])
@needs_onednn
def test_a_convolution_follows_the_size_of_its_input(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer: Any = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.Conv2d(32, 8, 1, bias=False))
    layer = layer.to(dtype).to(memory_format=torch.channels_last)
    sizes = (2, 8), (1, 8), (2, 24), (2, 8)
    images = [torch.randn(rows, 16, side, side, dtype=dtype) for rows, side in sizes]
    with torch.no_grad():
        expected = [layer(image) for image in images]
        prepare_layout(SimpleNamespace(unet=layer))
        error = 1e-5 if dtype == torch.float32 else 0
        assert all(torch.allclose(layer(i), wanted, error, error) for i, wanted in zip(images, expected, strict=True))


def refuse_operator(*_: Any) -> Any:
    raise RuntimeError("not built with oneDNN")


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [(platform, "machine", lambda: "aarch64"), (layout._ReorderedConv2d, "_reorder", refuse_operator)],
)
def test_elsewhere_convolutions_stay_as_they_are(
    target: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, name, value)
    layer = nn.Sequential(nn.Conv2d(16, 32, 3)).to(torch.bfloat16)
    prepare_layout(SimpleNamespace(unet=layer))
    assert type(layer[0]) is nn.Conv2d


@pytest.mark.usefixtures("as_a_large_model")
def test_an_autoencoder_with_convolutions_in_three_dimensions_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE")
    every_pipeline.PIPELINES["QwenImagePipeline"]().save_pretrained(tmp_path)
    pipeline = load.load_model(tmp_path).pipeline
    assert pipeline.vae.dtype == torch.bfloat16
    assert any(isinstance(module, nn.Conv3d) for module in pipeline.vae.modules())
