"""The MCP server: `generate_image`, `edit_image` and `list_models` as tools, over standard input and output."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Unpack

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field, ValidationError
from typing_extensions import TypedDict

from easel.client.async_client import AsyncEasel
from easel.client.command_errors import to_command_error
from easel.client.errors import EaselError
from easel.client.generate import write_image
from easel.client.requests import RequestFields
from easel.client.results import Generation, Progress
from easel.console.errors import CommandError
from easel.console.printable import printable
from easel.console.program_name import version
from easel.mcp.inline_images import MAX_BYTES, to_webp

INSTRUCTIONS = """\
Easel generates images with the user's own text-to-image service. Call list_models first for sizes and bounds, and for
the subjects of a small model, its LoRAs and features. Every image is written to a file; tell the user the path."""
TICK_SECONDS, HEARTBEAT_SECONDS = 0.5, 5.0
"""Time between two looks at the progress, and between notifications without news: clients end a silent call."""

Prompt = Annotated[str, Field(description="What the image shows.")]
Negative = Annotated[
    str | None,
    Field(description="What to avoid in the image. Not for a model whose `takes_negative_prompt` is false."),
]
Side = Annotated[int | None, Field(description="Pixels, a multiple of 8. Default: the model's.")]
Steps = Annotated[int | None, Field(description="Inference steps; more is slower. Default: the model's.")]
Guidance = Annotated[
    float | None,
    Field(
        description="Higher follows the prompt closer. Default: the model's. "
        "Not for a model whose `takes_guidance_scale` is false."
    ),
]
Seed = Annotated[int | None, Field(description="The same seed gives the same image. Default: random.")]
Number = Annotated[int | None, Field(description="Number of images, 1 to 8. Default: 1.")]
SourceFile = Annotated[str, Field(description="Path of a PNG, WebP or JPEG file on this machine.")]
MoreFiles = Annotated[
    list[str] | None,
    Field(description="Paths of further images that the prompt speaks of, for a model whose `edits` is above 1."),
]
MaskFile = Annotated[str | None, Field(description="Path of an image that is white where it changes. Default: all.")]
Strength = Annotated[
    float | None, Field(description="How much changes, 0.01 to 1. Default: 0.8. Not for a model with `edits`.")
]
ModelId = Annotated[str | None, Field(description="Id of a model, from list_models. Default: the first.")]
Syntax = Annotated[
    Literal["plain", "weighted"] | None,
    Field(description="weighted: (word:1.3) counts more, [word] less. Default: plain."),
]
ClipSkip = Annotated[int | None, Field(description="Layer of the text encoder from the end, such as 2.")]
Upscale = Annotated[float | None, Field(description="1.5 to 2: generate once more at so many times the size.")]


class LoraChoice(TypedDict):
    """A LoRA of the model."""

    id: Annotated[str, Field(description="From the model's loras in list_models.")]
    scale: NotRequired[Annotated[float, Field(description="Strength, -4 to 4. Default: the LoRA's.")]]


Loras = Annotated[list[LoraChoice] | None, Field(description="LoRAs to use, at most 4; add their words to the prompt.")]


class Margins(TypedDict, total=False):
    """Pixels at each side."""

    left: int
    right: int
    top: int
    bottom: int


Outpaint = Annotated[Margins | None, Field(description="Extend the image by so many pixels at its sides.")]


def make_server(easel: AsyncEasel, folder: Path) -> MCPServer:
    """Return the server. Images are written to `folder`."""
    server = Server("easel", title="Easel", version=version(), instructions=INSTRUCTIONS, log_level="WARNING")
    tools = Tools(easel, folder)
    makes = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    server.tool(title="Generate an image", annotations=makes, structured_output=False)(tools.generate_image)
    server.tool(title="Change an image", annotations=makes, structured_output=False)(tools.edit_image)
    server.tool(title="List the models", annotations=reads, structured_output=False)(tools.list_models)
    return server


class Server(MCPServer):
    """Refuses unknown arguments, which MCPServer drops, and explains wrong ones without pydantic's links and values."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None) -> Any:
        tools = {tool.name: tool.input_schema.get("properties", {}) for tool in await self.list_tools()}
        known = tools.get(name, arguments)  # the parent refuses an unknown tool
        if unknown := [key for key in arguments if key not in known]:
            allowed = f"It takes {', '.join(known)}." if known else "It takes none."
            raise ToolError(printable(f"{name} has no argument {unknown[0][:80]!r}. {allowed}"))
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(_explain(error.__cause__)) from None
            raise


