"""`easel models`: from a source to a folder that runs, and the sources that are refused."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
import torch
from moto import mock_aws

from easel.console.errors import CommandError
from easel.laptop.catalogue import find
from easel.models import proposal
from easel.models.given_source import parse_source
from easel.models.pull import check_space
from easel.models.pulled import MARKER, lock_work
from generation.img2img import PIPELINES as IMAGE_TO_IMAGE
from model_importer.model_folder import PIPELINES, check_folder
from model_importer.stream import PIECE
from stacks.config.catalogue import read_model
from tests.checkpoints import save_checkpoint
from tests.easel.models.conftest import Easel
from tests.easel.running import ROOT, Laptop
from tests.model_code import tiny
from tests.model_files import UNET_OF_LORA, lora, stable_diffusion, tensors
from tests.model_importer.example import LARGE, LEFT_OUT, TAKEN, write_files
from tests.model_importer.hub import HubServer, Repository
from tests.model_importer.site import Site

MIT = ("--licence", "MIT")


def entry(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MARKER}


@pytest.mark.laptop
def test_a_checkpoint_becomes_a_model_that_generates(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    added = run("add", checkpoint, "--folder", tmp_path, *MIT, "--name", "Panda")
    assert (added.exit_code, added.stdout) == (0, f"{tmp_path}/panda.json\n")
    pulled = run("pull", tmp_path / "panda")
    assert (pulled.exit_code, pulled.stdout) == (0, f"{tmp_path}/panda\n")
    assert "would load" in run("check", tmp_path / "panda").stdout
    container = "easel.laptop.container.server"
    with Laptop(tmp_path / "data", "--model", str(tmp_path / "panda"), container=container) as laptop:
        request = {"prompt": "a panda", "num_inference_steps": 2, "width": 64, "height": 64, "seed": 1}
        response = laptop.http.post("/generate", json=request, timeout=400)
        assert response.status_code == 200, response.text
        assert len(response.json()["images"]) == 1


def test_what_is_proposed_for_a_checkpoint(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    run("add", checkpoint, "--folder", tmp_path, *MIT, "--id", "mine", "--steps", 8, "--guidance", 0)
    found = entry(tmp_path / "mine.json")
    assert found["source"] == {"kind": "folder", "path": "mine", "checkpoint": str(checkpoint)}
    assert (found["pipeline"], found["dtype"]) == ("StableDiffusionPipeline", "float16")
    assert (found["steps"], found["guidance_scale"], found["sizes"][0]) == (8, 0, [512, 512])
    assert (found["gpu_memory_gib"], found["licence"]) == (5, "MIT")


def test_a_link_is_pulled_with_the_token_and_pinned(
    run: Easel, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EASEL_MODEL_TOKEN", "t0ken")
    with Site(checkpoint.read_bytes(), token="t0ken") as site:
        monkeypatch.setenv("EASEL_MODEL_TOKEN_HOST", site.url.removeprefix("http://"))
        added = run("add", site.link, "--folder", tmp_path, *MIT, "--id", "panda")
        assert added.exit_code == 0, added.stderr
        checked = run("check", tmp_path / "panda")
        assert (checked.exit_code, "would load" in checked.stdout) == (0, True), checked.stderr
        assert "sha256" in checked.stderr
        assert sum(site.sent.values()) < 300_000  # headers only
        pulled = run("pull", tmp_path / "panda")
        assert pulled.exit_code == 0, pulled.stderr
        assert site.tokens["store"] == {""}
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert entry(tmp_path / "panda.json")["source"] == {"kind": "url", "url": site.link, "sha256": sha256}
    assert "t0ken" not in (tmp_path / "panda.json").read_text() + added.output + pulled.output
    check_folder(tmp_path / "panda")
    assert {path.name for path in tmp_path.iterdir()} == {"panda.json", "panda"}


@pytest.mark.parametrize("allowed", ["", "127.0.0.1", "civitai.com"])
def test_the_token_of_a_link_is_for_one_host(
    run: Easel, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    monkeypatch.setenv("EASEL_MODEL_TOKEN", "t0ken")
    monkeypatch.setenv("EASEL_MODEL_TOKEN_HOST", allowed)
    with Site(checkpoint.read_bytes(), token="t0ken") as site:
        refused = run("add", site.link, "--folder", tmp_path, *MIT, "--id", "panda")
        assert (refused.exit_code, "EASEL_MODEL_TOKEN_HOST=127.0.0.1:" in refused.stderr) == (3, True)
        assert site.tokens == {"home": {""}, "store": set()}


def test_the_site_names_the_model(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    files = [{"type": "Model", "hashes": {"SHA256": "A" * 64}}]
    version = {"id": 7, "modelId": 3, "name": "\x1b[31mv2", "model": {"name": "Panda"}, "files": files}
    with Site(checkpoint.read_bytes(), version=version) as site:
        run("add", f"{site.url}/models/3?modelVersionId=7", "--folder", tmp_path, *MIT)
        found = entry(tmp_path / "panda-x1b-31mv2.json")
        assert found["source"] == {"kind": "url", "url": site.link, "sha256": "a" * 64}
        refused = run("pull", tmp_path / "panda-x1b-31mv2")
        assert (refused.exit_code, "a" * 64 in refused.stderr) == (3, True)
    assert not (tmp_path / "panda-x1b-31mv2").exists()


@pytest.fixture
def hub(run: Easel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with HubServer(Repository(write_files(tmp_path / "hub", {**TAKEN, **LEFT_OUT}))) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_a_repository_is_pulled_in_one_variant(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    added = run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    assert added.exit_code == 0, added.stderr
    source = {"kind": "hub", "repository": "org/model", "revision": "c" * 40, "variant": "fp16"}
    found = entry(tmp_path / "model.json")
    assert (found["source"], found["licence"]) == (source, "CreativeML OpenRAIL++-M")
    assert "would load" in run("check", tmp_path / "model").stdout
    assert run("pull", tmp_path / "model").exit_code == 0
    assert files_in(tmp_path / "model") == {*TAKEN, "release.json"}
    manifest = json.loads((tmp_path / "model" / "release.json").read_text())
    assert manifest["commits"] == {"org/model": "c" * 40}
    assert all((tmp_path / "model" / name).read_bytes() == content for name, content in TAKEN.items())
    hub.requests.clear()
    assert "here already" in run("pull", tmp_path / "model").stderr
    assert hub.requests == []


def test_an_interrupted_pull_continues(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    broken = "vae/diffusion_pytorch_model.fp16.safetensors"
    hub.repository.damaged.add(broken)
    refused = run("pull", tmp_path / "model")
    assert (refused.exit_code, broken in refused.stderr) == (3, True)
    assert not (tmp_path / "model").exists()
    hub.repository.damaged.clear()
    hub.sent.clear()
    assert run("pull", tmp_path / "model").exit_code == 0
    assert hub.sent["unet/diffusion_pytorch_model.fp16.safetensors"] <= PIECE  # its header alone
    check_folder(tmp_path / "model")


def test_a_pull_continues_only_what_has_the_same_plan(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    hub.repository.damaged.add("vae/diffusion_pytorch_model.fp16.safetensors")
    assert run("pull", tmp_path / "model").exit_code == 3
    work = tmp_path / ".model.pull"
    config, weights = "text_encoder/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"
    assert (work / config).is_file() and (work / weights).is_file()
    write_files(work, {"unet/old.json": b"{}"})
    replaced = TAKEN[config].replace(b"CLIP", b"CLAP") if b"CLIP" in TAKEN[config] else TAKEN[config][::-1]
    (work / config).write_bytes(replaced)  # as another revision has it, of the same size
    found = entry(tmp_path / "model.json")
    hub.repository.commit, hub.repository.damaged = "d" * 40, set()
    (tmp_path / "model.json").write_text(json.dumps(found | {"source": found["source"] | {"revision": "d" * 40}}))
    pulled = run("pull", tmp_path / "model")
    assert pulled.exit_code == 0, pulled.stderr
    assert files_in(tmp_path / "model") == {*TAKEN, "release.json"}
    manifest = json.loads((tmp_path / "model" / "release.json").read_text())
    assert manifest["commits"] == {"org/model": "d" * 40}
    assert (tmp_path / "model" / config).read_bytes() == TAKEN[config]
    assert not work.exists()


def test_a_pull_leaves_a_folder_that_it_did_not_make(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    work = write_files(tmp_path / ".model.pull", {"notes.txt": b"mine"})
    refused = run("pull", tmp_path / "model")
    assert (refused.exit_code, str(work) in refused.stderr, files_in(work)) == (3, True, {"notes.txt"})
    (work / "notes.txt").unlink()
    assert run("pull", tmp_path / "model").exit_code == 0


def test_the_commands_that_are_named_find_an_entry_elsewhere(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    commands = [run("add", checkpoint, "--folder", folder, *MIT).stderr]
    checked = run("check", folder / "panda")
    assert checked.stdout.startswith("panda: would load, 0.")
    commands += [run("add", checkpoint, "--folder", folder, *MIT).stderr, checked.stderr]
    commands += [run("pull", folder / "panda").stderr]
    for text, words in zip(commands, ("models pull", "models remove", "models pull", "up --model"), strict=True):
        found = re.search(rf"easel {words} (.+)", " ".join(text.split()))
        assert found and find(shlex.split(found[1])[0].rstrip(",")).file == folder / "panda.json", text
    assert "easel up takes --model several times" in run("check", "emoji,sd-1.5").stderr


def test_a_second_pull_leaves_the_first_alone(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    work = tmp_path / ".model.pull"
    with lock_work(work):
        refused = run("pull", tmp_path / "model")
        assert (refused.exit_code, str(work) in refused.stderr, work.is_dir()) == (3, True, True)
    assert not work.exists()
    assert run("pull", tmp_path / "model").exit_code == 0


def test_ctrl_c_ends_a_pull_at_once(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    hub.repository.stall_from = 0
    command = [sys.executable, "-m", "easel", "models", "pull", str(tmp_path / "model")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr and "Downloading" in process.stderr.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert "Interrupted" in process.communicate(timeout=60)[1]
    hub.repository.stall_from = None
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("faults", "code", "words"),
    [
        ({"removed": True}, 3, ["org/model", "HF_TOKEN"]),
        ({"gated": "x"}, 3, ["gated", "export HF_TOKEN"]),
        ({"ranges": False}, 3, ["ranges", "HF_ENDPOINT"]),
    ],
)
def test_a_hub_that_refuses(
    run: Easel,
    hub: HubServer,
    tmp_path: Path,
    faults: dict[str, Any],
    code: int,
    words: list[str],
) -> None:
    for name, value in faults.items():
        setattr(hub.repository, name, value)
    result = run("add", "org/model", "--folder", tmp_path, *MIT)
    assert (result.exit_code, [word for word in words if word not in result.stderr]) == (code, [])
    assert list(tmp_path.glob("*.json")) == []


def test_a_repository_of_one_file_names_it(run: Easel, hub: HubServer, checkpoint: Path, tmp_path: Path) -> None:
    (hub.repository.folder / "model_index.json").unlink()
    result = run("add", "org/model", "--folder", tmp_path, *MIT)
    assert (result.exit_code, "v1-5-pruned.safetensors" in result.stderr) == (2, True)
    write_files(hub.repository.folder, {"a b.safetensors": checkpoint.read_bytes()})
    hub.repository.commit = "d" * 40
    added = run("add", f"{hub.url}/org/model/blob/main/a%20b.safetensors", "--folder", tmp_path, *MIT, "--id", "x")
    assert added.exit_code == 0, added.stderr
    assert entry(tmp_path / "x.json")["source"]["file"] == "a b.safetensors"
    assert run("pull", tmp_path / "x").exit_code == 0
    check_folder(tmp_path / "x")


def test_s3(run: Easel, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="mine")
        s3.put_object(Bucket="mine", Key="a/panda.safetensors", Body=checkpoint.read_bytes())
        for name, content in stable_diffusion().items():
            s3.put_object(Bucket="mine", Key=f"folder/{name}", Body=content)
        for uri, id in (("s3://mine/a/panda.safetensors", "one"), ("s3://mine/folder", "two")):
            options = ("--folder", tmp_path, *MIT, "--id", id)
            added = run("add", uri, *options)
            assert added.exit_code == 0, added.stderr
            assert run("pull", tmp_path / id).exit_code == 0
            check_folder(tmp_path / id)
        assert run("add", "s3://mine/none/", "--folder", tmp_path, *MIT).exit_code == 1
        assert run("add", "s3://nobody/none/", "--folder", tmp_path, *MIT).exit_code != 0


def test_s3_without_the_packages_of_aws(run: Easel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in [name for name in sys.modules if name.partition(".")[0] in ("boto3", "botocore")]:
        monkeypatch.setitem(sys.modules, package, None)
    added = run("add", "s3://mine/folder/", "--folder", tmp_path, *MIT)
    assert (added.exit_code, "requirements.txt" in added.stderr) == (3, True)


@pytest.mark.slow
def test_a_laptop_without_the_packages_of_aws(hub: HubServer, checkpoint: Path, tmp_path: Path) -> None:
    """In processes of their own, because other tests have imported boto3."""
    program = "import sys; sys.modules.update(boto3=None, botocore=None); from easel.cli import app; app()"

    def run(*arguments: str | Path) -> str:
        command = [sys.executable, "-W", "error", "-c", program, "models", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    for source, id in (("org/model", "repository"), (str(checkpoint), "file")):
        run("add", source, "--folder", tmp_path, "--id", id, *MIT, "--licence-url", "https://a.test/licence")
        assert run("pull", tmp_path / id) == f"{tmp_path / id}\n"
        assert "would load" in run("check", tmp_path / id)
        assert f"{tmp_path / id}.json" in run("remove", tmp_path / id, "--yes")


def test_a_folder_is_used_where_it_is(run: Easel, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mine", stable_diffusion())
    unknown = run("check", folder)
    assert (unknown.exit_code, f"easel models add {folder}" in " ".join(unknown.stderr.split())) == (2, True)
    assert run("add", folder, "--folder", tmp_path / "entries", *MIT).exit_code == 0
    assert find(str(tmp_path / "entries" / "mine")).folder == folder
    assert run("pull", tmp_path / "entries" / "mine").stdout == f"{folder}\n"
    removed = run("remove", tmp_path / "entries" / "mine", "--yes")
    assert (removed.exit_code, folder.exists(), list((tmp_path / "entries").iterdir())) == (0, True, [])


def test_an_entry_says_that_the_unet_has_learned_its_guidance(run: Easel, tmp_path: Path) -> None:
    folder = tiny.save(tiny.stable_diffusion_xl_lcm(), tmp_path / "mine")
    added = run("add", folder, "--folder", tmp_path, *MIT)
    assert added.exit_code == 0, added.stderr
    assert entry(tmp_path / "mine.json")["learned_guidance"] is True
    assert find(str(tmp_path / "mine")).model.takes_negative_prompt is False


def test_an_entry_says_that_guidance_has_no_effect(run: Easel, tmp_path: Path) -> None:
    for name, pipeline in {"klein": tiny.flux_2_klein(), "flux": tiny.flux()}.items():
        added = run("add", tiny.save(pipeline, tmp_path / name), "--folder", tmp_path, *MIT)
        assert added.exit_code == 0, added.stderr
    assert entry(tmp_path / "klein.json")["fixed_guidance"] is True
    assert "fixed_guidance" not in entry(tmp_path / "flux.json")
    settings = tmp_path / "flux/transformer/config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"guidance_embeds": False}))
    (tmp_path / "flux.json").unlink()
    run("add", tmp_path / "flux", "--folder", tmp_path, *MIT)
    assert entry(tmp_path / "flux.json")["fixed_guidance"] is True
    assert find(str(tmp_path / "flux")).model.takes_guidance_scale is False


def test_remove_deletes_what_was_pulled(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    run("add", checkpoint, "--folder", tmp_path, *MIT)
    run("pull", tmp_path / "panda")
    assert "--yes" in run("remove", tmp_path / "panda").stderr
    assert run("remove", tmp_path / "panda", "--files", "--yes").stdout == f"{tmp_path}/panda\n"
    assert [path.name for path in tmp_path.iterdir()] == ["panda.json"]
    assert run("remove", tmp_path / "panda", "--yes").exit_code == 0
    assert list(tmp_path.iterdir()) == []
    assert checkpoint.exists()


def test_remove_keeps_a_folder_that_holds_its_entry(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    run("add", checkpoint, "--folder", tmp_path, *MIT)
    found = entry(tmp_path / "panda.json")
    (tmp_path / "panda.json").write_text(json.dumps(found | {"source": found["source"] | {"path": "."}}))
    write_files(tmp_path, {"private.txt": b"mine", MARKER: b'{"files": ["private.txt", "panda.json"]}'})
    assert run("remove", tmp_path / "panda", "--files", "--yes").exit_code != 0
    removed = run("remove", tmp_path / "panda", "--yes")
    assert (removed.exit_code, removed.stdout) == (0, f"{tmp_path}/panda.json\n")
    assert files_in(tmp_path) == {"private.txt"}


def test_remove_keeps_the_files_of_others(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    write_files(tmp_path / "model", stable_diffusion())
    nothing = run("remove", tmp_path / "model", "--files", "--yes")
    assert (nothing.exit_code, files_in(tmp_path / "model")) == (1, {*stable_diffusion()})
    assert MARKER in nothing.stderr and f"rm -r {tmp_path / 'model'}" in nothing.stderr
    shutil.rmtree(tmp_path / "model")
    run("pull", tmp_path / "model")
    write_files(tmp_path / "model", {"loras/mine.safetensors": b"mine", "unet/mine.txt": b"mine"})
    removed = run("remove", tmp_path / "model", "--yes")
    assert (removed.exit_code, removed.stdout) == (0, f"{tmp_path}/model\n{tmp_path}/model.json\n")
    assert files_in(tmp_path / "model") == {"loras/mine.safetensors", "unet/mine.txt"}
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"loras", "unet"}
    assert not (tmp_path / "model.json").exists()


@pytest.mark.parametrize("moved", [True, False])
def test_remove_deletes_a_link_alone(run: Easel, hub: HubServer, tmp_path: Path, moved: bool) -> None:
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    run("pull", tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "disk")
    if not moved:
        (tmp_path / "disk" / MARKER).unlink()
    (tmp_path / "model").symlink_to(tmp_path / "disk")
    removed = run("remove", tmp_path / "model", "--yes")
    assert (removed.exit_code, (tmp_path / "model").is_symlink()) == (0, not moved)
    assert files_in(tmp_path / "disk") == {*TAKEN, "release.json"}
    assert not (tmp_path / "model.json").exists()


def test_remove_deletes_an_interrupted_pull(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    hub.repository.damaged.add("vae/diffusion_pytorch_model.fp16.safetensors")
    run("pull", tmp_path / "model")
    removed = run("remove", tmp_path / "model", "--files", "--yes")
    assert (removed.exit_code, removed.stdout) == (0, f"{tmp_path}/.model.pull\n")
    assert not (tmp_path / ".model.pull").exists()


def test_a_marker_names_no_file_outside_of_its_folder(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    run("add", checkpoint, "--folder", tmp_path, *MIT)
    write_files(tmp_path, {"private.txt": b"mine", "other/private.txt": b"mine"})
    names = ["../private.txt", "..", str(tmp_path / "private.txt"), "link/private.txt", 7, ""]
    write_files(tmp_path / "panda", {MARKER: json.dumps({"files": names}).encode()})
    (tmp_path / "panda" / "link").symlink_to(tmp_path / "other")
    assert run("remove", tmp_path / "panda", "--yes").exit_code == 0
    assert {"private.txt", "other/private.txt"} <= files_in(tmp_path)


_LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
LORA = {f"{_LAYER}.lora_down.weight": torch.zeros(4, 768), f"{_LAYER}.lora_up.weight": torch.zeros(320, 4)}


def test_a_lora_is_named_with_its_base(run: Easel, tmp_path: Path) -> None:
    path = save_checkpoint(LORA, tmp_path / "lora.safetensors")
    result = run("add", path, "--folder", tmp_path, *MIT)
    assert (result.exit_code, "a LoRA for Stable Diffusion 1.x" in result.stderr) == (2, True)


def test_a_controlnet_is_named_with_its_base(run: Easel, tmp_path: Path) -> None:
    control = {
        "controlnet_cond_embedding.conv_in.weight": torch.zeros(16, 3, 3, 3),
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": torch.zeros(640, 2048),
    }
    path = save_checkpoint(control, tmp_path / "control.safetensors")
    result = run("add", path, "--folder", tmp_path, *MIT)
    assert (result.exit_code, "a ControlNet for Stable Diffusion XL" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("nothing", "it is no link"),
        ("./org/model", "it is no link"),
        ("ftp://a.test/x", "https://"),
        ("http://a.test/x.safetensors", "https://"),
        ("https://a.test/x?token=abc", "a secret (token)"),
        ("https://user:word@a.test/x", "a secret (password)"),
        ("https://a.test/x.ckpt", "pickle"),
        ("org/model/blob/main/x.ckpt", "pickle"),
        ("s3://mine/x.ckpt", "pickle"),
        ("s3://M/", "s3://bucket/prefix/"),
        ("https://[", "https://"),
        ("https://127.0.0.1:99999/f.safetensors", "https://"),
        ("https://a..b/f.safetensors", "https://"),
        (f"https://{'x' * 70}.test/f.safetensors", "https://"),
        ("https://a.test/f.safetensors?X-Amz-Signature=abc", "a secret (X-Amz-Signature)"),
        ("x" * 5000, "it is no link"),
    ],
)
def test_sources_that_cannot_be_used(source: str, named: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_source(source, "https://huggingface.co")
    text = "\n".join(caught.value.lines())
    assert named in text and "abc" not in text and "word" not in text.replace("password", "")


def test_pages_of_the_hub_are_repositories() -> None:
    hub = "https://huggingface.co"
    assert parse_source(f"{hub}/org/model", hub) == {"kind": "hub", "repository": "org/model", "revision": "main"}
    assert parse_source(f"{hub}/org/model/tree/v1", hub)["revision"] == "v1"
    assert parse_source(f"{hub}/org/model/resolve/main/a/b.safetensors?download=true", hub)["file"] == "a/b.safetensors"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "--licence"),
        (["--licence", "Own"], "--licence-url"),
        ([*MIT, "--id", "../x"], "slash"),
        ([*MIT, "--id", "X"], "lower-case"),
        ([*MIT, "--scheduler", "magic"], "magic"),
        ([*MIT, "--side", "100"], "multiples of 8"),
        ([*MIT, "--licence-url", "ftp://a"], "https://"),
    ],
)
def test_what_is_not_known_or_wrong(
    run: Easel, checkpoint: Path, tmp_path: Path, options: list[str], named: str
) -> None:
    result = run("add", checkpoint, "--folder", tmp_path, *options)
    assert result.exit_code in (1, 2)
    assert named in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_entry_is_not_replaced(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "panda.json").write_text("mine")
    result = run("add", checkpoint, "--folder", tmp_path, *MIT)
    assert (result.exit_code, (tmp_path / "panda.json").read_text()) == (2, "mine")


def test_a_pull_keeps_what_is_in_the_folder(run: Easel, checkpoint: Path, tmp_path: Path) -> None:
    run("add", checkpoint, "--folder", tmp_path, *MIT)
    write_files(tmp_path / "panda", {"notes.txt": b"mine"})
    assert (run("pull", tmp_path / "panda").exit_code, files_in(tmp_path / "panda")) == (3, {"notes.txt"})


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    check_space(tmp_path / "new", 1000)
    with pytest.raises(CommandError, match="too little space"):
        check_space(tmp_path / "new", 10**18)


def test_every_known_class_has_a_proposal() -> None:
    assert proposal.USUAL.keys() == PIPELINES.keys()
    assert {name for name, usual in proposal.USUAL.items() if "image_to_image" in usual.more} == IMAGE_TO_IMAGE.keys()
    for name in ("sd-1.5", "sdxl", "z-image-turbo", "flux.2-klein-4b"):
        model = read_model(name, ROOT)
        usual = proposal.USUAL[model.pipeline]
        for field in ("steps", "guidance_scale", "scheduler", "diffusers"):
            assert getattr(usual, field) == getattr(model, field)


def test_ids_are_made_of_names() -> None:
    names = {"A B": "a-b", "../x": "x", "熊猫": "model", "x" * 60: "x" * 40, "v1.5!": "v1.5"}
    assert {name: proposal.slug(name) for name in names} == names


# --- LoRAs from elsewhere ------------------------------------------------------------------------


def test_pull_brings_a_lora_that_was_added_later(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    """From a link, and after an interruption only the rest. The model's own files are not fetched again."""
    write_files(hub.repository.folder, {LARGE: tensors(UNET_OF_LORA)})
    content = lora(rank=200_000)
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    assert run("pull", tmp_path / "model").exit_code == 0
    with Site(content, cut_after=PIECE) as site:
        flat = {
            "id": "flat",
            "sha256": hashlib.sha256(content).hexdigest(),
            "source": {"kind": "url", "url": site.link},
        }
        (tmp_path / "model.json").write_text(json.dumps(entry(tmp_path / "model.json") | {"loras": [flat]}))
        broken = run("pull", tmp_path / "model")
        assert (broken.exit_code, "6 times" in broken.stderr) == (3, True)
        site.cut_after = None
        hub.requests.clear()
        site.sent.clear()
        pulled = run("pull", tmp_path / "model")
        assert (pulled.exit_code, "loras/flat.safetensors" in pulled.stderr) == (0, True)
        assert 0 < sum(site.sent.values()) <= len(content) - PIECE + 2**17  # and where its header is
    assert hub.requests == []
    assert (tmp_path / "model" / "loras" / "flat.safetensors").read_bytes() == content
    assert "would load" in run("check", tmp_path / "model").stdout
    assert run("remove", tmp_path / "model", "--yes").exit_code == 0
    assert not (tmp_path / "model").exists()


