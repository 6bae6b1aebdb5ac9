"""A pipeline whose images come from a function."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from contract import ModelProfile

Render = Callable[[int, int, int], Any]
"""(images, width, height) to a tensor (images, 3, height, width) in 0..1 or a complete output. May raise."""


class Pipeline:
    def __init__(self, scheduler: Any, render: Render) -> None:
        self.scheduler, self.render = scheduler, render
        self.components = {"scheduler": scheduler, "render": render}
        self.config: dict[str, Any] = {}

    def set_progress_bar_config(self, **_: Any) -> None:
        pass

    def __call__(
        self,
        prompt: list[str],
        negative_prompt: list[str] | None = None,
        height: int = 8,
        width: int = 8,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        generator: Any = None,
        output_type: str = "pil",
        callback_on_step_end: Any = None,
    ) -> Any:
        for step in range(num_inference_steps):
            callback_on_step_end(self, step, 0, {})
        output = self.render(len(prompt), width, height)
        return SimpleNamespace(images=output) if isinstance(output, torch.Tensor) else output


def grey(images: int, width: int, height: int) -> torch.Tensor:
    """Return images of one gray."""
    return torch.full((images, 3, height, width), 0.5)


def create_model(render: Render, profile: ModelProfile) -> Any:
    """Return a Model of the fake pipeline. It does not end the process when it gives up."""
    from diffusers import DDIMScheduler

    from generation.generate import Model
    from generation.gpu_memory import GpuMemory

    memory = GpuMemory(lambda: None)
    return Model(Pipeline(DDIMScheduler(), render), profile, grid=8, batch_size=8, memory=memory)
