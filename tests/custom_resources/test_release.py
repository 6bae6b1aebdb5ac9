"""The custom resource that writes a release, against moto's S3."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
from typing import Any

import pytest

from custom_resources import release
from tests.custom_resources.cloudformation import CloudFormation, Context

PREFIX = "releases/0123456789abcdef/"
BIG = os.urandom(9 * 1024 * 1024)
"""Larger than the block of a read and the part of an upload."""
PARTS = [{"Bucket": "assets", "Key": f"{name}.zip", "Below": below} for name, below in (("w", ""), ("c", "code/"))]
PROPERTIES = {"Bucket": "store", "Prefix": PREFIX, "Parts": PARTS}


def zip_archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name), body, compression)
    return out.getvalue()


def put_assets(s3: Any, weights: dict[str, bytes], code: dict[str, bytes] | None = None) -> None:
    code_archive = zip_archive(code or {"inference.py": b"pass"}, zipfile.ZIP_STORED)
    s3.put_object(Bucket="assets", Key="w.zip", Body=zip_archive(weights))
    s3.put_object(Bucket="assets", Key="c.zip", Body=code_archive)


def stored(s3: Any) -> dict[str, bytes]:
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="store").get("Contents", [])]
    return {key: s3.get_object(Bucket="store", Key=key)["Body"].read() for key in keys}


def test_weights_and_code_are_written_below_one_prefix(s3: Any, cloudformation: CloudFormation) -> None:
    put_assets(s3, {"unet/": b"", "unet/model.safetensors": BIG, "model_index.json": b"{}"})
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    assert stored(s3) == {
        PREFIX + "code/inference.py": b"pass",
        PREFIX + "model_index.json": b"{}",
        PREFIX + "unet/model.safetensors": BIG,
    }
    uri = f"s3://store/{PREFIX}"
    assert cloudformation.responses == [
        {
            "Status": "SUCCESS",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "resource",
            "PhysicalResourceId": uri,
            "Data": {"Uri": uri},
        }
    ]


def test_the_manifest_has_the_source_and_the_digest_of_every_file(s3: Any, cloudformation: CloudFormation) -> None:
    put_assets(s3, {"model_index.json": b"{}", "unet/model.safetensors": BIG})
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    manifest = json.dumps({"source": {"kind": "folder"}, "licence": "MIT"})
    for _ in range(2):  # with the files but no manifest in the bucket, then with both
        release.handler(cloudformation.event("Create", {**PROPERTIES, "Manifest": manifest}), Context())
        written = json.loads(stored(s3)[PREFIX + "release.json"])
        assert (written["source"], written["licence"]) == ({"kind": "folder"}, "MIT")
        assert {file["path"]: (file["size"], file["digest"]) for file in written["files"]} == {
            path: (len(body), "sha256:" + hashlib.sha256(body).hexdigest())
            for path, body in {
                "code/inference.py": b"pass", "model_index.json": b"{}", "unet/model.safetensors": BIG
            }.items()
        }  # fmt: skip
    assert cloudformation.statuses() == ["SUCCESS"] * 3


def test_a_release_that_is_deployed_again_loses_its_expiry_tag(s3: Any, cloudformation: CloudFormation) -> None:
    put_assets(s3, {"model_index.json": b"{}"})
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    key = PREFIX + "model_index.json"
    s3.put_object_tagging(Bucket="store", Key=key, Tagging={"TagSet": [{"Key": "easel:release", "Value": "x"}]})
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    assert s3.get_object_tagging(Bucket="store", Key=key)["TagSet"] == []


def test_existing_files_of_the_right_size_are_not_written_again(s3: Any, cloudformation: CloudFormation) -> None:
    put_assets(s3, {"model_index.json": b"{}"})
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    assert len(stored(s3)) == 2
    s3.delete_object(Bucket="store", Key=PREFIX + "code/inference.py")
    s3.put_object(Bucket="store", Key=PREFIX + "model_index.json", Body=b"[]")  # of the same size
    release.handler(cloudformation.event("Update", PROPERTIES, PhysicalResourceId="x"), Context())
    assert stored(s3) == {PREFIX + "model_index.json": b"[]", PREFIX + "code/inference.py": b"pass"}
    assert cloudformation.statuses() == ["SUCCESS", "SUCCESS"]


def test_every_byte_is_fetched_once(s3: Any, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    readinto = release.RemoteFile.readinto

    def count(self: Any, buffer: Any) -> int:
        fetched.append(readinto(self, buffer))
        return fetched[-1]

    monkeypatch.setattr(release.RemoteFile, "readinto", count)
    put_assets(s3, {"a.safetensors": BIG, "b.safetensors": BIG})
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    assert cloudformation.statuses() == ["SUCCESS"]
    assert sum(fetched) < 2 * len(BIG) + 2 * release.BLOCK


def test_an_error_is_sent_before_the_time_runs_out(s3: Any, cloudformation: CloudFormation) -> None:
    """Without a response CloudFormation waits, and then fails without a reason."""
    put_assets(s3, {"model_index.json": b"{}", "unet/model.safetensors": BIG})
    release.handler(cloudformation.event("Create", PROPERTIES), Context(left_ms=release.RESPONSE_MS - 1))
    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith("TooLargeError: ")
    assert "s3://…/" in response["Reason"]
    assert stored(s3) == {}


def test_a_file_of_the_wrong_size_is_written_again(s3: Any, cloudformation: CloudFormation) -> None:
    put_assets(s3, {"model_index.json": b"{}"})
    s3.put_object(Bucket="store", Key=PREFIX + "model_index.json", Body=b"")
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    assert stored(s3)[PREFIX + "model_index.json"] == b"{}"
    assert cloudformation.statuses() == ["SUCCESS"]


def test_a_deletion_keeps_the_files(s3: Any, cloudformation: CloudFormation) -> None:
    put_assets(s3, {"model_index.json": b"{}"})
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    delete = cloudformation.event("Delete", PROPERTIES, PhysicalResourceId="s3://store/old/")
    release.handler(delete, Context())
    assert len(stored(s3)) == 2
    response = cloudformation.responses[1]
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", "s3://store/old/")


@pytest.mark.parametrize(
    "name", ["../jobs/x", "/etc/passwd", "a/../../b", "a//b", "./a", "a/./b", "a\\b", "..", "n" * 256, "ü" * 128]
)
def test_an_unsafe_name_is_refused(s3: Any, cloudformation: CloudFormation, name: str) -> None:
    put_assets(s3, {name: b"x"})
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith("UnsafeNameError: ")
    assert stored(s3) == {}


def test_a_symbolic_link_is_refused() -> None:
    member = zipfile.ZipInfo("weights")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(release.UnsafeNameError):
        release.checked_name(member)


def test_an_error_of_aws_is_sent_with_the_log_stream(s3: Any, cloudformation: CloudFormation) -> None:
    release.handler(cloudformation.event("Create", PROPERTIES), Context())
    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    assert "404" in response["Reason"]
    assert response["Reason"].endswith("(log: stream)")


def test_a_remote_file_can_seek(s3: Any) -> None:
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
