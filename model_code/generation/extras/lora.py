"""LoRAs of a request: changes of layers by two small matrices each, added to what the layer computes.

The weights of the model are never touched. A LoRA is read completely before the first layer is changed, and hooks, not
new weights, change the layers: when they are removed, the pipeline computes the same bits as before.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from contract import Lora
from generation.extras.reading import reading
from generation.gpu_memory import GpuMemory
from model_folder import LocalFiles, LoraLayer, Modules, Target, check_lora, extra_path


@dataclass(frozen=True)
class _Change:
    """What one LoRA adds to the output of one layer. The scale is part of `up`."""

    layer: Any
    down: torch.Tensor
    up: torch.Tensor

    @property
    def size(self) -> int:
        """Bytes."""
        return self.down.nbytes + self.up.nbytes

    def __call__(self, layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        if isinstance(layer, torch.nn.Linear):
            return output + functional.linear(functional.linear(inputs[0], self.down), self.up)
        hidden = functional.conv2d(inputs[0], self.down, None, layer.stride, layer.padding, layer.dilation)
        return output + functional.conv2d(hidden, self.up)


@dataclass
class Loras:
    """The LoRA files of a model folder, and the layers of its loaded pipeline."""

    folder: Path
    pipeline: Any
    memory: GpuMemory
    _modules: Modules | None = field(default=None, init=False)
    _hashes: dict[str, str] = field(default_factory=dict, init=False)

    def short_hash(self, id: str) -> str:
        """Return AUTOMATIC1111's hash of a LoRA: 12 digits of the SHA-256 of its tensors, without the file's header.

        Raises EaselError `config_error`: the file cannot be read.
        """
        if id not in self._hashes:
            path = extra_path("loras", id)
            with reading(path, "loras", self.memory), (self.folder / path).open("rb") as file:
                file.seek(8 + int.from_bytes(file.read(8), "little"))
                self._hashes[id] = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        return self._hashes[id]

    @contextmanager
    def applied(self, requested: Sequence[Lora] | None) -> Iterator[None]:
        """Change the pipeline until the end of the block, also if that raises.

        Raises EaselError: those of `reading`.
        """
        changes = [change for lora in requested or () if lora.scale for change in self._read(lora)]
        with ExitStack() as until_the_end:
            until_the_end.enter_context(self.memory.holding(sum(change.size for change in changes)))
            for change in changes:
                until_the_end.callback(change.layer.register_forward_hook(change).remove)
            yield

    def _read(self, lora: Lora) -> list[_Change]:
        from safetensors import safe_open

        path = extra_path("loras", lora.id)
        with reading(path, "loras", self.memory):
            layers = check_lora(LocalFiles(self.folder, links=True), path, self._layers())
            with safe_open(self.folder / path, "pt") as file:
                return [
                    change for layer, targets in layers for change in self._changes(file, layer, targets, lora.scale)
                ]

    def _layers(self) -> Modules:
        if self._modules is None:
            parts = {name: part for name, part in self.pipeline.components.items() if isinstance(part, torch.nn.Module)}
            self._modules = Modules({name: _shapes(part) for name, part in parts.items()})
        return self._modules

    def _changes(self, file: Any, layer: LoraLayer, targets: list[Target], scale: float) -> Iterator[_Change]:
        down, up = file.get_tensor(layer.down), file.get_tensor(layer.up)
        alpha = file.get_tensor(layer.alpha).item() if layer.alpha else layer.default_factor * layer.rank
        up = up.float() * (scale * alpha / layer.rank)
        for target in targets:
            module = self.pipeline.components[target.part].get_submodule(target.module)
            weight, sides = module.weight, 2 if isinstance(module, torch.nn.Linear) else 4
            yield _Change(module, *(_like(weight, matrix, sides) for matrix in (down, up[target.first : target.end])))


def _shapes(part: torch.nn.Module) -> Mapping[str, tuple[int, ...]]:
    layers = (torch.nn.Linear, torch.nn.Conv2d)
    found = {name: module for name, module in part.named_modules() if isinstance(module, layers)}
    return {f"{name}.weight": tuple(module.weight.shape) for name, module in found.items()}


def _like(weight: torch.Tensor, matrix: torch.Tensor, sides: int) -> torch.Tensor:
    """Return the matrix with the dtype and the device of a weight, and with as many sides."""
    if matrix.dim() > sides:
        matrix = matrix.flatten(1)
    elif matrix.dim() < sides:
        matrix = matrix[..., None, None]
    return matrix.to(weight.device, weight.dtype)
