"""The generation: prompts and seeds in, pixels out.

The loaded pipeline is never changed. A request draws with a view of its own: the same components, its own
scheduler, and the class that draws from a picture where there is one to start from. Picture i starts from noise of a
CPU generator with `seeds()[i]`, so that a laptop and a GPU start from the same noise.
"""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from contract import EaselError, GenerationRequest, ModelProfile, refuse
from generation import gpu_memory, img2img, pipeline_arguments, previews, schedulers
from generation.gpu_memory import Memory
from generation.img2img import Start
from generation.previews import Projection
from generation.vocabulary import Vocabulary
from images import files as pictures


@dataclass
class Model:
    """A loaded pipeline and what there is to know about it."""

    pipeline: Any
    profile: ModelProfile
    grid: int
    """Pixels: what both sides of a drawing must be a multiple of."""
    at_once: int
    """The most pictures of one batch."""
    memory: Memory
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    on_step: Callable[[int, int], None] | None = None
    """Told (steps done, steps in all) of the running request, over all of its pictures."""
    on_preview: Callable[[str], None] | None = None
    """Told after each step how the picture looks so far (base64 of a small JPEG), where the latents can be read."""
    projection: Projection = field(default_factory=Projection)

    @property
    def healthy(self) -> bool:
        return self.memory.healthy


@dataclass(frozen=True)
class Drawing:
    pictures: tuple[pictures.Pixels, ...]
    """One a seed, each of the size asked for."""
    warnings: tuple[str, ...]


def draw(model: Model, request: GenerationRequest, expires: float | None) -> Drawing:
    """`expires` is on the clock of time.monotonic().

    Raises EaselError: bad_image, not_supported, deadline_exceeded, nan_output, blank_output, content_filtered,
    gpu_out_of_memory, container_died (the GPU context is lost), config_error.
    Whatever else the pipeline raises passes through.
    """
    width, height = canvas(model, request)
    start = img2img.read(request.init_image, width, height) if request.init_image else None
    own = view(model.pipeline, request.scheduler, img2img.class_of(model.pipeline) if start else type(model.pipeline))
    call = pipeline_arguments.prepare(own, request, width, height)
    drawn = _Work(model, request, call, own, start, expires).draw_all()
    finished = tuple(_fitted(pixels, request.width, request.height, model.profile) for pixels in drawn)
    told = (*(start.warnings if start else ()), *_enlarged(request, width, height, model.profile), *call.warnings)
    return Drawing(finished, (*told, *model.vocabulary.advice(request.prompt)))


def _fitted(pixels: pictures.Pixels, width: int, height: int, profile: ModelProfile) -> pictures.Pixels:
    return (pictures.enlarge if profile.enlarges else pictures.crop)(pixels, width, height)


