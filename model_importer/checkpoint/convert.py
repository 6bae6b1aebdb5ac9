"""The diffusers folder that a checkpoint becomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..model_folder import Header, ModelFolderError, check_model
from .layout import Base, Layout, Prediction, identify
from .text_encoder import encoder_config, encoder_pieces, is_open_clip
from .tokenizer import to_json, tokenizer_files
from .unet import unet_config, unet_pieces
from .vae import vae_config, vae_pieces
from .writer import Read, WeightFile

_NOISE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_BASE_512 = 512
"""Side of Stable Diffusion 2 that predicts noise; the version that predicts velocity has 768."""


class Conversion:
    """The files of the folder by path. It is a model folder that is not written yet, which the rule can check."""

    def __init__(self, layout: Layout, files: dict[str, bytes | WeightFile]) -> None:
        self.layout, self.files = layout, files
        self.sizes = {path: file.size if isinstance(file, WeightFile) else len(file) for path, file in files.items()}

    def read(self, path: str, first: int, end: int) -> bytes:
        """Return bytes of a settings file or of the header of weights. The weights themselves are not there."""
        file = self.files[path]
        return (file.header if isinstance(file, WeightFile) else file)[first:end]

    def content(self, path: str, read: Read) -> Iterator[bytes]:
        """Yield the bytes of a file. `read` reads the checkpoint."""
        file = self.files[path]
        if isinstance(file, WeightFile):
            yield from file.content(read)
        else:
            yield file


def convert(header: Header, prediction: Prediction | None = None) -> Conversion:
    """Return the folder that the checkpoint with this header becomes.

    `prediction` is needed where the file does not say it. Raises ModelFolderError for a checkpoint of another kind,
    and for one that would not load.
    """
    layout = identify(header)
    known = prediction or layout.prediction
    if known is None:
        message = f"the checkpoint of {layout.base.name} does not say whether it predicts noise or velocity"
        hint = (
            "Set `prediction` in the entry's source: epsilon for models of 512 pixels, v_prediction for those of 768."
        )
        raise ModelFolderError(message, hint)
    try:
        conversion = Conversion(layout, _files(header, layout, known))
    except (LookupError, TypeError, ValueError):  # a tensor is missing, or has a shape of another rank
        hint = "Use a complete copy of the file."
        raise ModelFolderError(f"the checkpoint of {layout.base.name} is not whole", hint) from None
    check_model(conversion, {"": ""}, layout.base.pipeline)
    return conversion


def native_side(base: Base, prediction: Prediction | None) -> int:
    """Return the pixels that the model is trained for."""
    return _BASE_512 if base.id == "sd-2" and prediction == "epsilon" else base.side


def _files(header: Header, layout: Layout, prediction: Prediction) -> dict[str, bytes | WeightFile]:
    tensors, base = header.tensors, layout.base
    side = native_side(base, prediction)
    files: dict[str, bytes | WeightFile] = {
        "model_index.json": to_json(_index(base)),
        "scheduler/scheduler_config.json": to_json(_scheduler(layout, prediction)),
        "unet/config.json": to_json(unet_config(tensors, base, side)),
        "unet/diffusion_pytorch_model.safetensors": WeightFile(unet_pieces(tensors)),
        "vae/config.json": to_json(vae_config(tensors, base, side)),
        "vae/diffusion_pytorch_model.safetensors": WeightFile(vae_pieces(tensors)),
    }
    for part, prefix in base.text_encoders.items():
        files[f"{part}/config.json"] = to_json(encoder_config(tensors, prefix, base))
        files[f"{part}/model.safetensors"] = WeightFile(encoder_pieces(tensors, prefix, base))
        tokenizer = part.replace("text_encoder", "tokenizer")
        for name, content in tokenizer_files(open_clip=is_open_clip(prefix)).items():
            files[f"{tokenizer}/{name}"] = content
    return files


def _index(base: Base) -> dict[str, Any]:
    index: dict[str, Any] = {
        "_class_name": base.pipeline,
        "scheduler": ["diffusers", "EulerDiscreteScheduler" if base.id == "sdxl" else "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "image_encoder": [None, None],
        "feature_extractor": [None, None],
    }
    if base.id == "sdxl":
        index["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
        index["tokenizer_2"] = ["transformers", "CLIPTokenizer"]
        return index | {"force_zeros_for_empty_prompt": True}
    return index | {"safety_checker": [None, None], "requires_safety_checker": False}


def _scheduler(layout: Layout, prediction: Prediction) -> dict[str, Any]:
    """Return scheduler_config.json, with which the requests' other schedulers are made, too."""
    trailing = {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True} if layout.zero_snr else {}
    common = {**_NOISE, "prediction_type": prediction, "steps_offset": 1, "timestep_spacing": "leading", **trailing}
    if layout.base.id == "sdxl":
        return {"_class_name": "EulerDiscreteScheduler", "interpolation_type": "linear", **common}
    return {"_class_name": "DDIMScheduler", "clip_sample": False, "set_alpha_to_one": False, **common}
