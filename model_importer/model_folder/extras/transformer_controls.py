"""The tensors of ControlNets of transformers: FLUX.1, Qwen-Image, Sana, Stable Diffusion 3 and Z-Image.

Each is a copy of some of the transformer's blocks, with a layer for the image before, and layers for what it adds to
the transformer after them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..loras.base import BASES

Tensors = Mapping[str, tuple[int, ...]]
"""Name to shape."""

GUIDANCE = "time_text_embed.guidance_embedder."
"""Begin of FLUX's tensors for a guidance that is an input, which a ControlNet has or not."""
REFINER = "control_noise_refiner"
"""Z-Image's blocks before the others, which a ControlNet has or not."""
Z_IMAGE_PATCH = 4
"""Latents in a patch of Z-Image."""


@dataclass(frozen=True)
class _Blocks:
    """Copied blocks: their name here and in the transformer, and the layer after each of them."""

    name: str
    copied: str
    output: str


@dataclass(frozen=True)
class _Layout:
    base: str
    """A key of BASES."""
    marks: tuple[str, ...]
    """Tensors by which a file is recognised."""
    image: str
    """The layer for the image."""
    embedder: str
    """The transformer's layer for the latents."""
    copied: str
    """A pattern of the tensors that are copied beside those of blocks."""
    blocks: tuple[_Blocks, ...]


_BLOCKS = _Blocks("transformer_blocks", "transformer_blocks", "controlnet_blocks.{}")
_SINGLE_BLOCKS = _Blocks("single_transformer_blocks", "single_transformer_blocks", "controlnet_single_blocks.{}")
_SANA, _SD3, _Z_IMAGE = "SanaControlNetModel", "SD3ControlNetModel", "ZImageControlNetModel"
_OF_TEXT = (
    r"(context_embedder|pos_embed)\..*|transformer_blocks\.\d+\.(norm1_context|ff_context|attn\.(add|to_add|norm)_).*"
)
"""What Stability AI's ControlNets of Stable Diffusion 3.5 Large lack, which do not read the prompt."""
LAYOUTS: Mapping[str, _Layout] = {
    "FluxControlNetModel": _Layout(
        "flux", ("controlnet_x_embedder.weight", "context_embedder.weight", "x_embedder.weight"),
        "controlnet_x_embedder", "x_embedder", r"(time_text_embed|context_embedder|x_embedder)\..*",
        (_BLOCKS, _SINGLE_BLOCKS),
    ),
    "QwenImageControlNetModel": _Layout(
        "qwen-image", ("controlnet_x_embedder.weight", "txt_norm.weight", "img_in.weight"),
        "controlnet_x_embedder", "img_in", r"(time_text_embed\.timestep_embedder|txt_norm|img_in|txt_in)\..*",
        (_BLOCKS,),
    ),
    _SANA: _Layout(
        "sana", ("input_block.weight", "caption_norm.weight"),
        "input_block", "patch_embed.proj", r"(patch_embed|time_embed|caption_projection|caption_norm)\..*", (_BLOCKS,),
    ),
    _SD3: _Layout(
        "sd-3", ("pos_embed_input.proj.weight", "time_text_embed.timestep_embedder.linear_1.weight"),
        "pos_embed_input.proj", "pos_embed.proj", r"(time_text_embed|context_embedder|pos_embed)\..*", (_BLOCKS,),
    ),
    _Z_IMAGE: _Layout(
        "z-image", ("control_all_x_embedder.2-1.weight", "control_layers.0.before_proj.weight"),
        "control_all_x_embedder.2-1", "all_x_embedder.2-1", r"",
        (
            _Blocks("control_layers", "layers", "control_layers.{}.after_proj"),
            _Blocks(REFINER, "noise_refiner", f"{REFINER}.{{}}.after_proj"),
        ),
    ),
}  # fmt: skip
"""Class of a ControlNet to the layout of its files."""
_UNUSED = {
    "controlnet_mode_embedder.": "It is a union whose mode a request would have to choose. Use one for a single kind "
    "of map, or a union without modes, such as FLUX.1-dev-ControlNet-Union-Pro-2.0.",
    "input_hint_block.": "It is of XLabs' kind, which reads pixels. Use one that reads latents, such as InstantX's.",
    "transformer_blocks.0.attn.qkv.": "It is in the original layout. Use the file that diffusers saved, such as "
    "that of stable-diffusion-3.5-large-controlnet-canny.",
}
"""Begin of a tensor's name to what to do about ControlNets that have it."""
_FOR_INPAINTING = "It is for inpainting. Use one for maps, such as edges or a pose; a mask_image needs no ControlNet."


