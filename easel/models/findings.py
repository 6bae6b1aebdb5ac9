"""What a source contains, by its settings and the headers of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easel.console.errors import ENVIRONMENT, FAILED, CommandError
from easel.models.control_folder import control_file
from easel.models.extra_kind import check_not_extra
from easel.models.given_file import GivenFile, is_single, open_given
from easel.models.given_source import Fields, refused
from stacks.config.catalogue import ExtraObject, FolderSource, Model

if TYPE_CHECKING:
    from model_importer.model_folder import CheckedModel, Files
    from model_importer.sources import Connect

_BYTES = 2
"""Of one weight on a GPU: float16 and bfloat16."""
_EMBEDDED_GUIDANCE = {"FluxPipeline": False, "Flux2Pipeline": True}
"""Pipelines whose transformer alone may have guidance, to the default of its setting `guidance_embeds`."""


@dataclass(frozen=True)
class Findings:
    """A model: its source, pinned; its class; and what the source says about it. Empty: it does not say it."""

    source: Fields
    pipeline: str
    name: str
    weights_gib: float
    """GiB of all weights on a GPU."""
    kind: str = "a diffusers pipeline"
    scheduler: str = ""
    """Class in the scheduler's settings."""
    side: int = 0
    """Pixels that the model is trained for; 0: it is not known from the files."""
    prediction: str | None = None
    needs_prediction: bool = False
    licence: str = ""
    page: str = ""
    """Link to a page about the model."""
    gated: bool = False
    safety_checker: bool = False
    learned_guidance: bool = False
    fixed_guidance: bool = False


@contextmanager
def model_errors(where: str) -> Iterator[None]:
    """Raise errors of the importer, of the rule of model folders and, for `s3://`, of AWS as CommandError."""
    from easel.cloud.account import aws_errors
    from model_importer.errors import ModelImportError
    from model_importer.model_folder import ModelFolderError

    try:
        if where.startswith("s3://"):
            _check_boto3()
            with aws_errors():
                yield
        else:
            yield
    except ModelFolderError as error:
        raise CommandError(
            "The model is refused", where=where, why=error.message, fix=error.hint, code=FAILED
        ) from None
    except ModelImportError as error:
        raise CommandError("The model cannot be read", where=where, why=str(error), fix="", code=ENVIRONMENT) from None


def origin_of(model: Model) -> str:
    """Return where a model comes from, for `model_errors`: an address of S3 if any of its files is there."""
    source = model.source
    stored = [getattr(source, "uri", ""), *(extra.uri for extra in model.extra_sources(ExtraObject))]
    if isinstance(source, FolderSource):
        stored.append(str(source.checkpoint or source.path))
    return next(filter(None, stored), "") or str(getattr(source, "url", "") or getattr(source, "repository", ""))


def _check_boto3() -> None:
    if find_spec("boto3") is None:
        raise CommandError(
            "S3 needs boto3",
            where="easel models",
            why="a laptop installation does not include it",
            fix=".venv/bin/pip install -r requirements.txt, or make synth",
            code=ENVIRONMENT,
        )


def find(fields: Fields, text: str, connect: Connect) -> Findings:
    """Return what the source contains. `text` is the source as it was given. Raises CommandError."""
    with model_errors(text):
        fields = control_file(fields, text, connect)
        if is_single(fields):
            return _single_file(open_given(fields, text, connect), text)
        if fields["kind"] == "hub":
            return _repository(fields, connect)
        if fields["kind"] == "s3":
            return _prefix(fields, connect)
        return _folder(fields)


def _single_file(given: GivenFile, text: str) -> Findings:
    from model_importer.checkpoint import identify

    header = given.single.header()
    check_not_extra(header, text, local="checkpoint" in given.fields)
    layout = identify(header)
    count = sum(math.prod(tensor.shape) for tensor in header.tensors.values())
    return Findings(
        given.fields,
        layout.base.pipeline,
        header.metadata.get("modelspec.title") or given.name,
        count * _BYTES / 2**30,
        kind=f"a single-file checkpoint of {layout.base.name}" + (" for inpainting" if layout.inpaints else ""),
        side=0 if layout.prediction is None else layout.base.side,
        prediction=layout.prediction,
        needs_prediction=layout.prediction is None,
        licence=header.metadata.get("modelspec.license") or given.licence,
        page=given.page,
    )


