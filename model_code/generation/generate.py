"""Generation of the images of one request.

A request leaves the loaded pipeline as it found it. It runs a pipeline of its own with the same components, its own
scheduler and, with an init_image, the class for image to image; LoRAs are applied while it runs. The noise of image i
comes from a CPU generator with `seeds()[i]`, so that a laptop and a GPU start from the same noise.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import takewhile
from typing import Any

import torch

from contract import EaselError, GenerationRequest, Hires, ModelProfile, prompt_texts, refuse
from generation.extras.control import ControlInput, Controls, read_control
from generation.extras.embeddings import NO_EMBEDDINGS, Embeddings
from generation.extras.lora import Loras
from generation.gpu_memory import GpuMemory, is_out_of_memory
from generation.hires import TILED, ScaledImages, Tiling, scale_up, second_request, tiling
from generation.img2img import InitImage, Kind, pipeline_class, pipeline_strength, read_init_image
from generation.inpaint import InpaintInput, is_for_inpainting, read_inpaint_input, whole_image
from generation.pipeline_arguments import PipelineArguments, guidance_warnings, prepare_arguments
from generation.previews import Projection, encode_preview, track_finished_latents
from generation.schedulers import check_steps, create_scheduler
from generation.vocabulary import Vocabulary
from images.edit_images import EditInput, read_edit_images
from images.files import Pixels, crop_center, upscale
from model_folder import EDITORS, WITHOUT_IMAGES


@dataclass
class Model:
    """A loaded pipeline and its properties."""

    pipeline: Any
    profile: ModelProfile
    grid: int
    """Pixels. Width and height of a generated image are multiples of it."""
    batch_size: int
    """The most images of one batch."""
    memory: GpuMemory
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    loras: Loras | None = None
    """The LoRAs of the profile; None: it has none."""
    revision: str = ""
    """Commit or hash of the files; empty: it is not known."""
    controls: Controls | None = None
    """The ControlNets of the profile; None: it has none."""
    embeddings: Embeddings = NO_EMBEDDINGS
    one_thread: bool = False
    """Whether this process leaves all cores but one to others."""
    is_cancelled: Callable[[], bool] | None = None
    """Whether the running request was cancelled. Asked before each batch and after each step."""
    on_step: Callable[[int, int], None] | None = None
    """Called with (steps done, steps in total) of the running request, counted over all of its images."""
    on_preview: Callable[[str], None] | None = None
    """Called after each step with a preview (base64 of a small JPEG), if the layout of the latents is known."""
    projection: Projection = field(default_factory=Projection)

    @property
    def healthy(self) -> bool:
        """False: this process cannot generate any more."""
        return self.memory.healthy


@dataclass(frozen=True)
class Generation:
    """One image per seed, each of the requested size, and warnings for the caller."""

    images: tuple[Pixels, ...]
    warnings: tuple[str, ...]
    flagged: tuple[bool, ...] = ()
    """Whether the safety checker flagged each image; empty: none."""


def generate(model: Model, request: GenerationRequest, expires_at: float | None) -> Generation:
    """Generate all images. `expires_at` is a time of time.monotonic().

    Raises EaselError: out_of_range, bad_image, not_supported, cancelled, deadline_exceeded, nan_output, blank_output,
    content_filtered, gpu_out_of_memory, container_died (the GPU context is lost), config_error. Other exceptions of the
    pipeline pass through.
    """
    size = generation_size(model, request)
    start = _read_start(model, request, *size)
    with _extras(model, request) as control:
        first = _create_run(model, request, size, start, control, expires_at)
        last, images, warnings = first, first.generate_all(), list(first.arguments.warnings)
        if request.hires is not None:
            last = _create_second_run(first, request.hires, images)
            size = last.size
            with tiling(model.pipeline) as last.tiles:
                images = last.generate_all()
                warnings += [TILED] if last.tiles.begun else []
    resized = tuple(_resize(image, *request.result_size, model.profile) for image in images)
    if isinstance(start, InpaintInput) and start.canvas:
        resized = tuple(start.canvas.merge(image) for image in resized)
    warnings = [
        *(start.warnings if start else ()),
        *scaling_warnings(request.result_size, size, model.profile),
        *guidance_warnings(model.pipeline, request, model.profile),
        *warnings,
        *model.vocabulary.advice(prompt_texts(request)),
        *(f"the model's safety checker flagged image {i + 1}" for i, flag in enumerate(last.flagged) if flag),
    ]
    return Generation(resized, tuple(warnings), tuple(last.flagged) if any(last.flagged) else ())


def _read_start(
    model: Model, request: GenerationRequest, width: int, height: int
) -> InitImage | InpaintInput | EditInput | None:
    """Return the images that the pipeline gets, if any."""
    if request.images is not None:
        return read_edit_images(request.images)
    if request.has_mask:
        return read_inpaint_input(request, width, height, upscales=model.profile.upscales)
    start = read_init_image(request.init_image, width, height) if request.init_image is not None else None
    return whole_image(start, width, height) if is_for_inpainting(model.pipeline) else start


@contextmanager
def _extras(model: Model, request: GenerationRequest) -> Iterator[ControlInput | None]:
    """Apply LoRAs, and provide ControlNets with their images, until the end of the block."""
    passes = (request, *([second_request(request, request.hires)] if request.hires else ()))
    control = read_control(request.control, [generation_size(model, each) for each in passes], model.profile)
    with ExitStack() as until_the_end:
        if control and model.controls:
            nets = until_the_end.enter_context(model.controls.loaded(control))
            control = replace(control, nets=nets)
        if model.loras:
            until_the_end.enter_context(model.loras.applied(request.loras))
        yield control


def _resize(pixels: Pixels, width: int, height: int, profile: ModelProfile) -> Pixels:
    return (upscale if profile.upscales else crop_center)(pixels, width, height)


def generation_size(model: Model, request: GenerationRequest) -> tuple[int, int]:
    """Return (width, height) to generate at: the requested size rounded up to the grid, or the model's only size."""
    if model.profile.upscales:
        return model.profile.sizes[0]
    return -(-request.width // model.grid) * model.grid, -(-request.height // model.grid) * model.grid


def scaling_warnings(requested: tuple[int, int], size: tuple[int, int], profile: ModelProfile) -> list[str]:
    """Return a warning if an image of `size`, (width, height), is scaled to the requested size."""
    if not profile.upscales or requested == size:
        return []
    (width, height), (requested_width, requested_height) = size, requested
    scaled = f"the image was scaled to {requested_width}x{requested_height}"
    if requested_width * height != requested_height * width:
        scaled += ", and its edges were extended to fill it"
    return [f"{profile.name} generates {width}x{height}; {scaled}."]


def request_pipeline(pipeline: Any, scheduler: str, class_: Any, **own: Any) -> Any:
    """Return a `class_` with a scheduler and components of its `own`, and all others of `pipeline`."""
    parameters = inspect.signature(class_.__init__).parameters
    own_scheduler = create_scheduler(scheduler, pipeline.scheduler)
    components = {**pipeline.config, **pipeline.components, "scheduler": own_scheduler, **own}
    created = class_(**{name: components[name] for name in parameters if name in components})
    created.set_progress_bar_config(disable=True)
    return created


class FlaggingChecker:
    """Stands in for the safety checker of a pipeline, which would make images black. Has the flags of the last call."""

    def __init__(self, checker: Any) -> None:
        self._checker = checker
        self.flags: list[bool] = []

    def __call__(self, *, images: Any, clip_input: Any) -> tuple[Any, list[bool]]:
        """Return the images as they are, none of them flagged: a pipeline would not scale the values of others."""
        self.flags = [bool(flag) for flag in self._checker(images=deepcopy(images), clip_input=clip_input)[1]]
        return images, [False] * len(self.flags)


def create_checker(pipeline: Any, request: GenerationRequest) -> FlaggingChecker | None:
    """Return what flags the images of the request; None: the pipeline's own checker, if any, blocks them."""
    if request.content != "flag":
        return None
    checker = getattr(pipeline, "safety_checker", None)
    if checker is None:
        message = "the model's folder has no safety checker"
        refuse("not_supported", "content", message, "Leave out content, and safety_checker in the model's entry.")
    return FlaggingChecker(checker)


@dataclass
class _Run:
    """The generation of one request, or of one of its passes."""

    model: Model
    request: GenerationRequest
    size: tuple[int, int]
    """(width, height) to generate at."""
    pipeline: Any
    arguments: PipelineArguments
    start: InitImage | InpaintInput | EditInput | ScaledImages | None
    control: ControlInput | None
    expires_at: float | None
    tiles: Tiling = field(default_factory=Tiling)
    steps_before: int = 0
    """Steps of the pass before, of all images."""
    images_done: int = 0
    steps: int = 0
    """Steps of each image, once one has ended."""
    latents: torch.Tensor | None = None
    """The latents after the last step."""
    checker: FlaggingChecker | None = None
    """The pipeline's safety checker, if it flags images in place of blocking them."""
    flagged: list[bool] = field(default_factory=list)
    """What the checker says of each image that is done."""

    def __post_init__(self) -> None:
        tracked = self.model.on_preview is not None
        self.finished_latents = track_finished_latents(self.pipeline.scheduler) if tracked else lambda: None

    def generate_all(self) -> list[Pixels]:
        """Generate batch by batch; halve the batches if the GPU runs out of memory."""
        prompts = [prompt for prompt in self.request.prompt for _ in range(self.request.num_images_per_prompt)]
        inputs = list(zip(prompts, self.request.seeds(), strict=True))
        size = 1 if isinstance(self.start, EditInput) else min(len(inputs), self.model.batch_size)
        images: list[Pixels] = []
        while len(images) < len(inputs):
            self.images_done = len(images)
            batch = self._try_batch(inputs[len(images) : len(images) + size])
            images += batch or []
            size = size if batch else self._half(size)
        return images

    def _of_one_length(self, batch: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
        """Return the first items of the batch, whose embeddings have one length: no image depends on the others."""
        encoder = self.arguments.encoder
        if encoder is None:
            return batch
        lengths = [encoder.length(prompt) for prompt, _ in batch]
        return [item for item, _ in takewhile(lambda pair: pair[1] == lengths[0], zip(batch, lengths, strict=True))]

    def _half(self, size: int) -> int:
        if size == 1:
            if self.tiles.begin():
                return size
            message = f"one image of {self.request.width}x{self.request.height} does not fit into the GPU's memory"
            hint = "Request a smaller size" + (", or send fewer images." if self.request.images else ".")
            refuse("gpu_out_of_memory", None, message, hint)
        return size // 2

    def _try_batch(self, batch: Sequence[tuple[str, int]]) -> list[Pixels] | None:
        """Return the images of the first items, or None if the GPU ran out of memory; it is free again then."""
        try:
            return self._generate_batch(self._of_one_length(batch))
        except RuntimeError as error:
            self.model.memory.check_context(error)
            if not is_out_of_memory(error):
                raise
        # The frames of the failed call and their tensors are gone only here, outside of the except block.
        self.model.memory.recover()
        return None

    def _generate_batch(self, batch: Sequence[tuple[str, int]]) -> list[Pixels]:
        self._check_end()
        self.latents = None
        output = self.pipeline(
            **self._prompts([prompt for prompt, _ in batch]),
            generator=[torch.Generator("cpu").manual_seed(seed) for _, seed in batch],
            output_type="pt",
            callback_on_step_end=lambda pipeline, index, _, tensors: self._on_step_end(
                pipeline, index, len(batch), tensors
            ),
            **self._start_arguments(len(batch)),
            **self.arguments.shared,
        )
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            message = "the model's safety checker blocked an image"
            refuse("content_filtered", "prompt", message, "Try another prompt or seed.")
        tensor = _to_tensor(output.images)
        images = _to_pixels(tensor)
        self._fit_projection(tensor)
        self.flagged += self.checker.flags if self.checker else []
        return images

    def _prompts(self, prompts: list[str]) -> dict[str, Any]:
        """Return the arguments about prompts: texts or embeddings."""
        if self.arguments.encoder is not None:
            return self.arguments.encoder.arguments(prompts)
        negative = self.arguments.negative_prompt
        return {"prompt": prompts} | ({} if negative is None else {"negative_prompt": [negative] * len(prompts)})

    def _start_arguments(self, size: int) -> dict[str, Any]:
        if self.start is None:
            return {}
        arguments = self.start.arguments(range(self.images_done, self.images_done + size))
        if isinstance(self.start, EditInput):
            return arguments
        if "strength" not in inspect.signature(self.pipeline.__call__).parameters:
            return arguments
        return {**arguments, "strength": pipeline_strength(self.model.pipeline, self.request)}

    def _on_step_end(self, pipeline: Any, index: int, size: int, tensors: Mapping[str, Any]) -> dict[str, Any]:
        self._check_end()
        self.latents = tensors.get("latents")
        if self.model.on_preview is not None and self.latents is not None:
            self._send_preview(self.model.on_preview, self.latents)
        if self.model.on_step is not None:
            self.steps = getattr(pipeline, "num_timesteps", self.request.steps)
            done = self.steps_before + self.images_done * self.steps + size * (index + 1)
            self.model.on_step(done, self.steps_before + self.request.image_count * (self.steps + self._steps_after()))
        return {}

    def _steps_after(self) -> int:
        return self.request.hires.steps_that_run if self.request.hires else 0

    def _fit_projection(self, images: torch.Tensor) -> None:
        """Fit at the warm-up; later only if previews are used."""
        if self.latents is not None and (self.model.on_preview or not self.model.projection.ready):
            self.model.projection.fit(self.latents, images)

    def _send_preview(self, on_preview: Callable[[str], None], latents: torch.Tensor) -> None:
        width, height = self.size
        finished = self.finished_latents()
        preview = self.model.projection.render(latents if finished is None else finished, width, height)
        if preview is not None:
            cell = max(1, width // preview.shape[1])
            size = max(1, self.request.width // cell), max(1, self.request.height // cell)
            on_preview(encode_preview(_resize(preview, *size, self.model.profile)))

    def _check_end(self) -> None:
        """Raise `cancelled` or `deadline_exceeded` if the request must not go on."""
        if self.model.is_cancelled is not None and self.model.is_cancelled():
            raise EaselError("cancelled", "the job was cancelled")
        if self.expires_at is not None and time.monotonic() > self.expires_at:
            message = f"the images were not generated within {self.request.deadline_ms} ms"
            refuse("deadline_exceeded", "deadline_ms", message, "Request fewer steps or images, or allow more time.")


def _create_run(
    model: Model,
    request: GenerationRequest,
    size: tuple[int, int],
    start: InitImage | InpaintInput | EditInput | ScaledImages | None,
    control: ControlInput | None,
    expires_at: float | None,
) -> _Run:
    """Return the run of a request, or of one of its passes, at `size`."""
    class_ = _pipeline_class(model, start, control=control is not None)
    if control is not None and isinstance(start, InpaintInput):
        control.check_mask(model.pipeline)
    checker = create_checker(model.pipeline, request)
    own = ({"safety_checker": checker} if checker else {}) | (control.components(model.pipeline) if control else {})
    pipeline = request_pipeline(model.pipeline, request.scheduler, class_, **own)
    check_steps(pipeline.scheduler, request.num_inference_steps)
    if request.hires is not None:
        check_steps(pipeline.scheduler, request.hires.steps, "hires.steps")
        pipeline_class(model.pipeline, "Img2Img", control=control is not None)
    arguments = prepare_arguments(pipeline, request, *size, model.embeddings)
    if control is not None:
        control.shift_noise(pipeline, size)
        more, warnings = control.arguments(size, inspect.signature(pipeline.__call__).parameters)
        arguments = replace(arguments, shared=arguments.shared | more, warnings=(*warnings, *arguments.warnings))
    return _Run(model, request, size, pipeline, arguments, start, control, expires_at, checker=checker)


def _pipeline_class(
    model: Model, start: InitImage | InpaintInput | EditInput | ScaledImages | None, *, control: bool
) -> Any:
    """Return the class that generates from noise and `start`. Raises EaselError `not_supported`."""
    if isinstance(start, InitImage | InpaintInput | ScaledImages):
        inpaint = isinstance(start, InpaintInput) or is_for_inpainting(model.pipeline)
        kind: Kind = "Inpaint" if inpaint else "Img2Img"
        return pipeline_class(model.pipeline, kind, control=control)
    name = type(model.pipeline).__name__
    if start is None and name in WITHOUT_IMAGES:
        return getattr(import_module("diffusers"), WITHOUT_IMAGES[name])
    if start is not None and name not in EDITORS:
        refuse("not_supported", "images", f"{name} looks at no images", "Leave out images.")
    return pipeline_class(model.pipeline, "", control=control)


def _create_second_run(first: _Run, hires: Hires, images: Sequence[Pixels]) -> _Run:
    """Return the second pass, which starts from the images of the first."""
    model, request = first.model, first.request
    second = second_request(request, hires)
    size = generation_size(model, second)
    if not model.profile.upscales:
        images = [crop_center(image, request.width, request.height) for image in images]
    start = scale_up(images, *size, inpaint=is_for_inpainting(model.pipeline))
    run = _create_run(model, second, size, start, first.control, first.expires_at)
    run.arguments = replace(run.arguments, encoder=first.arguments.encoder)
    run.steps_before = first.steps * request.image_count
    return run


def _to_tensor(images: torch.Tensor | Pixels) -> torch.Tensor:
    """Return (n, 3, height, width). ErnieImagePipeline of diffusers 0.38 returns (n, height, width, 3) of numpy."""
    return images if isinstance(images, torch.Tensor) else torch.from_numpy(images).permute(0, 3, 1, 2)


def _to_pixels(images: torch.Tensor) -> list[Pixels]:
    """Convert (n, 3, height, width) in 0..1 to n images. Checks for NaN first: as uint8 it would be black."""
    images = images.float()
    if not torch.isfinite(images).all():
        raise EaselError("nan_output", "the model computed NaN", hint="Try another size, scheduler or guidance_scale.")
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    if not all(image.any() for image in pixels):
        raise EaselError("blank_output", "an image is entirely black", hint="Try another seed or prompt.")
    return list(pixels)
