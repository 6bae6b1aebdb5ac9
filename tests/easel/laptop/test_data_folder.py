"""The data folder at the start: what cannot be used is an error, and nobody else can read it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from easel.console.errors import ENVIRONMENT, CommandError
from easel.laptop.settings import Settings
from easel.laptop.storage.data_folder import DataFolder
from tests.easel.laptop.test_up import start_error
from tests.easel.running import FAKE, MODEL, Laptop, wait_for

SETTINGS = {"host": "127.0.0.1", "port": 7999, "models": (MODEL,), "key": None, "container": FAKE}


def start(root: Path) -> list[str]:
    """Return the warnings of a start with this data folder."""
    with DataFolder(root).lock(Settings(data=root, **SETTINGS)):  # type: ignore[arg-type]
        return DataFolder(root).prepare()


def start_fails(root: Path) -> CommandError:
    with pytest.raises(CommandError) as caught:
        start(root)
    assert caught.value.code == ENVIRONMENT
    assert caught.value.fix
    return caught.value


def write(name: str, body: bytes = b"mine") -> Callable[[Path], Any]:
    return lambda root: (root / name).write_bytes(body)


def folder(name: str) -> Callable[[Path], Any]:
    return lambda root: (root / name).mkdir(parents=True)


def pipe(name: str) -> Callable[[Path], Any]:
    return lambda root: os.mkfifo(root / name)


def link(name: str, target: str) -> Callable[[Path], Any]:
    return lambda root: (root / name).symlink_to(target)


UNUSABLE = {
    **{f"a file as {name}": (name, write(name)) for name in ("store", "store.drafts", "queue")},
    **{f"a folder as {name}": (name, folder(name)) for name in ("lock", "secret", "api.log", "model-emoji.log")},
    **{f"a pipe as {name}": (name, pipe(name)) for name in ("secret", "api.log", "store")},
    "another's secret": ("secret", write("secret", b"somebody's password\n")),
    "an endless secret": ("secret", link("secret", "/dev/zero")),
    "a link to nothing": ("queue", link("queue", "/nowhere/at/all")),
    "a file as jobs": ("jobs", lambda root: (folder("store")(root), write("store/jobs")(root))),
}


@pytest.mark.parametrize(("part", "spoil"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_part_is_named(tmp_path: Path, part: str, spoil: Callable[[Path], Any]) -> None:
    spoil(tmp_path)
    before = sorted(path.lstat().st_size for path in tmp_path.rglob("*") if path.name == part)
    assert part in start_fails(tmp_path).where
    assert sorted(path.lstat().st_size for path in tmp_path.rglob("*") if path.name == part) == before


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    assert start_fails(tmp_path / "data").where == str(tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


def test_a_start_that_fails_is_no_traceback(tmp_path: Path) -> None:
    write("store")(tmp_path)
    code, output = start_error(data=tmp_path)
    assert (code, str(tmp_path / "store") in output) == (3, True)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system")
def test_a_store_on_another_disk_is_an_error(tmp_path: Path) -> None:
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    other = Path("/dev/shm") / f"easel-test-{os.getpid()}"
    other.mkdir()
    try:
        (tmp_path / "store").symlink_to(other)
        error = start_fails(tmp_path)
        assert "store" in error.where
        assert "disk" in error.why
    finally:
        for path in sorted(other.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        other.rmdir()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_a_disk_without_hard_links_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(source), None, str(target))

    monkeypatch.setattr(os, "link", refuse)
    assert "hard links" in start_fails(tmp_path).why


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ESTALE])
def test_a_disk_that_refuses_to_flush_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    assert os.strerror(number) in start_fails(tmp_path).why


def test_an_emptied_secret_is_replaced_and_a_good_one_is_kept(tmp_path: Path) -> None:
    write("secret", b"")(tmp_path)
    start(tmp_path)
    secret = (tmp_path / "secret").read_bytes()
    assert len(secret) == 32
    start(tmp_path)
    assert (tmp_path / "secret").read_bytes() == secret
    assert not list(tmp_path.rglob(".trial"))


# --- other users ---------------------------------------------------------------------------------


def readable_by_others(root: Path) -> list[Path]:
    found = []
    for path in (root, *root.rglob("*")):
        with suppress(FileNotFoundError):  # the service removes a finished job from its queue
            if path.stat().st_mode & 0o077:
                found.append(path)
    return found


@pytest.mark.laptop
@pytest.mark.parametrize("umask", ["0", "022", "0277"])
def test_nobody_else_can_read_a_new_folder(tmp_path: Path, umask: str) -> None:
    with Laptop(tmp_path / "new/data", before=f"umask {umask}") as laptop:
        laptop.outcome(laptop.submit())
        assert not readable_by_others(laptop.data)


@pytest.mark.laptop
def test_an_existing_folder_is_closed_with_a_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for path in (data, data / "store", data / "queue"):
        path.mkdir()
        path.chmod(0o755)
    with Laptop(data) as laptop:
        assert str(data) in laptop.output.splitlines()[0]
        assert not readable_by_others(data)


def test_a_folder_with_other_files_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").touch()
    (tmp_path / "letter.txt").chmod(0o644)
    os.umask(os.umask(0o022))
    start(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "letter.txt").stat().st_mode & 0o777 == 0o644


def test_rights_that_cannot_be_taken_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, "not yours")

    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert start(tmp_path)[0].startswith("Warning: ")


# --- foreign names -------------------------------------------------------------------------------


@pytest.mark.laptop
def test_foreign_names_hide_no_job(laptop: Laptop) -> None:
    id = laptop.submit()
    laptop.outcome(id)
    owner = next((laptop.data / "store/jobs").iterdir())
    foreign = [owner / f"._{i}" for i in range(1200)]
    for path in foreign:
        path.touch()
    (laptop.data / "queue" / ".DS_Store").touch()
    try:
        assert id in [job["id"] for job in laptop.http.get("/jobs", params={"limit": 40}).json()["jobs"]]
        assert wait_for(lambda: laptop.outcome(laptop.submit()))["status"] == "succeeded"
    finally:
        for path in foreign:
            path.unlink()
        (laptop.data / "queue" / ".DS_Store").unlink()
