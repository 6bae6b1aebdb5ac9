"""What `easel up` is told, and what follows from it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that no other machine can use."""
SENDABLE = r"[!-~]([ -~]*[!-~])?"
"""What a key can be: other characters cannot be sent in a header."""
EXAMPLE = {
    "prompt": ["A cute panda is sitting on the sofa", "a photograph of an astronaut riding a horse"],
    "height": 512,
    "width": 512,
    "num_images_per_prompt": 1,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `easel up` is told."""

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
        key = f" -H {shlex.quote(f'x-api-key: {self.key}')}" if self.key else ""
        return f"curl -s {self.url}/generate -H 'content-type: application/json'{key} \\\n  -d '{json.dumps(EXAMPLE)}'"
