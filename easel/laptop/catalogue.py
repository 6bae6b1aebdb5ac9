"""The models that can run: the entries of `models/*.json`, and entries elsewhere by their path."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote

from contract import ModelProfile, parse_profile
from easel import ROOT
from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from model_folder import (
    CheckedModel,
    LocalFiles,
    ModelFolderError,
    check_digests,
    check_folder,
    read_header,
)
from stacks.config.catalogue import CatalogueError, FolderSource, Model, entry_path, model_ids, read_model

SMALL_MODEL_BYTES = 256 * 2**20
"""As in `model_code/loading/hardware.py`, which imports torch: smaller models are loaded in float32."""


@dataclass(frozen=True)
class Entry:
    """A model's profile and its files on this machine."""

    model: Model
    file: Path
    """The entry itself."""

    @property
    def argument(self) -> str:
        """What names the entry in a command, quoted for a shell: its id, or the path of an entry elsewhere."""
        is_inside = self.file.absolute().parent == ROOT / "models"
        return self.model.id if is_inside else quote(str(self.file.with_suffix("")))

    @property
    def profile(self) -> ModelProfile:
        return parse_profile(self.model.profile)

    @property
    def folder(self) -> Path:
        """The model folder. Raises CommandError if it is not on this machine, or would not load."""
        if not self.on_this_machine:
            raise CommandError(
                f"The files of {self.model.id!r} are not on this machine",
                where=str(self.path),
                why="model_index.json is missing",
                fix=f"easel models pull {self.argument}, or choose a model that easel models shows as here",
                code=ENVIRONMENT,
            )
        if missing := self.missing_extras:
            raise CommandError(
                f"The files of {self.model.id!r} are not all on this machine",
                where=str(self.path),
                why=f"{missing[0]} is missing",
                fix=f"easel models pull {self.argument}",
                code=ENVIRONMENT,
            )
        if error := self._refusal:
            raise CommandError(
                f"The files of {self.model.id!r} would not load",
                where=str(self.path),
                why=error.message,
                fix=error.hint,
                code=ENVIRONMENT,
            )
        return self.path

    @property
    def state(self) -> str:
        """Whether `easel up` can run the model, in words."""
        if not self.on_this_machine:
            return "not on this machine"
        if missing := self.missing_extras:
            return f"{missing[0]} not on this machine"
        return f"would not load: {self._refusal.message}" if self._refusal else "here"

    @property
    def on_this_machine(self) -> bool:
        try:
            return (self.path / "model_index.json").is_file()
        except OSError:  # a path that is too long, or a folder of another user
            return False

    @property
    def missing_extras(self) -> list[str]:
        """Paths of the extras that `easel models pull` has to bring."""
        return [path for path in self.model.brought_extras if not (self.path / path).is_file()]

    @cached_property
    def weights_bytes(self) -> int:
        """Least bytes of the weights when they are loaded: by their headers, and the smallest dtype that is used."""
        files = LocalFiles(self.folder, links=True)
        paths = [f"{part}/{name}" for part, found in self._check().weights.items() for name in found.files]
        small = self.model.dtype == "float32" or sum(files.sizes[path] for path in paths) < SMALL_MODEL_BYTES
        headers = (read_header(files, path) for path in paths)
        count = sum(math.prod(tensor.shape) for header in headers for tensor in header.tensors.values())
        return count * (4 if small else 2)

    def _check(self) -> CheckedModel:
        digests, variant = self.model.extra_digests, self.model.source.variant
        return check_folder(self.path, variant=variant, pipeline=self.model.pipeline, extras=digests)

    @cached_property
    def _refusal(self) -> ModelFolderError | None:
        """Why the container would not load the files, by the same rule."""
        try:
            self._check()
            check_digests(self.path, self.model.extra_digests)
        except ModelFolderError as error:
            return error
        return self._lacks_scipy()

    def _lacks_scipy(self) -> ModelFolderError | None:
        """Return an error for a scheduler that needs scipy, which the serving image has and a laptop may lack."""
        if importlib.util.find_spec("scipy") is not None:
            return None
        settings = json.loads((self.path / "scheduler" / "scheduler_config.json").read_bytes())
        if self.model.scheduler != "lms" and not settings.get("use_beta_sigmas"):
            return None
        needs = "use_beta_sigmas of scheduler/scheduler_config.json" if settings.get("use_beta_sigmas") else "lms"
        hint = "Install it (pip install scipy), or choose another scheduler in the entry and in the folder."
        return ModelFolderError(f"{needs} needs scipy, which is not installed", hint)

    @property
    def path(self) -> Path:
        """Where the files are, or would be: beside the entry, unless it names a folder."""
        source = self.model.source
        return source.path if isinstance(source, FolderSource) else self.file.parent / self.model.id


def entries() -> Iterator[Entry]:
    """Yield every entry of the catalogue, by id. Raises CommandError after the last if an entry cannot be read."""
    errors: list[CommandError] = []
    for name in model_ids(ROOT):
        try:
            entry = find(name)
        except CommandError as error:
            error.fix = "Correct the entry, or remove it from models/"
            errors.append(error)
        else:
            yield entry
    if errors:
        raise errors[0]


def find(model: str) -> Entry:
    """Return the entry of a model id or a path. Raises CommandError that lists the catalogue."""
    try:
        return Entry(read_model(model, ROOT), entry_path(model, ROOT))
    except CatalogueError as error:
        raise CommandError(
            f"The model {model!r} cannot be read",
            where="models/",
            why=str(error),
            fix=_fix_of_name(model),
            code=USAGE,
        ) from None


def _fix_of_name(model: str) -> str:
    if "," in model:
        return "Name one model at a time. easel up takes --model several times."
    return f"Add it first: easel models add {quote(model)}" if _is_source(model) else "easel models"


def _is_source(text: str) -> bool:
    """Return whether a text names a model folder or a checkpoint, not an entry."""
    try:
        return (Path(text) / "model_index.json").is_file() or (text.endswith(".safetensors") and Path(text).is_file())
    except (OSError, ValueError):
        return False
