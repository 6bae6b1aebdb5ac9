"""Imports from a hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from model_importer import __main__ as program
from model_importer import connection, hub
from model_importer.errors import ModelImportError
from tests.model_importer.conftest import Stage
from tests.model_importer.example import LARGE, SOURCE, TAKEN, WEIGHTS, write_files
from tests.model_importer.hub import API


def test_a_release_holds_exactly_one_variant(stage: Stage) -> None:
    state = stage.run()
    released = stage.released(state["prefix"])
    manifest = json.loads(released.pop("release.json"))
    assert released == TAKEN
    assert re.fullmatch(r"releases/[0-9a-f]{16}/", state["prefix"])
    assert (state["commits"], state["licence"]) == ({"org/model": "c" * 40}, "openrail++")
    assert state["files"] == [len(TAKEN)] * 2
    assert state["bytes"] == [sum(map(len, TAKEN.values()))] * 2
    assert (manifest["source"], manifest["commits"], manifest["licence"]) == (SOURCE, state["commits"], "openrail++")
    sizes = [(file["path"], file["size"]) for file in manifest["files"]]
    assert sizes == [(path, len(content)) for path, content in sorted(TAKEN.items())]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}", file["digest"]) for file in manifest["files"])


def test_a_second_import_copies_nothing_and_sends_no_request(stage: Stage) -> None:
    first = stage.run()
    before = {item["Key"]: item["LastModified"] for item in stage.s3.list_objects_v2(Bucket="store")["Contents"]}
    stage.repository.removed = True
    second = stage.run()
    after = {item["Key"]: item["LastModified"] for item in stage.s3.list_objects_v2(Bucket="store")["Contents"]}
    assert (second["prefix"], second["fetched"], stage.server.requests) == (first["prefix"], 0, [])
    assert {**after, "imports/1.json": 0} == {**before, "imports/1.json": 0}


def test_a_branch_that_moved_changes_nothing(stage: Stage) -> None:
    first = stage.run()
    stage.repository.commit = "d" * 40
    write_files(stage.repository.folder, {"unet/config.json": b'{"a": 2}'})
    assert stage.run()["prefix"] == first["prefix"]
    moved = stage.run(source={**SOURCE, "revision": "d" * 40})
    assert moved["prefix"] != first["prefix"]
    assert (moved["commits"], moved["fetched"]) == ({"org/model": "d" * 40}, 1)
    assert stage.released(moved["prefix"])["unet/config.json"] == b'{"a": 2}'


def test_another_code_makes_another_release_from_copies_inside_s3(stage: Stage) -> None:
    first = stage.run()
    second = stage.run(code="c1de")
    assert (second["fetched"], stage.server.requests) == (0, [])
    assert second["prefix"] != first["prefix"]
    released = stage.released(second["prefix"])
    del released["release.json"]
    assert released == TAKEN


def test_a_file_with_a_wrong_digest_is_not_kept(stage: Stage, large: bytes) -> None:
    stage.repository.damaged.add(LARGE)
    error = stage.run()["error"]
    assert LARGE in error and len(re.findall(r"\b[0-9a-f]{64}\b", error)) == 2
    assert not any(key.endswith(LARGE) for key in stage.released())
    assert stage.s3.list_multipart_uploads(Bucket="store").get("Uploads", []) == []
    stage.repository.damaged.clear()
    assert stage.run()["fetched"] == 1


def test_a_small_file_is_checked_by_its_git_sha1(stage: Stage) -> None:
    stage.repository.damaged.add("tokenizer/vocab.json")
    assert re.search(r"tokenizer/vocab\.json .*git-sha1 [0-9a-f]{40}", stage.run()["error"])
    assert not any(key.endswith("vocab.json") for key in stage.released())


@pytest.mark.parametrize(
    "content",
    [b'{"auto_map": {"AutoModel": "evil.Model"}}', b"../../../etc/passwd"],
    ids=["settings that ask for code", "what git stores for a symbolic link"],
)
def test_unsafe_settings_are_refused(stage: Stage, content: bytes) -> None:
    write_files(stage.repository.folder, {"unet/config.json": content})
    assert "unet/config.json" in stage.run()["error"]


def test_dropped_connections_and_short_failures_are_retried(stage: Stage, large: bytes) -> None:
    stage.repository.dropped_connections.update({LARGE: 3, "tokenizer/merges.txt": 1})
    stage.repository.failures, stage.repository.expired = 3, 1
    state = stage.run()
    assert stage.released(state["prefix"])[LARGE] == large
    assert state["bytes"] == [sum(map(len, TAKEN.values())) - len(TAKEN[LARGE]) + len(large)] * 2


def test_a_dropped_metadata_response_is_retried(stage: Stage) -> None:
    stage.repository.dropped_connections[API] = 5
    assert "error" not in stage.run()


def test_a_hub_that_always_drops_connections_is_not_a_bug(stage: Stage) -> None:
    stage.repository.dropped_connections[API] = 10_000
    error = stage.run()["error"]
    assert "6 times" in error and "bug" not in error


@pytest.mark.parametrize(("retry_after", "waited"), [("86400", connection.MAX_RETRY_SECONDS), ("7", 7), ("soon", None)])
def test_retry_after_is_obeyed_up_to_a_limit(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, retry_after: str, waited: int | None
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    stage.repository.failures, stage.repository.retry_after = 1, retry_after
    assert "error" not in stage.run()
    assert waited is None or waited in slept
    assert max(slept, default=0) <= connection.MAX_RETRY_SECONDS


@pytest.mark.parametrize(
    "target", ["http://hub.example.org/x", "http://169.254.169.254/", "file:///etc/passwd", "http://["]
)
def test_redirects_must_use_https(target: str) -> None:
    """The hub's digests are trusted, so nobody in between may change them."""
    secure = hub.Hub("https://hub.example.org", "org/model", "hf_secret")
    with pytest.raises(ModelImportError, match="HTTPS"):
        secure._redirect_url("https://hub.example.org/a", target)
    for allowed in ("https://hub.example.org/b", "https://store.example.org/b"):
        assert secure._redirect_url("https://hub.example.org/a", allowed) == allowed
    assert secure._redirect_url("https://hub.example.org/a", "/b") == "https://hub.example.org/b"


