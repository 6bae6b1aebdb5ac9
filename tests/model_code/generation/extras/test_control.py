"""ControlNets of a request: what they change, and that nothing of them stays."""

from __future__ import annotations

import base64
import gc
import inspect
import io
import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image, ImageDraw
from safetensors.torch import save_file

import generation.extras.control
import inference
from contract import EaselError, ProfileLora, render_profile
from generation.extras.control import ControlInput
from generation.extras.map_encoder import MapEncoder
from generation.generate import Model
from images.canny import find_edges
from loading import hardware, layout
from loading.load import load_model
from model_folder import CONTROL_PIPELINES
from tests.model_code import every_pipeline, lora_files, tiny
from tests.model_code.control_files import STABILITY, create_control, write_control

Send = Callable[..., Any]
SMALL = {"prompt": "a", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 7, "guidance_scale": 2.0}
NAMES = ("first", "second")
TEXT_TO_IMAGE = {"StableDiffusionPipeline", "StableDiffusionXLPipeline"}
"""Those whose pipeline calls the images for the ControlNets `image`."""
CONFIG = {"add_control_noise_refiner", "control_in_dim", "control_layers_places", "num_layers", *STABILITY}
SAMPLED = {"FluxPipeline", "QwenImagePipeline"}
"""Those whose pipeline takes noise for the latents of these images before that of the generated image."""


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


@pytest.fixture(scope="module", autouse=True)
def small_sana() -> Iterator[None]:
    """Sana's pipelines generate at a size of a list, 512×512 here, and scale the image."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("pipeline_sana", "pipeline_sana_controlnet"):
            patch.setattr(f"diffusers.pipelines.sana.{module}.ASPECT_RATIO_512_BIN", {"1.0": [64.0, 64.0]})
        yield


@pytest.fixture(scope="module", params=CONTROL_PIPELINES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a pipeline with two ControlNets and a LoRA."""
    folder: Path = tmp_path_factory.mktemp("models") / request.param
    torch.manual_seed(0)
    pipeline = every_pipeline.PIPELINES[request.param]()
    pipeline.save_pretrained(folder)
    for seed, name in enumerate(NAMES):
        write_control(lora_files.backbone(pipeline), folder / f"controls/{name}.safetensors", seed=seed)
    (folder / "loras").mkdir()
    strength = 20 if "Qwen" in request.param else 1
    lora_files.by_peft(pipeline, folder / "loras/style.safetensors", strength=strength)
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EASEL_MODEL_PROFILE", raising=False)
        return with_inputs(load_model(folder))


def with_inputs(model: Model, *inputs: str) -> Model:
    """Return the model with the inputs of its ControlNets, as from an entry; default: the first value for both."""
    values = inputs or CONTROL_PIPELINES[type(model.pipeline).__name__].inputs[:1] * 2 or (None, None)
    controls = tuple(replace(item, inputs=own) for item, own in zip(model.profile.controls, values, strict=True))
    return replace(model, profile=replace(model.profile, controls=controls))


@pytest.fixture
def model(loaded: Model) -> Model:
    """The first ControlNet may have its map made here."""
    first, second = loaded.profile.controls
    return replace(loaded, profile=replace(loaded.profile, controls=(replace(first, preprocess="canny"), second)))


def pixels(response: Any) -> Any:
    (image,) = response["generated_images"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))).astype(int)


