"""LoRAs of a request: what they change, and that nothing of them stays."""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import generation.extras.lora
import generation.gpu_memory
import inference
from contract import EaselError, GenerationRequest, Lora
from generation.generate import generate
from generation.gpu_memory import GpuMemory
from loading import load
from loading.load import load_model
from tests.model_code import every_pipeline, lora_files, tiny

Send = Callable[..., Any]
FAMILIES = [
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "FluxPipeline",
    "QwenImagePipeline",
    "ZImagePipeline",
]
_MAX_DIFFERENCE = 2
"""Of 255. peft adds the same products in another order."""


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a pipeline of each family with two LoRAs made by peft."""
    torch.manual_seed(0)
    folder: Path = tmp_path_factory.mktemp("models") / request.param
    every_pipeline.PIPELINES[request.param]().save_pretrained(folder)
    (folder / "loras").mkdir()
    for seed, name in enumerate(("one", "two")):
        lora_files.by_peft(
            every_pipeline.PIPELINES[request.param](),
            folder / "loras" / f"{name}.safetensors",
            text="StableDiffusion" in request.param,
            seed=seed,
            strength=20 if "Qwen" in request.param else 1,
        )
    return folder


def request_of(model: Any, *loras: Lora) -> GenerationRequest:
    return GenerationRequest(
        prompt=("a",), width=64, height=64, num_inference_steps=2, guidance_scale=2.0, seed=7,
        scheduler=model.profile.scheduler, loras=loras or None,
    )  # fmt: skip


def pixels(model: Any, *loras: Lora) -> Any:
    return np.stack(generate(model, request_of(model, *loras), None).images).astype(int)


def with_peft(model: Any, folder: Path, *loras: Lora) -> Any:
    """Return what diffusers generates with its own loader of LoRAs, which the container does not use."""
    other = load_model(folder)
    warnings.simplefilter("ignore")  # peft warns of the second; pytest restores the filters
    for lora in loras:
        other.pipeline.load_lora_weights(folder / "loras", weight_name=f"{lora.id}.safetensors", adapter_name=lora.id)
    other.pipeline.set_adapters([lora.id for lora in loras], [lora.scale for lora in loras])
    return pixels(other)


def test_every_family_generates_what_diffusers_does_with_peft(family: Path) -> None:
    model = load_model(family)
    before = pixels(model)
    both = [Lora("one", 0.8), Lora("two", -0.5)]
    changed = pixels(model, *both)
    assert np.abs(changed - before).max() > _MAX_DIFFERENCE
    assert np.abs(changed - with_peft(model, family, *both)).max() <= _MAX_DIFFERENCE
    assert np.array_equal(pixels(model), before)


# --- kohya's layout ------------------------------------------------------------------------------

SGM = {
    "input_blocks_3_1_transformer_blocks_0_attn2_to_k": "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
    "input_blocks_1_0_in_layers_2": "down_blocks.0.resnets.0.conv1",
    "input_blocks_1_0_emb_layers_1": "down_blocks.0.resnets.0.time_emb_proj",
    "input_blocks_2_0_op": "down_blocks.0.downsamplers.0.conv",
    "middle_block_1_proj_in": "mid_block.attentions.0.proj_in",
    "middle_block_2_out_layers_3": "mid_block.resnets.1.conv2",
    "output_blocks_1_1_transformer_blocks_0_ff_net_2": "up_blocks.0.attentions.1.transformer_blocks.0.ff.net.2",
    "output_blocks_1_2_conv": "up_blocks.0.upsamplers.0.conv",
    "output_blocks_3_0_skip_connection": "up_blocks.1.resnets.1.conv_shortcut",
}
"""Names in SDXL's original code, for the blocks of the tiny pipeline, and those of diffusers."""
BFL = {
    "double_blocks_0_img_attn_qkv": (96, 32), "double_blocks_0_txt_attn_qkv": (96, 32),
    "double_blocks_0_img_attn_proj": (32, 32), "double_blocks_0_txt_mlp_0": (128, 32),
    "double_blocks_0_img_mod_lin": (192, 32), 
    "single_blocks_0_linear2": (32, 160), "single_blocks_0_modulation_lin": (96, 32),
}  # fmt: skip
"""Names in FLUX's original code, and the shapes of the tiny pipeline's layers."""


