"""The SOURCE of `easel models add`, as a person writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from easel.console.errors import USAGE, CommandError

Fields = dict[str, Any]
"""The source of a catalogue entry."""
_ALLOWED = (
    "Give a repository (owner/name), a link that starts with https://, s3://bucket/prefix/ or "
    "s3://bucket/file.safetensors, or a local file or folder."
)
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_REPOSITORY = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:/(?:tree|blob|resolve)/([^/]+)(?:/(.+))?)?/?", re.ASCII)


def parse_source(text: str, hub_url: str) -> Fields:
    """Return the source that `text` names. Raises CommandError."""
    path = Path(text).expanduser()
    if text.startswith("s3://"):
        return _s3(text)
    if "://" in text:
        return _link(text, hub_url)
    if _exists(path):
        return _local(path)
    if (found := _REPOSITORY.fullmatch(text)) and not text.startswith("."):
        return _repository(*found.groups())
    raise refused(text, "it is no link, no repository, and no file or folder here", _ALLOWED)


def refused(where: str, why: str, fix: str) -> CommandError:
    """Return the error of a source that cannot be used."""
    return CommandError("The source cannot be used", where=where, why=why, fix=fix, code=USAGE)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # longer than a file name can be
        return False


def _check_name(text: str, name: str) -> None:
    if name.lower().endswith(_PICKLES):
        why = f"{name.rpartition('/')[2]} is a pickle, which can run code when it is read"
        raise refused(text, why, "Use the version of the model in safetensors.")


def _local(path: Path) -> Fields:
    _check_name(str(path), path.name)
    if path.is_dir():
        return {"kind": "folder", "path": str(path.resolve())}
    if path.suffix != ".safetensors":
        raise refused(str(path), "it is neither a folder nor a .safetensors file", _ALLOWED)
    return {"kind": "folder", "checkpoint": str(path.resolve())}


def _s3(text: str) -> Fields:
    _check_name(text, text)
    uri = text if text.endswith((".safetensors", "/")) else f"{text}/"
    if not re.fullmatch(r"s3://[a-z0-9.-]{3,63}/\S*", uri):
        raise refused(text, "it is not like s3://bucket/prefix/", _ALLOWED)
    return {"kind": "s3", "uri": uri}


def _link(text: str, hub_url: str) -> Fields:
    from model_importer.url import secret_in
    from stacks.config.catalogue import is_address

    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    local = host in ("127.0.0.1", "localhost")
    if not host or not is_address(text) or parts.scheme not in ("https", "http" if local else "https"):
        raise refused(text, "it is not a link that starts with https://", _ALLOWED)
    if secret := secret_in(text):
        fix = "Leave it out, and put the token into EASEL_MODEL_TOKEN: the entry is a file that others may read."
        raise refused(urlunsplit(parts._replace(netloc=host, query="")), f"the link contains a secret ({secret})", fix)
    if parts.netloc == urlsplit(hub_url).netloc:
        found = _REPOSITORY.fullmatch(unquote(parts.path.strip("/")))
        if not found:
            raise refused(text, "it is no page of a model", _ALLOWED)
        return _repository(*found.groups())
    _check_name(text, parts.path)
    if version := parse_qs(parts.query).get("modelVersionId"):  # a page of Civitai
        return {"kind": "url", "url": f"{parts.scheme}://{parts.netloc}/api/download/models/{version[0]}"}
    return {"kind": "url", "url": urlunsplit(parts._replace(fragment=""))}


def _repository(name: str, revision: str | None, file: str | None) -> Fields:
    fields: Fields = {"kind": "hub", "repository": name, "revision": revision or "main"}
    if file:
        _check_name(file, file)
        if not file.endswith(".safetensors"):
            raise refused(file, "it is not a .safetensors file", "Name the repository, or a checkpoint in it.")
        fields["file"] = file
    return fields
