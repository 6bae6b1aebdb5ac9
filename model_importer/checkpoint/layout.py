"""What a single-file checkpoint is: its base, and why one of another kind cannot be converted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..model_folder import Header, ModelFolderError, Tensor

Prediction = Literal["epsilon", "v_prediction"]
"""What the UNet predicts: the noise, or the velocity."""
UNET, VAE = "model.diffusion_model.", "first_stage_model."
_INPUT = UNET + "input_blocks.0.0.weight"
_KINDS = "Easel converts checkpoints of Stable Diffusion 1.x, 2.x and XL."
_OTHERS = {
    UNET + "double_blocks.": "FLUX",
    "double_blocks.": "FLUX",
    UNET + "joint_blocks.": "Stable Diffusion 3",
    UNET + "layers.": "Z-Image or Lumina",
    "transformer_blocks.": "a transformer",
    "control_model.": "a ControlNet",
    "down_blocks.": "a single part of a diffusers pipeline",
    "encoder.": "a VAE alone",
    "emb_params": "a textual inversion",
    "clip_l": "a textual inversion",
}
"""Starts of tensor names to what such a file is."""
_ACCEPTED = (4, 9)
"""Input channels of UNets that are converted: those of the latents, and for inpainting also masked latents and mask."""
_CHANNELS = {8: "an editing checkpoint (InstructPix2Pix)", 5: "a depth checkpoint",
             7: "an upscaler"}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A family of checkpoints with one layout. `side`: pixels. Encoders: the starts of their tensors' names."""

    id: str
    name: str
    pipeline: str
    side: int
    text_encoders: Mapping[str, str]


BASES = {
    base.id: base
    for base in (
        Base("sd-1", "Stable Diffusion 1.x", "StableDiffusionPipeline", 512,
             {"text_encoder": "cond_stage_model.transformer."}),
        Base("sd-2", "Stable Diffusion 2.x", "StableDiffusionPipeline", 768,
             {"text_encoder": "cond_stage_model.model."}),
        Base("sdxl", "Stable Diffusion XL", "StableDiffusionXLPipeline", 1024,
             {"text_encoder": "conditioner.embedders.0.transformer.",
              "text_encoder_2": "conditioner.embedders.1.model."}),
    )
}  # fmt: skip
_WIDTHS = {768: "sd-1", 1024: "sd-2", 2048: "sdxl"}
"""Width of the text in the UNet to the base, for a file without a text encoder."""


@dataclass(frozen=True)
class Layout:
    """A checkpoint that can be converted. `prediction` is None where the file does not tell: all of SD 2.x."""

    base: Base
    prediction: Prediction | None
    zero_snr: bool
    """The noise schedule ends in pure noise, as v-prediction models of SDXL are trained."""
    inpaints: bool
    """The UNet has inputs for a mask and the masked image."""


def identify(header: Header) -> Layout:
    """Return what the file is. Raises ModelFolderError for any other kind, by its name."""
    tensors = header.tensors
    _check_kind(tensors)
    base = _base(tensors)
    for part, prefix in {"VAE": VAE, **base.text_encoders}.items():
        if not _has(tensors, prefix):
            message = f"the checkpoint of {base.name} has no {part.replace('_', ' ')}"
            raise ModelFolderError(message, "Use a file that has all parts, often called full or baked VAE.")
    return Layout(base, _prediction(base, header), "ztsnr" in tensors, tensors[_INPUT].shape[1] != _ACCEPTED[0])


def _check_kind(tensors: Mapping[str, Tensor]) -> None:
    if _INPUT not in tensors:
        found = next((name for start, name in _OTHERS.items() if _has(tensors, start)), "no known kind of checkpoint")
        raise ModelFolderError(f"the file is {found}", f"{_KINDS} Of others, use the diffusers repository.")
    shape = tensors[_INPUT].shape
    if len(shape) != 4 or shape[1] not in _ACCEPTED:
        channels = shape[1] if len(shape) == 4 else 0
        kind = _CHANNELS.get(channels, "a checkpoint of another kind")
        message = f"the file is {kind}: its UNet has {channels} input channels"
        raise ModelFolderError(message, f"{_KINDS} Their UNet has 4 input channels, or 9 for inpainting.")
    for name, kind in {"edm_mean": "Playground 2.5", "edm_vpred.sigma_max": "CosXL"}.items():
        if name in tensors:
            raise ModelFolderError(f"the file is {kind}, with a noise schedule of its own (EDM)", _KINDS)


def _base(tensors: Mapping[str, Tensor]) -> Base:
    if _has(tensors, "conditioner.embedders.0.model."):
        raise ModelFolderError("the file is the refiner of Stable Diffusion XL", "Use the base model.")
    for base in BASES.values():
        if any(_has(tensors, prefix) for prefix in base.text_encoders.values()):
            return base
    width = next((t.shape[-1] for name, t in tensors.items() if name.endswith("attn2.to_k.weight") and t.shape), 0)
    if width not in _WIDTHS:
        raise ModelFolderError("the checkpoint has no text encoder of a known kind", _KINDS)
    return BASES[_WIDTHS[width]]


def _prediction(base: Base, header: Header) -> Prediction | None:
    stated = header.metadata.get("modelspec.prediction_type") or header.metadata.get("modelspec.predict_key", "")
    if "v_pred" in header.tensors or stated.lower() in ("v", "v_prediction", "v-prediction"):
        return "v_prediction"
    if base.id == "sd-2":
        return "epsilon" if stated.lower() in ("eps", "epsilon") else None
    return "epsilon"


def _has(tensors: Mapping[str, Tensor], start: str) -> bool:
    return any(name.startswith(start) for name in tensors)
