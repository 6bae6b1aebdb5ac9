"""ControlNets of a request: what they change, and that nothing of them stays."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

import generation.extras.control
from contract import ProfileLora
from generation.generate import Model
from images.canny import find_edges
from loading import hardware, layout
from loading.load import load_model
from tests.model_code import lora_files, tiny
from tests.model_code.control_files import write_control

Send = Callable[..., Any]
SMALL = {"prompt": "a", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 7, "guidance_scale": 2.0}
PIPELINES = {"StableDiffusionPipeline": tiny.stable_diffusion, "StableDiffusionXLPipeline": tiny.stable_diffusion_xl}
NAMES = ("first", "second")


def disc(side: int = 64, color: str = "white") -> Image.Image:
    image = Image.new("RGB", (side, side), "black")
    ImageDraw.Draw(image).ellipse((side // 4, side // 4, 3 * side // 4, 3 * side // 4), fill=color)
    return image


def encoded(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def use(name: str = "first", **fields: Any) -> dict[str, Any]:
    return {"id": name, "image": encoded(disc()), **fields}


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)


@pytest.fixture(scope="module", params=PIPELINES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a pipeline with two ControlNets and a LoRA."""
    folder: Path = tmp_path_factory.mktemp("models") / request.param
    pipeline = PIPELINES[request.param]()
    pipeline.save_pretrained(folder)
    for seed, name in enumerate(NAMES):
        write_control(pipeline.unet, folder / f"controls/{name}.safetensors", seed=seed)
    (folder / "loras").mkdir()
    shapes = lora_files.shapes(pipeline.unet, "lora_unet")
    save_file(lora_files.matrices(shapes), folder / "loras/style.safetensors")
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EASEL_MODEL_PROFILE", raising=False)
        return load_model(folder)


@pytest.fixture
def model(loaded: Model) -> Model:
    """The first ControlNet may have its map made here."""
    first, second = loaded.profile.controls
    return replace(loaded, profile=replace(loaded.profile, controls=(replace(first, preprocess="canny"), second)))


def pixels(response: Any) -> Any:
    (image,) = response["generated_images"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))).astype(int)


def with_diffusers(model: Model, folder: Path, names: tuple[str, ...], image: Any, **arguments: Any) -> Any:
    """Return what diffusers generates with ControlNets that it made itself from the UNet."""
    nets = []
    for name in names:
        net = diffusers.ControlNetModel.from_unet(
            model.pipeline.unet, conditioning_embedding_out_channels=(4, 4, 8, 8), load_weights_from_unet=False
        )
        net.load_state_dict(load_file(folder / f"controls/{name}.safetensors"))
        nets.append(net.eval())
    kind = type(model.pipeline).__name__.replace("Pipeline", "ControlNetPipeline")
    components = dict(model.pipeline.components)
    components["scheduler"] = type(components["scheduler"]).from_config(components["scheduler"].config)
    pipeline = getattr(diffusers, kind)(**components, controlnet=nets if len(nets) > 1 else nets[0])
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        prompt=["a"], image=image, width=64, height=64, num_inference_steps=2, guidance_scale=2.0, output_type="np",
        generator=torch.Generator("cpu").manual_seed(7), **arguments,
    )  # fmt: skip
    return (output.images[0] * 255).round().astype(int)


@pytest.mark.skipif(not layout._can_reorder(), reason="oneDNN's operators are those of x86")
def test_controls_and_loras_take_the_layout_of_a_cpu_with_bfloat16(
    send: Send, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "SMALL_MODEL_BYTES", 0)
    monkeypatch.setattr(hardware, "_cpu_has_bfloat16", lambda: True)
    model = load_model(folder)
    plain = send(model, **SMALL)["generated_images"]
    assert all(m.weight.is_mkldnn for m in model.pipeline.unet.modules() if isinstance(m, torch.nn.Conv2d))
    for extra in ({"control": [use()]}, {"loras": [{"id": "style"}]}):
        assert send(model, **SMALL, **extra)["generated_images"] != plain
    assert send(model, **SMALL)["generated_images"] == plain


def test_it_generates_what_diffusers_does(send: Send, model: Model, folder: Path) -> None:
    plain = pixels(send(model, **SMALL))
    steered = pixels(send(model, **SMALL, control=[use()]))
    assert np.abs(steered - plain).max() > 2
    assert np.abs(steered - with_diffusers(model, folder, ("first",), disc())).max() <= 1
    both = pixels(send(model, **SMALL, control=[use(scale=0.5), use("second", start=0.5)]))
    expected = with_diffusers(
        model, folder, NAMES, [disc()] * 2, controlnet_conditioning_scale=[0.5, 1.0],
        control_guidance_start=[0.0, 0.5], control_guidance_end=[1.0, 1.0],
    )  # fmt: skip
    assert np.abs(both - expected).max() <= 1


