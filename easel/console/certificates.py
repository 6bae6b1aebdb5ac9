"""Certificates of a company's own authority, which the shell's variables name."""

from __future__ import annotations

import ssl
from pathlib import Path

from easel.console.errors import ENVIRONMENT, CommandError

UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's name for a certificate of an unknown authority, in the text of an error."""


def read_certificates(name: str, path: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the file or folder in the variable `name`. Raises CommandError."""
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # SSLError included: the file is not PEM
        why, fix = error.strerror or str(error), "Set it to a PEM file of certificates, or unset it."
        raise CommandError(
            "The certificates cannot be read", where=f"{name}={path}", why=why, fix=fix, code=ENVIRONMENT
        ) from None
