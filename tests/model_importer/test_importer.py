"""The importer, from a hub on loopback into an S3 of moto's."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from moto import mock_aws

from model_importer import __main__ as program
from model_importer import choice, hub, progress, stream, upload
from model_importer.bucket import Bucket
from model_importer.failure import ImportFailed
from model_importer.files import File
from tests.conftest import ROOT
from tests.model_importer.hub import API, LFS_BYTES, HubServer, Repository

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.38.0",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "image_encoder": [None, None],
}
WEIGHTS = os.urandom(LFS_BYTES)
LARGE = "unet/diffusion_pytorch_model.fp16.safetensors"
TAKEN = {
    "model_index.json": json.dumps(INDEX).encode(),
    "scheduler/scheduler_config.json": b"{}",
    "text_encoder/config.json": b"{}",
    "text_encoder/model.fp16.safetensors": WEIGHTS + b"text",
    "tokenizer/merges.txt": b"a b",
    "tokenizer/vocab.json": b'{"a": 1}',
    "unet/config.json": b"{}",
    LARGE: WEIGHTS + b"unet",
}
LEFT = {
    "README.md": b"a card",
    "v1-5-pruned.safetensors": WEIGHTS,
    "v1-5-pruned.ckpt": b"pickle",
    "safety_checker/model.fp16.safetensors": WEIGHTS,
    "text_encoder/model.safetensors": WEIGHTS,
    "text_encoder/pytorch_model.fp16.bin": b"pickle",
    "unet/diffusion_pytorch_model.safetensors": WEIGHTS,
    "unet/diffusion_pytorch_model.non_ema.safetensors": WEIGHTS,
    "unet/flax_model.msgpack": b"pickle",
    "tokenizer/notes/more.json": b"{}",
}
SOURCE = {"kind": "hub", "repository": "org/model", "revision": "main", "variant": "fp16"}


@pytest.fixture(autouse=True)
def waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Nobody waits here but who asks for this."""
    sleep = time.sleep
    monkeypatch.setattr("time.sleep", lambda _: None)
    return sleep


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        # moto keeps the checksum of parts for a whole object that was copied from them
        client = boto3.client("s3", config=Config(response_checksum_validation="when_required"))
        for bucket in ("store", "mine"):
            client.create_bucket(Bucket=bucket)
        yield client


@dataclass
class Stage:
    """A hub with one repository, and the bucket."""

    s3: Any
    server: HubServer
    repository: Repository

    def asked(self, **more: Any) -> dict[str, str]:
        """The variables that CodeBuild gives to the program."""
        told = {"bucket": "store", "state": "imports/1.json", "code": "c0de", "hub_url": self.server.url}
        return {"EASEL_IMPORT": json.dumps({**told, "source": SOURCE, **more})}

    def run(self, **more: Any) -> dict[str, Any]:
        """Runs the program as CodeBuild does; the state that it leaves."""
        self.server.requests.clear()
        self.server.sent.clear()
        os.environ.update(self.asked(**more))
        try:
            ended = program.main()
        finally:
            del os.environ["EASEL_IMPORT"]
        state: dict[str, Any] = json.loads(self.s3.get_object(Bucket="store", Key="imports/1.json")["Body"].read())
        assert ended == ("error" in state)
        return state

    def released(self, prefix: str = "releases/") -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket="store", Prefix=prefix).get("Contents", [])
        return {
            item["Key"].removeprefix(prefix): self.s3.get_object(Bucket="store", Key=item["Key"])["Body"].read()
            for item in listed
        }


@pytest.fixture
def large(stage: Stage) -> bytes:
    """The content of a file that is fetched in three ranges."""
    content = WEIGHTS + os.urandom(stream.PIECE * 2)
    write(stage.repository.folder, {LARGE: content})
    return content


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def stage(s3: Any, tmp_path: Path) -> Iterator[Stage]:
    repository = Repository(write(tmp_path / "model", {**TAKEN, **LEFT}))
    with HubServer(repository) as server:
        yield Stage(s3, server, repository)


