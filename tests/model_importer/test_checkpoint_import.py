"""The import of a single-file checkpoint: from a hub, from S3 and from a URL, into an ordinary release."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import boto3
import pytest

from model_importer.model_folder import check_folder
from tests.checkpoints import original_layout, save_checkpoint, stable_diffusion_1
from tests.model_importer.conftest import Stage
from tests.model_importer.example import write_files
from tests.model_importer.site import Site

NAME = "panda.safetensors"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / NAME
    return save_checkpoint(original_layout(stable_diffusion_1(), "sd-1"), path).read_bytes()


def released(stage: Stage, state: dict[str, Any], folder: Path) -> dict[str, bytes]:
    files = stage.released(state["prefix"])
    write_files(folder, {name: content for name, content in files.items() if name != "release.json"})
    check_folder(folder)
    return {name: content for name, content in files.items() if name != "release.json"}


def test_all_origins_give_the_same_release(stage: Stage, checkpoint: bytes, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(checkpoint).hexdigest()
    write_files(stage.repository.folder, {NAME: checkpoint})
    stage.s3.put_object(Bucket="mine", Key=f"a/{NAME}", Body=checkpoint)
    with Site(checkpoint) as site:
        sources: list[dict[str, Any]] = [
            {"kind": "hub", "repository": "org/model", "revision": "main", "file": NAME},
            {"kind": "s3", "uri": f"s3://mine/a/{NAME}", "licence": "MIT"},
            {"kind": "url", "url": site.link, "sha256": sha256, "licence": "MIT"},
        ]
        releases = []
        for number, source in enumerate(sources):
            state = stage.run(source=source, pipeline="StableDiffusionPipeline")
            releases.append(released(stage, state, tmp_path / str(number)))
            assert stage.run(source=source, pipeline="StableDiffusionPipeline")["fetched"] == 0
        assert releases[0] == releases[1] == releases[2]
        assert len(releases[0]) == 12


def test_the_site_of_a_link_gets_no_token_of_the_hub(stage: Stage, checkpoint: bytes) -> None:
    secrets = boto3.client("secretsmanager")
    for name in ("hub", "site"):
        secrets.create_secret(Name=name, SecretString=f"token-of-{name}")
    source = {"kind": "url", "sha256": hashlib.sha256(checkpoint).hexdigest(), "licence": "MIT"}
    with Site(checkpoint, token="token-of-site") as site:
        source["url"] = site.link
        assert "model_token_secret" in stage.run(source=source, token_secret="hub")["error"]
        assert "error" not in stage.run(source=source, token_secret="hub", model_token_secret="site")
        assert site.tokens == {"home": {"", "Bearer token-of-site"}, "store": {""}}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"kind": "url", "sha256": "0" * 64}, "sha256"),
        ({"kind": "url"}, "Set `sha256`"),
        ({"kind": "hub", "repository": "org/model", "revision": "main", "file": "no.safetensors"}, "no.safetensors"),
        ({"kind": "s3", "uri": "s3://mine/no.safetensors"}, "s3://mine/no.safetensors"),
    ],
)
def test_what_cannot_be_verified_is_refused(
    stage: Stage, checkpoint: bytes, source: dict[str, Any], named: str
) -> None:
    with Site(checkpoint) as site:
        fields = {"url": site.link, "licence": "MIT", **source} if source["kind"] == "url" else source
        assert named in stage.run(source=fields)["error"]
    assert stage.released() == {}


def test_the_wrong_class_and_pickles_are_refused(stage: Stage, checkpoint: bytes) -> None:
    source = {"kind": "hub", "repository": "org/model", "revision": "main", "file": NAME}
    write_files(stage.repository.folder, {NAME: checkpoint})
    assert "StableDiffusionXLPipeline" in stage.run(source=source, pipeline="StableDiffusionXLPipeline")["error"]
    for content, named in (
        (b"PK\3\4" + b"x" * 100, "pickle"),
        (b"\x80\x02}q" + b"x" * 100, "pickle"),
        (b"GGUF" * 9, "GGUF"),
    ):
        with Site(content) as site:
            fields = {"kind": "url", "url": site.link, "sha256": "0" * 64, "licence": "MIT"}
            assert named in stage.run(source=fields)["error"]