def with_diffusers(model: Model, names: tuple[str, ...], image: Any, **arguments: Any) -> Any:
    """Return what diffusers generates with ControlNets that it made itself from the UNet."""
    config = {name: arguments.pop(name) for name in [*arguments] if name in CONFIG}
    seeds = {"seed": 1} if config else {}
    nets = [
        create_control(lora_files.backbone(model.pipeline), **{"seed": NAMES.index(name)} | seeds, **config)
        for name in names
    ]
    name = type(model.pipeline).__name__
    class_ = getattr(diffusers, name.replace("Pipeline", "ControlNetPipeline"))
    components = dict(model.pipeline.components) | {"controlnet": nets if len(nets) > 1 else nets[0]}
    components["scheduler"] = type(components["scheduler"]).from_config(components["scheduler"].config)
    accepted = inspect.signature(class_.__init__).parameters
    pipeline = class_(**{key: part for key, part in components.items() if key in accepted})
    pipeline.set_progress_bar_config(disable=True)
    guidance = "true_cfg_scale" if "Qwen" in name else "guidance_scale"
    arguments |= {"negative_prompt": [" "]} if "Qwen" in name else {}
    with pytest.MonkeyPatch.context() as patch:
        if "Diffusion3" in name:  # it takes a sample that no seed decides
            patch.setattr(DiagonalGaussianDistribution, "sample", DiagonalGaussianDistribution.mode)
        output = pipeline(
            prompt=["a"], width=64, height=64, num_inference_steps=2, output_type="np",
            generator=torch.Generator("cpu").manual_seed(7),
            **{"image" if name in TEXT_TO_IMAGE else "control_image": image, guidance: 2.0}, **arguments,
        )  # fmt: skip
    return (output.images[0] * 255).round().astype(int)


