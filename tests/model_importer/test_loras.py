"""LoRAs and embeddings that an import brings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import boto3
import pytest

from tests.model_files import UNET_OF_LORA, lora, tensors
from tests.model_importer.conftest import Stage
from tests.model_importer.example import LARGE, SOURCE, write_files
from tests.model_importer.site import Site

FILE = "loras/flat.safetensors"
LARGE_LORA = lora(rank=1000)


def entry(content: bytes, **source: str) -> dict[str, Any]:
    other = {"source": {"kind": "hub", "repository": "org/model", "revision": "main", **source}} if source else {}
    return {**SOURCE, "loras": [{"id": "flat", "sha256": hashlib.sha256(content).hexdigest(), **other}]}


@pytest.fixture
def hub(stage: Stage) -> Stage:
    write_files(
        stage.repository.folder, {LARGE: tensors(UNET_OF_LORA), "styles/a.safetensors": LARGE_LORA, FILE: lora()}
    )
    return stage


def test_it_is_beside_the_model_or_in_a_repository_of_its_own(hub: Stage) -> None:
    beside = hub.run(source=entry(lora()))
    assert hub.released(beside["prefix"])[FILE] == lora()
    other = hub.run(source=entry(LARGE_LORA, file="styles/a.safetensors"))
    released = hub.released(other["prefix"])
    assert released[FILE] == LARGE_LORA
    digests = {file["path"]: file["digest"] for file in json.loads(released["release.json"])["files"]}
    assert digests[FILE] == f"sha256:{hashlib.sha256(LARGE_LORA).hexdigest()}"
    assert FILE not in hub.released(hub.run()["prefix"])


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (entry(b"another"), "has the sha256"),
        (entry(b"another", file="styles/a.safetensors"), "has the digest"),
        (entry(lora(), file="styles/b.safetensors"), "There is no styles/b.safetensors in org/model"),
    ],
)
def test_another_file_is_refused(hub: Stage, source: dict[str, Any], word: str) -> None:
    state = hub.run(source=source)
    assert word in state["error"]


def test_a_lora_of_another_base_is_refused_before_anything_is_written(hub: Stage) -> None:
    content = lora(channels=9)
    write_files(hub.repository.folder, {FILE: content})
    assert "does not fit this model" in hub.run(source=entry(content))["error"]
    assert [item["Key"] for item in hub.s3.list_objects_v2(Bucket="store")["Contents"]] == ["imports/1.json"]


@pytest.mark.parametrize("width", [32, 33])
def test_an_embedding_is_imported_as_a_lora_is(hub: Stage, width: int) -> None:
    path, content = "embeddings/toy.safetensors", tensors({"emb_params": (2, width)})
    encoder = tensors({"text_model.embeddings.token_embedding.weight": (60, 32)})
    write_files(hub.repository.folder, {path: content, "text_encoder/model.fp16.safetensors": encoder})
    item = {"id": "toy", "sha256": hashlib.sha256(content).hexdigest()}
    state = hub.run(source={**SOURCE, "embeddings": [item]})
    if width == 32:
        assert hub.released(state["prefix"])[path] == content
    else:
        assert f"{path} does not fit this model" in state["error"]


def elsewhere(content: bytes, base: dict[str, Any], **source: str) -> dict[str, Any]:
    return {**base, "loras": [{"id": "flat", "sha256": hashlib.sha256(content).hexdigest(), "source": source}]}


@pytest.fixture
def prefix(hub: Stage) -> dict[str, Any]:
    """The same model in S3."""
    for path in hub.repository.folder.rglob("*"):
        if path.is_file() and "loras" not in path.parts:
            hub.s3.put_object(
                Bucket="mine", Key=f"model/{path.relative_to(hub.repository.folder)}", Body=path.read_bytes()
            )
    return {"kind": "s3", "uri": "s3://mine/model/", "variant": "fp16", "licence": "MIT"}


@pytest.mark.parametrize("content", [lora(), LARGE_LORA], ids=["small", "large"])
def test_it_comes_from_a_link_or_an_object_or_a_hub(hub: Stage, prefix: dict[str, Any], content: bytes) -> None:
    hub.s3.put_object(Bucket="mine", Key="styles/a.safetensors", Body=content)
    write_files(hub.repository.folder, {"styles/a.safetensors": content})
    repository = {"kind": "hub", "repository": "org/model", "revision": "main", "file": "styles/a.safetensors"}
    with Site(content) as site:
        sources: list[dict[str, str]] = [{"kind": "url", "url": site.link},
                                         {"kind": "s3", "uri": "s3://mine/styles/a.safetensors"}]  # fmt: skip
        for base, found in ((SOURCE, sources), (prefix, [*sources, repository])):
            for source in found:
                state = hub.run(source=elsewhere(content, base, **source))
                assert "error" not in state, state
                assert hub.released(state["prefix"])[FILE] == content
                assert hub.run(source=elsewhere(content, base, **source))["fetched"] == 0
    assert state["commits"] == {"org/model": hub.repository.commit}


def test_a_link_gets_its_own_token_and_its_store_none(hub: Stage) -> None:
    secrets = boto3.client("secretsmanager")
    for name in ("hub", "site"):
        secrets.create_secret(Name=name, SecretString=f"token-of-{name}")
    with Site(lora(), token="token-of-site") as site:
        source = elsewhere(lora(), SOURCE, kind="url", url=site.link)
        refused = hub.run(source=source, token_secret="hub")["error"]
        assert "'flat'" in refused and "model_token_secret" in refused
        assert "error" not in hub.run(source=source, token_secret="hub", model_token_secret="site")
        assert site.tokens == {"home": {"", "Bearer token-of-site"}, "store": {""}}


@pytest.mark.parametrize("size", ["small", "large"])
def test_another_file_behind_a_link_or_in_s3_is_refused(hub: Stage, size: str) -> None:
    content, other = (lora(), lora(rank=3)) if size == "small" else (LARGE_LORA, lora(rank=1001))
    hub.s3.put_object(Bucket="mine", Key="styles/a.safetensors", Body=other)
    with Site(other) as site:
        for source in ({"kind": "url", "url": site.link}, {"kind": "s3", "uri": "s3://mine/styles/a.safetensors"},
                       {"kind": "s3", "uri": "s3://mine/styles/b.safetensors"}):  # fmt: skip
            assert hub.run(source=elsewhere(content, SOURCE, **source))["error"]
            assert not any(name.endswith(FILE) for name in hub.released())
