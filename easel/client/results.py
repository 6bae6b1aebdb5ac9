"""What the client returns: images, and the state and progress of a job."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easel.client.errors import UsageError
from easel.client.responses import SUFFIXES, JobState

if TYPE_CHECKING:
    import PIL.Image

    from easel.client.responses import ImageLink


@dataclass(frozen=True)
class Image:
    """One image. `data` is the whole file, as the service wrote it; `media_type` such as `image/png`."""

    data: bytes = field(repr=False)
    seed: int
    width: int
    height: int
    media_type: str
    prompt: str
    flagged: bool = False
    """The model's safety checker flagged it: only with `content="flag"`."""
    flagged_reason: str | None = None
    """What flagged it; None: nothing did."""

    @classmethod
    def of(cls, state: JobState, index: int, link: ImageLink, data: bytes) -> Image:
        flag = (link.flagged, link.flagged_reason)
        return cls(data, link.seed, link.width, link.height, link.media_type, state.prompt_of(index), *flag)

    @property
    def suffix(self) -> str:
        """The suffix of its file: `.png`, `.webp` or `.jpg`."""
        return SUFFIXES[self.media_type]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file and return its path. A file that is there is replaced; missing folders are created.

        Nothing is converted: a suffix of another format is a UsageError.
        """
        target = Path(path)
        allowed = (".jpg", ".jpeg") if self.suffix == ".jpg" else (self.suffix,)
        if target.suffix.lower() not in allowed:
            hint = f"Use {self.suffix}, generate with another output_format, or convert it: pil().save(…)."
            raise UsageError(f"The image is {self.media_type}", detail=f"{target.name!r} has another suffix", hint=hint)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.data)
        return target

    def pil(self) -> PIL.Image.Image:
        """Return the image for Pillow. Raises UsageError where Pillow is not installed."""
        try:
            import PIL.Image
        except ImportError:
            hint = "pip install pillow, or use data or save()."
            raise UsageError("Pillow is not installed", where="pil()", hint=hint) from None
        return PIL.Image.open(io.BytesIO(self.data))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, bytes]:
        """Show the image in a notebook."""
        return {self.media_type: self.data}


@dataclass(frozen=True)
class Generation:
    """The images of a job, ordered prompt by prompt, and what they were generated from.

    parameters: the request with every default filled in. timings: seconds by name. warnings: sentences for people.
    """

    job_id: str
    images: tuple[Image, ...]
    parameters: Mapping[str, Any]
    timings: Mapping[str, float]
    warnings: tuple[str, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each image: the same request with this seed gives the same image."""
        return tuple(image.seed for image in self.images)


@dataclass(frozen=True)
class Progress:
    """The state of a job that has not ended. `step` and `steps` are None until it runs, or where nothing reports them.

    preview: a small JPEG of the image so far, where the service has previews.
    """

    status: str
    message: str
    step: int | None
    steps: int | None
    preview: bytes | None = field(repr=False)

    @classmethod
    def of(cls, state: JobState) -> Progress:
        found = state.progress
        if found is None:
            return cls(state.status, state.message, None, None, None)
        return cls(state.status, state.message, found.step, found.steps, _jpeg(found.preview))


class JobView:
    """What a job knows about itself, as of the last response."""

    def __init__(self, state: JobState) -> None:
        self._state = state

    @property
    def id(self) -> str:
        """44 hexadecimal digits: `jobs.get(id)` finds the job from anywhere."""
        return self._state.id

    @property
    def status(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`."""
        return self._state.status

    @property
    def ended(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self._state.ended

    @property
    def message(self) -> str:
        """The state in a sentence."""
        return self._state.message

    @property
    def created_at(self) -> str:
        """When it was created: ISO 8601, UTC."""
        return self._state.created_at

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The request with every default filled in."""
        return self._state.parameters.model_dump()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the images differ in from the request, in sentences."""
        return tuple(self._state.warnings)

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds by name."""
        return dict(self._state.timings)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"


def _jpeg(text: str | None) -> bytes | None:
    """Return the file, or None if it is missing or no JPEG."""
    try:
        data = base64.b64decode(text or "", validate=True)
    except ValueError:
        return None
    return data if data.startswith(b"\xff\xd8\xff") else None
