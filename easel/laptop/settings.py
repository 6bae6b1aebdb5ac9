"""Settings of `easel up`."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine can reach."""
KEY_PATTERN = r"[!-~]([ -~]*[!-~])?"
"""API keys that an HTTP header can carry."""
JOB_TTL_SECONDS = 7 * 24 * 3600
"""Age after which a job without an outcome has expired: a laptop may be off for days with jobs in its queue."""
EXAMPLE_REQUEST = {
    "prompt": ["A cute panda is sitting on the sofa", "a photograph of an astronaut riding a horse"],
    "height": 512,
    "width": 512,
    "num_images_per_prompt": 1,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of `easel up`. `container` is the module that serves the model."""

    host: str
    port: int
    model: str
    data: Path
    key: str | None
    container: str

    @property
    def loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def curl(self) -> str:
        """A curl command that generates two images."""
        key = f" -H {shlex.quote(f'x-api-key: {self.key}')}" if self.key else ""
        body = json.dumps(EXAMPLE_REQUEST)
        return f"curl -s {self.url}/generate -H 'content-type: application/json'{key} \\\n  -d '{body}'"