@pytest.mark.skipif(not layout._can_reorder(torch.float32), reason="oneDNN's operators are those of x86")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_controls_and_loras_take_the_layout_of_a_cpu(
    dtype: torch.dtype, send: Send, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype == torch.bfloat16:
        if not layout._can_reorder(dtype):
            pytest.skip("this processor does not compute with bfloat16")
        monkeypatch.setattr(hardware, "SMALL_MODEL_BYTES", 0)
        monkeypatch.setattr(hardware, "_cpu_has_bfloat16", lambda: True)
    model = with_inputs(load_model(folder))
    plain = send(model, **SMALL)["generated_images"]
    modules = getattr(model.pipeline, "unet", torch.nn.Module()).modules()
    assert all(module.weight.is_mkldnn for module in modules if isinstance(module, torch.nn.Conv2d))
    for extra in ({"control": [use()]}, {"loras": [{"id": "style"}]}):
        assert send(model, **SMALL, **extra)["generated_images"] != plain
    assert send(model, **SMALL)["generated_images"] == plain


def test_it_generates_what_diffusers_does(send: Send, model: Model) -> None:
    scale = {"controlnet_conditioning_scale": 1.0}
    plain = pixels(send(model, **SMALL))
    steered = pixels(send(model, **SMALL, control=[use()]))
    assert np.abs(steered - plain).max() > 2
    assert np.abs(steered - with_diffusers(model, ("first",), disc(), **scale)).max() <= 1
    if model.profile.most_controls == 1:
        assert send(model, **SMALL, control=[use(), use("second")])["error"]["code"] == "out_of_range"
        return
    both = pixels(send(model, **SMALL, control=[use(scale=0.5), use("second", start=0.5)]))
    expected = with_diffusers(
        model, NAMES, [disc()] * 2, controlnet_conditioning_scale=[0.5, 1.0],
        control_guidance_start=[0.0, 0.5], control_guidance_end=[1.0, 1.0],
    )  # fmt: skip
    assert np.abs(both - expected).max() <= 1


def test_nothing_stays_after_a_request(send: Send, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    before = send(model, **SMALL)["generated_images"]
    steered = send(model, **SMALL, control=[use()])["generated_images"]
    assert before != steered
    if type(model.pipeline).__name__ not in SAMPLED:
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


def mask_of(width: int) -> Image.Image:
    mask = Image.new("RGB", (64, 64), "black")
    mask.paste((255, 255, 255), (0, 0, width, 64))
    return mask


@pytest.mark.parametrize(
    ("feature", "fields"),
    [
        ("loras", {"loras": [{"id": "style"}]}),
        ("init_image", {"init_image": encoded(disc(color="red")), "strength": 0.5}),
        ("mask_image", {"init_image": encoded(disc(color="red")), "mask_image": encoded(mask_of(32))}),
        ("strength", {"init_image": encoded(disc(color="red")), "mask_image": encoded(mask_of(32)), "strength": 0.5}),
        ("mask_image", {"init_image": encoded(disc(color="red")), "outpaint": {"left": 64}}),
        ("hires", {"hires": {"scale": 1.5, "strength": 1}}),
        ("weights", {"prompt": "(a:1.3) b", "prompt_syntax": "weighted"}),
    ],
)
def test_it_goes_with_other_features(send: Send, model: Model, feature: str, fields: dict[str, Any]) -> None:
    model = replace(model, profile=replace(model.profile, loras=(ProfileLora(id="style"),)))
    if feature == "weights" and model.profile.clip_layers is None:
        return
    sent: dict[str, Any] = {**SMALL, **fields}
    if "outpaint" in fields:
        del sent["width"], sent["height"]
    control = [use(), use("second")][: model.profile.most_controls]
    plain, response = send(model, **sent), send(model, **sent, control=control)
    if "error" in plain:  # of Sana, which generates from text alone
        assert {plain["error"]["code"], response["error"]["code"]} == {"not_supported"}
        return
    without = model.profile.control_without
    if feature in without or (feature == "strength" and "mask_image" in without):
        assert response["error"]["code"] == "not_supported"
    else:
        assert np.abs(pixels(plain) - (steered := pixels(response))).max() > 2
        if "mask_image" in fields:
            assert (steered[:, 32:] == np.asarray(disc(color="red"))[:, 32:]).all()
    assert send(model, **sent)["generated_images"] == plain["generated_images"]


def test_a_start_and_an_end(send: Send, model: Model) -> None:
    whole, late = (send(model, **SMALL, control=[use(start=start)]) for start in (0, 0.5))
    if "range" in model.profile.control_without:
        assert (late["error"]["code"], late["error"]["param"]) == ("not_supported", "control[0].start")
        assert send(model, **SMALL, control=[use(end=0.5)])["error"]["param"] == "control[0].end"
    else:
        assert late["generated_images"] != whole["generated_images"]


def test_an_image_does_not_depend_on_the_others(send: Send, model: Model) -> None:
    control = [use(), use("second")][: model.profile.most_controls]
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


@pytest.mark.parametrize(
    ("changes", "why"), [({"guidance_embeds": False}, "guidance"), ({"num_single_layers": 0}, "blocks")]
)
def test_two_of_flux_are_alike(send: Send, tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    pipeline = every_pipeline.PIPELINES["FluxPipeline"]()
    pipeline.save_pretrained(tmp_path)
    write_control(pipeline.transformer, tmp_path / "controls/first.safetensors", num_single_layers=1)
    write_control(pipeline.transformer, tmp_path / "controls/second.safetensors", **{"num_single_layers": 1} | changes)
    model = load_model(tmp_path)
    plain = send(model, **SMALL)["generated_images"]
    error = send(model, **SMALL, control=[use(), use("second")])["error"]
    assert (error["code"], error["param"], why in error["message"]) == ("not_supported", "control[1].id", True)
    for name in NAMES:
        assert send(model, **SMALL, control=[use(name)])["generated_images"] != plain
    assert send(model, **SMALL)["generated_images"] == plain


SD3: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "InstantX": ("zeros", {}, {"num_layers": 1}),
    "trained with the prompt": ("text", {}, {"force_zeros_for_pooled_projection": False}),
    "Stability AI": ("text", {"qk_norm": "rms_norm"}, STABILITY),
    "Stability AI, edges": ("text-raw", {"qk_norm": "rms_norm"}, STABILITY),
    "3.5 Medium": ("zeros", {"num_layers": 3, "qk_norm": "rms_norm", "dual_attention_layers": (0,)}, {"num_layers": 2}),
}
"""Kinds of ControlNets of Stable Diffusion 3: their inputs, and what the model and the ControlNet have."""
RAW_DISC = VaeImageProcessor(do_normalize=False).preprocess(disc()) * 255 * 0.5 + 0.5
"""The map as the page of Stability AI's ControlNet for edges prepares it."""


@pytest.mark.parametrize("kind", SD3)
def test_kinds_of_stable_diffusion_3(send: Send, tmp_path: Path, kind: str) -> None:
    inputs, of_model, changes = SD3[kind]
    pipeline = every_pipeline.stable_diffusion_3(**of_model)
    pipeline.save_pretrained(tmp_path)
    write_control(pipeline.transformer, tmp_path / "controls/first.safetensors", **changes)
    model = with_inputs(load_model(tmp_path), inputs)
    image = RAW_DISC if inputs == "text-raw" else disc()
    expected = with_diffusers(model, ("first",), image, controlnet_conditioning_scale=1.0, **changes)
    plain, found = (send(model, **SMALL, **more)["generated_images"] for more in ({}, {"control": [use()]}))
    assert np.abs(pixels({"generated_images": found}) - expected).max() <= 1
    for other in {"zeros", "text", "text-raw"} - {inputs}:
        assert send(with_inputs(model, other), **SMALL, control=[use()])["generated_images"] != found
    assert send(model, **SMALL, control=[use(scale=0)])["generated_images"] == plain
    assert send(model, **SMALL)["generated_images"] == plain


def test_stable_diffusion_3_whose_noise_depends_on_the_size(send: Send, tmp_path: Path) -> None:
    """diffusers' pipeline with ControlNets passes no `mu`, so that the scheduler would raise."""
    pipeline = every_pipeline.stable_diffusion_3()
    pipeline.scheduler = type(pipeline.scheduler)(use_dynamic_shifting=True)
    pipeline.save_pretrained(tmp_path)
    write_control(pipeline.transformer, tmp_path / "controls/first.safetensors")
    model = with_inputs(load_model(tmp_path), "zeros")
    wide = {**SMALL, "width": 128}
    plain = send(model, **wide)["generated_images"]
    assert send(model, **wide, control=[use(scale=0)])["generated_images"] == plain
    assert send(model, **wide, control=[use()])["generated_images"] != plain
    assert send(model, **wide)["generated_images"] == plain


def test_inputs_that_nothing_says_are_not_guessed(send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = every_pipeline.stable_diffusion_3()
    pipeline.save_pretrained(tmp_path)
    write_control(pipeline.transformer, tmp_path / "controls/first.safetensors")
    model = load_model(tmp_path)
    error = send(model, **SMALL, control=[use()])["error"]
    assert (error["code"], error["param"]) == ("config_error", "control[0].id")
    assert "zeros, text, text-raw" in error["hint"]
    monkeypatch.setenv("EASEL_MODEL_PROFILE", render_profile(with_inputs(model, "text").profile))
    assert "error" not in send(load_model(tmp_path), **SMALL, control=[use()])


def test_the_latents_of_a_map_are_those_of_the_vae_in_use() -> None:
    vae, maps = diffusers.AutoencoderTiny().eval(), torch.full((3, 3, 64, 64), 0.5)
    found = MapEncoder(vae).encode(maps).latent_dist.sample()
    assert torch.allclose(found, vae.encode(maps).latents, atol=1e-5)


def test_two_of_stable_diffusion_3(send: Send, tmp_path: Path) -> None:
    pipeline = every_pipeline.stable_diffusion_3(num_layers=3)
    pipeline.save_pretrained(tmp_path)
    files = [tmp_path / f"controls/{name}.safetensors" for name in NAMES]
    for file in files:
        write_control(pipeline.transformer, file, **STABILITY)
    model = with_inputs(load_model(tmp_path), "text-raw", "text")
    both = [use(scale=0.5), use("second", end=0.5)]
    expected = with_diffusers(
        model, NAMES, [RAW_DISC, disc()], controlnet_conditioning_scale=[0.5, 1.0],
        control_guidance_start=[0.0, 0.0], control_guidance_end=[1.0, 0.5], **STABILITY,
    )  # fmt: skip
    assert np.abs(pixels(send(model, **SMALL, control=both)) - expected).max() <= 1
    reads: dict[str, Any] = {"force_zeros_for_pooled_projection": False}
    for inputs, first, second in (
        (("zeros", "text"), STABILITY, STABILITY),
        (("text", "text"), STABILITY, reads),
        (("text", "text"), reads, reads | {"num_layers": 2}),
    ):
        for file, changes in zip(files, (first, second), strict=True):
            write_control(pipeline.transformer, file, **changes)
        error = send(with_inputs(model, *inputs), **SMALL, control=both)["error"]
        assert (error["code"], error["param"]) == ("not_supported", "control[1].id")
        assert "error" not in send(with_inputs(model, *inputs), **SMALL, control=both[1:])


def test_sana_with_positions(send: Send, tmp_path: Path) -> None:
    pipeline = every_pipeline.sana(interpolation_scale=1.0)
    pipeline.save_pretrained(tmp_path)
    write_control(pipeline.transformer, tmp_path / "controls/first.safetensors", seed=0)
    model = load_model(tmp_path)
    assert np.abs(pixels(send(model, **SMALL, control=[use()])) - with_diffusers(model, NAMES[:1], disc())).max() <= 1


Z_IMAGE: dict[str, dict[str, Any]] = {
    "1": {"add_control_noise_refiner": None, "control_in_dim": 16},
    "2.0": {"add_control_noise_refiner": "control_layers"},
    "2.1": {"add_control_noise_refiner": "control_noise_refiner"},
}


@pytest.mark.parametrize("version", Z_IMAGE)
def test_versions_of_z_image(send: Send, tmp_path: Path, version: str) -> None:
    pipeline = tiny.z_image(layers=4)
    pipeline.save_pretrained(tmp_path)
    changes = Z_IMAGE[version] | {"control_layers_places": [0, 2]}
    net = write_control(pipeline.transformer, tmp_path / "controls/first.safetensors", **changes)
    if version == "2.0":  # the original file has blocks that are not used
        unused = create_control(pipeline.transformer, **changes | Z_IMAGE["2.1"]).state_dict()
        unused |= {name: torch.zeros_like(tensor) for name, tensor in unused.items() if "before_proj" in name}
        save_file({**unused, **net.state_dict()}, tmp_path / "controls/second.safetensors")
    model = load_model(tmp_path)
    steered = pixels(send(model, **SMALL, control=[use()]))
    assert (
        np.abs(steered - with_diffusers(model, ("first",), disc(), controlnet_conditioning_scale=1.0, **changes)).max()
        <= 1
    )
    if version == "2.0":
        assert (pixels(send(model, **SMALL, control=[use("second")])) == steered).all()
    image = encoded(disc(color="red"))
    masked = send(model, **SMALL, control=[use()], init_image=image, mask_image=encoded(mask_of(32)))
    if version == "1":
        assert (masked["error"]["code"], masked["error"]["param"]) == ("not_supported", "mask_image")
    else:
        assert (pixels(masked)[:, 32:] == np.asarray(disc(color="red"))[:, 32:]).all()


def test_a_damaged_image_is_refused_before_anything_is_loaded(send: Send, model: Model) -> None:
    whole = base64.b64decode(encoded(disc()))
    damaged = base64.b64encode(whole[:60]).decode()
    control = [use(), use("second")][: model.profile.most_controls]
    control[-1]["image"] = damaged
    error = send(model, **SMALL, control=control)["error"]
    assert (error["code"], error["param"]) == ("bad_image", f"control[{len(control) - 1}].image")


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


def test_an_error_keeps_nothing_of_a_request_in_memory(loaded: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Any]] = []
    create = generation.extras.control.create_controlnet

    def fail(pipeline: Any, weights: dict[str, torch.Tensor], inputs: str | None) -> Any:
        alive.extend([weakref.ref(create(pipeline, weights, inputs)), *map(weakref.ref, weights.values())])
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(generation.extras.control, "create_controlnet", fail)
    body = json.dumps({**SMALL, "control": [use()]})
    error = inference.predict_fn(inference.input_fn(body, "application/json"), loaded)
    assert isinstance(error, EaselError)
    assert error.code == "gpu_out_of_memory"
    assert alive
    assert [found() for found in alive if found() is not None] == []


def test_images_larger_than_a_pass_are_not_kept(send: Send, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[set[tuple[int, int]]] = []
    arguments = ControlInput.arguments

    def watch(self: ControlInput, size: tuple[int, int], parameters: Any) -> Any:
        images = (found for found in gc.get_objects() if isinstance(found, Image.Image))
        sizes.append({image.size for image in images if image.size == (832, 832)})
        return arguments(self, size, parameters)

    monkeypatch.setattr(ControlInput, "arguments", watch)
    large = {**use(), "image": encoded(disc(832))}
    assert "error" not in send(model, **SMALL, control=[large])
    assert sizes == [set()]


def test_a_pipeline_without_controlnets_refuses_them() -> None:
    from generation.img2img import pipeline_class

    with pytest.raises(EaselError) as caught:
        pipeline_class(type("Lumina2Pipeline", (), {})(), "", control=True)
    assert (caught.value.code, caught.value.param) == ("not_supported", "control")
