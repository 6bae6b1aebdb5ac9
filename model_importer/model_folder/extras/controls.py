"""Whether a ControlNet fits a model.

That of a UNet is a copy of the UNet's first half, with a network for its image before it. Those of transformers are in
`transformer_controls`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NoReturn

from ..classes import CONTROL_PIPELINES
from ..errors import ModelFolderError
from ..files import Files
from ..loras.base import BASES, CROSS_ATTENTION
from ..safetensors_header import Header
from .files import read_extra
from .transformer_controls import LAYOUTS, Tensors, control_network, transformer_base, transformer_tensors, unused_kind

Parts = Mapping[str, Tensors]
"""The tensors of each part of a pipeline."""

_COPIED = re.compile(r"(conv_in|time_embedding\.(?!cond_proj)|add_embedding|class_embedding|down_blocks|mid_block)\b.*")
"""Tensors of a UNet that its ControlNets have, too."""
_OF_UNET = "ControlNetModel"
_IMAGE = "controlnet_cond_embedding"
_COLORS = 3
_DTYPES = ("BF16", "F16", "F32", "F64")
_OTHERS = {
    "task_embedding": "a ControlNet Union", "lora_controlnet": "a Control-LoRA", "control_model.": "",
    "input_blocks.": "", "zero_convs.": "", "adapter.": "a T2I-Adapter", "ip_adapter": "an IP-Adapter",
    "controlnet_blocks.": "a ControlNet of another transformer",
}  # fmt: skip
"""Part of a tensor's name to what has it; empty: a ControlNet in its original layout."""
_BASES = (*(BASES[base] for base in CROSS_ATTENTION.values()), *map(transformer_base, LAYOUTS))
_ORIGINAL = "It is in the original layout. Use the file that diffusers saved, diffusion_pytorch_model.safetensors."


def check_control(files: Files, path: str, pipeline: str, parts: Parts) -> Header:
    """Return the header of a ControlNet for a pipeline with these parts. Nothing else of the file is read.

    Raises ModelFolderError: the file is missing, too large, damaged or no ControlNet, or it is for another base.
    """
    if pipeline not in CONTROL_PIPELINES:
        message = f"{path} cannot be used: {pipeline} takes no ControlNets"
        raise ModelFolderError(message, f"These do: {', '.join(CONTROL_PIPELINES)}.")
    header = read_extra(files, path)
    shapes, network = header.shapes, CONTROL_PIPELINES[pipeline].network
    if not is_control(shapes):
        raise _no_control(path, shapes)
    if control_class(shapes) != network:
        _refuse_base(path, shapes, "it is for another kind of model")
    if network == _OF_UNET:
        problem = _problem(shapes, dict(_expected(parts["unet"], shapes))) or _image_problem(shapes, parts)
    elif hint := unused_kind(network, shapes, parts["transformer"]):
        raise ModelFolderError(f"{path} is a ControlNet that cannot be used", hint)
    else:
        problem = _problem(shapes, transformer_tensors(network, parts["transformer"], shapes))
    if problem:
        _refuse_base(path, shapes, problem)
    for name, tensor in header.tensors.items():
        if tensor.dtype not in _DTYPES:
            message = f"{path} has a tensor of the dtype {tensor.dtype}, {name[:120]}"
            raise ModelFolderError(message, f"It may have {', '.join(_DTYPES)}.")
    return header


def _refuse_base(path: str, shapes: Tensors, problem: str) -> NoReturn:
    hint = f"It is for {control_base(shapes)}. Use one that was trained for this model or for its base."
    raise ModelFolderError(f"{path} does not fit this model: {problem}", hint)


def is_control(shapes: Tensors) -> bool:
    """Return whether a file is a ControlNet as diffusers saves it."""
    return control_class(shapes) is not None


def control_class(shapes: Tensors) -> str | None:
    """Return the class of a ControlNet; None: it is another file."""
    return _OF_UNET if f"{_IMAGE}.conv_in.weight" in shapes else control_network(shapes)