# --- which files ---------------------------------------------------------------------------------


def chosen(names: list[str], index: dict[str, Any] | None = None, variant: str = "", **indexes: Any) -> list[str]:
    variants = dict.fromkeys(("unet", "text_encoder"), variant)
    small = {**INDEX, "text_encoder": [None, None], "tokenizer": [None, None]}

    def read(path: str) -> bytes:
        return json.dumps(indexes[Path(path).name.partition(".")[0]]).encode()

    return choice.choose(names, index or small, variants, read)


SCHEDULER = "scheduler/scheduler_config.json"


@pytest.mark.parametrize(
    "shards",
    [
        ["diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model-00002-of-00002.safetensors"],
        ["diffusion_pytorch_model.fp16-00001-of-00002.safetensors"],
        ["diffusion_pytorch_model-00001-of-00002.fp16.safetensors"],
    ],
)
@pytest.mark.parametrize("form", ["{}.safetensors.index.json", "{}.safetensors.index.fp16.json",
                                  "{}.safetensors.fp16.index.json", "{}.fp16.safetensors.index.json"])  # fmt: skip
def test_a_sharded_part_is_what_its_index_names(shards: list[str], form: str) -> None:
    index = "unet/" + form.format("diffusion_pytorch_model")
    variant = "fp16" if "fp16" in index else ""
    told = {"weight_map": {str(i): shard for i, shard in enumerate(shards)}}
    here = [f"unet/{shard}" for shard in shards]
    names = [SCHEDULER, "unet/config.json", "unet/diffusion_pytorch_model-00003-of-00003.safetensors", index, *here]
    got = chosen(names, variant=variant, diffusion_pytorch_model=told)
    assert got == sorted(["model_index.json", SCHEDULER, "unet/config.json", index, *here])


def test_a_missing_shard_is_told() -> None:
    names = [SCHEDULER, "unet/diffusion_pytorch_model.safetensors.index.json"]
    with pytest.raises(ImportFailed, match=r"unet is not complete: diffusion_pytorch_model-00001-of-00001.safetensors"):
        chosen(
            names, diffusion_pytorch_model={"weight_map": {"a": "diffusion_pytorch_model-00001-of-00001.safetensors"}}
        )


def test_an_index_cannot_name_other_files() -> None:
    with pytest.raises(ImportFailed, match="does not say which"):
        chosen([SCHEDULER, "unet/diffusion_pytorch_model.safetensors.index.json"],
               diffusion_pytorch_model={"weight_map": {"a": "../../jobs/x"}})  # fmt: skip


def test_a_part_without_the_variant_gives_its_plain_weights() -> None:
    names = [SCHEDULER, "unet/diffusion_pytorch_model.safetensors"]
    assert names[1] in chosen(names, variant="fp16")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["unet/diffusion_pytorch_model.bin"], "unet has no safetensors, only diffusion_pytorch_model.bin. Pickled"),
        (["unet/diffusion_pytorch_model.fp16.safetensors"], "unet has no safetensors. Variants that it has: fp16."),
        (["unet/config.json"], "unet has no safetensors."),
        (["unet/a\\b"], "is no path"),
        (["../x"], "is no path"),
        (["unet/" + "n" * 256], "is no path"),
    ],
)
def test_what_cannot_be_taken_is_told(names: list[str], said: str) -> None:
    with pytest.raises(ImportFailed, match=re.escape(said)):
        chosen([SCHEDULER, *names])


@pytest.mark.parametrize(
    "changed",
    [
        {"_class_name": "EvilPipeline"},
        {"unet": ["os", "system"]},
        {"unet": ["diffusers", "EvilModel"]},
        {"unet": ["diffusers"]},
        {"a/b": ["diffusers", "UNet2DConditionModel"]},
    ],
)
def test_unknown_classes_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ImportFailed):
        chosen([SCHEDULER], {**INDEX, **changed})


