"""ControlNets of a request: networks that steer a UNet by an image, such as edges or a pose.

They are loaded for the request and dropped after it, into a pipeline of its own: the loaded pipeline never has one. The
structure of a ControlNet is that of the UNet's first half, so that its file of weights is enough.
"""

import base64
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from contract import INIT_IMAGE_PIXELS, Control
from generation.extras.reading import reading
from generation.gpu_memory import GpuMemory
from generation.img2img import fit
from images.canny import find_edges
from images.init_image import DecodedImage, decode_init_image
from model_folder import LocalFiles, check_control, extra_path, image_channels


@dataclass(frozen=True)
class ControlInput:
    """The ControlNets of a request, and their images as sent."""

    requested: tuple[Control, ...]
    images: tuple[DecodedImage, ...]
    nets: tuple[Any, ...] = ()

    @property
    def component(self) -> dict[str, Any]:
        """The component of a pipeline."""
        return {"controlnet": self.nets[0] if len(self.nets) == 1 else [*self.nets]}

    def arguments(self, size: tuple[int, int], image: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the pipeline's arguments to generate at `size`, and warnings.

        `image` is the name of the argument for the images.
        """
        fitted = [fit(found, *size, param=_param(i)) for i, found in enumerate(self.images)]
        maps = [_map(control, found.image) for control, found in zip(self.requested, fitted, strict=True)]
        arguments: dict[str, list[Any]] = {
            image: maps,
            "controlnet_conditioning_scale": [control.scale for control in self.requested],
            "control_guidance_start": [control.start for control in self.requested],
            "control_guidance_end": [control.end for control in self.requested],
        }
        single = {name: values[0] for name, values in arguments.items()} if len(maps) == 1 else arguments
        return single, tuple(warning for found in fitted for warning in found.warnings)


def read_control(requested: Sequence[Control] | None) -> ControlInput | None:
    """Decode the images of a request. Raises EaselError: those of `decode_init_image`."""
    if not requested:
        return None
    files = [base64.b64decode(control.image) for control in requested]
    images = (decode_init_image(file, INIT_IMAGE_PIXELS, _param(i)) for i, file in enumerate(files))
    return ControlInput(tuple(requested), tuple(images))


def _param(number: int) -> str:
    return f"control[{number}].image"


def _map(control: Control, image: Image.Image) -> Image.Image:
    return find_edges(image) if control.preprocess == "canny" else image


@dataclass
class Controls:
    """The ControlNet files of a model folder, and the loaded pipeline that they are for."""

    folder: Path
    pipeline: Any
    memory: GpuMemory

    @contextmanager
    def loaded(self, requested: Sequence[Control]) -> Iterator[tuple[Any, ...]]:
        """Provide the ControlNets until the end of the block. Raises EaselError: those of `reading`."""
        nets = tuple(self._load(control.id, number) for number, control in enumerate(requested))
        size = sum(tensor.nbytes for net in nets for tensor in net.parameters())
        with self.memory.holding(size):
            yield nets

    def _load(self, id: str, number: int) -> Any:
        from safetensors.torch import load_file

        path, unet = extra_path("controls", id), self.pipeline.unet
        with reading(path, f"control[{number}].id", self.memory):
            parts = {"unet": _shapes(unet), "vae": _shapes(self.pipeline.vae)}
            files = LocalFiles(self.folder, links=True)
            header = check_control(files, path, type(self.pipeline).__name__, parts)
            weights = load_file(self.folder / path, device=str(unet.device))
            net = create_controlnet(unet, image_channels(header.shapes))
            net.load_state_dict(weights, assign=True)
            return net.to(unet.device, unet.dtype).eval().requires_grad_(False)


def create_controlnet(unet: Any, channels: tuple[int, ...]) -> Any:
    """Return a ControlNet of a UNet, without weights. `channels`: those of its layers for the image."""
    from diffusers import ControlNetModel

    accepted = inspect.signature(ControlNetModel.__init__).parameters
    config = {name: value for name, value in unet.config.items() if name in accepted}
    config |= {"in_channels": unet.config.out_channels, "conditioning_embedding_out_channels": channels}
    with torch.device("meta"):
        return ControlNetModel(**config)


def _shapes(part: Any) -> Mapping[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in part.state_dict().items()}