def test_finished_files_stay_after_an_interruption(stage: Stage, large: bytes) -> None:
    stage.repository.dropped_connections[LARGE] = 10_000
    assert "6 times" in stage.run()["error"]
    stage.repository.dropped_connections.clear()
    assert stage.run()["fetched"] == 1
    assert {path.split("?")[0] for path in stage.server.fetched()} == {f"/{LARGE}"}


def test_the_token_is_sent_to_the_hub_only(stage: Stage) -> None:
    stage.repository.gated = "hf_secret"
    boto3.client("secretsmanager").create_secret(Name="hub", SecretString="hf_secret\n")
    assert "error" not in stage.run(token_secret="hub")
    assert stage.server.tokens["store"] == {""}
    assert stage.server.tokens["hub"] == {"Bearer hf_secret"}
    assert "hf_secret" not in json.dumps([content.decode(errors="replace") for content in stage.released().values()])


def test_an_imported_model_does_not_need_its_secret_any_more(stage: Stage) -> None:
    """A stack may roll back to it because its secret was replaced."""
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="hub", SecretString="hf_secret")
    assert "error" not in stage.run(token_secret="hub")
    secrets.delete_secret(SecretId="hub", ForceDeleteWithoutRecovery=True)
    assert stage.run(token_secret="hub")["fetched"] == 0


@pytest.mark.parametrize(
    ("faults", "request_fields", "named"),
    [
        ({"gated": "x"}, {}, ["org/model", "no token (hub_token_secret)", "401"]),
        ({"gated": "x"}, {"token_secret": "hub"}, ["org/model", "the token of hub_token_secret", "403"]),
        ({"removed": True}, {}, ["org/model", "no token (hub_token_secret)", "401"]),
        ({}, {"source": {**SOURCE, "revision": "v9"}}, ["'v9'", "/tree/main"]),
        ({"failures": 10_000}, {}, ["503", "main", "6 tries", "hub_url"]),
        ({"ranges": False}, {}, ["ranges of text_encoder/model.fp16.safetensors", "hub_url"]),
        ({}, {"hub_url": "http://127.0.0.1:9"}, ["127.0.0.1:9", "hub_url"]),
        ({}, {"token_secret": "nothing"}, ["hub_token_secret", "ResourceNotFoundException", "--secret-id nothing"]),
        ({}, {"token_secret": "empty"}, ["hub_token_secret", "plain text"]),
        ({}, {"source": {"kind": "s3", "uri": "s3://mine/"}}, ["s3://mine/", "model_index.json"]),
        ({}, {"source": {"kind": "s3", "uri": "s3://gone/"}}, ["ListObjectsV2", "NoSuchBucket"]),
    ],
)  # fmt: skip
def test_errors_name_cause_and_remedy(
    stage: Stage, large: bytes, faults: dict[str, Any], request_fields: dict[str, Any], named: list[str]
) -> None:
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="hub", SecretString="hf_wrong")
    secrets.create_secret(Name="empty", SecretString='{"token": "x y"}')
    for name, value in faults.items():
        setattr(stage.repository, name, value)
    error = stage.run(**request_fields)["error"]
    assert [text for text in named if text not in error] == []
    assert "hf_wrong" not in error