def control_base(shapes: Tensors) -> str:
    """Return the base of a ControlNet, as people read it."""
    if network := control_network(shapes):
        return transformer_base(network)
    width = next((shape[-1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)
    return BASES.get(CROSS_ATTENTION.get(width or 0, ""), "another model")


def image_channels(shapes: Tensors) -> tuple[int, ...]:
    """Return the channels of the layers for the image; each but the last halves its size."""
    channels, number = [shapes[f"{_IMAGE}.conv_in.weight"][0]], 1
    while (name := f"{_IMAGE}.blocks.{number}.weight") in shapes:
        channels.append(shapes[name][0])
        number += 2
    return tuple(channels)


def _no_control(path: str, shapes: Tensors) -> ModelFolderError:
    kind = next((kind for part, kind in _OTHERS.items() if any(part in name for name in shapes)), None)
    shown = ", ".join(name[:80] for name in sorted(shapes)[:3])
    if kind == "":
        return ModelFolderError(f"{path} is not a ControlNet as diffusers saves it: {shown}", _ORIGINAL)
    hint = f"This is {kind}, which Easel does not use. " if kind else ""
    message = f"{path} has no tensors of a ControlNet, but {shown}"
    return ModelFolderError(message, f"{hint}Use a ControlNet of {', '.join(_BASES)}.")


def _expected(unet: Tensors, shapes: Tensors) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the tensors of a ControlNet of this UNet, without those for the image, which differ."""
    for name, shape in unet.items():
        if _COPIED.fullmatch(name):
            yield name, shape
    latents, kernel = unet.get("conv_out.weight", ()), unet.get("conv_in.weight", ())
    if latents and len(kernel) == 4:  # a UNet for inpainting has more inputs than its ControlNets
        yield "conv_in.weight", (kernel[0], latents[0], *kernel[2:])
    for number, channels in enumerate(_widths(unet)):
        yield from _zero_conv(f"controlnet_down_blocks.{number}", channels)
    if middle := unet.get("mid_block.resnets.0.conv1.weight"):
        yield from _zero_conv("controlnet_mid_block", middle[0])


def _zero_conv(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (channels, channels, 1, 1)
    yield f"{name}.bias", (channels,)


def _widths(unet: Tensors) -> Iterator[int]:
    """Yield the channels of what the UNet's first half passes to its second."""
    yield unet["conv_in.weight"][0]
    block = 0
    while f"down_blocks.{block}.resnets.0.conv2.weight" in unet:
        layer = 0
        while (name := f"down_blocks.{block}.resnets.{layer}.conv2.weight") in unet:
            yield unet[name][0]
            layer += 1
        if (name := f"down_blocks.{block}.downsamplers.0.conv.weight") in unet:
            yield unet[name][0]
        block += 1


def _problem(shapes: Tensors, expected: Tensors) -> str:
    """Return why a ControlNet does not fit; empty if it does."""
    for name, shape in expected.items():
        if name in shapes and shapes[name] != shape:
            return f"{name[:120]} has the shape {[*shapes[name]]}, which here is {[*shape]}"
    if missing := next((name for name in expected if name not in shapes), ""):
        return f"it has no {missing[:120]}"
    others = (name for name in shapes if name not in expected and not name.startswith(f"{_IMAGE}."))
    return f"there is no {other[:120]}" if (other := next(others, "")) else ""


def _image_problem(shapes: Tensors, parts: Parts) -> str:
    """Return why the layers for the image do not fit; empty if they do."""
    channels, width = image_channels(shapes), shapes["conv_in.weight"][0]
    rows = [(f"{_IMAGE}.conv_in", channels[0], _COLORS)]
    for number, (first, second) in enumerate(pairwise(channels)):
        rows += [(f"{_IMAGE}.blocks.{2 * number}", first, first), (f"{_IMAGE}.blocks.{2 * number + 1}", second, first)]
    rows.append((f"{_IMAGE}.conv_out", width, channels[-1]))
    expected: dict[str, tuple[int, ...]] = {f"{name}.weight": (outs, ins, 3, 3) for name, outs, ins in rows}
    expected |= {f"{name}.bias": (outputs,) for name, outputs, _ in rows}
    halved = {name for name in parts.get("vae", ()) if re.fullmatch(r"encoder\.down_blocks\.\d+\.downs.*weight", name)}
    if halved and len(halved) != len(channels) - 1:
        return f"its image is halved {len(channels) - 1} times, but this model's latents are {len(halved)} times"
    return _problem({name: shape for name, shape in shapes.items() if name.startswith(f"{_IMAGE}.")}, expected)
