"""How this machine reaches the origins of models: hubs, URLs and S3, with its proxy, certificates and tokens."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from easel.console.errors import ENVIRONMENT, CommandError

if TYPE_CHECKING:
    from model_importer.errors import Advice
    from model_importer.sources import Connect

HUB_TOKEN, URL_TOKEN, HUB_URL = "HF_TOKEN", "EASEL_MODEL_TOKEN", "HF_ENDPOINT"  # names of variables
URL_TOKEN_HOST, DEFAULT_TOKEN_HOST = "EASEL_MODEL_TOKEN_HOST", "civitai.com"


def connect(hub_url: str, s3: Callable[[], Any], *, on_laptop: bool = False) -> Connect:
    """Return the connections for the importer. The tokens are those of the shell.

    `on_laptop`: errors name the variables of the shell in place of the settings of a deploy.
    """
    from model_importer.hub import Hub
    from model_importer.sources import Connect
    from model_importer.url import Url

    def hub(repository: str) -> Hub:
        advice = _advice(HUB_TOKEN, f"export {HUB_TOKEN}=… with it") if on_laptop else None
        return Hub(hub_url, repository, token(HUB_TOKEN), _pool(hub_url), advice)

    def url(address: str) -> Url:
        host = urlsplit(address).netloc
        grant = f"export {URL_TOKEN}=… with it and {URL_TOKEN_HOST}={host}"
        advice = _advice(URL_TOKEN, grant) if on_laptop else None
        return Url(address, _url_token(host), _pool(address), advice)

    return Connect(hub, url, s3)


def _url_token(host: str) -> str:
    """Return the token for links of a host: an entry that somebody else wrote may name any host."""
    allowed = os.environ.get(URL_TOKEN_HOST, "").strip() or DEFAULT_TOKEN_HOST
    return token(URL_TOKEN) if host.lower() == allowed.lower() else ""


def _advice(variable: str, grant: str) -> Advice:
    from model_importer.errors import Advice

    return Advice("Run the command again", variable, HUB_URL, grant)


def token(variable: str) -> str:
    """Return the token in a variable of the shell, or "". Raises CommandError if an HTTP header cannot carry it."""
    value = os.environ.get(variable, "").strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise CommandError(
            "The token cannot be sent",
            where=variable,
            why="it has spaces or other characters than tokens have",
            fix=f"export {variable}=… with the token alone.",
            code=ENVIRONMENT,
        )
    return value


def _pool(address: str) -> Callable[..., Any]:
    """Return what opens connections to a host, through the proxy of the shell if it has one."""
    import urllib3

    from easel.client.connection import trusted_certificates

    parts, proxies = urlsplit(address), getproxies()
    proxy = None if proxy_bypass(parts.netloc) else proxies.get(parts.scheme) or proxies.get("all")
    pool = partial(urllib3.ProxyManager, proxy) if proxy else urllib3.PoolManager
    return partial(pool, ssl_context=trusted_certificates())
