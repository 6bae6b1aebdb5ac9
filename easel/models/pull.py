"""`easel models pull`: the files of a model onto this machine, only those that are loaded, checked and resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easel.console.errors import ENVIRONMENT, CommandError
from easel.console.terminal import Terminal
from easel.laptop.catalogue import Entry
from easel.models.findings import model_errors, origin_of
from easel.models.pulled import add_files, close_work, is_pulled, lock_work, open_work, plan_of, work_folder
from stacks.config.catalogue import FolderSource, Model, UrlSource

if TYPE_CHECKING:
    from model_importer.files import File
    from model_importer.progress import Progress
    from model_importer.sources import Connect, HubSource, S3Source

GB = 10**9
_TICK_SECONDS = 0.5


def pull(entry: Entry, connect: Connect, terminal: Terminal) -> Path:
    """Bring the files of the model to its folder, and return the folder. Raises CommandError."""
    source, target = entry.model.source, entry.path
    if entry.on_this_machine:
        with model_errors(origin_of(entry.model)):
            _delete_outdated(entry)
            fetched = _fetch_extras(entry, target, connect, terminal)
        more = f", now with {', '.join(fetched)}" if fetched else ""
        terminal.print(f"{entry.model.id} is here already: {target}{more}")
        return entry.folder
    if isinstance(source, FolderSource) and source.checkpoint is None:
        return entry.folder  # raises
    _check_free(target)
    work = work_folder(target)
    with lock_work(work), model_errors(origin_of(entry.model)):
        if isinstance(source, FolderSource) and source.checkpoint:
            _convert(source.checkpoint, source.prediction, entry.model.extra_digests, work, terminal)
            _fetch_extras(entry, work, connect, terminal)
        else:
            _download(entry, connect, work, terminal)
        _finish(entry.model, work, target)
    return target


def _delete_outdated(entry: Entry) -> None:
    """Delete extras that `pull` wrote and whose entry now has another sha256.

    Raises ModelFolderError if such a file is not from `pull`.
    """
    from model_importer.model_folder import ModelFolderError, check_digests

    for path in entry.model.brought_extras:
        if (entry.path / path).is_file():
            try:
                check_digests(entry.path, {path: entry.model.extra_digests[path]})
            except ModelFolderError:
                if not is_pulled(entry.path, path):
                    raise
                (entry.path / path).unlink()


def _fetch_extras(entry: Entry, folder: Path, connect: Connect, terminal: Terminal) -> list[str]:
    """Download extras that the folder of the model lacks, if they fit it. Return their paths."""
    from model_importer.checkpoint.source import FilesWithExtras
    from model_importer.model_folder import LocalFiles, check_model, extra_path
    from model_importer.sources import ExtrasElsewhere
    from model_importer.stream import RANGES_AHEAD

    fields: dict[str, Any] = {"kind": "folder"}
    for key, found in entry.model.extras.items():
        missing = [extra for extra in found if extra.source and not (folder / extra_path(key, extra.id)).is_file()]
        fields[key] = [extra.model_dump(include={"id", "sha256", "source"}) for extra in missing]
    if not any(fields[key] for key in entry.model.extras):
        return []
    with ThreadPoolExecutor(RANGES_AHEAD) as pool, _progress(f"Downloading {entry.model.id}", terminal) as progress:
        extras = ExtrasElsewhere(fields, connect, pool, progress)
        files = extras.files()
        readers = {path: (file.size, partial(extras.fetch, file)) for path, file in files.items()}
        present = FilesWithExtras(LocalFiles(folder, links=True), readers)
        check_model(present, {"": entry.model.source.variant}, entry.model.pipeline, files)
        progress.total_files, progress.total_bytes = len(files), sum(file.size for file in files.values())
        check_space(work_folder(folder), progress.total_bytes)
        for path, file in files.items():
            _download_each([file], folder, extras.fetch, pool, progress)
            if folder == entry.path:
                add_files(folder, [path])
    return [*files]


def _check_free(target: Path) -> None:
    is_link = target.is_symlink()
    if is_link or (target.exists() and not target.is_dir()) or (target.is_dir() and any(target.iterdir())):
        raise CommandError(
            "The folder of the model is not empty",
            where=str(target),
            why="it is a link" if is_link else "it has files, but no model_index.json",
            fix="Move them away, or delete them.",
            code=ENVIRONMENT,
        )


def _convert(checkpoint: Path, prediction: Any, extras: Mapping[str, str], work: Path, terminal: Terminal) -> None:
    from model_importer.checkpoint import convert
    from model_importer.checkpoint.local import local_file
    from model_importer.checkpoint.source import write_conversion

    with terminal.spinner(f"Converting {checkpoint.name}"):
        conversion = convert(local_file(checkpoint).header(), prediction)
        open_work(work, json.dumps([str(checkpoint.absolute()), checkpoint.stat().st_mtime_ns, extras]))
        check_space(work, sum(conversion.sizes.values()))
        write_conversion(conversion, checkpoint, work)


def _download(entry: Entry, connect: Connect, work: Path, terminal: Terminal) -> None:
    from model_importer.checkpoint.source import CheckpointSource
    from model_importer.sources import open_source
    from model_importer.stream import RANGES_AHEAD

    model = entry.model
    with ThreadPoolExecutor(RANGES_AHEAD) as pool, _progress(f"Downloading {model.id}", terminal) as progress:
        source = open_source(model.source_fields, connect, pool, progress, model.pipeline)
        if not isinstance(source, CheckpointSource):
            _download_files(source, work, pool, progress)
            return
        extras, size = source.extras.values(), source.file.size
        open_work(work, plan_of([source.file, *extras]))
        check_space(work, 2 * size + sum(file.size for file in extras))
        progress.total_files = 1 + len(extras)
        progress.total_bytes = size + sum(file.size for file in extras)
        _download_each(extras, work, source.elsewhere.fetch, pool, progress)
        digest = source.write(work)
    if isinstance(model.source, UrlSource) and not model.source.sha256:
        _record_digest(entry.file, digest)
        terminal.print(f"{entry.file} has the SHA-256 of the file now: {digest}")


def _download_files(source: HubSource | S3Source, work: Path, pool: ThreadPoolExecutor, progress: Progress) -> None:
    from model_importer.files import MANIFEST

    plan = source.resolve()
    progress.total_files, progress.total_bytes = len(plan.files), plan.size
    open_work(work, plan_of(plan.files))
    check_space(work, progress.total_bytes)
    _download_each(plan.files, work, source.fetch, pool, progress)
    (work / MANIFEST).write_text(plan.render(), encoding="utf-8")


def _download_each(
    files: Iterable[File],
    folder: Path,
    fetch: Callable[[File, int, int], bytes],
    pool: ThreadPoolExecutor,
    progress: Progress,
) -> None:
    from model_importer.download import download

    for file in files:
        path = folder / file.path
        if path.is_file() and path.stat().st_size == file.size:  # checked before it got this name, for the same plan
            progress.finish_file(file.size)
            continue
        download(file, path, partial(fetch, file), pool, progress)
        progress.finish_file()


def check_space(folder: Path, needed: int) -> None:
    """Raise CommandError unless the disk has `needed` bytes beside what is in `folder`."""
    place = next(path for path in folder.absolute().parents if path.exists())
    present = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.exists() else 0
    free = shutil.disk_usage(place).free
    if free < needed - present:
        raise CommandError(
            "The disk has too little space",
            where=str(place),
            why=f"{free / GB:.1f} GB are free, the model needs {(needed - present) / GB:.1f} GB more",
            fix="Free disk space, and run the command again.",
            code=ENVIRONMENT,
        )


def _finish(model: Model, work: Path, target: Path) -> None:
    """Check the model and give the folder its name. Raises ModelFolderError."""
    from model_importer.model_folder import check_folder

    check_folder(work, variant=model.source.variant, pipeline=model.pipeline)
    close_work(work)
    if target.is_dir():
        target.rmdir()  # it is empty
    work.replace(target)


def _record_digest(file: Path, digest: str) -> None:
    from easel.models.entry_text import write
    from easel.models.proposal import render

    entry = json.loads(file.read_text(encoding="utf-8"))
    entry["source"]["sha256"] = digest
    write(file, render(entry))


@contextmanager
def _progress(title: str, terminal: Terminal) -> Iterator[Progress]:
    """Yield a counter of files and bytes that is shown on the terminal."""
    from model_importer.progress import REPORT_SECONDS, Progress, State, render_progress

    with terminal.spinner(title) as tick:
        report: Callable[[State], None] = lambda state: tick(f", {render_progress(state)}")  # noqa: E731
        if not terminal.animated:
            report = lambda state: terminal.print(render_progress(state))  # noqa: E731
        with Progress(report, _TICK_SECONDS if terminal.animated else REPORT_SECONDS) as progress:
            yield progress
