"""The import of a single-file checkpoint: from a hub, from S3 and from a URL, into an ordinary release."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import boto3
import pytest

from model_importer.model_folder import check_folder
from tests.checkpoints import original_layout, save_checkpoint, stable_diffusion_1
from tests.model_files import tensors
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


LORA = "loras/flat.safetensors"
TOY = tensors({"emb_params": (2, 64)})


def with_extras(source: dict[str, Any], lora: bytes, lora_source: dict[str, str]) -> dict[str, Any]:
    """Return the source with a LoRA, and an embedding of the hub."""
    toy = {"kind": "hub", "repository": "org/model", "revision": "main", "file": "toy.safetensors"}
    return {
        **source,
        "loras": [{"id": "flat", "sha256": hashlib.sha256(lora).hexdigest(), "source": lora_source}],
        "embeddings": [{"id": "toy", "sha256": hashlib.sha256(TOY).hexdigest(), "source": toy}],
    }


def lora_of(channels: int) -> bytes:
    layer = "lora_unet_conv_in"
    return tensors({f"{layer}.lora_down.weight": (2, channels, 3, 3), f"{layer}.lora_up.weight": (32, 2, 1, 1)})


def test_extras_come_from_links_hubs_and_s3(stage: Stage, checkpoint: bytes, tmp_path: Path) -> None:
    boto3.client("secretsmanager").create_secret(Name="site", SecretString="token-of-site")
    write_files(stage.repository.folder, {NAME: checkpoint, "toy.safetensors": TOY})
    lora = lora_of(4)
    for key, content in ((NAME, checkpoint), ("flat.safetensors", lora)):
        stage.s3.put_object(Bucket="mine", Key=key, Body=content)
    hub = {"kind": "hub", "repository": "org/model", "revision": "main", "file": NAME}
    releases: list[dict[str, bytes]] = []
    with Site(lora, token="token-of-site") as site:
        for base, source in (
            (hub, {"kind": "url", "url": site.link}),
            (hub, {"kind": "s3", "uri": "s3://mine/flat.safetensors"}),
            ({"kind": "s3", "uri": f"s3://mine/{NAME}", "licence": "MIT"}, {"kind": "url", "url": site.link}),
        ):
            fields = with_extras(base, lora, source)
            state = stage.run(source=fields, pipeline="StableDiffusionPipeline", model_token_secret="site")
            assert "error" not in state, state
            releases.append(released(stage, state, tmp_path / str(len(releases))))
            assert state["commits"]["org/model"] == stage.repository.commit
            again = stage.run(source=fields, pipeline="StableDiffusionPipeline", model_token_secret="site")
            assert again["fetched"] == 0
        assert site.tokens == {"home": {"Bearer token-of-site"}, "store": {""}}
    assert releases[0] == releases[1] == releases[2]
    assert (releases[0][LORA], releases[0]["embeddings/toy.safetensors"]) == (lora, TOY)


def test_an_extra_that_does_not_fit_or_is_another_file_is_refused(stage: Stage, checkpoint: bytes) -> None:
    write_files(stage.repository.folder, {NAME: checkpoint, "toy.safetensors": TOY, "flat.safetensors": lora_of(5)})
    base = {"kind": "hub", "repository": "org/model", "revision": "main", "file": NAME}
    stage.s3.put_object(Bucket="mine", Key="flat.safetensors", Body=lora_of(4))
    for digest_of, source, word in (
        (lora_of(5), {**base, "file": "flat.safetensors"}, "does not fit this model"),
        (b"another", {"kind": "s3", "uri": "s3://mine/flat.safetensors"}, "has the sha256"),
    ):
        assert word in stage.run(source=with_extras(base, digest_of, source))["error"]
        assert not any(name.endswith(LORA) for name in stage.released())