# --- from the hub --------------------------------------------------------------------------------


def test_one_variant_lies_in_the_release_and_nothing_else(stage: Stage) -> None:
    state = stage.run()
    released = stage.released(state["prefix"])
    manifest = json.loads(released.pop("release.json"))
    assert released == TAKEN
    assert re.fullmatch(r"releases/[0-9a-f]{16}/", state["prefix"])
    assert (state["commits"], state["licence"]) == ({"org/model": "c" * 40}, "openrail++")
    assert state["files"] == [len(TAKEN)] * 2
    assert state["bytes"] == [sum(map(len, TAKEN.values()))] * 2
    assert (manifest["source"], manifest["commits"], manifest["licence"]) == (SOURCE, state["commits"], "openrail++")
    assert [(file["path"], file["size"]) for file in manifest["files"]] == [
        (k, len(v)) for k, v in sorted(TAKEN.items())
    ]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}", file["digest"]) for file in manifest["files"])


def test_importing_twice_copies_nothing_and_asks_no_hub(stage: Stage) -> None:
    first = stage.run()
    before = {item["Key"]: item["LastModified"] for item in stage.s3.list_objects_v2(Bucket="store")["Contents"]}
    stage.repository.removed = True
    second = stage.run()
    after = {item["Key"]: item["LastModified"] for item in stage.s3.list_objects_v2(Bucket="store")["Contents"]}
    assert (second["prefix"], second["fetched"], stage.server.requests) == (first["prefix"], 0, [])
    assert {**after, "imports/1.json": 0} == {**before, "imports/1.json": 0}


def test_a_moved_branch_moves_nothing(stage: Stage) -> None:
    first = stage.run()
    stage.repository.commit = "d" * 40
    write(stage.repository.folder, {"unet/config.json": b'{"a": 2}'})
    assert stage.run()["prefix"] == first["prefix"]
    moved = stage.run(source={**SOURCE, "revision": "d" * 40})
    assert moved["prefix"] != first["prefix"]
    assert (moved["commits"], moved["fetched"]) == ({"org/model": "d" * 40}, 1)
    assert stage.released(moved["prefix"])["unet/config.json"] == b'{"a": 2}'


def test_other_code_is_another_release_by_copies_inside_s3(stage: Stage) -> None:
    first = stage.run()
    second = stage.run(code="c1de")
    assert (second["fetched"], stage.server.requests) == (0, [])
    assert second["prefix"] != first["prefix"]
    released = stage.released(second["prefix"])
    del released["release.json"]
    assert released == TAKEN


def test_a_file_that_is_not_what_the_hub_has_on_record_is_not_kept(stage: Stage, large: bytes) -> None:
    stage.repository.broken.add(LARGE)
    error = stage.run()["error"]
    assert re.match(f"{LARGE} has the sha256 [0-9a-f]{{64}}, on record is [0-9a-f]{{64}}", error)
    assert not any(key.endswith(LARGE) for key in stage.released())
    assert stage.s3.list_multipart_uploads(Bucket="store").get("Uploads", []) == []
    stage.repository.broken.clear()
    assert stage.run()["fetched"] == 1


def test_a_small_file_is_checked_by_its_git_sha1(stage: Stage) -> None:
    stage.repository.broken.add("tokenizer/vocab.json")
    assert stage.run()["error"].startswith("tokenizer/vocab.json has the git-sha1 ")
    assert not any(key.endswith("vocab.json") for key in stage.released())


def test_settings_that_ask_for_code_are_refused(stage: Stage) -> None:
    write(stage.repository.folder, {"unet/config.json": b'{"auto_map": {"AutoModel": "evil.Model"}}'})
    assert "asks for code of its own" in stage.run()["error"]