def test_a_file_that_was_removed_from_the_hub_is_named(stage: Stage) -> None:
    stage.run()
    for key in stage.released():
        stage.s3.delete_object(Bucket="store", Key=f"releases/{key}")
    (stage.repository.folder / "tokenizer/merges.txt").unlink()
    assert "tokenizer/merges.txt" in stage.run()["error"]


def test_a_component_may_come_from_its_own_repository(stage: Stage) -> None:
    own = {"config.json": b'{"own": 1}', "diffusion_pytorch_model.safetensors": WEIGHTS, "other.safetensors": WEIGHTS}
    source = {**SOURCE, "parts": {"unet": {"repository": "org/model", "revision": "main", "variant": ""}}}
    write_files(stage.repository.folder, own)
    state = stage.run(source=source)
    released = stage.released(state["prefix"])
    assert released["unet/config.json"] == b'{"own": 1}'
    assert {name for name in released if name.startswith("unet/")} == {
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }
    assert released["text_encoder/model.fp16.safetensors"] == TAKEN["text_encoder/model.fp16.safetensors"]


def test_a_part_that_the_pipeline_does_not_have_is_refused(stage: Stage) -> None:
    part = {"repository": "org/model", "revision": "main"}
    assert "unetx" in stage.run(source={**SOURCE, "parts": {"unetx": part}})["error"]
    assert "error" not in stage.run(source={**SOURCE, "parts": {"image_encoder": part}})  # [null, null] in the index


def test_a_file_of_another_release_is_copied(stage: Stage) -> None:
    stage.run(source={**SOURCE, "variant": ""})
    assert stage.run()["fetched"] == 2  # the weights of the other variant


@pytest.mark.parametrize("body", [b"<html>", b'{"siblings": [{}]}', b"[" * 200_000])
def test_a_server_that_is_not_a_hub_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr("tests.model_importer.hub.metadata", lambda _: body)
    assert "hub_url" in stage.run()["error"]


def test_an_odd_model_card_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"sha": "c" * 40, "siblings": [], "cardData": [7]}).encode()
    monkeypatch.setattr("tests.model_importer.hub.metadata", lambda _: body)
    assert "hub_url" in stage.run()["error"]


@pytest.mark.parametrize(
    "change", [{"size": -1}, {"size": float("inf")}, {"blobId": "../x"}, {"lfs": {"size": 1, "sha256": "ä" * 64}}]
)
def test_a_malformed_file_entry_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    entry = {"rfilename": "unet/config.json", "size": 2, "blobId": "a" * 40, **change}
    body = json.dumps({"sha": "c" * 40, "siblings": [entry]}).encode()
    monkeypatch.setattr("tests.model_importer.hub.metadata", lambda _: body)
    assert "hub_url" in stage.run()["error"]


def test_an_unexpected_exception_is_reported_as_a_bug(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(program, "import_model", crash)
    assert "ZeroDivisionError: x" in stage.run()["error"]
    assert "Traceback" in capsys.readouterr().err


def test_a_folder_in_s3_is_copied_by_s3(stage: Stage, tmp_path: Path) -> None:
    for file in (path for path in stage.repository.folder.rglob("*") if path.is_file()):
        name = file.relative_to(stage.repository.folder).as_posix()
        stage.s3.put_object(Bucket="mine", Key=f"models/a/{name}", Body=file.read_bytes())
    source = {"kind": "s3", "uri": "s3://mine/models/a/", "variant": "fp16"}
    state = stage.run(source=source)
    released = stage.released(state["prefix"])
    manifest = json.loads(released.pop("release.json"))
    assert released == TAKEN
    assert {file["origin"] for file in manifest["files"]} == {"s3://mine/models/a/"}
    assert stage.run(source=source)["fetched"] == 0
    stage.s3.put_object(Bucket="mine", Key="models/a/unet/config.json", Body=b'{"b": 1}')
    assert stage.run(source=source)["fetched"] == 0
    for key in stage.released():
        stage.s3.delete_object(Bucket="store", Key=f"releases/{key}")
    assert "s3://mine/models/a/unet/config.json" in stage.run(source=source)["error"]
