"""The store in a folder: atomic and conditional writes, sorted listings, a full disk."""

import multiprocessing
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract import EaselError
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.storage.store import FolderStore
from tests.easel.running import ROOT

KEY = "jobs/a/b/outcome.json"
WRITER = """
import sys
from pathlib import Path
from easel.laptop.gateway.signed_links import Signer
from easel.laptop.storage.store import FolderStore
store = FolderStore(Path(sys.argv[1]), Signer(b""))
for i in range(10**9):
    store.write("k", bytes([i % 256]) * 3_000_000)
    store.write(f"n/{i}", b"x")
"""


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store", Signer(b"secret"))


def _create_at(root: Path, number: int, start: float) -> bool:
    time.sleep(max(0.0, start - time.time()))
    return FolderStore(root, Signer(b"")).create(KEY, str(number).encode() * 1000)


def test_objects_are_written_replaced_and_deleted(store: FolderStore) -> None:
    assert store.read(KEY) is None
    store.write(KEY, b"one")
    store.write(KEY, b"two")
    assert store.read(KEY) == b"two"
    store.delete(KEY)
    store.delete(KEY)
    assert store.read(KEY) is None


def test_create_never_overwrites(store: FolderStore) -> None:
    assert store.create(KEY, b"first")
    assert not store.create(KEY, b"second")
    assert store.read(KEY) == b"first"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("missing")])
def test_what_is_no_file_is_an_empty_object(store: FolderStore, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Not a missing one, which could be created, and no thread waits for a writer."""
    store.write("jobs/a/b/job.json", b"{}")
    make(tmp_path / "store" / KEY)
    assert store.read(KEY) == b""
    assert not store.create(KEY, b"{}")
    store.write(KEY, b"{}")
    assert store.read(KEY) == b"{}"
    store.delete(KEY)
    make(tmp_path / "store" / KEY)
    store.delete(KEY)
    assert store.read(KEY) is None


def test_one_of_many_processes_creates_an_object(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        start = time.time() + 1
        created = pool.starmap(_create_at, [(root, i, start) for i in range(8)])
    assert created.count(True) == 1
    assert FolderStore(root, Signer(b"")).read(KEY) == str(created.index(True)).encode() * 1000


def test_a_writer_that_is_killed_leaves_only_complete_objects(store: FolderStore, tmp_path: Path) -> None:
    for _ in range(3):
        before = len(store.list("n/", 10**6))
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "store")], cwd=ROOT)
        while len(store.list("n/", 10**6)) < max(3, before):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        body = store.read("k")
        assert body is not None
        assert len(body) == 3_000_000
        assert len(set(body)) == 1
    store.delete_drafts()
    assert not list((tmp_path / "store.drafts").iterdir())


@pytest.mark.parametrize("method", ["create", "write"])
def test_a_power_cut_leaves_no_empty_object(store: FolderStore, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """The content is flushed before the name exists, and the name before the call returns."""
    steps: list[str] = []

    def note(name: str, describe: Callable[..., str]) -> None:
        original = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            steps.append(describe(*arguments))
            return original(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    store.write("jobs/a/b/other.json", b"{}")
    note("fsync", lambda fd: "flush folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "flush file")
    note("link", lambda source, target: "name")
    note("replace", lambda source, target: "name")
    getattr(store, method)(KEY, b"{}")
    assert steps == ["flush file", "name", "flush folder"]
    steps.clear()
    getattr(store, method)("jobs/new/folder/object", b"{}")
    assert steps == ["flush folder", "flush folder", "flush file", "name", "flush folder"]


def test_other_names_beside_jobs_do_not_count(store: FolderStore) -> None:
    ids = [f"{i:044x}" for i in range(3)]
    for name in (*ids, ".DS_Store", "0", "notes"):
        store.write(f"jobs/{'a' * 16}/{name}/job.json", b"{}")
    assert store.list(f"jobs/{'a' * 16}/", 2) == ids[:2]
    assert store.list(f"jobs/{'a' * 16}/", 9) == ids


def test_listings_are_sorted_and_limited(store: FolderStore) -> None:
    for name in ("c", "a", "b"):
        store.write(f"jobs/me/{name}/job.json", b"{}")
    assert store.list("jobs/me/", 2) == ["a", "b"]
    assert store.list("jobs/you/", 2) == []


def test_a_full_disk_is_an_error_and_leaves_no_draft(store: FolderStore, tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        store.write("small", b"x" * 999)
        with pytest.raises(EaselError) as caught:
            store.write(KEY, b"x" * 1001)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.code == "disk_full"
    assert store.read(KEY) is None
    assert store.read("small") == b"x" * 999
    assert not list((tmp_path / "store.drafts").iterdir())


def test_a_folder_that_is_not_writable_is_an_error(store: FolderStore) -> None:
    store.write("jobs", b"a file where a folder should be")
    with pytest.raises(EaselError) as caught:
        store.create(KEY, b"{}")
    assert caught.value.code == "config_error"
