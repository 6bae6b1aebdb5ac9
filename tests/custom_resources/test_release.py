"""The custom resource that makes a release, against an S3 of moto's."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from custom_resources import release

PREFIX = "releases/0123456789abcdef/"
BIG = os.urandom(9 * 1024 * 1024)
"""Over the block of a read and the part of an upload."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        for bucket in ("assets", "store"):
            client.create_bucket(Bucket=bucket)
        yield client


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What CloudFormation was told."""
    sent: list[dict[str, Any]] = []

    def urlopen(request: Any, timeout: float) -> io.BytesIO:
        assert (request.method, request.full_url) == ("PUT", "https://cloudformation/answer")
        sent.append(json.loads(request.data))
        return io.BytesIO()

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return sent


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name), body, compression)
    return out.getvalue()


def event(kind: str = "Create", **more: str) -> dict[str, Any]:
    parts = [{"Bucket": "assets", "Key": f"{name}.zip", "Below": below} for name, below in (("w", ""), ("c", "code/"))]
    return {
        "RequestType": kind,
        "ResponseURL": "https://cloudformation/answer",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Release",
        "ResourceProperties": {"Bucket": "store", "Prefix": PREFIX, "Parts": parts},
        **more,
    }


@dataclass
class Context:
    log_stream_name: str = "stream"
    left: int = 900_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left


def put_assets(s3: Any, weights: dict[str, bytes], code: dict[str, bytes] | None = None) -> None:
    s3.put_object(Bucket="assets", Key="w.zip", Body=zipped(weights))
    s3.put_object(Bucket="assets", Key="c.zip", Body=zipped(code or {"inference.py": b"pass"}, zipfile.ZIP_STORED))


def stored(s3: Any) -> dict[str, bytes]:
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="store").get("Contents", [])]
    return {key: s3.get_object(Bucket="store", Key=key)["Body"].read() for key in keys}


def test_weights_and_code_lie_together(s3: Any, told: list[dict[str, Any]]) -> None:
    put_assets(s3, {"unet/": b"", "unet/model.safetensors": BIG, "model_index.json": b"{}"})
    release.handler(event(), Context())
    assert stored(s3) == {
        PREFIX + "code/inference.py": b"pass",
        PREFIX + "model_index.json": b"{}",
        PREFIX + "unet/model.safetensors": BIG,
    }
    uri = f"s3://store/{PREFIX}"
    (answered,) = told
    assert answered == {
        "Status": "SUCCESS",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Release",
        "PhysicalResourceId": uri,
        "Data": {"Uri": uri},
    }


def test_a_manifest_tells_where_from_and_the_digest_of_every_file(s3: Any, told: list[dict[str, Any]]) -> None:
    put_assets(s3, {"model_index.json": b"{}", "unet/model.safetensors": BIG})
    asked = event()
    release.handler(asked, Context())
    asked["ResourceProperties"]["Manifest"] = json.dumps({"source": {"kind": "folder"}, "licence": "MIT"})
    for _ in range(2):
        release.handler(asked, Context())  # the files are there, the manifest is not; then both
        manifest = json.loads(stored(s3)[PREFIX + "release.json"])
        assert (manifest["source"], manifest["licence"]) == ({"kind": "folder"}, "MIT")
        assert {file["path"]: (file["size"], file["digest"]) for file in manifest["files"]} == {
            path: (len(body), "sha256:" + hashlib.sha256(body).hexdigest())
            for path, body in {
                "code/inference.py": b"pass", "model_index.json": b"{}", "unet/model.safetensors": BIG
            }.items()
        }  # fmt: skip
    assert [answered["Status"] for answered in told] == ["SUCCESS"] * 3


def test_a_release_that_was_to_expire_is_kept(s3: Any, told: list[dict[str, Any]]) -> None:
    put_assets(s3, {"model_index.json": b"{}"})
    release.handler(event(), Context())
    key = PREFIX + "model_index.json"
    s3.put_object_tagging(Bucket="store", Key=key, Tagging={"TagSet": [{"Key": "easel:release", "Value": "x"}]})
    release.handler(event(), Context())
    assert s3.get_object_tagging(Bucket="store", Key=key)["TagSet"] == []


def test_a_second_run_copies_nothing(s3: Any, told: list[dict[str, Any]]) -> None:
    put_assets(s3, {"model_index.json": b"{}"})
    release.handler(event(), Context())
    written = {item["Key"]: item["LastModified"] for item in s3.list_objects_v2(Bucket="store")["Contents"]}
    s3.delete_object(Bucket="store", Key=PREFIX + "code/inference.py")
    s3.put_object(Bucket="store", Key=PREFIX + "model_index.json", Body=b"[]")  # as long as the right one
    release.handler(event("Update", PhysicalResourceId="x"), Context())
    assert stored(s3) == {PREFIX + "model_index.json": b"[]", PREFIX + "code/inference.py": b"pass"}
    assert len(written) == 2
    assert [answered["Status"] for answered in told] == ["SUCCESS", "SUCCESS"]


def test_every_byte_is_fetched_once(s3: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    readinto = release.RemoteFile.readinto

    def counted(self: Any, buffer: Any) -> int:
        fetched.append(readinto(self, buffer))
        return fetched[-1]

    monkeypatch.setattr(release.RemoteFile, "readinto", counted)
    put_assets(s3, {"a.safetensors": BIG, "b.safetensors": BIG})
    release.handler(event(), Context())
    assert told[0]["Status"] == "SUCCESS"
    assert sum(fetched) < 2 * len(BIG) + 2 * release.BLOCK


def test_a_folder_that_takes_too_long_is_told_in_time(s3: Any, told: list[dict[str, Any]]) -> None:
    """A function that ends without an answer lets CloudFormation wait, and fail without a reason."""
    put_assets(s3, {"model_index.json": b"{}", "unet/model.safetensors": BIG})
    release.handler(event(), Context(left=release.LAST_MS - 1))
    (answered,) = told
    assert answered["Status"] == "FAILED"
    assert "too large to be unpacked by a function" in answered["Reason"]
    assert "name their s3://…/ in the entry" in answered["Reason"]
    assert stored(s3) == {}


def test_a_file_that_is_cut_off_is_written_again(s3: Any, told: list[dict[str, Any]]) -> None:
    put_assets(s3, {"model_index.json": b"{}"})
    s3.put_object(Bucket="store", Key=PREFIX + "model_index.json", Body=b"")
    release.handler(event(), Context())
    assert stored(s3)[PREFIX + "model_index.json"] == b"{}"
    assert told[0]["Status"] == "SUCCESS"


def test_deleting_leaves_releases_to_the_bucket(s3: Any, told: list[dict[str, Any]]) -> None:
    put_assets(s3, {"model_index.json": b"{}"})
    release.handler(event(), Context())
    release.handler(event("Delete", PhysicalResourceId="s3://store/old/"), Context())
    assert len(stored(s3)) == 2
    assert (told[1]["Status"], told[1]["PhysicalResourceId"]) == ("SUCCESS", "s3://store/old/")


@pytest.mark.parametrize(
    "name", ["../jobs/x", "/etc/passwd", "a/../../b", "a//b", "./a", "a/./b", "a\\b", "..", "n" * 256, "ü" * 128]
)
def test_a_name_that_leaves_the_release_is_refused(s3: Any, told: list[dict[str, Any]], name: str) -> None:
    put_assets(s3, {name: b"x"})
    release.handler(event(), Context())
    assert told[0]["Status"] == "FAILED"
    assert told[0]["Reason"].startswith("RefusedError: ")
    assert stored(s3) == {}


def test_a_symbolic_link_is_refused() -> None:
    member = zipfile.ZipInfo("weights")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(release.RefusedError, match="symbolic link"):
        release.checked_name(member)


def test_what_goes_wrong_is_told_and_never_waited_out(s3: Any, told: list[dict[str, Any]]) -> None:
    release.handler(event(), Context())
    (answered,) = told
    assert answered["Status"] == "FAILED"
    assert "404" in answered["Reason"]
    assert answered["Reason"].endswith("(log: stream)")


def test_an_archive_is_read_in_pieces(s3: Any) -> None:
    s3.put_object(Bucket="assets", Key="w.zip", Body=b"0123456789")
    remote = release.RemoteFile(s3, "assets", "w.zip")
    assert remote.readable()
    assert remote.seekable()
    assert remote.seek(-3, io.SEEK_END) == 7
    assert remote.read(9) == b"789"
    assert remote.read(1) == b""
    assert remote.seek(2) == remote.tell() == 2
    assert remote.seek(2, io.SEEK_CUR) == 4
    assert remote.read(2) == b"45"
