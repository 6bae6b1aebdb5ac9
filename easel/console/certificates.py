"""Certificates of a company's own authority, which the shell's variables name."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from easel.console.errors import ENVIRONMENT, CommandError

UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's name for a certificate of an unknown authority, in the text of an error."""
MAX_BYTES = 16 * 2**20
"""Largest file. The authorities of Mozilla and of a large company have less than 1 MB."""


def read_certificates(name: str, path: str, *, folder: bool = False) -> ssl.SSLContext:
    """Return a TLS context that trusts the file in the variable `name`. Raises CommandError.

    `folder`: it may be a folder, with names as of `openssl rehash`.
    """
    try:
        state = Path(path).stat()  # before it is opened: a pipe would wait
        if folder and stat.S_ISDIR(state.st_mode):
            list(Path(path).iterdir())  # OpenSSL would ignore an error
            return ssl.create_default_context(capath=path)
        if not stat.S_ISREG(state.st_mode):
            raise OSError("it is a folder" if stat.S_ISDIR(state.st_mode) else "it is a pipe or a device")
        if state.st_size > MAX_BYTES:
            raise OSError(f"it has more than {MAX_BYTES} bytes")
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:  # SSLError included: the file is not PEM
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        fix = "Set it to a PEM file of certificates, or unset it."
        raise CommandError(
            "The certificates cannot be read", where=f"{name}={path}", why=why, fix=fix, code=ENVIRONMENT
        ) from None
