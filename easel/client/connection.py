"""Connections to a server: proxies, certificates, and errors that name the variable to set."""

from __future__ import annotations

import os
import ssl
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from easel.client.errors import ConnectionFailedError, UsageError
from easel.console.certificates import UNTRUSTED, read_certificates
from easel.console.errors import CommandError
from easel.console.hosts import LOOPBACK

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR")
"""Variables for the certificates of a company's own authority: the first that is set counts."""
CA_FIX = "export SSL_CERT_FILE=… with the PEM file of your company's or proxy's certificate authority."
URL_HINT = "Use a URL like http://127.0.0.1:7860."

HttpClient = TypeVar("HttpClient", httpx.Client, httpx.AsyncClient)


def open_client(kind: type[HttpClient], *, tls: bool, use_proxy: bool) -> HttpClient:
    """Return a client that follows the shell's proxy variables if `use_proxy`, and reads certificates only if `tls`."""
    try:
        verify = trusted_certificates() if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return kind(timeout=httpx.Timeout(35, connect=10), trust_env=use_proxy, verify=verify)
    except CommandError as error:
        raise ConnectionFailedError(error.what, detail=error.why, hint=error.fix, where=error.where) from None
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise ConnectionFailedError(
            "The proxy cannot be used",
            detail=str(error),
            hint="Use a value like http://127.0.0.1:3128, or unset the variable.",
            where="HTTPS_PROXY, HTTP_PROXY or ALL_PROXY",
        ) from None


def refuse_connection(url: str, error: httpx.TransportError) -> ConnectionFailedError:
    """Return the error for a server that does not respond, or whose certificate is not trusted."""
    parts = urlsplit(url)
    where, local = f"{parts.scheme}://{parts.netloc}", parts.hostname in LOOPBACK
    why = str(error) or type(error).__name__
    title, hint, retryable = "Easel does not respond", "Check base_url and the network.", True
    if UNTRUSTED in why:
        title, hint, retryable = "The server's certificate is not trusted", CA_FIX, False
    elif "[SSL" in why:
        title, hint = "The server does not speak HTTPS", "Check base_url: http:// or https://, and the port."
        retryable = False
    elif local:
        hint = "Start it with `make up`, or set its address with base_url."
    return ConnectionFailedError(title, detail=why, hint=hint, where=where, retryable=retryable)


def host_of(url: str) -> str:
    """Return the host. Raises UsageError: there is none, or the URL contains a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if "@" in parts.netloc:
        why = "it contains a user name or password, which messages would show"
        raise UsageError("The URL is not valid", detail=why, hint=URL_HINT, where="base_url")
    if parts.scheme in ("http", "https") and parts.hostname:
        return parts.hostname
    raise UsageError("The URL is not valid", detail=f"{url!r} has no host", hint=URL_HINT, where="base_url")


def is_local(host: str) -> bool:
    """Return whether only this machine can reach the host."""
    return host in LOOPBACK


def trusted_certificates() -> ssl.SSLContext:
    """Return a context with the certificates of a variable, or else of httpx. Raises CommandError."""
    name = next((name for name in CA_VARIABLES if os.environ.get(name)), "")
    if not name:
        return httpx.create_ssl_context(trust_env=False)
    return read_certificates(name, os.environ[name], folder=name != CA_VARIABLES[0])