def _repository(fields: Fields, connect: Connect) -> Findings:
    from model_importer.model_folder import INDEX_FILE
    from model_importer.sources import SourceFiles

    hub = connect.hub(fields["repository"])
    snapshot = hub.snapshot(fields["revision"])
    page = f"{hub.url}/{fields['repository']}"
    if INDEX_FILE not in snapshot.files:
        singles = sorted(name for name in snapshot.files if name.endswith(".safetensors") and "/" not in name)
        why = f"it has no {INDEX_FILE}" + (f", only {', '.join(singles)[:300]}" if singles else "")
        fix = f"Name the file: {page}/blob/main/{singles[0]}" if singles else "Use a repository in diffusers' layout."
        raise refused(page, why, fix)
    pinned = {**fields, "revision": snapshot.commit}
    known = "" if snapshot.licence == "unknown" else snapshot.licence
    name = fields["repository"].partition("/")[2]
    files = SourceFiles(snapshot.files, hub.fetch)
    return _checked(files, pinned, name, licence=known, page=page, gated=snapshot.gated)


def _prefix(fields: Fields, connect: Connect) -> Findings:
    from model_importer.progress import Progress
    from model_importer.sources import S3Source

    files = S3Source(fields, connect.s3(), Progress(lambda state: None)).files()
    return _checked(files, fields, fields["uri"].rstrip("/").rpartition("/")[2])


def _folder(fields: Fields) -> Findings:
    from model_importer.model_folder import select_local_files
    from model_importer.model_folder.local_files import LocalFiles

    folder = Path(fields["path"])
    select_local_files(folder)
    return _checked(LocalFiles(folder), fields, folder.name)


def _checked(files: Files, fields: Fields, name: str, **more: Any) -> Findings:
    from model_importer.model_folder import check_model
    from model_importer.model_folder.files import read_settings

    checked = check_model(files, {"": None})
    paths = [f"{part}/{name}" for part, weights in checked.weights.items() for name in weights.files]
    scheduler = read_settings(files, "scheduler/scheduler_config.json")
    variant = _variant(checked)
    if fields["kind"] == "hub" and variant:
        fields = {**fields, "variant": variant}
    gib = _weights(files, paths) * _BYTES / 2**30
    more |= {
        "safety_checker": any(part.name == "safety_checker" for part in checked.index.components),
        "learned_guidance": _part(files, "unet").get("time_cond_proj_dim") is not None,
        "fixed_guidance": _has_fixed_guidance(files, checked.index.pipeline),
    }
    return Findings(fields, checked.index.pipeline, name, gib, scheduler=str(scheduler.get("_class_name", "")), **more)


def _has_fixed_guidance(files: Files, pipeline: str) -> bool:
    from model_importer.model_folder import INDEX_FILE
    from model_importer.model_folder.files import read_settings

    if pipeline in _EMBEDDED_GUIDANCE:
        return not _part(files, "transformer").get("guidance_embeds", _EMBEDDED_GUIDANCE[pipeline])
    return read_settings(files, INDEX_FILE).get("is_distilled") is True


def _part(files: Files, name: str) -> dict[str, Any]:
    """Return the settings of a part, if there is one."""
    from model_importer.model_folder.files import read_settings

    path = f"{name}/config.json"
    return read_settings(files, path) if path in files.sizes else {}


def _weights(files: Files, paths: list[str]) -> int:
    """Return the number of weights."""
    from model_importer.model_folder import read_header

    with ThreadPoolExecutor(4) as pool:
        headers = pool.map(lambda path: read_header(files, path), paths)
        return sum(math.prod(tensor.shape) for header in headers for tensor in header.tensors.values())


def _variant(checked: CheckedModel) -> str:
    """Return the variant of the weights, or ""."""
    from model_importer.model_folder.weights import variant_of

    variants = {variant_of(name) for weights in checked.weights.values() for name in weights.files}
    return max(variants - {""}, default="")