def test_a_symbolic_link_is_refused(stage: Stage) -> None:
    write(stage.repository.folder, {"unet/config.json": b"../../../etc/passwd"})  # what git keeps of a link
    assert stage.run()["error"] == "unet/config.json is no JSON object."


def test_broken_connections_and_bad_moments_are_waited_out(stage: Stage, large: bytes) -> None:
    stage.repository.drops.update({LARGE: 3, "tokenizer/merges.txt": 1})
    stage.repository.failures, stage.repository.expired = 3, 1
    state = stage.run()
    assert stage.released(state["prefix"])[LARGE] == large
    assert state["bytes"] == [sum(map(len, TAKEN.values())) - len(TAKEN[LARGE]) + len(large)] * 2


def test_what_the_hub_tells_of_a_repository_may_break_off_too(stage: Stage) -> None:
    stage.repository.drops[API] = 5
    assert "error" not in stage.run()


def test_a_hub_that_always_breaks_off_is_no_bug_of_ours(stage: Stage) -> None:
    stage.repository.drops[API] = 10_000
    assert "breaks off, 6 times in a row" in stage.run()["error"]


@pytest.mark.parametrize(("asked", "waited"), [("86400", hub.PATIENCE), ("7", 7), ("soon", None)])
def test_a_hub_is_waited_for_within_a_bound(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, asked: str, waited: int | None
) -> None:
    """CodeBuild would be paid for the day that it asks for, and end without a word of it."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    stage.repository.failures, stage.repository.retry_after = 1, asked
    assert "error" not in stage.run()
    assert waited in slept if waited else max(slept, default=0) <= hub.PATIENCE
    assert max(slept, default=0) <= hub.PATIENCE


@pytest.mark.parametrize(
    "target", ["http://hub.example.org/x", "http://169.254.169.254/", "file:///etc/passwd", "http://["]
)
def test_no_redirect_leads_out_of_https(target: str) -> None:
    """What the hub says a file should be is believed: nobody on the way may say it."""
    secure = hub.Hub("https://hub.example.org", "org/model", "hf_secret")
    with pytest.raises(ImportFailed, match="which is no address of HTTPS"):
        secure._onward("https://hub.example.org/a", target)
    assert secure._onward("https://hub.example.org/a", "/b") == "https://hub.example.org/b"
    assert secure._onward("https://hub.example.org/a", "https://store.example.org/b") == "https://store.example.org/b"


def test_what_came_before_an_interruption_stays(stage: Stage, large: bytes) -> None:
    stage.repository.drops[LARGE] = 10_000
    error = stage.run()["error"]
    assert "breaks off, 6 times in a row" in error
    assert "deploy again and the import goes on" in error
    stage.repository.drops.clear()
    assert stage.run()["fetched"] == 1
    assert {path.split("?")[0] for path in stage.server.fetched()} == {f"/{LARGE}"}


def test_the_token_opens_a_gated_repository_and_goes_to_the_hub_alone(stage: Stage) -> None:
    stage.repository.gated = "hf_secret"
    boto3.client("secretsmanager").create_secret(Name="hub", SecretString="hf_secret\n")
    assert "error" not in stage.run(token_secret="hub")
    assert stage.server.tokens["store"] == {""}
    assert stage.server.tokens["hub"] == {"Bearer hf_secret"}
    assert "hf_secret" not in json.dumps([key.decode(errors="replace") for key in stage.released().values()])


def test_a_model_that_is_in_the_bucket_needs_its_secret_no_more(stage: Stage) -> None:
    """A stack that goes back to it may do so because another secret is to take the place of this one."""
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="hub", SecretString="hf_secret")
    assert "error" not in stage.run(token_secret="hub")
    secrets.delete_secret(SecretId="hub", ForceDeleteWithoutRecovery=True)
    assert stage.run(token_secret="hub")["fetched"] == 0


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        ({"gated": "x"}, {}, "org/model is gated, and no token (hub_token_secret) was sent (401). Accept the licence"),
        ({"gated": "x"}, {"token_secret": "hub"}, "gated, and the token of hub_token_secret was sent (403)"),
        ({"removed": True}, {}, "is not there for us (401; no token"),
        ({}, {"source": {**SOURCE, "revision": "v9"}}, "has no branch, tag or commit 'v9'"),
        ({"failures": 10_000}, {}, "answers 503 for main (6 tries). Deploy again later"),
        ({"ranges": False}, {}, f"does not send ranges of {LARGE}"),
        ({}, {"hub_url": "http://127.0.0.1:9"}, "127.0.0.1:9 cannot be reached"),
        ({}, {"token_secret": "nothing"}, "hub_token_secret cannot be read (ResourceNotFoundException)"),
        ({}, {"token_secret": "empty"}, "holds no token"),
        ({}, {"source": {"kind": "s3", "uri": "s3://mine/"}}, "s3://mine/ holds no model_index.json"),
        ({}, {"source": {"kind": "s3", "uri": "s3://gone/"}}, "ListObjectsV2 was refused by AWS: NoSuchBucket"),
    ],
)  # fmt: skip
def test_failures_say_the_way_out(
    stage: Stage, large: bytes, change: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="hub", SecretString="hf_wrong")
    secrets.create_secret(Name="empty", SecretString='{"token": "x y"}')
    for name, value in change.items():
        setattr(stage.repository, name, value)
    error = stage.run(**more)["error"]
    assert said in error
    assert "hf_wrong" not in error


def test_a_file_that_vanished_upstream_is_told(stage: Stage) -> None:
    stage.run()
    for key in stage.released():
        stage.s3.delete_object(Bucket="store", Key=f"releases/{key}")
    (stage.repository.folder / "tokenizer/merges.txt").unlink()
    assert "org/model no longer has tokenizer/merges.txt. Name another revision" in stage.run()["error"]


def test_a_part_may_come_from_a_repository_of_its_own(stage: Stage, tmp_path: Path) -> None:
    own = {"config.json": b'{"own": 1}', "diffusion_pytorch_model.safetensors": WEIGHTS, "other.safetensors": WEIGHTS}
    source = {**SOURCE, "parts": {"unet": {"repository": "org/model", "revision": "main", "variant": ""}}}
    write(stage.repository.folder, own)
    state = stage.run(source=source)
    released = stage.released(state["prefix"])
    assert released["unet/config.json"] == b'{"own": 1}'
    assert {name for name in released if name.startswith("unet/")} == {
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }
    assert released["text_encoder/model.fp16.safetensors"] == TAKEN["text_encoder/model.fp16.safetensors"]


def test_a_file_of_another_models_release_is_copied(stage: Stage) -> None:
    stage.run(source={**SOURCE, "variant": ""})
    state = stage.run()
    assert state["fetched"] == 2  # the two weights of the other variant


# --- a run that was killed -----------------------------------------------------------------------


@contextmanager
def door_to(s3: Any) -> Iterator[str]:
    """The address of moto's S3 for another process."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {**self.headers, "host": "s3.amazonaws.com"}
            answer = requests.request(self.command, f"https://s3.amazonaws.com{self.path}", headers=headers, data=body)
            self.send_response(answer.status_code)
            for name in {"etag", "content-type", "last-modified"} & {name.lower() for name in answer.headers}:
                self.send_header(name, answer.headers[name])
            for name in (one for one in answer.headers if one.lower().startswith("x-amz-")):
                self.send_header(name, answer.headers[name])
            self.send_header("content-length", answer.headers.get("content-length", str(len(answer.content))))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """The test reads the store."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def parts_of(s3: Any) -> int:
    """How many parts the one open upload has."""
    uploads = s3.list_multipart_uploads(Bucket="store").get("Uploads", [])
    return sum(
        len(s3.list_parts(Bucket="store", Key=one["Key"], UploadId=one["UploadId"]).get("Parts", ())) for one in uploads
    )


def test_a_killed_import_goes_on_in_the_middle_of_the_file(
    stage: Stage, large: bytes, waiting: Callable[[float], None]
) -> None:
    stage.repository.holds = 2 * stream.PIECE
    with door_to(stage.s3) as store:
        killed = subprocess.Popen(
            (sys.executable, "-m", "model_importer"), cwd=ROOT, stdout=subprocess.DEVNULL,
            env=os.environ | stage.asked() | {"AWS_ENDPOINT_URL": store},
        )  # fmt: skip
        end = time.monotonic() + 60
        while parts_of(stage.s3) < 2:
            assert killed.poll() is None
            assert time.monotonic() < end
            waiting(0.05)
        killed.kill()
        killed.wait()
    stage.repository.holds = None
    state = stage.run()
    assert stage.server.sent[LARGE] == len(large) - 2 * stream.PIECE
    assert stage.released(state["prefix"])[LARGE] == large
    assert (state["fetched"], state["bytes"][0]) == (1, state["bytes"][1])
    assert parts_of(stage.s3) == 0


def leave(stage: Stage, *uploads: dict[int, bytes]) -> str:
    """The key of the large file, after runs that were killed when they had sent these parts."""
    stage.repository.drops[LARGE] = 10_000
    assert "breaks off" in stage.run()["error"]
    stage.repository.drops.clear()
    (index,) = (key for key in stage.released() if key.endswith("model_index.json"))
    where = {"Bucket": "store", "Key": f"releases/{index.removesuffix('model_index.json')}{LARGE}"}
    content = (stage.repository.folder / LARGE).read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    for parts in uploads:
        made = stage.s3.create_multipart_upload(**where, Metadata={"digest": digest})
        for number, body in parts.items():
            stage.s3.upload_part(**where, UploadId=made["UploadId"], PartNumber=number, Body=body)
    return where["Key"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [([[2]], 0), ([[1, 3]], 1), ([[1, 2, 3]], 2), ([[1], [1, 2], [2]], 2)],
    ids=["no beginning", "a gap", "all but the check", "several"],
)
def test_what_of_a_killed_upload_is_kept(stage: Stage, large: bytes, sent: list[list[int]], kept: int) -> None:
    pieces = {number: large[(number - 1) * stream.PIECE : number * stream.PIECE] for number in (1, 2, 3)}
    leave(stage, *({number: pieces[number] for number in parts} for parts in sent))
    state = stage.run()
    assert stage.server.sent[LARGE] == len(large) - kept * stream.PIECE
    assert stage.released(state["prefix"])[LARGE] == large
    assert parts_of(stage.s3) == 0


def test_a_beginning_that_is_not_right_is_thrown_away(stage: Stage, large: bytes) -> None:
    key = leave(stage, {1: os.urandom(stream.PIECE)})
    assert re.match(f"{LARGE} has the sha256", stage.run()["error"])
    assert (key.removeprefix("releases/") in stage.released(), parts_of(stage.s3)) == (False, 0)
    state = stage.run()
    assert (stage.server.sent[LARGE], stage.released(state["prefix"])[LARGE]) == (len(large), large)


def test_a_second_kill_loses_nothing(stage: Stage, large: bytes) -> None:
    key = leave(stage, {1: large[: stream.PIECE]})
    stage.repository.drops[LARGE] = 10_000
    assert "breaks off" in stage.run()["error"]
    assert stage.s3.head_object(Bucket="store", Key=key)["ContentLength"] == stream.PIECE
    stage.repository.drops.clear()
    assert "error" not in stage.run()
    assert stage.server.sent[LARGE] == len(large) - stream.PIECE


def test_s3_copies_a_beginning_in_parts_that_it_takes() -> None:
    assert list(upload._spans(0)) == []
    spans = list(upload._spans(upload.COPY * 2 + 1))
    assert [first for first, _ in spans[1:]] == [end for _, end in spans[:-1]]
    assert (spans[0][0], spans[-1][1]) == (0, upload.COPY * 2 + 1)
    assert min(end - first for first, end in spans) > upload.COPY / 2


# --- from S3 -------------------------------------------------------------------------------------


def test_a_folder_of_s3_is_copied_by_s3(stage: Stage) -> None:
    for name, content in {**TAKEN, **LEFT}.items():
        stage.s3.put_object(Bucket="mine", Key=f"models/a/{name}", Body=content)
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
    assert "unet/config.json was replaced or deleted since" in stage.run(source=source)["error"]


# --- the parts -----------------------------------------------------------------------------------


def test_a_stream_reads_in_order_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PIECE", 10)
    content = bytes(range(95))
    file = File("a", 95, "sha256:" + hashlib.sha256(content).hexdigest(), "", "a")
    for amount in (1, 7, 10, 25, 95, 200):
        with ThreadPoolExecutor(3) as pool:
            counted: list[int] = []
            opened = stream.Stream(file, lambda first, end: content[first:end], pool, counted.append)
            pieces = list(iter(functools.partial(opened.read, amount), b""))
        assert b"".join(pieces) == content
        assert {len(piece) for piece in pieces[:-1]} <= {amount}
        assert sum(counted) == 95


def test_no_more_is_fetched_than_the_window_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PIECE", 1)
    asked: list[int] = []
    file = File("a", 100, "sha256:0", "", "a")
    with ThreadPoolExecutor(1) as pool:

        def fetch(first: int, end: int) -> bytes:
            asked.append(first)
            return b"x"

        opened = stream.Stream(file, fetch, pool, lambda _: None)
        opened.read(1)
        opened.close()
    assert len(asked) <= stream.AHEAD


def test_parts_grow_with_the_file() -> None:
    sizes = (stream.PIECE * 10_000, stream.PIECE * 10_000 + 1)
    assert [upload.part_size(File("a", size, "", "", "a")) for size in sizes] == [stream.PIECE, stream.PIECE + 1]


def test_two_imports_at_once_agree_on_the_commit(s3: Any) -> None:
    bucket = Bucket(s3, "store")
    assert bucket.write_once("sources/a.json", "first") == b"first"
    assert bucket.write_once("sources/a.json", "second") == b"first"


def test_progress_is_told_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.01)
    told: list[dict[str, Any]] = []
    moving = progress.Progress(told.append)
    moving.all_files, moving.all_bytes = 2, 4_570_000_000
    with moving:
        moving.add(1_200_000_000)
        moving.settle()
        while not told:
            pass
    assert re.fullmatch(r"1 of 2 files, 1.20 of 4.57 GB, [\d.]+ MB/s", progress.render(told[-1]))


def test_a_hub_that_is_none_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.model_importer.hub.described", lambda _: b"<html>")
    assert "is no answer of a hub. Is hub_url right?" in stage.run()["error"]
    monkeypatch.setattr("tests.model_importer.hub.described", lambda _: b'{"siblings": [{}]}')
    assert "what no hub would" in stage.run()["error"]
    blob = {"rfilename": "unet/config.json", "size": 2, "blobId": "a" * 40}
    for lie in ({"size": -1}, {"blobId": "../x"}, {"lfs": {"size": 1, "sha256": "ä" * 64}}):
        told = json.dumps({"sha": "c" * 40, "siblings": [{**blob, **lie}]}).encode()
        monkeypatch.setattr("tests.model_importer.hub.described", lambda _, told=told: told)
        assert "what no hub would" in stage.run()["error"]


def test_the_window_bounds_the_connections() -> None:
    assert stream.AHEAD <= hub.CONNECTIONS


def test_a_bug_is_called_one(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(program, "bring", crash)
    assert stage.run()["error"] == "A bug in the importer, ZeroDivisionError: x. Its log has the trace."
    assert "Traceback" in capsys.readouterr().err
