"""The check of one part: kinds of values, and sizes against the tensors of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import ModelFolderError
from ..index import Component
from .fields import kinds_of, objects
from .kinds import check_fields, wrong_value
from .schedulers import check_scheduler
from .sizes import SIZES

_OF_EACH_BLOCK = {
    "attention_head_dim", "block_out_channels", "cross_attention_dim", "layers_per_block", "num_attention_heads",
    "only_cross_attention", "transformer_layers_per_block", "up_block_types",
}  # fmt: skip
"""Fields of a UNet that may be lists."""
Tensors = Mapping[str, tuple[int, ...]]
"""Name to shape."""


def check_values(part: Component, files: Mapping[str, Mapping[str, Any]], tensors: Tensors) -> None:
    """Check the settings of a scheduler, or those of a model against its tensors.

    Raises ModelFolderError, which names the file and the field.
    """
    if "Scheduler" in part.class_name:
        path = "scheduler_config.json"
        check_scheduler(f"{part.name}/{path}", part.class_name, files[path])
    elif part.class_name in SIZES:
        _check_model(f"{part.name}/config.json", part, files["config.json"], tensors)


def _check_model(path: str, part: Component, settings: Mapping[str, Any], tensors: Tensors) -> None:
    for prefix, fields in objects(settings):
        check_fields(path, fields, kinds_of(part.library, part.class_name), prefix)
        if part.library == "transformers":
            _check_heads(path, fields, prefix)
    _check_sizes(path, part, text_fields(settings), tensors)


def text_fields(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the text model; older versions have them beside those of the vision model."""
    text = settings.get("text_config")
    return {**settings, **text} if isinstance(text, dict) else settings


def _check_sizes(path: str, part: Component, settings: Mapping[str, Any], tensors: Tensors) -> None:
    sizes = SIZES[part.class_name]
    for name, words in sizes.shapes.items():
        if (shape := find_size(tensors, name, part.library)) is not None:
            _check_shape(path, settings, name, words.split(), shape)
    for module, words in sizes.layers.items():
        for field in words.split():
            _check_layers(path, part, settings, field, _layers(tensors, module, part.library))
    known = any(find_size(tensors, name, part.library) is not None for name in sizes.shapes)
    for switch, name in sizes.switches.items() if known else ():
        field, needed = switch.removeprefix("!"), not switch.startswith("!")
        value = settings.get(field)
        if value is not None and bool(value) == needed and find_size(tensors, name, part.library) is None:
            raise wrong_value(path, field, value, f"The weights have no {name}.")
    _check_groups(path, settings)
    _check_blocks(path, settings)
    _check_rotary(path, settings)


def find_size(tensors: Tensors, name: str, library: str) -> tuple[int, ...] | None:
    """Return the shape of a tensor. Versions of transformers put other modules before its name."""
    if name in tensors or library == "diffusers":
        return tensors.get(name)
    return next((shape for found, shape in tensors.items() if found.endswith(f".{name}")), None)


def _check_shape(path: str, settings: Mapping[str, Any], name: str, words: list[str], shape: tuple[int, ...]) -> None:
    for word, size in zip(words, shape, strict=False):
        expected = _product(settings, word)
        if expected is not None and expected != size:
            field = word.replace("[0]", "").replace("[-1]", "")
            factors = [factor for factor in dict.fromkeys(re.split("[*/]", field)) if factor in settings]
            if not factors:  # the class itself says it, as 3 of a 3x3 kernel
                message = f"The weights of {path} have the shape {list(shape)} in {name}, with {size} for {expected}"
                raise ModelFolderError(message, "Use weights of this class.")
            value = {factor: settings[factor] for factor in factors} if len(factors) > 1 else settings[factors[0]]
            raise wrong_value(
                path, " and ".join(factors), value, f"The weights have the size {size} there, in {name} {list(shape)}."
            )


def _product(settings: Mapping[str, Any], word: str) -> int | None:
    """Return the size that a word of a shape stands for, or None if it can be any."""
    product = 1.0
    for operator, factor in re.findall(r"([*/]?)([^*/]+)", word):
        value = int(factor) if factor.isdigit() else _value(settings, factor)
        if not isinstance(value, int | float) or not value:
            return None
        product = product / value if operator == "/" else product * value
    return int(product)


def _value(settings: Mapping[str, Any], factor: str) -> Any:
    field, _, index = factor.rstrip("]").partition("[")
    value = settings.get(field)
    if field == "out_channels" and value is None:
        value = settings.get("in_channels")
    if not index:
        return value
    return value[int(index)] if isinstance(value, list) else None


def _layers(tensors: Tensors, module: str, library: str) -> int:
    start = "^" if library == "diffusers" else r"(?:^|\.)"
    pattern = re.compile(rf"{start}{re.escape(module)}\.(\d{{1,4}})\.")
    return max((int(found[1]) + 1 for name in tensors if (found := pattern.search(name))), default=0)


def _check_layers(path: str, part: Component, settings: Mapping[str, Any], field: str, layers: int) -> None:
    """A text encoder may leave out its last layers, which some models do not use."""
    name = field.removeprefix("#")
    value = settings.get(name)
    count = len(value) if field != name and isinstance(value, list) else value
    fits = count == layers if part.library == "diffusers" else isinstance(count, int) and count <= layers
    if isinstance(count, int) and layers and not fits:
        raise wrong_value(path, name, value, f"The weights have {layers} layers.")


def _check_groups(path: str, settings: Mapping[str, Any]) -> None:
    groups = settings.get("norm_num_groups")
    if isinstance(groups, int) and any(width % groups for width in settings.get("block_out_channels", ())):
        raise wrong_value(path, "norm_num_groups", groups, "Each of block_out_channels must be a multiple of it.")


def _check_heads(path: str, settings: Mapping[str, Any], prefix: str) -> None:
    """Without a size of its own, each head has an equal part of the width."""
    heads, width = settings.get("num_attention_heads"), settings.get("hidden_size")
    if isinstance(heads, int) and isinstance(width, int) and not settings.get("head_dim") and width % heads:
        raise wrong_value(
            path, f"{prefix}num_attention_heads", heads, f"hidden_size, {width}, must be a multiple of it."
        )


def _check_blocks(path: str, settings: Mapping[str, Any]) -> None:
    """A list of a UNet has a value for each block; the heads of a block have equal parts of its channels."""
    blocks, widths = settings.get("down_block_types"), settings.get("block_out_channels")
    if not isinstance(blocks, list) or not isinstance(widths, list):
        return
    for field in sorted(_OF_EACH_BLOCK & settings.keys()):
        if isinstance(settings[field], list) and len(settings[field]) != len(blocks):
            raise wrong_value(path, field, settings[field], f"It must have {len(blocks)} values, as down_block_types.")
    field = "num_attention_heads" if settings.get("num_attention_heads") else "attention_head_dim"
    heads = settings.get(field)
    each = heads if isinstance(heads, list) else [heads] * len(blocks)
    for kind, width, count in zip(blocks, widths, each, strict=True):
        if "CrossAttn" in kind and isinstance(count, int) and width % count:
            raise wrong_value(path, field, heads, f"{width} of block_out_channels must be a multiple of it.")


def _check_rotary(path: str, settings: Mapping[str, Any]) -> None:
    """The rotary embedding has a part for each axis of the image and the text."""
    axes, width = settings.get("axes_dims_rope"), settings.get("attention_head_dim")
    if isinstance(axes, list) and isinstance(width, int) and sum(axes) != width:
        raise wrong_value(path, "axes_dims_rope", axes, f"Together they must be attention_head_dim, {width}.")