def test_nothing_stays_after_a_request(send: Send, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    before = send(model, **SMALL)["generated_images"]
    steered = send(model, **SMALL, control=[use()])["generated_images"]
    assert before != steered
    assert send(model, **SMALL, control=[use(scale=0)])["generated_images"] == before
    assert send(model, **SMALL)["generated_images"] == before
    cancelled = replace(model, is_cancelled=lambda: True)
    assert send(cancelled, **SMALL, control=[use()])["error"]["code"] == "cancelled"

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(generation.extras.control, "create_controlnet", broken)
        assert send(model, **SMALL, control=[use()])["error"]["code"] == "model_error"
    assert send(model, **SMALL)["generated_images"] == before
    assert send(model, **SMALL, control=[use()])["generated_images"] == steered
    assert "controlnet" not in model.pipeline.components


def test_it_goes_with_a_lora_an_image_a_mask_and_a_second_pass(send: Send, model: Model) -> None:
    profile = replace(model.profile, loras=(ProfileLora(id="style"),))
    model, image = replace(model, profile=profile), encoded(disc(color="red"))
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    for fields in (
        {"loras": [{"id": "style"}]},
        {"init_image": image, "strength": 0.5},
        {"init_image": image, "mask_image": encoded(mask.convert("RGB"))},
        {"init_image": image, "outpaint": {"left": 64}},
        {"hires": {"scale": 1.5, "strength": 1}},
        {"prompt": "(a:1.3) b", "prompt_syntax": "weighted"},
    ):
        sent: dict[str, Any] = {**SMALL, **fields}
        if "outpaint" in fields:
            del sent["width"], sent["height"]
        plain, steered = pixels(send(model, **sent)), pixels(send(model, **sent, control=[use(), use("second")]))
        assert plain.shape == steered.shape
        assert np.abs(plain - steered).max() > 2, fields
        assert (pixels(send(model, **sent)) == plain).all()
        if "mask_image" in fields:
            assert (steered[:, 32:] == np.asarray(disc(color="red"))[:, 32:]).all()


def test_an_image_does_not_depend_on_the_others(send: Send, model: Model) -> None:
    control = [use(), use("second")]
    several = send(replace(model, batch_size=4), **SMALL, num_images_per_prompt=3, control=control)
    alone = [send(model, **{**SMALL, "seed": 7 + i}, control=control)["generated_images"][0] for i in range(3)]
    images = [pixels({"generated_images": [image]}) for image in several["generated_images"]]
    assert all(np.abs(a - pixels({"generated_images": [b]})).max() <= 1 for a, b in zip(images, alone, strict=True))


def test_edges_can_be_found_here(send: Send, model: Model) -> None:
    photo = disc(128, "gray")
    found = find_edges(photo.resize((64, 64), Image.Resampling.LANCZOS))
    here = send(model, **SMALL, control=[use(image=encoded(photo), preprocess="canny")])
    assert here["generated_images"] == send(model, **SMALL, control=[use(image=encoded(found))])["generated_images"]
    (warning,) = send(model, **SMALL, control=[use(image=encoded(Image.new("RGB", (128, 64))))])["warnings"]
    assert warning.startswith("control[0].image has 128x64 pixels")


def test_a_damaged_image_is_refused_before_anything_is_loaded(send: Send, model: Model) -> None:
    whole = base64.b64decode(encoded(disc()))
    damaged = base64.b64encode(whole[:60]).decode()
    error = send(model, **SMALL, control=[use(), use("second", image=damaged)])["error"]
    assert (error["code"], error["param"]) == ("bad_image", "control[1].image")


def test_a_file_that_was_replaced_is_an_error(send: Send, model: Model, folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "model")
    assert model.controls is not None
    changed = replace(model, controls=replace(model.controls, folder=own))
    file = own / "controls/first.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    error = send(changed, **SMALL, control=[use()])["error"]
    assert (error["code"], error["param"]) == ("config_error", "control[0].id")
    file.unlink()
    assert send(changed, **SMALL, control=[use()])["error"]["code"] == "config_error"
    assert "error" not in send(changed, **SMALL, control=[use("second")])


def test_a_pipeline_without_controlnets_refuses_them() -> None:
    from contract import EaselError
    from generation.img2img import pipeline_class

    with pytest.raises(EaselError) as caught:
        pipeline_class(type("FluxPipeline", (), {})(), "", control=True)
    assert (caught.value.code, caught.value.param) == ("not_supported", "control")
