"""Custom resource: puts the built page into its bucket, each file with its type and how long a browser may keep it.

Nothing is taken away: a page that was open before the deploy may still ask for the files that it was built with.
"""

from __future__ import annotations

import io
import mimetypes
import zipfile

import boto3

from .release import BLOCK, RemoteFile, checked_name
from .response import Event, answering

HASHED = "assets/"
"""Below it Vite names each file by its content."""
_KNOWN = mimetypes.MimeTypes()  # its own table: that of the machine may lack what a page needs
_KNOWN.add_type("text/javascript", ".js")  # as RFC 9239 and Python from 3.12 on have it


def publish(event: Event) -> tuple[str, dict[str, str]]:
    """Writes every file of the archive; the entrance comes last, so that it never names a file that is not there."""
    asked = event["ResourceProperties"]
    bucket, source = asked["Bucket"], asked["Source"]
    s3 = boto3.client("s3")
    with zipfile.ZipFile(io.BufferedReader(RemoteFile(s3, source["Bucket"], source["Key"]), BLOCK)) as archive:
        files = {checked_name(member): member for member in archive.infolist() if not member.is_dir()}
        for name in sorted(files, key=turn):
            s3.put_object(
                Bucket=bucket,
                Key=name,
                Body=archive.read(files[name]),
                ContentType=media_type(name),
                CacheControl=cache_control(name),
            )
    print(f"wrote {len(files)} files")
    return bucket, {}


handler = answering(publish)


def turn(name: str) -> tuple[bool, bool]:
    """What others name is there before them."""
    return not name.startswith(HASHED), name == "index.html"


def media_type(name: str) -> str:
    known = _KNOWN.guess_type(name)[0] or "application/octet-stream"
    return f"{known}; charset=utf-8" if known.startswith("text/") else known


def cache_control(name: str) -> str:
    """`no-cache` is kept and asked about each time."""
    return "public, max-age=31536000, immutable" if name.startswith(HASHED) else "no-cache"
