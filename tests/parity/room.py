"""A room for a server that writes where its image has it: mounts that nobody else sees, and no network but loopback."""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
from pathlib import Path

MODEL = Path("/opt/ml/model")
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def identity() -> str:
    """Of the mounts that this process sees."""
    return str(Path("/proc/self/ns/mnt").readlink())


def furnish(scratch: Path, outside: str) -> None:
    """Lays writable copies over /etc and /opt, and switches loopback on. `outside`: `identity()` of who made it."""
    if identity() == outside:
        raise RuntimeError("these mounts are everybody's: start me by `unshare --mount`")
    layers = scratch / "layers"
    layers.mkdir()
    _mount("-t", "tmpfs", "tmpfs", str(layers))
    for name in ("etc", "opt"):
        upper, work = layers / name / "upper", layers / name / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        _mount("-t", "overlay", "overlay", "-o", f"lowerdir=/{name},upperdir={upper},workdir={work}", f"/{name}")
    MODEL.mkdir(parents=True)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def lay(release: Path) -> None:
    """The release where the server looks for it, read-only as SageMaker has it."""
    if MODEL.is_mount():
        subprocess.run(["umount", MODEL], check=True)
    _mount("--bind", str(release), str(MODEL))
    _mount("-o", "remount,ro,bind", str(MODEL))


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)