def _explain(error: ValidationError) -> str:
    """Return what is wrong with each argument."""
    found = error.errors(include_url=False, include_input=False)
    return printable("; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in found))


class Tools:
    """The tools. Their docstrings are what an assistant reads."""

    def __init__(self, easel: AsyncEasel, folder: Path) -> None:
        self._easel, self._folder = easel, folder

    async def generate_image(
        self,
        context: Context[Any, Any],
        prompt: Prompt,
        negative_prompt: Negative = None,
        width: Side = None,
        height: Side = None,
        steps: Steps = None,
        guidance_scale: Guidance = None,
        seed: Seed = None,
        n: Number = None,
        model: ModelId = None,
        loras: Loras = None,
        prompt_syntax: Syntax = None,
        clip_skip: ClipSkip = None,
        hires_scale: Upscale = None,
    ) -> list[Any]:
        """Generate images from a text. Returns the images, and their seeds and files."""
        fields: dict[str, Any] = {"negative_prompt": negative_prompt, "num_inference_steps": steps, "seed": seed}
        fields |= {"width": width, "height": height, "guidance_scale": guidance_scale, "num_images_per_prompt": n}
        fields |= {"model": model, "loras": loras, "prompt_syntax": prompt_syntax, "clip_skip": clip_skip}
        fields["hires"] = None if hires_scale is None else {"scale": hires_scale}
        return await self._generate(context, prompt, **_given(fields))

    async def edit_image(
        self,
        context: Context[Any, Any],
        prompt: Prompt,
        image: SourceFile,
        more_images: MoreFiles = None,
        mask: MaskFile = None,
        strength: Strength = None,
        negative_prompt: Negative = None,
        width: Side = None,
        height: Side = None,
        steps: Steps = None,
        guidance_scale: Guidance = None,
        seed: Seed = None,
        model: ModelId = None,
        loras: Loras = None,
        outpaint: Outpaint = None,
    ) -> list[Any]:
        """Change an image of this machine as a text describes. Returns the new image, and its seed and file."""
        fields: dict[str, Any] = {"negative_prompt": negative_prompt, "num_inference_steps": steps, "seed": seed}
        fields |= {"width": width, "height": height, "guidance_scale": guidance_scale, "strength": strength}
        fields |= {"model": model, "loras": loras, "outpaint": outpaint}
        fields |= await self._sources([image, *(more_images or [])], mask, model, extends=bool(outpaint))
        return await self._generate(context, prompt, **_given(fields))

    async def _sources(
        self, images: list[str], mask: str | None, id: str | None = None, *, extends: bool = False
    ) -> dict[str, Any]:
        """Return the fields of the images: to look at, if the model does that, else one to start from."""
        with _tool_errors():
            models = await self._easel.models()
        model = next((model for model in models if id and model.id == id), models[0])
        files = [Path(image).expanduser() for image in images]
        if model.edits and mask is None and not extends:
            return {"images": files}
        if len(files) > 1:
            raise ToolError(
                f"{model.name} takes one image"
                + (" with a mask or margins." if mask or extends else ". Leave out more_images.")
            )
        return {"init_image": files[0], "mask_image": Path(mask).expanduser() if mask else None}

    async def list_models(self) -> str:
        """Return the models as JSON: sizes, defaults, bounds, schedulers, features, subjects of a small model."""
        with _tool_errors():
            models = await self._easel.models()
        return json.dumps([model.model_dump(exclude_defaults=True) for model in models], ensure_ascii=False)

    async def _generate(self, context: Context[Any, Any], prompt: str, **fields: Unpack[RequestFields]) -> list[Any]:
        progress = Notifications(context)
        with _tool_errors():
            async with progress:
                generation = await self._easel.generate(prompt, on_progress=progress.take, **fields)
            return await asyncio.to_thread(self._content, generation, (await self._easel.models())[0].id)

    def _content(self, generation: Generation, model: str) -> list[Any]:
        """Write the files, and return the images and a text."""
        model = str(generation.parameters.get("model") or model)
        limit = MAX_BYTES // len(generation.images)
        content: list[Any] = []
        lines = []
        for image in generation.images:
            path = write_image(image, self._folder).absolute()
            flag = ", flagged by the safety checker" if image.flagged else ""
            lines.append(f"seed {image.seed}, {image.width}×{image.height}, model {model}{flag}: {path}")
            if inline := to_webp(image, limit):
                content.append(Image(data=inline, format="webp"))
        lines += [f"Note: {warning}" for warning in generation.warnings]
        return [*content, "\n".join(map(printable, lines))]


class Notifications:
    """Reports the progress of a call to the client, until the block ends."""

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context = context
        self._event: Progress | None = None
        self._value = 0.0

    def take(self, event: Progress) -> None:
        """Take the newest progress, to report it soon."""
        self._event = event

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._report())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _report(self) -> None:
        reported, waited = None, 0.0
        while True:
            event = self._event
            if event and (event != reported or waited >= HEARTBEAT_SECONDS):
                reported, waited = event, 0.0
                self._value = max(event.step or 0, self._value + 0.001)  # the protocol wants it to grow
                await self._context.report_progress(self._value, event.steps, printable(event.message))
            await asyncio.sleep(TICK_SECONDS)
            waited += TICK_SECONDS


@contextmanager
def _tool_errors() -> Iterator[None]:
    """Raise an error of the client, or of a file, as one that the assistant can read."""
    try:
        yield
    except EaselError as error:
        raise ToolError("\n".join(to_command_error(error).lines())) from None
    except CommandError as error:
        raise ToolError("\n".join(error.lines())) from None


def _given(fields: dict[str, Any]) -> Any:
    return {name: value for name, value in fields.items() if value is not None}
