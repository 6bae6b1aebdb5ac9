"""A stage for the importer: a hub on loopback and a bucket of moto."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from model_importer import __main__ as program
from model_importer.stream import PIECE
from tests.conftest import skip_waits
from tests.model_files import safetensors
from tests.model_importer.example import LARGE, LEFT_OUT, SOURCE, TAKEN, write_files
from tests.model_importer.hub import LFS_BYTES, HubServer, Repository


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_waits(monkeypatch, "model_importer")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        # moto takes the checksum of the parts for that of a whole object copied from them
        client = boto3.client("s3", config=Config(response_checksum_validation="when_required"))
        for bucket in ("store", "mine"):
            client.create_bucket(Bucket=bucket)
        yield client


@dataclass
class Stage:
    """A hub with one repository, and the bucket `store`."""

    s3: Any
    server: HubServer
    repository: Repository

    def variables(self, **changes: Any) -> dict[str, str]:
        """Return the variables that CodeBuild gives to the program."""
        request = {"bucket": "store", "state": "imports/1.json", "code": "c0de", "hub_url": self.server.url}
        return {"EASEL_IMPORT": json.dumps({**request, "source": SOURCE, **changes})}

    def run(self, **changes: Any) -> dict[str, Any]:
        """Run the program as CodeBuild does. Return the state that it writes."""
        self.server.requests.clear()
        self.server.sent.clear()
        os.environ.update(self.variables(**changes))
        try:
            exit_code = program.main()
        finally:
            del os.environ["EASEL_IMPORT"]
        state: dict[str, Any] = json.loads(self.s3.get_object(Bucket="store", Key="imports/1.json")["Body"].read())
        assert exit_code == ("error" in state)
        return state

    def released(self, prefix: str = "releases/") -> dict[str, bytes]:
        """Return the objects below `prefix`."""
        listed = self.s3.list_objects_v2(Bucket="store", Prefix=prefix).get("Contents", [])
        return {
            item["Key"].removeprefix(prefix): self.s3.get_object(Bucket="store", Key=item["Key"])["Body"].read()
            for item in listed
        }

    def part_count(self) -> int:
        """Return the number of parts of all open uploads."""
        uploads = self.s3.list_multipart_uploads(Bucket="store").get("Uploads", [])
        identities = ({"Bucket": "store", "Key": upload["Key"], "UploadId": upload["UploadId"]} for upload in uploads)
        return sum(len(self.s3.list_parts(**identity).get("Parts", ())) for identity in identities)


@pytest.fixture
def stage(s3: Any, tmp_path: Path) -> Iterator[Stage]:
    repository = Repository(write_files(tmp_path / "model", {**TAKEN, **LEFT_OUT}))
    with HubServer(repository) as server:
        yield Stage(s3, server, repository)


@pytest.fixture
def large(stage: Stage) -> bytes:
    """The content of a file that is fetched in three ranges."""
    content = safetensors(os.urandom(PIECE * 2 + LFS_BYTES))
    write_files(stage.repository.folder, {LARGE: content})
    return content
