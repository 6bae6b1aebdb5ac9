"""The store in an S3 bucket."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from botocore import exceptions as botocore
from botocore.config import Config

from aws.clients import create_client
from aws.errors import client_config, translate
from contract import EaselError

LINK_SECONDS = 900
"""Longest lifetime of a link."""
_TRIES = 3
"""Attempts of a conditional write that conflicts with another."""
_MISSING_SECONDS, _MISSING_KEYS = 10, 1000
"""How long, and for how many keys, it is remembered that an object is missing."""


class BucketStore:
    """Implements `jobs.ports.Store`."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._missing: dict[str, float] = {}

    @cached_property
    def _s3(self) -> Any:
        signing = Config(
            signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        )
        return create_client("s3", client_config(5).merge(signing))

    def read(self, key: str) -> bytes | None:
        try:
            return self._get(key)
        except EaselError as error:
            if not _is_denied(error.__cause__):
                raise
        if not self._exists(key):
            return None
        return self._get(key)  # it was written meanwhile, or the right to read it is gone

    def _get(self, key: str) -> bytes | None:
        try:
            with _translated():
                body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
                return body
        except _NoSuchKeyError:
            return None

    def _exists(self, key: str) -> bool:
        """Look a key up in the list: for a missing object S3 responds 403 to a role that may only list by prefix.

        Callers poll, so the result "missing" is valid for some seconds.
        """
        if time.monotonic() < self._missing.get(key, 0):
            return False
        with _translated():
            page = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
        if any(entry["Key"] == key for entry in page.get("Contents", ())):
            return True
        if len(self._missing) >= _MISSING_KEYS:
            self._missing.clear()
        self._missing[key] = time.monotonic() + _MISSING_SECONDS
        return False

    def create(self, key: str, body: bytes) -> bool:
        for _ in range(_TRIES):
            try:
                with _translated():
                    self._put(key, body, "application/json", IfNoneMatch="*")
                return True
            except _KeyExistsError:
                return False
            except _ConflictError:
                continue
        raise EaselError("upstream_unavailable", "the store is busy")

    def write(self, key: str, body: bytes, media_type: str = "application/json") -> None:
        with _translated():
            self._put(key, body, media_type)

    def delete(self, key: str) -> None:
        with _translated():
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    def list(self, prefix: str, limit: int) -> Sequence[str]:
        with _translated():
            found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix, Delimiter="/", MaxKeys=limit)
        keys = [entry["Prefix"] for entry in found.get("CommonPrefixes", ())]
        keys += [entry["Key"] for entry in found.get("Contents", ())]
        return sorted(key[len(prefix) :].rstrip("/") for key in keys)

    def link(self, key: str, seconds: int) -> str:
        with _translated():
            target = {"Bucket": self._bucket, "Key": key}
            url: str = self._s3.generate_presigned_url("get_object", target, ExpiresIn=min(seconds, LINK_SECONDS))
            return url

    def key_of(self, uri: str) -> str | None:
        """Return the key of an `s3://` URI in this bucket, or None for other URIs."""
        prefix = f"s3://{self._bucket}/"
        return uri[len(prefix) :] if uri.startswith(prefix) else None

    def uri_of(self, key: str) -> str:
        """Return the `s3://` URI of a key."""
        return f"s3://{self._bucket}/{key}"

    def _put(self, key: str, body: bytes, media_type: str, **condition: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=media_type, **condition)


def _is_denied(error: BaseException | None) -> bool:
    return isinstance(error, botocore.ClientError) and error.response.get("Error", {}).get("Code") == "AccessDenied"


class _NoSuchKeyError(Exception):
    """The object does not exist."""


class _KeyExistsError(Exception):
    """The object exists already."""


class _ConflictError(Exception):
    """Another conditional write ran at the same time; a retry is safe."""


_STORE_ERRORS = {
    "NoSuchKey": _NoSuchKeyError,
    "404": _NoSuchKeyError,
    "PreconditionFailed": _KeyExistsError,
    "412": _KeyExistsError,
    "ConditionalRequestConflict": _ConflictError,
}


@contextmanager
def _translated() -> Iterator[None]:
    """Raise exceptions of boto3 as those above, else as EaselErrors."""
    try:
        yield
    except botocore.ClientError as error:
        kind = _STORE_ERRORS.get(error.response.get("Error", {}).get("Code", ""))
        raise (kind() if kind else translate(error)) from error
    except botocore.ReadTimeoutError as error:
        raise EaselError("upstream_unavailable", "the store did not respond in time") from error
    except botocore.BotoCoreError as error:
        raise translate(error) from error