def test_pull_replaces_a_lora_whose_entry_has_changed(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    """If `pull` wrote it: a file of the user's own stays."""
    write_files(hub.repository.folder, {LARGE: tensors(UNET_OF_LORA)})
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    assert run("pull", tmp_path / "model").exit_code == 0
    file = tmp_path / "model" / "loras" / "flat.safetensors"
    for content in (lora(rank=4), lora(rank=8)):
        with Site(content) as site:
            source = {"kind": "url", "url": site.link}
            flat = {"id": "flat", "sha256": hashlib.sha256(content).hexdigest(), "source": source}
            (tmp_path / "model.json").write_text(json.dumps(entry(tmp_path / "model.json") | {"loras": [flat]}))
            assert run("pull", tmp_path / "model").exit_code == 0
        assert file.read_bytes() == content
    marker = tmp_path / "model" / ".easel-pulled"
    marker.write_text(json.dumps({"files": ["model_index.json"]}))
    file.write_bytes(lora(rank=4))
    refused = run("pull", tmp_path / "model")
    assert (refused.exit_code, "loras/flat.safetensors" in refused.stderr) == (1, True)
    assert file.read_bytes() == lora(rank=4)


def test_pull_refuses_another_lora_than_the_entrys(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    write_files(hub.repository.folder, {LARGE: tensors(UNET_OF_LORA)})
    run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence")
    assert run("pull", tmp_path / "model").exit_code == 0
    with Site(lora()) as site:
        flat = {"id": "flat", "sha256": "0" * 64, "source": {"kind": "url", "url": site.link}}
        (tmp_path / "model.json").write_text(json.dumps(entry(tmp_path / "model.json") | {"loras": [flat]}))
        refused = run("pull", tmp_path / "model")
    assert refused.exit_code == 3, refused.stderr
    assert not (tmp_path / "model" / "loras" / "flat.safetensors").exists()
