"""ControlNets of a request: networks that steer a UNet or a transformer by an image, such as edges or a pose.

They are loaded for the request and dropped after it, into a pipeline of its own: the loaded pipeline never has one.
Their structure follows from that of the model and from their own tensors, so that their file of weights is enough;
those of Stable Diffusion 3 also need the `inputs` of the model's entry.
"""

import base64
import functools
import inspect
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from contract import INIT_IMAGE_PIXELS, Control, ModelProfile, refuse
from generation.extras.map_encoder import MapEncoder, raw_map
from generation.extras.reading import reading
from generation.gpu_memory import GpuMemory
from generation.img2img import InitImage, fit
from images.canny import find_edges
from images.init_image import decode_init_image
from model_folder import (
    CONTROL_PIPELINES,
    GUIDANCE,
    REFINER,
    Z_IMAGE_PATCH,
    LocalFiles,
    ModelFolderError,
    block_count,
    check_control,
    extra_path,
    image_channels,
    image_inputs,
    reads_text,
    second_attentions,
)

Weights = dict[str, torch.Tensor]
_WITHOUT_MU = "StableDiffusion3ControlNetPipeline"


@dataclass(frozen=True)
class ControlInput:
    """The ControlNets of a request, and for each size, (width, height), of its passes their images."""

    requested: tuple[Control, ...]
    images: Mapping[tuple[int, int], tuple[InitImage, ...]]
    inputs: tuple[str | None, ...]
    """Those of the profile, for each ControlNet."""
    nets: tuple[Any, ...] = ()

    def components(self, pipeline: Any) -> dict[str, Any]:
        """Return the components of a pipeline that are not those of the loaded `pipeline`."""
        vae = {"vae": MapEncoder(pipeline.vae)} if any(self.inputs) else {}
        return {"controlnet": self.nets[0] if len(self.nets) == 1 else [*self.nets], **vae}

    def arguments(self, size: tuple[int, int], parameters: Container[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the pipeline's arguments to generate at `size`, and warnings. `parameters`: those that it has."""
        pairs = zip(self.images[size], self.inputs, strict=True)
        maps = [raw_map(found.image) if inputs == "text-raw" else found.image for found, inputs in pairs]
        arguments: dict[str, list[Any]] = {
            "control_image" if "control_image" in parameters else "image": maps,
            "controlnet_conditioning_scale": [control.scale for control in self.requested],
            "control_guidance_start": [control.start for control in self.requested],
            "control_guidance_end": [control.end for control in self.requested],
            "control_mode": [None] * len(maps),  # FLUX: some pipelines use no ControlNet without one mode for each
        }
        known = {name: values for name, values in arguments.items() if name in parameters}
        single = {name: values[0] for name, values in known.items()} if len(maps) == 1 else known
        return single, tuple(warning for found in self.images[size] for warning in found.warnings)

    def shift_noise(self, pipeline: Any, size: tuple[int, int]) -> None:
        """Let the scheduler of Stable Diffusion 3 shift its noise by the size: this pipeline passes no `mu` to it."""
        scheduler = pipeline.scheduler
        if type(pipeline).__name__ == _WITHOUT_MU and scheduler.config.get("use_dynamic_shifting"):
            shift = _shift(pipeline, size)
            scheduler.set_timesteps = functools.partial(scheduler.set_timesteps, mu=shift)

    def check_mask(self, pipeline: Any) -> None:
        """Refuse a mask for a ControlNet of Z-Image that has no inputs for it, as version 1."""
        for control, net in zip(self.requested, self.nets, strict=True):
            inputs = net.config.get("control_in_dim")
            if inputs is not None and inputs == pipeline.transformer.config.in_channels:
                message = f"the ControlNet {control.id!r} takes no mask"
                refuse(
                    "not_supported", "mask_image", message, "Leave out the mask, or use version 2 of the ControlNet."
                )


def _shift(pipeline: Any, size: tuple[int, int]) -> float:
    """Return what `StableDiffusion3Pipeline` passes as `mu` for an image of `size`."""
    from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift

    config, side = pipeline.scheduler.config, pipeline.vae_scale_factor * pipeline.transformer.config.patch_size
    shift: float = calculate_shift(
        (size[0] // side) * (size[1] // side),
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.16),
    )
    return shift


def read_control(
    requested: Sequence[Control] | None, sizes: Sequence[tuple[int, int]], profile: ModelProfile
) -> ControlInput | None:
    """Decode the images of a request, and fit them to the `sizes` of its passes. Those that were sent can be larger.

    Raises EaselError: those of `decode_init_image`.
    """
    if not requested:
        return None
    found = [_prepare(control, f"control[{i}].image", sizes) for i, control in enumerate(requested)]
    inputs = {control.id: control.inputs for control in profile.controls}
    images = {size: tuple(images[size] for images in found) for size in sizes}
    return ControlInput(tuple(requested), images, tuple(inputs[control.id] for control in requested))


def _prepare(control: Control, param: str, sizes: Sequence[tuple[int, int]]) -> dict[tuple[int, int], InitImage]:
    decoded = decode_init_image(base64.b64decode(control.image), INIT_IMAGE_PIXELS, param)
    fitted = {size: fit(decoded, *size, param=param) for size in sizes}
    if control.preprocess == "canny":
        return {size: replace(image, image=find_edges(image.image)) for size, image in fitted.items()}
    return fitted


@dataclass
class Controls:
    """The ControlNet files of a model folder, and the loaded pipeline that they are for."""

    folder: Path
    pipeline: Any
    memory: GpuMemory

    @contextmanager
    def loaded(self, control: ControlInput) -> Iterator[tuple[Any, ...]]:
        """Provide the ControlNets until the end of the block. Raises EaselError: those of `reading`."""
        found = enumerate(zip(control.requested, control.inputs, strict=True))
        nets = tuple(self._load(item.id, inputs, number) for number, (item, inputs) in found)
        _check_together(nets)
        size = sum(tensor.nbytes for net in nets for tensor in net.parameters())
        with self.memory.holding(size):
            yield nets

    def _load(self, id: str, inputs: str | None, number: int) -> Any:
        from safetensors.torch import load_file

        path, part = extra_path("controls", id), _backbone(self.pipeline)
        backbone = getattr(self.pipeline, part)
        with reading(path, f"control[{number}].id", self.memory):
            parts = {part: _shapes(backbone.state_dict()), "vae": _shapes(self.pipeline.vae.state_dict())}
            files = LocalFiles(self.folder, links=True)
            check_control(files, path, type(self.pipeline).__name__, parts)
            _check_inputs(path, inputs, type(self.pipeline).__name__)
            weights = load_file(self.folder / path, device=str(backbone.device))
            net = create_controlnet(self.pipeline, weights, inputs)
            net.load_state_dict(weights, assign=True)
            net = net.to(backbone.device, backbone.dtype).eval().requires_grad_(False)
            _share_positions(net, backbone)
            return net


def _check_inputs(path: str, inputs: str | None, pipeline: str) -> None:
    """Raise ModelFolderError if neither the file nor the model's entry says what a ControlNet's inputs are."""
    known = CONTROL_PIPELINES[pipeline].inputs
    if known and inputs not in known:
        hint = f"Add `inputs` to it in the entry: {', '.join(known)} (docs/how-to/control.md)."
        raise ModelFolderError(f"{path} does not say what its inputs are, nor does an entry of the model", hint)


def _share_positions(net: Any, backbone: Any) -> None:
    """Give a ControlNet whose file has no layer for positions that of the transformer."""
    if type(net).__name__ == "QwenImageControlNetModel":
        net.pos_embed = backbone.pos_embed  # it has tensors that are no weights
    elif net.config.get("use_pos_embed") is False:  # the pipeline would make a copy for every request
        net.pos_embed = backbone.pos_embed
        net.register_to_config(use_pos_embed=True)


_ALIKE = {
    "guidance_embeds": "one of the two ControlNets has the guidance as an input, and the other has not",
    "force_zeros_for_pooled_projection": "one of the two ControlNets has the inputs zeros, and the other has not",
    "joint_attention_dim": "one of the two ControlNets reads the prompt, and the other does not",
}
"""Settings of FLUX.1's and Stable Diffusion 3's ControlNets that their pipelines read of the first alone."""


def _check_together(nets: Sequence[Any]) -> None:
    """Refuse two that a pipeline would use as if they were of one kind."""
    problem = next((_ALIKE[name] for name in _ALIKE if len({net.config.get(name) for net in nets}) > 1), "")
    pairs = {tuple(net.config.get(name) for name in ("num_layers", "num_single_layers")) for net in nets}
    if len(pairs) > 1:  # the pipeline would leave out some of the larger ControlNet
        problem = problem or "the two ControlNets have different numbers of blocks"
    if problem:
        refuse("not_supported", "control[1].id", problem, "Send one of the two.")


def create_controlnet(pipeline: Any, weights: Weights, inputs: str | None) -> Any:
    """Return the ControlNet of a pipeline that has these weights, without them. Weights that it does not use go."""
    import diffusers

    network = CONTROL_PIPELINES[type(pipeline).__name__].network
    backbone = getattr(pipeline, _backbone(pipeline))
    class_ = getattr(diffusers, network)
    accepted = inspect.signature(class_.__init__).parameters
    config = {name: value for name, value in backbone.config.items() if name in accepted}
    with torch.device("meta"):
        net = class_(**config | _SETTINGS[network](backbone.config, weights))
    if network == "SanaControlNetModel":  # computed, and in no file
        net.patch_embed.pos_embed = backbone.patch_embed.pos_embed
    if inputs is not None:
        net.register_to_config(force_zeros_for_pooled_projection=inputs == "zeros")
    return net


def _backbone(pipeline: Any) -> str:
    return "unet" if hasattr(pipeline, "unet") else "transformer"


def _of_unet(config: Any, weights: Weights) -> dict[str, Any]:
    channels = image_channels(_shapes(weights))
    return {"in_channels": config.out_channels, "conditioning_embedding_out_channels": channels}


def _of_flux(config: Any, weights: Weights) -> dict[str, Any]:
    return _of_blocks(config, weights) | {
        "num_single_layers": block_count(weights, "single_transformer_blocks"),
        "guidance_embeds": any(name.startswith(GUIDANCE) for name in weights),
    }


def _of_blocks(config: Any, weights: Weights) -> dict[str, Any]:
    return {"num_layers": block_count(weights, "transformer_blocks")}


def _of_sd3(config: Any, weights: Weights) -> dict[str, Any]:
    more = {} if reads_text(weights) else {"joint_attention_dim": None, "use_pos_embed": False}
    return _of_blocks(config, weights) | {"dual_attention_layers": second_attentions(weights)} | more


def _of_z_image(config: Any, weights: Weights) -> dict[str, Any]:
    """The files do not say which layers they add to. Those that are published are spread evenly."""
    count, before = block_count(weights, "control_layers"), weights.get(f"{REFINER}.0.before_proj.weight")
    if before is not None and not before.any():  # version 2.0 has these weights and does not use them
        for name in [name for name in weights if name.startswith(f"{REFINER}.")]:
            del weights[name]
    refiner = "control_layers" if not block_count(weights, REFINER) else None if before is None else REFINER
    return {
        "control_layers_places": [*range(0, config.n_layers, config.n_layers // count)][:count],
        "control_refiner_layers_places": [*range(min(config.n_refiner_layers, count))],
        "control_in_dim": image_inputs("ZImageControlNetModel", _shapes(weights)) // Z_IMAGE_PATCH,
        "add_control_noise_refiner": refiner,
    }


_SETTINGS: Mapping[str, Callable[[Any, Weights], dict[str, Any]]] = {
    "ControlNetModel": _of_unet,
    "FluxControlNetModel": _of_flux,
    "QwenImageControlNetModel": _of_blocks,
    "SanaControlNetModel": _of_blocks,
    "SD3ControlNetModel": _of_sd3,
    "ZImageControlNetModel": _of_z_image,
}
"""Class of a ControlNet to what returns its settings that are not those of the part that it copies."""


def _shapes(tensors: Mapping[str, torch.Tensor]) -> Mapping[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
