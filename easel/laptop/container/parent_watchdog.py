"""Run a module in a process that ends with the process that started it, even after `kill -9`.

    python -m easel.laptop.container.parent_watchdog MODULE [ARGUMENT ...]

Standard input is a pipe that only the parent holds. It closes when the parent ends.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def watch(fd: int = 0) -> None:
    """End this process as soon as `fd` closes."""
    threading.Thread(target=_wait, args=(fd,), daemon=True, name="parent-watchdog").start()


def _wait(fd: int) -> None:
    while os.read(fd, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    watch()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
