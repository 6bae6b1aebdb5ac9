"""The workloads of the benchmark, and model folders with random weights for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ("a cute panda is sitting on the sofa", "a red car next to a tree", "a house in the snow", "a cup of coffee")
NOISE_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


@dataclass(frozen=True)
class Case:
    """One workload. All variants run it with the same weights, prompts, seeds, scheduler, guidance and size."""

    model: str
    """A key of `MODELS`, or `emoji`."""
    side: int
    """Pixels of width and height."""
    steps: int
    guidance_scale: float
    scheduler: str = "dpmpp_2m"
    """As requests name it."""
    images: int = 1
    """Images of one request."""
    tiny: bool = False

    @property
    def name(self) -> str:
        parts = (self.model, f"{self.side}²", f"{self.steps} step{'s' * (self.steps > 1)}")
        return " ".join(parts) + (f", {self.images} images" if self.images > 1 else "") + (" (tiny)" * self.tiny)

    def fields(self) -> dict[str, Any]:
        return asdict(self)


EMOJI = Case("emoji", 128, 10, 2.0, scheduler="ddim")


@dataclass(frozen=True)
class _Model:
    """Changes of the defaults of the classes, which are nearly Stable Diffusion 1.5's."""

    pipeline: str
    unet: Mapping[str, Any]
    texts: tuple[Mapping[str, Any], ...]
    """Of each text encoder."""


_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_BIG_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
_XL_UNET = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
}
MODELS = {
    "sd-1.5": _Model("StableDiffusionPipeline", {"cross_attention_dim": 768, "sample_size": 64}, (_CLIP_L,)),
    "sdxl": _Model(
        "StableDiffusionXLPipeline", _XL_UNET, (_CLIP_L, {**_BIG_G, "projection_dim": 1280, "hidden_act": "gelu"})
    ),
}
_TINY_UNET = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8, "attention_head_dim": 4}
_TINY_BLOCKS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
_TINY_TEXT = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
_WIDTHS = (128, 256, 512, 512)


def model_folder(case: Case, folder: Path, device: str = "cpu") -> Path:
    """Return the folder of the case's model. One with random weights is built there, in float16, unless it exists.

    The weights are those that the classes start with: finite, and never zero, which would be faster on some hardware.
    """
    if case.model == "emoji":
        return ROOT / "models" / "emoji"
    target = folder / f"{case.model}{'-tiny' * case.tiny}"
    if not (target / "model_index.json").exists():
        shutil.rmtree(target, ignore_errors=True)
        _build(MODELS[case.model], case.tiny, device).save_pretrained(target)
    return target


def profile(case: Case, folder: Path) -> str:
    """Return EASEL_MODEL_PROFILE for the case."""
    known = json.loads((ROOT / "models" / "emoji.json").read_text(encoding="utf-8"))
    fields = {name: known[name] for name in ("upscales",) if case.model == "emoji"}
    return json.dumps({
        "id": case.model, "name": folder.name, "licence": "none", "sizes": [[case.side, case.side]], "max_side": 1024,
        "steps": case.steps, "guidance_scale": case.guidance_scale, "scheduler": case.scheduler,
        "schedulers": [case.scheduler], **fields,
    })  # fmt: skip


def _build(model: _Model, tiny: bool, device: str) -> Any:
    import diffusers
    import torch
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    with torch.device(device):
        parts: dict[str, Any] = {
            "unet": diffusers.UNet2DConditionModel(**_unet(model, tiny)),
            "vae": diffusers.AutoencoderKL(**_autoencoder(tiny)),
        }
        for number, text in enumerate(model.texts):
            text_class = CLIPTextModelWithProjection if "projection_dim" in text else CLIPTextModel
            parts[f"text_encoder{f'_{number + 1}' * (number > 0)}"] = text_class(_text_config(text, tiny))
    for part in parts.values():
        part.half().cpu()
    for number in range(len(model.texts)):
        parts[f"tokenizer{f'_{number + 1}' * (number > 0)}"] = _tokenizer()
    if model.pipeline == "StableDiffusionPipeline":
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    scheduler = diffusers.DPMSolverMultistepScheduler(**NOISE_SCHEDULE)
    return getattr(diffusers, model.pipeline)(**parts, scheduler=scheduler)


def _unet(model: _Model, tiny: bool) -> dict[str, Any]:
    if not tiny:
        return dict(model.unet)
    width = sum(_TINY_TEXT["hidden_size"] for _ in model.texts)
    found = {**model.unet, **_TINY_UNET, **_TINY_BLOCKS, "cross_attention_dim": width, "sample_size": 8}
    if "addition_embed_type" in found:
        embedding = {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 32 + 6 * 8}
        found |= {**embedding, "transformer_layers_per_block": 1}
    return found


def _autoencoder(tiny: bool) -> dict[str, Any]:
    return {
        "block_out_channels": (8, 8, 8, 8) if tiny else _WIDTHS,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "latent_channels": 4,
        "layers_per_block": 1 if tiny else 2,
        "norm_num_groups": 4 if tiny else 32,
    }


def _tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(ROOT / "models" / "emoji" / "tokenizer", model_max_length=77)


def _text_config(text: Mapping[str, Any], tiny: bool) -> Any:
    from transformers import CLIPTextConfig

    tokenizer = _tokenizer()
    changes = {**text, **_TINY_TEXT, "projection_dim": 32} if tiny else text
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return CLIPTextConfig(**changes, **ids, max_position_embeddings=77)
