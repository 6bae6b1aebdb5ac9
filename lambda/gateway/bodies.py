"""Bodies of requests: JSON in UTF-8 or a form, plain or compressed with gzip."""

from __future__ import annotations

import zlib

from contract import BODY_BYTES, refuse
from gateway.events import Request

_CHARSETS = ("utf-8", "utf8", "us-ascii")
_GZIP_WBITS = 31
"""Tells zlib to read the gzip format."""


def json_body(request: Request) -> bytes:
    """Return the body as JSON text, decompressed.

    Raises EaselError: `unsupported_media_type`, `payload_too_large`, `invalid_json` for damaged gzip.
    """
    _check_media_type(request)
    return plain_body(request)


def plain_body(request: Request) -> bytes:
    """Return the body decompressed. Raises EaselError as `json_body` does."""
    encodings = [
        part.strip().lower() for value in request.headers.get("content-encoding", ()) for part in value.split(",")
    ]
    applied = [encoding for encoding in encodings if encoding not in ("", "identity")]
    if not applied:
        return request.body
    if applied not in (["gzip"], ["x-gzip"]):
        message = f"the content-encoding {', '.join(applied)[:80]!a} is not supported"
        refuse("unsupported_media_type", None, message, "Send gzip, or no content-encoding.")
    return _gunzip(request.body)


def _check_media_type(request: Request) -> None:
    code, hint = "unsupported_media_type", "Send content-type: application/json."
    values = set(request.headers.get("content-type", ()))
    if len(values) > 1:
        refuse(code, None, "the header content-type has different values", f"{hint} Once is enough.")
    media_type, *parameters = (part.strip().lower() for part in "".join(values).split(";"))
    if not media_type:
        refuse(code, None, "the header content-type is missing", hint)
    if media_type != "application/json":
        refuse(code, None, f"the content-type {media_type[:80]!a} is not supported", hint)
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        charset = value.strip().strip('"')
        if name.strip() == "charset" and charset not in _CHARSETS:
            refuse(code, None, f"the charset {charset[:80]!a} is not supported", "Send JSON in UTF-8.")


def _gunzip(body: bytes) -> bytes:
    """Return the content of a gzip file, or the body itself if the gateway has already decompressed it."""
    if not body.startswith(b"\x1f"):
        return body
    file = zlib.decompressobj(_GZIP_WBITS)
    try:
        content = file.decompress(body, BODY_BYTES.maximum + 1)
    except zlib.error:
        content = b""
    if len(content) > BODY_BYTES.maximum:
        message, hint = "the decompressed body is too large", f"Send at most {BODY_BYTES.maximum} bytes."
        refuse("payload_too_large", None, message, hint)
    if not file.eof or file.unused_data:
        refuse(
            "invalid_json", None, "the gzip file in the body is damaged", "Send it whole, or without content-encoding."
        )
    return content
