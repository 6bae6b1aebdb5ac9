"""A variant in a process of its own: `Worker` in the benchmark's process, `main` in the variant's."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.inference.cases import PROMPTS, ROOT, Case


class WorkerError(Exception):
    """A variant that cannot run here: why."""


class Worker:
    """A process that loads one variant for one case after the other."""

    def __init__(self, variant: str, device: str) -> None:
        self.variant, self.ready = variant, dict[str, Any]()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.inference.worker", variant, device],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip

    def load(self, folder: Path, case: Case) -> None:
        """Load the model and generate once; `ready` then has the times. Raises WorkerError."""
        self.ready = self.request(do="load", folder=str(folder), case=case.fields())

    def request(self, **message: Any) -> dict[str, Any]:
        """Send a message and return the response. Raises WorkerError."""
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):  # it has ended
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._end())
        value: dict[str, Any] = json.loads(line)
        if "error" in value:
            raise WorkerError(value["error"])
        return value

    def _end(self) -> str:
        """Return why the process ended."""
        assert self._process.stderr
        lines = self._process.stderr.read().strip().splitlines() or ["it ended"]
        if self._process.wait() != -signal.SIGKILL:
            return lines[-1]
        return f"{self.variant} was killed, perhaps because memory was short. Compare fewer at once: --variant B1 Easel"

    def unload(self) -> None:
        """Free the memory of the model."""
        if self._process.poll() is None:
            self.request(do="unload")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Serve the messages of standard input."""
    variant, device = sys.argv[1:]
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    if variant == "Easel":
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as easel/laptop/container/server.py
    served = _Served(variant, device)
    for line in sys.stdin:
        try:
            response = served.respond(json.loads(line))
        except Exception as error:
            response = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        channel.write(json.dumps(response) + "\n")
        channel.flush()


class _Served:
    """The loaded variant."""

    def __init__(self, variant: str, device: str) -> None:
        self.variant, self.device = variant, device
        self.loaded: Any = None
        started = time.monotonic()
        import torch

        _import_libraries()
        self.torch, self.import_s = torch, time.monotonic() - started

    def respond(self, message: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = getattr(self, f"_{message.pop('do')}")(**message)
        return found

    def _load(self, folder: str, case: dict[str, Any]) -> dict[str, Any]:
        from bench.inference.variants import variants

        started = time.monotonic()
        self.loaded = loaded = variants()[self.variant](Path(folder), Case(**case), self.device)
        self._wait()
        after = time.monotonic()
        loaded.respond(PROMPTS[0], 0)
        self._wait()
        return {
            "import_s": self.import_s,
            "load_s": after - started,
            "warm_up_s": time.monotonic() - after,
            "dtype": str(loaded.dtype).removeprefix("torch."),
            "tier": loaded.tier,
            "description": loaded.description,
        }

    def _unload(self) -> dict[str, Any]:
        self.loaded = None
        gc.collect()
        self.torch.compiler.reset()
        if self.device == "cuda":
            self.torch.cuda.empty_cache()
        return {}

    def _machine(self) -> dict[str, Any]:
        from bench.inference.machine import describe

        return describe(self.torch, self.device, self.loaded)

    def _check(self, prompt: str, seed: int, noise: str, file: str) -> dict[str, Any]:
        import numpy as np

        latents, pixels = self.loaded.check(prompt, seed, noise)
        np.savez(file, latents=latents, pixels=pixels)
        return {}

    def _time(self, prompt: str, seed: int) -> dict[str, Any]:
        load, started = os.getloadavg()[0], time.perf_counter()
        self.loaded.respond(prompt, seed)
        self._wait()
        return {"seconds": time.perf_counter() - started, "load": load}

    def _wait(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()


def _import_libraries() -> None:
    """Import what every variant imports, so that the load is the weights' alone."""
    os.environ.update(HF_HUB_OFFLINE="1")
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline  # noqa: F401


if __name__ == "__main__":
    main()
