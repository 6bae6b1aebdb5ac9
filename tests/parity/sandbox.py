"""A sandbox for a server that writes to the paths of its image: private mounts, and no network but loopback."""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
from pathlib import Path

MODEL = Path("/opt/ml/model")
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def mount_namespace() -> str:
    """Return the id of the mount namespace of this process."""
    return str(Path("/proc/self/ns/mnt").readlink())


def prepare(scratch: Path, outer_namespace: str) -> None:
    """Mount writable layers over /etc and /opt, and bring loopback up.

    `outer_namespace` is the mount namespace of the parent. Raises RuntimeError in that namespace.
    """
    if mount_namespace() == outer_namespace:
        raise RuntimeError("this would change the mounts of the machine: start it with `unshare --mount`")
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


def mount_release(release: Path) -> None:
    """Mount the release at /opt/ml/model, read-only as on SageMaker."""
    if MODEL.is_mount():
        subprocess.run(["umount", MODEL], check=True)
    _mount("--bind", str(release), str(MODEL))
    _mount("-o", "remount,ro,bind", str(MODEL))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
