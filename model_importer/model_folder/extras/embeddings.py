"""Whether a textual-inversion embedding fits the text encoders: vectors in place of those of a token."""

from __future__ import annotations

from collections.abc import Mapping

from ..classes import CLIP_PIPELINES
from ..errors import ModelFolderError
from ..files import Files
from ..loras.base import BASES, CROSS_ATTENTION
from ..safetensors_header import Header
from .files import read_extra

Tensors = Mapping[str, tuple[int, ...]]
"""Name to shape."""

MOST_VECTORS = 75
"""As many as an input of the text encoder has tokens, without those of start and end."""
_XL = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
"""Text encoder to the tensor for it in a file for two of them."""
_WIDTHS = {width: base for width, base in CROSS_ATTENTION.items() if base != "sdxl"}
_DTYPES = ("BF16", "F16", "F32", "F64")
_LAYOUTS = (
    "Use one in the layout of AUTOMATIC1111 (emb_params) or of diffusers (one tensor; clip_l and clip_g for SDXL)."
)


def check_embedding(files: Files, path: str, pipeline: str, parts: Mapping[str, Tensors]) -> dict[str, str]:
    """Return each text encoder with the name of its tensor: (vectors, width), or (width,) for one vector.

    `parts`: the tensors of each part of the pipeline. Only the header is read. Raises ModelFolderError: the file is
    missing, too large, damaged or no embedding, or it is for another base.
    """
    if pipeline not in CLIP_PIPELINES:
        message = f"{path} cannot be used: {pipeline} takes no embeddings"
        raise ModelFolderError(message, f"These do: {', '.join(CLIP_PIPELINES)}.")
    header = read_extra(files, path)
    shapes = header.shapes
    two = {*shapes} == {*_XL.values()}
    if not (two or len(shapes) == 1):
        shown = ", ".join(name[:80] for name in sorted(shapes)[:3])
        raise ModelFolderError(f"{path} is not an embedding: it has {len(shapes)} tensors, {shown}", _LAYOUTS)
    _check_vectors(path, header)
    if two != ("text_encoder_2" in parts):
        raise _other_base(path, shapes, "it is for one text encoder" if not two else "it is for two text encoders")
    names = _XL if two else {"text_encoder": next(iter(shapes))}
    found = {part: name for part, name in names.items() if part in parts}
    for part, name in found.items():
        rows = (shape for key, shape in parts[part].items() if key.endswith("token_embedding.weight"))
        width = next((shape[1] for shape in rows if len(shape) == 2), 0)
        if shapes[name][-1] != width:
            problem = f"its vectors for {part} have {shapes[name][-1]} numbers, and here they have {width}"
            raise _other_base(path, shapes, problem)
    return found


def is_embedding(shapes: Tensors) -> bool:
    """Return whether a file has the layout of an embedding. With any name of its tensor, it is of a known base."""
    known = {*shapes} == {"emb_params"} or embedding_base(shapes) in BASES.values()
    return known and all(len(shape) in (1, 2) for shape in shapes.values())


def embedding_base(shapes: Tensors) -> str:
    """Return the base of an embedding, as people read it."""
    if {*shapes} == {*_XL.values()}:
        return BASES["sdxl"]
    width = next((shape[-1] for shape in shapes.values() if shape), 0) if len(shapes) == 1 else 0
    return BASES.get(_WIDTHS.get(width, ""), "another model")


def _check_vectors(path: str, header: Header) -> None:
    counts = set()
    for name, tensor in header.tensors.items():
        shape = header.shapes[name]
        count = 1 if len(shape) == 1 else shape[0] if len(shape) == 2 else 0
        if not 1 <= count <= MOST_VECTORS or 0 in shape:
            message = f"{path} has a tensor of the shape {[*shape]}, {name[:120]}"
            raise ModelFolderError(message, f"An embedding has 1 to {MOST_VECTORS} vectors.")
        if tensor.dtype not in _DTYPES:
            message = f"{path} has a tensor of the dtype {tensor.dtype}, {name[:120]}"
            raise ModelFolderError(message, f"It may have {', '.join(_DTYPES)}.")
        counts.add(count)
    if len(counts) > 1:
        message = f"{path} has {' and '.join(map(str, sorted(counts)))} vectors for its two text encoders"
        raise ModelFolderError(message, "Both need the same number.")


def _other_base(path: str, shapes: Tensors, problem: str) -> ModelFolderError:
    hint = f"It is for {embedding_base(shapes)}. Use one that was trained for this model or for its base."
    return ModelFolderError(f"{path} does not fit this model: {problem}", hint)