def write_kohya(name: str, pipeline: Any, file: Path) -> None:
    if name == "StableDiffusionPipeline":
        shapes = lora_files.shapes(pipeline.unet, "lora_unet") | lora_files.shapes(pipeline.text_encoder, "lora_te")
        dropped = ("unet_conv_", "time_embedding")  # by diffusers 0.38; the sum of several LoRAs tests them
        shapes = {name: shape for name, shape in shapes.items() if not any(part in name for part in dropped)}
    elif name == "StableDiffusionXLPipeline":
        sizes = {f"lora_unet_{sgm}": pipeline.unet.get_submodule(own).weight.shape for sgm, own in SGM.items()}
        shapes = sizes | lora_files.shapes(pipeline.text_encoder_2, "lora_te2")
    elif name == "FluxPipeline":
        shapes = {f"lora_unet_{layer}": shape for layer, shape in BFL.items()}
    else:
        shapes = lora_files.shapes(pipeline.transformer, "lora_unet")
    save_file(lora_files.matrices(shapes), file)


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline", "FluxPipeline"])
def test_kohya_s_layout_generates_what_diffusers_does_with_peft(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    torch.manual_seed(0)
    pipeline = every_pipeline.PIPELINES[name]()
    pipeline.save_pretrained(folder)
    (folder / "loras").mkdir()
    write_kohya(name, pipeline, folder / "loras/own.safetensors")
    model = load_model(folder)
    changed = pixels(model, Lora("own", 0.5))
    assert np.abs(changed - pixels(model)).max() > _MAX_DIFFERENCE
    assert np.abs(changed - with_peft(model, folder, Lora("own", 0.5))).max() <= _MAX_DIFFERENCE


# --- one model ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def styles(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Stable Diffusion with five LoRAs."""
    copy = Path(shutil.copytree(folder, tmp_path_factory.mktemp("styles") / "tiny"))
    (copy / "loras").mkdir()
    shapes = lora_files.shapes(tiny.stable_diffusion().unet, "lora_unet")
    for seed in range(5):
        save_file(lora_files.matrices(shapes, seed=seed), copy / f"loras/s{seed}.safetensors")
    return copy


@pytest.fixture(scope="module")
def styled(styles: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EASEL_MODEL_PROFILE", raising=False)
        return inference.model_fn(str(styles))


def hooks(model: Any) -> int:
    parts = [part for part in model.pipeline.components.values() if isinstance(part, torch.nn.Module)]
    return sum(len(module._forward_hooks) for part in parts for module in part.modules())


SMALL = {"width": 64, "height": 64, "num_inference_steps": 2}
ONE = [{"id": "s0", "scale": 0.8}]


def test_a_folder_without_an_entry_has_the_loras_of_its_files(styled: Any) -> None:
    assert [(lora.id, lora.scale) for lora in styled.profile.loras] == [(f"s{i}", 1.0) for i in range(5)]


def test_several_loras_are_the_sum_of_their_changes(styles: Path, styled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "prepare_layout", lambda _: None)  # only plain weights can be changed
    merged = load_model(styles)
    wanted = [Lora("s0", 0.8), Lora("s1", -0.5), Lora("s2", 4), Lora("s3", -4)]
    modules = {name.replace(".", "_"): module for name, module in merged.pipeline.unet.named_modules()}
    for lora in wanted:
        tensors = load_file(styles / f"loras/{lora.id}.safetensors")
        for name in {key.partition(".")[0] for key in tensors}:
            down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
            change = (up.flatten(1) @ down.flatten(1)).reshape(modules[name[10:]].weight.shape)
            modules[name[10:]].weight.data += lora.scale * tensors[f"{name}.alpha"] / down.shape[0] * change
    assert np.abs(pixels(styled, *wanted) - pixels(merged)).max() <= _MAX_DIFFERENCE


def test_the_same_bytes_before_and_after(styled: Any, send: Send) -> None:
    before = send(styled, **SMALL)["generated_images"]
    changed = send(styled, **SMALL, loras=ONE)
    assert changed["parameters"]["loras"] == ONE
    assert changed["generated_images"] != before
    assert send(styled, **SMALL, loras=[{"id": "s0", "scale": 0}])["generated_images"] == before
    assert send(styled, **SMALL)["generated_images"] == before
    assert send(styled, **SMALL, loras=ONE)["generated_images"] == changed["generated_images"]
    assert hooks(styled) == 0


def test_nothing_stays_after_a_failure(styled: Any, send: Send) -> None:
    before, own = send(styled, **SMALL)["generated_images"], replace(styled)
    steps: list[int] = []

    def cancel_after_a_step() -> bool:
        steps.append(hooks(own))
        return len(steps) > 2

    own.is_cancelled = cancel_after_a_step
    assert send(own, **SMALL, loras=ONE)["error"]["code"] == "cancelled"
    assert steps[0] > 0 and hooks(own) == 0

    def break_down() -> bool:
        raise ValueError("broken")

    own.is_cancelled = break_down
    assert send(own, **SMALL, loras=ONE)["error"]["code"] == "model_error"
    assert hooks(own) == 0
    assert send(styled, **SMALL)["generated_images"] == before


def test_a_lora_without_memory_for_it_is_an_error_of_the_request(
    styled: Any, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(generation.extras.lora, "_like", no_memory)
        error = send(styled, **SMALL, loras=ONE)["error"]
    assert (error["code"], error["param"]) == ("gpu_out_of_memory", "loras")
    assert "error" not in send(styled, **SMALL, loras=ONE)


def test_a_gpu_context_lost_with_a_lora_ends_the_process(
    styled: Any, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    ended = threading.Event()
    memory = GpuMemory(ended.set)
    monkeypatch.setattr(generation.gpu_memory, "GRACE_SECONDS", 0)
    monkeypatch.setattr(generation.extras.lora, "_like", lost)
    model = replace(styled, memory=memory, loras=replace(styled.loras, memory=memory))
    assert send(model, **SMALL, loras=ONE)["error"]["code"] == "container_died"
    assert ended.wait(60) and not model.healthy


def test_recovered_memory_may_have_the_loras_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GpuMemory, "give_up", lambda memory: setattr(memory, "healthy", False))
    memory = GpuMemory()
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 100)
    with memory.holding(100):
        for _ in range(3):
            memory.recover()
    memory.recover()
    with pytest.raises(EaselError):
        memory.recover()
    assert not memory.healthy


@pytest.mark.parametrize(
    ("loras", "code"),
    [
        ([{"id": f"s{i}"} for i in range(5)], "out_of_range"),
        ([{"id": "s0", "scale": 4.01}], "out_of_range"),
        ([{"id": "../s0"}], "unknown_value"),
    ],
)
def test_requests_that_are_refused(styled: Any, send: Send, loras: Any, code: str) -> None:
    error = send(styled, **SMALL, loras=loras)["error"]
    assert (error["code"], error["param"]) == (code, "loras")


@pytest.mark.parametrize("change", ["missing", "truncated", "another"])
def test_a_file_that_was_replaced_after_loading_is_not_used(
    change: str, styles: Path, styled: Any, send: Send, tmp_path: Path
) -> None:
    own = replace(styled, loras=replace(styled.loras, folder=Path(shutil.copytree(styles, tmp_path / "tiny"))))
    file = tmp_path / "tiny/loras/s1.safetensors"
    if change == "missing":
        file.unlink()
    elif change == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        save_file(lora_files.matrices({"lora_unet_conv_in": (8, 5, 3, 3)}), file)
    error = send(own, **SMALL, loras=[{"id": "s0"}, {"id": "s1"}])["error"]
    assert (error["code"], error["param"]) == ("config_error", "loras")
    assert hooks(own) == 0
