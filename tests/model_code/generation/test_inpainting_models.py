"""Checkpoints for inpainting: their UNet gets a mask and the masked image beside the latents."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from generation.generate import Model
from loading.load import load_model
from model_folder import ModelFolderError, check_folder
from tests.model_code import tiny
from tests.model_code.control_files import write_control
from tests.model_code.generation.extras.test_control import SMALL, disc, encoded, pixels, use

Send = Callable[..., Any]
FAMILIES = {"StableDiffusion": tiny.stable_diffusion, "StableDiffusionXL": tiny.stable_diffusion_xl}


def unet_like(unet: Any, channels: int) -> Any:
    """Return a UNet of the same structure with so many input channels."""
    torch.manual_seed(0)
    config = {name: value for name, value in unet.config.items() if not name.startswith("_")}
    return diffusers.UNet2DConditionModel(**config | {"in_channels": channels})


def write_folder(folder: Path, name: str, channels: int = 9, class_name: str = "") -> Any:
    """Write a model folder whose UNet has so many input channels. Return the pipeline."""
    pipeline = FAMILIES[name]()
    pipeline.register_modules(unet=unet_like(pipeline.unet, channels))
    assert pipeline.unet.config.in_channels == channels
    pipeline.save_pretrained(folder)
    if class_name:
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": class_name}))
    return pipeline


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = tmp_path_factory.mktemp("models") / "inpainting"
    pipeline = write_folder(folder, request.param, class_name=f"{request.param}InpaintPipeline")
    write_control(unet_like(pipeline.unet, 4), folder / "controls/first.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EASEL_MODEL_PROFILE", raising=False)
        return load_model(folder)


def masked() -> dict[str, Any]:
    mask = Image.new("RGB", (64, 64), "black")
    mask.paste("white", (0, 0, 32, 64))
    return {"init_image": encoded(disc(color="red")), "mask_image": encoded(mask)}


def test_the_masked_part_is_that_of_diffusers_pipeline(send: Send, model: Model) -> None:
    generated = pixels(send(model, **SMALL, **masked(), mask_blur=0))
    assert (generated[:, 32:] == np.asarray(disc(color="red"))[:, 32:]).all()
    kind = getattr(diffusers, type(model.pipeline).__name__.replace("Pipeline", "InpaintPipeline"))
    components = dict(model.pipeline.components)
    components["scheduler"] = type(components["scheduler"]).from_config(components["scheduler"].config)
    pipeline = kind(**components)
    pipeline.set_progress_bar_config(disable=True)
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    (expected,) = pipeline(
        prompt=["a"], image=disc(color="red"), mask_image=mask, strength=1.0, width=64, height=64,
        num_inference_steps=2, guidance_scale=2.0, output_type="np", generator=torch.Generator("cpu").manual_seed(7),
    ).images  # fmt: skip
    assert np.abs(generated[:, :32] - (expected * 255).round()[:, :32]).max() <= 1


def test_without_a_mask_everything_is_generated(send: Send, model: Model) -> None:
    plain = send(model, **SMALL)
    assert plain["generated_images"] == send(model, **SMALL)["generated_images"]
    image = {"init_image": encoded(disc(color="red"))}
    weak, strong = (pixels(send(model, **SMALL, **image, strength=strength)) for strength in (0.5, 1))
    assert (weak != strong).any()
    larger = pixels(send(model, **SMALL, hires={"scale": 1.5}))
    assert larger.shape == (96, 96, 3)
    steered = send(model, **SMALL, **masked(), control=[use()])
    assert steered["generated_images"] != send(model, **SMALL, **masked())["generated_images"]
    several = send(replace(model, batch_size=2), **SMALL, num_images_per_prompt=2)["generated_images"]
    assert np.abs(pixels({"generated_images": several[:1]}) - pixels(plain)).max() <= 1


@pytest.mark.parametrize(("channels", "accepted"), [(4, True), (5, False), (8, False), (9, True), (10, False)])
def test_which_unets_are_accepted(channels: int, accepted: bool, tmp_path: Path) -> None:
    write_folder(tmp_path, "StableDiffusion", channels)
    if accepted:
        assert check_folder(tmp_path).index.pipeline == "StableDiffusionPipeline"
    else:
        with pytest.raises(ModelFolderError, match="in_channels"):
            check_folder(tmp_path)
