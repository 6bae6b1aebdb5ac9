"""Hostile folders on this machine: nothing is opened before its type and size are known."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_folder import ModelFolderError, check_folder, select_local_files
from tests.model_files import UNET, stable_diffusion

ROOT = Path(__file__).parents[3]
SECONDS = 10
CHECKS: dict[str, Callable[[Path], Any]] = {"release": select_local_files, "container": check_folder}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in stable_diffusion().items():
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(content)
    return tmp_path / "model"


def replace(file: Path, create: Callable[[Path], Any]) -> None:
    file.unlink(missing_ok=True)
    create(file)


def bind_socket(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(file.name)
    finally:
        os.chdir(here)


def write_sparse(size: int, beginning: bytes) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(beginning)
        os.truncate(file, size)

    return write


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "FIFO": os.mkfifo,
    "socket": bind_socket,
    "link to /dev/zero": lambda file: file.symlink_to("/dev/zero"),
    "link to itself": lambda file: file.symlink_to(file.name),
    "link to nothing": lambda file: file.symlink_to("nothing"),
    "300 MB": write_sparse(300_000_000, b'{"a": 1'),
    "header of 100 MB": write_sparse(200_000_000, (100_000_000).to_bytes(8, "little") + b"{"),
    "folder": Path.mkdir,
}
FILES = ["model_index.json", "unet/config.json", UNET, "tokenizer/tokenizer_config.json", "vocabulary.json", "unet/x"]


PROGRAM = f"""
import json, pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (400_000_000,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS},) * 2)
from model_folder import *
for check in ({", ".join(check.__name__ for check in CHECKS.values())}):
    try: check(pathlib.Path(sys.argv[1]))
    except ModelFolderError as error: print(json.dumps(str(error)))
    else: print("null")
"""
"""A program that prints the error of each check of a folder, or null."""


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_by_name_at_once(folder: Path, kind: str, name: str) -> None:
    """Each case in a process of its own: what hangs or reads without end is killed."""
    replace(folder / name, HOSTILE[kind])
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        capture_output=True, text=True, cwd=ROOT / "model_code", check=True, timeout=12 * SECONDS,
    )  # fmt: skip
    harmless = name == "unet/x" and kind in ("300 MB", "header of 100 MB", "folder")  # not a file of the model
    errors = dict(zip(CHECKS, map(json.loads, ended.stdout.splitlines()), strict=True))
    for check, error in errors.items():
        assert harmless or error, check
        assert harmless or name == "vocabulary.json" or name.rpartition("/")[2] in error, check
    assert str(folder) not in ended.stdout


@pytest.mark.slow
def test_a_large_json_file_is_not_parsed(folder: Path) -> None:
    (folder / "unet/config.json").write_text("[" * 300_000_000)
    started = time.process_time()
    with pytest.raises(ModelFolderError, match=r"unet/config\.json is too large"):
        select_local_files(folder)
    assert time.process_time() - started < 1


def test_a_link_to_another_part_is_followed_by_the_container_only(folder: Path) -> None:
    (folder / UNET).rename(folder / "weights")
    (folder / UNET).symlink_to(folder / "weights")
    assert UNET in check_folder(folder).files
    with pytest.raises(ModelFolderError, match="symbolic link"):
        select_local_files(folder)


@pytest.mark.parametrize(
    "name", ["unet/\x1b]0;title\x07.json", "unet/a\u202eb.json", "\x9b31m/x.json", "unet/a\nb.json"]
)
def test_control_characters_of_a_file_name_are_made_visible(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    for check in CHECKS.values():
        with pytest.raises(ModelFolderError) as caught:
            check(folder)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["../../tmp", "/tmp", "unet/../../tmp", "..", "ünet", "\x1b[31m"])
@pytest.mark.parametrize("value", [["diffusers", "UNet2DConditionModel"], {"a": 1}, "x", ["os", "system"]])
def test_a_part_cannot_lead_out_of_the_folder(folder: Path, key: str, value: Any) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, key: value}))
    for check in CHECKS.values():
        with pytest.raises(ModelFolderError, match=r"model_index\.json") as caught:
            check(folder)
        assert str(caught.value).isprintable()
