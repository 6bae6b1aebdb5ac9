"""Settings of `easel up`."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from easel.console.hosts import LOOPBACK
from easel.laptop.public_url import PublicUrl

GB = 10**9
DEFAULT_MODELS = ("emoji",)
DEFAULTS = {"--host": "127.0.0.1", "--data": ".easel", "--content": "refuse"}
"""Defaults of options."""
SECRET_VARIABLE, SECRET_HEADER = "EASEL_CONTAINER_SECRET", "x-easel-secret"
"""The secret of this start: the container's variable that holds it, and the header that each request must send."""
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
    """Options of `easel up`. `models`: ids or paths; the first is the default of requests. `container`: module that
    serves a model. `memory`: bytes that the models may use together; None: what the machine has. `public`: address of a
    reverse proxy. `webhooks`: what they may be sent to. `content`: what requests may choose for images that a safety
    checker flags."""

    host: str
    port: int
    models: tuple[str, ...]
    data: Path
    key: str | None
    container: str
    memory: int | None = None
    public: PublicUrl | None = None
    webhooks: tuple[str, ...] = ()
    content: str = "refuse"

    @property
    def loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def command(self, data: Path | None = None) -> str:
        """Return the command that starts the same at the next port, with another `data` folder if given."""
        port = self.port + 1 if self.port < 65_535 else 7861
        values = {"--port": port, "--data": data or self.data, "--host": self.host, "--content": self.content}
        given = {name: str(value) for name, value in values.items() if str(value) != DEFAULTS.get(name)}
        key = ["--key …"] if self.key else []
        public = [f"--public-url {shlex.quote(str(self.public))}"] if self.public else []
        webhooks = [f"--webhooks {shlex.quote(value)}" for value in self.webhooks]
        models = [f"--model {shlex.quote(model)}" for model in self.models if self.models != DEFAULT_MODELS]
        memory = [f"--memory {self.memory / GB:g}"] if self.memory else []
        options = [f"{name} {shlex.quote(value)}" for name, value in given.items()]
        return " ".join(["easel up", *options, *models, *memory, *key, *public, *webhooks])

    @property
    def curl(self) -> str:
        """A curl command that generates two images, and shows the beginning of the response: images are long."""
        key = f" -H {shlex.quote(f'x-api-key: {self.key}')}" if self.key else ""
        body = json.dumps(EXAMPLE_REQUEST)
        return f"curl -s {self.url}/generate -H 'content-type: application/json'{key} \\\n  -d '{body}' | head -c 400"
