"""Forms with files: bodies of multipart/form-data (RFC 7578)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from contract import BODY_BYTES, refuse
from gateway.bodies import plain_body
from gateway.events import Request

MAX_PARTS = 200
_BOUNDARY = re.compile(r'multipart/form-data\s*;(?:.*;)?\s*boundary="?([\x20-\x7e]{1,70}?)"?\s*(?:;.*)?', re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition:\s*form-data\s*;(.*)$", re.IGNORECASE | re.MULTILINE)
_PARAMETER = re.compile(rb';?\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')
_HINT = "Send each field as a part with a name, as HTML forms do."


@dataclass(frozen=True)
class Part:
    """A field of a form. `is_file`: it was sent with a file name."""

    name: str
    content: bytes
    is_file: bool

    def text(self) -> str:
        """Return the content as text. Raises `invalid_form` if it is not UTF-8."""
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            refuse("invalid_form", self.name[:80], f"the field {self.name[:80]!r} is not text in UTF-8", _HINT)


def read_form(request: Request) -> list[Part]:
    """Return the parts in the order sent.

    Raises EaselError: `unsupported_media_type`, `payload_too_large`, `invalid_form`.
    """
    match = _BOUNDARY.fullmatch(request.header("content-type") or "")
    if not match:
        hint = "Send content-type: multipart/form-data with its boundary."
        refuse("unsupported_media_type", None, "the body is not multipart/form-data", hint)
    body = plain_body(request)
    if len(body) > BODY_BYTES.maximum:
        refuse("payload_too_large", None, "the request body is too large", f"Send at most {BODY_BYTES.maximum} bytes.")
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + match[1].encode())
    if not parts or not parts[-1].startswith(b"--"):
        refuse("invalid_form", None, "the form does not end with its boundary", "Send the whole form.")
    if len(parts) > MAX_PARTS:
        refuse("invalid_form", None, f"the form has more than {MAX_PARTS} fields", "Send fewer fields.")
    return [_part(part) for part in parts[:-1]]


def _part(part: bytes) -> Part:
    head, separator, content = part.partition(b"\r\n\r\n")
    disposition = _DISPOSITION.search(head.replace(b"\r\n", b"\n"))
    if not separator or not disposition:
        refuse("invalid_form", None, "a part of the form has no content-disposition", _HINT)
    parameters = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(disposition[1])}
    if b"name" not in parameters:
        refuse("invalid_form", None, "a part of the form has no name", _HINT)
    name = re.sub(rb"\\(.)", rb"\1", parameters[b"name"]).decode("utf-8", "replace")
    return Part(unquote(name), content, bool(parameters.keys() & {b"filename", b"filename*"}))
