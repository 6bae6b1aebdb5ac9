"""Tensors of a new file, as byte ranges of the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..model_folder import ModelFolderError, Tensor

_DTYPES = ("F16", "BF16", "F32")


@dataclass(frozen=True)
class Piece:
    """One tensor of a new file: `source` with another name and shape, some of its rows, or the transposed matrix."""

    name: str
    source: Tensor
    shape: tuple[int, ...]
    transposed: bool = False


def renamed(
    tensors: Mapping[str, Tensor], prefix: str, pieces_of: Callable[[str, Tensor], list[Piece]]
) -> Iterator[Piece]:
    """Yield the pieces of all tensors below `prefix`. Raises ModelFolderError for weights that are not float."""
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            for piece in pieces_of(name.removeprefix(prefix), tensor):
                if tensor.dtype not in _DTYPES:
                    message = f"{name[:120]} has the format {tensor.dtype}"
                    raise ModelFolderError(
                        message, "Use the version of the checkpoint in float16, bfloat16 or float32."
                    )
                yield piece


def same(name: str, tensor: Tensor) -> list[Piece]:
    return [Piece(name, tensor, tensor.shape)]


def rows(name: str, tensor: Tensor, index: int, count: int) -> Piece:
    """Return part `index` of `count` equal parts along the first axis."""
    height, *rest = tensor.shape
    size = (tensor.end - tensor.first) // count
    part = Tensor(
        tensor.dtype, (height // count, *rest), tensor.first + index * size, tensor.first + (index + 1) * size
    )
    return Piece(name, part, part.shape)


def unknown(name: str) -> ModelFolderError:
    """Return the error of a tensor that no checkpoint of the base has."""
    return ModelFolderError(
        f"the checkpoint has an unknown tensor, {name[:120]}", "Use the model's diffusers repository, if it has one."
    )
