"""The HTTP server of `easel up`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from html import escape

import uvicorn

from contract import EaselError
from easel import ROOT
from easel.laptop.gateway.access import Access
from easel.laptop.gateway.app import Gateway
from easel.laptop.gateway.connections import IDLE_SECONDS, LimitedProtocol
from easel.laptop.handler_pool import HandlerPool
from easel.laptop.settings import Settings
from easel.laptop.storage.data_folder import DataFolder

WELCOME = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Easel</title>
<h1>Easel is running</h1>
<pre>{curl}</pre>
<p><a href="openapi.json">The API</a></p>
</html>
"""


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the supervisor has more to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_server(
    settings: Settings, data: DataFolder, handlers: HandlerPool, on_refused: Callable[[EaselError], None]
) -> Server:
    """Return the server of page and API. `on_refused` is called with the reason for which a request was refused."""
    gateway = Gateway(
        handlers=handlers,
        signer=data.signer(),
        files=data.files,
        page=ROOT / "web" / "dist",
        policy="; ".join((ROOT / "web" / "content-security-policy.txt").read_text().splitlines()),
        welcome=WELCOME.format(curl=escape(settings.curl)),
        access=Access(settings.key, data.accounts),
        loopback=settings.loopback,
        public=settings.public,
        on_refused=on_refused,
    )
    config = uvicorn.Config(
        gateway.app(),
        http=LimitedProtocol,
        ws="none",
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    return Server(config)
