"""Custom resource: writes the built page into its bucket, each file with its media type and cache time.

It deletes nothing: a page that was opened before the deploy may still request the files of its own build.
"""

from __future__ import annotations

import io
import json
import mimetypes
import zipfile
from collections.abc import Mapping
from html import escape

import boto3

from .release import BLOCK, RemoteFile, checked_name
from .response import Event, Result, make_handler

INDEX = "index.html"
HASHED = "assets/"
"""Files below have a hash of their content in their name, set by Vite."""
_MEDIA_TYPES = mimetypes.MimeTypes()  # not the machine's table, which may lack types that a page needs
_MEDIA_TYPES.add_type("text/javascript", ".js")  # as in RFC 9239 and Python from 3.12 on


def publish(event: Event) -> Result:
    """Write every file of the archive, index.html last, so that it never names a file that does not exist yet.

    `SignIn`: what the page needs to know for the sign-in; it goes into index.html.
    """
    properties = event["ResourceProperties"]
    bucket, source, sign_in = properties["Bucket"], properties["Source"], properties.get("SignIn")
    s3 = boto3.client("s3")
    with zipfile.ZipFile(io.BufferedReader(RemoteFile(s3, source["Bucket"], source["Key"]), BLOCK)) as archive:
        files = {checked_name(member): member for member in archive.infolist() if not member.is_dir()}
        for name in sorted(files, key=write_order):
            body = archive.read(files[name])
            s3.put_object(
                Bucket=bucket,
                Key=name,
                Body=configured(body, sign_in) if sign_in and name == INDEX else body,
                ContentType=media_type(name),
                CacheControl=cache_control(name),
            )
    print(f"wrote {len(files)} files")
    return bucket, {}


handler = make_handler(publish)


def write_order(name: str) -> tuple[bool, bool]:
    """Return a sort key that puts files before those that refer to them."""
    return not name.startswith(HASHED), name == INDEX


def configured(index: bytes, sign_in: Mapping[str, str]) -> bytes:
    """Return index.html with the configuration of the sign-in. Raises ValueError: it is no page."""
    head, end, rest = index.partition(b"</head>")
    if not end:
        raise ValueError(f"{INDEX} has no </head>")
    content = escape(json.dumps(dict(sign_in)), quote=True)
    return head + f'<meta name="easel-sign-in" content="{content}" />'.encode() + end + rest


def media_type(name: str) -> str:
    known = _MEDIA_TYPES.guess_type(name)[0] or "application/octet-stream"
    return f"{known}; charset=utf-8" if known.startswith("text/") else known


def cache_control(name: str) -> str:
    """Return the Cache-Control header. With `no-cache` a browser keeps the file and revalidates it each time."""
    return "public, max-age=31536000, immutable" if name.startswith(HASHED) else "no-cache"