def control_network(shapes: Tensors) -> str | None:
    """Return the class of a ControlNet of a transformer; None: it is another file."""
    return next((name for name, layout in LAYOUTS.items() if all(mark in shapes for mark in layout.marks)), None)


def transformer_base(network: str) -> str:
    """Return the base of a class of ControlNets, as people read it."""
    return BASES[LAYOUTS[network].base]


def unused_kind(network: str, shapes: Tensors, transformer: Tensors) -> str:
    """Return what to do about a ControlNet of a kind that Easel does not use; empty: it may be of one that it uses."""
    if hint := next((_UNUSED[part] for part in _UNUSED if any(name.startswith(part) for name in shapes)), ""):
        return hint
    layout = LAYOUTS[network]
    inputs, latents = image_inputs(network, shapes), _matrix(transformer, layout.embedder)[1]
    return _FOR_INPAINTING if network not in (_SANA, _Z_IMAGE) and inputs > latents else ""


def image_inputs(network: str, shapes: Tensors) -> int:
    """Return the inputs of the layer for the image, of a patch."""
    return _matrix(shapes, LAYOUTS[network].image)[1]


def _matrix(tensors: Tensors, layer: str) -> tuple[int, int]:
    """Return outputs and inputs of a linear or a convolutional layer; (0, 0): it is neither."""
    shape = tensors.get(f"{layer}.weight", ())
    return (shape[0], shape[1]) if len(shape) in (2, 4) else (0, 0)


def block_count(tensors: Iterable[str], name: str) -> int:
    """Return the number of blocks `name.0`, `name.1` and so on."""
    return len({key.split(".")[1] for key in tensors if key.startswith(f"{name}.")})


def reads_text(weights: Iterable[str]) -> bool:
    """Return whether a ControlNet of Stable Diffusion 3 reads the prompt."""
    return "context_embedder.weight" in weights


def second_attentions(tensors: Iterable[str]) -> tuple[int, ...]:
    """Return the numbers of the blocks with a second attention, as some of Stable Diffusion 3.5 Medium have."""
    found = (re.fullmatch(r"transformer_blocks\.(\d{1,4})\.attn2\.to_q\.weight", name) for name in tensors)
    return tuple(sorted(int(match[1]) for match in found if match))


def transformer_tensors(network: str, transformer: Tensors, shapes: Tensors) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a ControlNet of this transformer that has as many blocks as the file with `shapes`."""
    layout = LAYOUTS[network]
    found = {name: shape for name, shape in transformer.items() if re.fullmatch(layout.copied, name)}
    found = {name: shape for name, shape in found.items() if not name.startswith(GUIDANCE)}
    if any(name.startswith(GUIDANCE) for name in shapes):
        step = "time_text_embed.timestep_embedder."
        found |= {name.replace(step, GUIDANCE): shape for name, shape in found.items() if name.startswith(step)}
    width, latents = _matrix(transformer, layout.embedder)
    for blocks in layout.blocks:
        found |= dict(_copies(blocks, width, transformer, shapes))
    if network == _SD3 and not reads_text(shapes):
        found = {name: shape for name, shape in found.items() if not re.fullmatch(_OF_TEXT, name)}
    with_mask = 2 * latents + Z_IMAGE_PATCH
    inputs = with_mask if network == _Z_IMAGE and image_inputs(network, shapes) == with_mask else latents
    kernel = transformer.get(f"{layout.embedder}.weight", ())[2:]
    if network == _SANA:  # its layer for the image is behind the embedder
        inputs, kernel = width, ()
    return found | _layer(layout.image, width, inputs, *kernel)


def _copies(
    blocks: _Blocks, width: int, transformer: Tensors, shapes: Tensors
) -> Iterator[tuple[str, tuple[int, ...]]]:
    most, count = block_count(transformer, blocks.copied), block_count(shapes, blocks.name)
    count = most if count and blocks.name == REFINER else min(count, most)
    adds = blocks.name != REFINER or f"{REFINER}.0.after_proj.weight" in shapes
    twice, twice_here = second_attentions(transformer), second_attentions(shapes)
    for number in range(count):
        like = next((other for other in range(most) if (other in twice) == (number in twice_here)), 0)
        first = f"{blocks.copied}.{like}."
        copied = ((name.removeprefix(first), shape) for name, shape in transformer.items() if name.startswith(first))
        yield from ((f"{blocks.name}.{number}.{name}", shape) for name, shape in copied)
        if adds:
            yield from _layer(blocks.output.format(number), width, width).items()
    if adds and count and blocks.output.startswith(blocks.name):
        yield from _layer(f"{blocks.name}.0.before_proj", width, width).items()


def _layer(name: str, outputs: int, inputs: int, *kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)}