def canvas(model: Model, request: GenerationRequest) -> tuple[int, int]:
    """(width, height) to draw at: the size asked for, rounded up to the model's grid, or the one size it knows."""
    if model.profile.enlarges:
        return model.profile.sizes[0]
    return -(-request.width // model.grid) * model.grid, -(-request.height // model.grid) * model.grid


def _enlarged(request: GenerationRequest, width: int, height: int, profile: ModelProfile) -> list[str]:
    if not profile.enlarges or (request.width, request.height) == (width, height):
        return []
    told = f"{profile.name} draws {width}x{height}; the picture was scaled to {request.width}x{request.height}"
    if request.width * height == request.height * width:
        return [f"{told}."]
    return [f"{told}, and its edges were extended to fill it."]


def view(pipeline: Any, scheduler: str, as_class: Any) -> Any:
    """A pipeline of class `as_class` that shares all components with `pipeline` but the scheduler."""
    parameters = inspect.signature(as_class.__init__).parameters
    own = schedulers.make(scheduler, pipeline.scheduler)
    shared = {**pipeline.config, **pipeline.components, "scheduler": own}
    made = as_class(**{name: shared[name] for name in parameters if name in shared})
    made.set_progress_bar_config(disable=True)
    return made


@dataclass
class _Work:
    """One request being drawn."""

    model: Model
    request: GenerationRequest
    call: pipeline_arguments.Call
    view: Any
    start: Start | None
    expires: float | None
    done: int = 0
    latents: torch.Tensor | None = None
    """As the last step left them."""

    def __post_init__(self) -> None:
        self.finished = previews.watch(self.view.scheduler) if self.model.on_preview else lambda: None

    def draw_all(self) -> list[pictures.Pixels]:
        """Batch by batch; where the GPU's memory does not hold a batch, the batches are halved."""
        prompts = [prompt for prompt in self.request.prompt for _ in range(self.request.num_images_per_prompt)]
        todo = list(zip(prompts, self.request.seeds(), strict=True))
        size = min(len(todo), self.model.at_once)
        drawn: list[pictures.Pixels] = []
        while len(drawn) < len(todo):
            self.done = len(drawn)
            batch = self._attempt(todo[len(drawn) : len(drawn) + size])
            drawn += batch or []
            size = size if batch else self._half(size)
        return drawn

    def _half(self, size: int) -> int:
        if size == 1:
            told = f"one picture of {self.request.width}x{self.request.height} does not fit into the GPU's memory"
            refuse("gpu_out_of_memory", None, told, "Ask for a smaller size.")
        return size // 2

    def _attempt(self, batch: Sequence[tuple[str, int]]) -> list[pictures.Pixels] | None:
        """None: out of memory, and what the attempt held is free again."""
        try:
            return self._draw(batch)
        except RuntimeError as error:
            lost = gpu_memory.lost_context(error)
            if not lost and not gpu_memory.ran_out(error):
                raise
        # Only here, outside of the except block, are the failed call's frames and their tensors gone.
        if lost:
            self.model.memory.give_up()
            refuse("container_died", None, "the GPU stopped working", "The model is restarted; send the job again.")
        self.model.memory.recover()
        return None

    def _draw(self, batch: Sequence[tuple[str, int]]) -> list[pictures.Pixels]:
        self._check_deadline()
        self.latents = None
        extra: dict[str, Any] = {}
        if self.call.negative_prompt is not None:
            extra["negative_prompt"] = [self.call.negative_prompt] * len(batch)
        if self.start is not None:
            extra["image"] = [self.start.picture] * len(batch)
            extra["strength"] = img2img.strength(self.model.pipeline, self.request)
        output = self.view(
            prompt=[prompt for prompt, _ in batch],
            generator=[torch.Generator("cpu").manual_seed(seed) for _, seed in batch],
            output_type="pt",
            callback_on_step_end=lambda view, index, _, told: self._stepped(view, index, len(batch), told),
            **extra,
            **self.call.settings,
        )
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            told = "the model's safety checker held a picture back"
            refuse("content_filtered", "prompt", told, "Try another prompt or seed.")
        drawn = _pixels(output.images)
        self._learn(output.images)
        return drawn

    def _stepped(self, view: Any, index: int, size: int, told: Mapping[str, Any]) -> dict[str, Any]:
        self._check_deadline()
        self.latents = told.get("latents")
        if self.model.on_preview is not None and self.latents is not None:
            self._preview(self.model.on_preview, self.latents)
        if self.model.on_step is not None:
            steps = getattr(view, "num_timesteps", self.request.steps)
            self.model.on_step(self.done * steps + size * (index + 1), self.request.images * steps)
        return {}

    def _learn(self, images: torch.Tensor) -> None:
        """At the warm-up, and then where previews are looked at."""
        if self.latents is not None and (self.model.on_preview or not self.model.projection.ready):
            self.model.projection.learn(self.latents, images)

    def _preview(self, tell: Callable[[str], None], latents: torch.Tensor) -> None:
        width, height = canvas(self.model, self.request)
        finished = self.finished()
        seen = self.model.projection.look(latents if finished is None else finished, width, height)
        if seen is not None:
            cell = width // seen.shape[1]
            small = max(1, self.request.width // cell), max(1, self.request.height // cell)
            tell(previews.encode(_fitted(seen, *small, self.model.profile)))

    def _check_deadline(self) -> None:
        if self.expires is not None and time.monotonic() > self.expires:
            told = f"the pictures were not drawn within {self.request.deadline_ms} ms"
            refuse("deadline_exceeded", "deadline_ms", told, "Ask for fewer steps or pictures, or allow more time.")


def _pixels(images: torch.Tensor) -> list[pictures.Pixels]:
    """(n, 3, height, width) in 0..1 to n pictures. NaN must be caught before: as uint8 it is black."""
    images = images.float()
    if not torch.isfinite(images).all():
        raise EaselError("nan_output", "the model computed NaN", hint="Try another size, scheduler or guidance_scale.")
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    if not all(picture.any() for picture in pixels):
        raise EaselError("blank_output", "a picture is black all over", hint="Try another seed or prompt.")
    return list(pixels)
