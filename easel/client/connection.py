"""Connections to a server: proxies, certificates, and errors that name the variable to set."""

from __future__ import annotations

import os
import ssl
from urllib.parse import urlsplit

import httpx

from easel.console.certificates import UNTRUSTED, read_certificates
from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from easel.laptop.settings import LOOPBACK

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR")
"""Variables for the certificates of a company's own authority: the first that is set counts."""
CA_FIX = "export SSL_CERT_FILE=… with the PEM file of your company's or proxy's certificate authority."


def open_client(*, tls: bool, use_proxy: bool) -> httpx.Client:
    """Return a client that follows the shell's proxy variables if `use_proxy`, and reads certificates only if `tls`."""
    verify = trusted_certificates() if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return httpx.Client(timeout=httpx.Timeout(35, connect=10), trust_env=use_proxy, verify=verify)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise CommandError(
            "The proxy cannot be used",
            where="HTTPS_PROXY, HTTP_PROXY or ALL_PROXY",
            why=str(error),
            fix="Use a value like http://127.0.0.1:3128, or unset the variable.",
            code=ENVIRONMENT,
        ) from None


def refuse_connection(url: str, error: httpx.TransportError) -> CommandError:
    """Return the error for a server that does not respond, or whose certificate is not trusted."""
    parts = urlsplit(url)
    where, local = f"{parts.scheme}://{parts.netloc}", parts.hostname in LOOPBACK
    why = str(error) or type(error).__name__
    what, fix = "Easel does not respond", "Check --url and the network."
    if UNTRUSTED in why:
        what, fix = "The server's certificate is not trusted", CA_FIX
    elif "[SSL" in why:
        what, fix = "The server does not speak HTTPS", "Check --url: http:// or https://, and the port."
    elif local:
        fix = "Start it with `make up`, or set its address with --url."
    return CommandError(what, where=where, why=why, fix=fix, code=ENVIRONMENT)


def host_of(url: str) -> str:
    """Return the host. Raises CommandError, a usage error: there is none, or the URL contains a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    fix = "Use a URL like http://127.0.0.1:7860."
    if "@" in parts.netloc:
        why = "it contains a user name or password, which messages would show"
        raise CommandError("The URL is not valid", where="--url", why=why, fix=fix, code=USAGE)
    if parts.scheme in ("http", "https") and parts.hostname:
        return parts.hostname
    raise CommandError("The URL is not valid", where="--url", why=f"{url!r} has no host", fix=fix, code=USAGE)


def trusted_certificates() -> ssl.SSLContext:
    """Return a context with the certificates of a variable, or else of httpx. Raises CommandError."""
    name = next((name for name in CA_VARIABLES if os.environ.get(name)), "")
    if not name:
        return httpx.create_ssl_context(trust_env=False)
    return read_certificates(name, os.environ[name], folder=name != CA_VARIABLES[0])
