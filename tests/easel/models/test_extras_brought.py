"""Extras of models whose own files are one checkpoint, or a folder of this machine: add, pull, check, list, remove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from easel.laptop.catalogue import find
from tests.checkpoints import stable_diffusion_1
from tests.easel.models.conftest import Easel
from tests.easel.models.test_models import MIT, entry, files_in
from tests.model_code.control_files import write_control
from tests.model_files import tensors
from tests.model_importer.example import TAKEN, write_files
from tests.model_importer.hub import HubServer, Repository
from tests.model_importer.site import Site

NAME = "panda.safetensors"
TOY, WIDE = tensors({"emb_params": (2, 64)}), tensors({"emb_params": (2, 32)})


def flat(channels: int = 4, version: str = "1") -> bytes:
    layer = "lora_unet_conv_in"
    shapes = {f"{layer}.lora_down.weight": (2, channels, 3, 3), f"{layer}.lora_up.weight": (32, 2, 1, 1)}
    return tensors(shapes, {"version": version})


@pytest.fixture(scope="session")
def edges(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ControlNet of the checkpoint."""
    file = tmp_path_factory.mktemp("control") / "edges.safetensors"
    write_control(stable_diffusion_1().unet.float(), file)
    return file.read_bytes()


@pytest.fixture
def origins(
    run: Easel, checkpoint: Path, edges: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A hub and a bucket with the checkpoint, an embedding and a ControlNet. Return where entries are written."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("EASEL_MODEL_TOKEN", "t0ken")
    files = {**TAKEN, NAME: checkpoint.read_bytes(), "toy.safetensors": TOY, "wide.safetensors": WIDE}
    with HubServer(Repository(write_files(tmp_path / "hub", files))) as server, mock_aws():
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="mine")
        for key, content in ((NAME, files[NAME]), ("edges.safetensors", edges)):
            s3.put_object(Bucket="mine", Key=key, Body=content)
        (tmp_path / "entries").mkdir()
        yield tmp_path / "entries"


def add_base(run: Easel, base: str, checkpoint: Path, folder: Path) -> Path:
    """Add the model `base`, and return its entry without the suffix."""
    options = ("--folder", folder, *MIT, "--id", "base", "--licence-url", "https://a.test/licence")
    source: Any = {"hub": f"org/model/blob/main/{NAME}", "s3": f"s3://mine/{NAME}"}.get(base, checkpoint)
    assert run("add", source, *options).exit_code == 0
    if base == "folder":  # made by somebody else
        assert run("pull", folder / "base").exit_code == 0
        (folder / "base" / ".easel-pulled").unlink()
        fields = entry(folder / "base.json") | {"source": {"kind": "folder", "path": "base"}}
        (folder / "base.json").write_text(json.dumps(fields))
    return folder / "base"


@pytest.mark.parametrize("base", ["hub", "s3", "file", "folder"])
def test_they_are_added_pulled_checked_and_removed(
    run: Easel, origins: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, edges: bytes, base: str
) -> None:
    model = add_base(run, base, checkpoint, origins)
    own = files_in(model) if base == "folder" else set()
    with Site(flat(), token="t0ken") as site:
        monkeypatch.setenv("EASEL_MODEL_TOKEN_HOST", site.url.removeprefix("http://"))
        sources = {
            "flat": site.link,
            "toy": "org/model/blob/main/toy.safetensors",
            "edges": "s3://mine/edges.safetensors",
        }
        for id, source in sources.items():
            added = run("add", source, "--to", model, "--id", id)
            assert (added.exit_code, f"pull {model}" in added.stderr.replace("\n", "")) == (0, True), added.stderr
        if base == "folder":
            assert find(str(model)).state == "loras/flat.safetensors not on this machine"
            missing = run("check", model)
            assert (missing.exit_code, "easel models pull" in missing.stderr) == (3, True)
        pulled = run("pull", model)
        assert pulled.exit_code == 0, pulled.stderr
        assert site.tokens == {"home": {"Bearer t0ken"}, "store": {""}}
    extras = {"loras/flat.safetensors": flat(), "embeddings/toy.safetensors": TOY, "controls/edges.safetensors": edges}
    assert {path: (model / path).read_bytes() for path in extras} == extras
    assert (find(str(model)).state, "would load" in run("check", model).stdout) == ("here", True)
    removed = run("remove", model, "--files", "--yes")
    assert removed.exit_code == 0, removed.stderr
    assert (files_in(model) if model.exists() else set()) == own
    if base == "folder":
        assert not any((model / path).parent.exists() for path in (*extras, ".easel-pulled/x"))
        assert len(removed.stdout.splitlines()) == 3


def test_a_checkpoint_behind_a_link(run: Easel, origins: Path, checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with Site(content) as site:
        options = ("--folder", origins, *MIT, "--id", "base", "--sha256", digest)
        assert run("add", site.link, *options).exit_code == 0
        added = run("add", "org/model/blob/main/toy.safetensors", "--to", origins / "base")
        assert added.exit_code == 0, added.stderr
        assert run("add", "org/model/blob/main/wide.safetensors", "--to", origins / "base").exit_code == 1
        assert run("pull", origins / "base").exit_code == 0
    assert (origins / "base/embeddings/toy.safetensors").read_bytes() == TOY
    assert "would load" in run("check", origins / "base").stdout


def test_a_checkpoint_behind_a_link_without_a_hash(run: Easel, origins: Path, checkpoint: Path) -> None:
    with Site(checkpoint.read_bytes()) as site:
        assert run("add", site.link, "--folder", origins, *MIT, "--id", "base").exit_code == 0
        added = run("add", "org/model/blob/main/toy.safetensors", "--to", origins / "base")
        assert added.exit_code == 0, added.stderr
        refused = run("add", "org/model/blob/main/wide.safetensors", "--to", origins / "base")
        assert (refused.exit_code, "here they have 64" in " ".join(refused.stderr.split())) == (1, True)
        assert run("pull", origins / "base").exit_code == 0
    assert (origins / "base/embeddings/toy.safetensors").read_bytes() == TOY


@pytest.mark.parametrize("base", ["hub", "file", "folder"])
def test_one_that_does_not_fit_is_refused_before_it_is_downloaded(
    run: Easel, origins: Path, checkpoint: Path, base: str
) -> None:
    model = add_base(run, base, checkpoint, origins)
    before = entry(origins / "base.json")
    with Site(flat(channels=5)) as site:
        refused = run("add", site.link, "--to", model, "--id", "flat")
        assert (refused.exit_code, "does not fit this model" in refused.stderr) == (1, True)
        assert entry(origins / "base.json") == before
        source = {"kind": "url", "url": site.link}
        lora = {"id": "flat", "sha256": hashlib.sha256(site.content).hexdigest(), "source": source}
        (origins / "base.json").write_text(json.dumps(before | {"loras": [lora]}))
        pulled = run("pull", model)
        assert (pulled.exit_code, "does not fit this model" in pulled.stderr) == (1, True)
    assert not (model / "loras").exists() and model.exists() == (base == "folder")


def test_a_file_of_this_machine_waits_for_the_folder(run: Easel, origins: Path, checkpoint: Path) -> None:
    model = add_base(run, "file", checkpoint, origins)
    (origins.parent / "flat.safetensors").write_bytes(flat())
    early = run("add", origins.parent / "flat.safetensors", "--to", model)
    assert (early.exit_code, "easel models pull" in early.stderr) == (3, True)
    assert run("pull", model).exit_code == 0
    assert run("add", origins.parent / "flat.safetensors", "--to", model).exit_code == 0
    assert "would load" in run("check", model).stdout


def test_what_an_interrupted_pull_left_is_not_taken_for_an_extra_of_a_changed_entry(
    run: Easel, origins: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = add_base(run, "file", checkpoint, origins)
    before = entry(origins / "base.json")
    for content, ends in ((flat(), False), (flat(version="2"), True)):
        with Site(content) as site, monkeypatch.context() as patch:
            if not ends:
                patch.setattr("easel.models.pull._finish", interrupt)
            source = {"kind": "url", "url": site.link}
            lora = {"id": "flat", "sha256": hashlib.sha256(content).hexdigest(), "source": source}
            (origins / "base.json").write_text(json.dumps(before | {"loras": [lora]}))
            assert (run("pull", model).exit_code == 0) == ends
    assert (model / "loras/flat.safetensors").read_bytes() == content
    assert find(str(model)).state == "here"


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_an_extra_leaves_its_model(run: Easel, origins: Path, checkpoint: Path) -> None:
    """The file that `pull` wrote goes with its item; one of the user's own stays."""
    model, own = add_base(run, "folder", checkpoint, origins), origins / "own.safetensors"
    own.write_bytes(flat(version="2"))
    sources = {"toy": "org/model/blob/main/toy.safetensors", "edges": "s3://mine/edges.safetensors", "own": own}
    for id, source in sources.items():
        assert run("add", source, "--to", model, "--id", id).exit_code == 0
    assert run("pull", model).exit_code == 0
    before = model.with_suffix(".json").read_text()
    assert "--yes" in run("remove", model, "--extra", "toy").stderr
    assert run("remove", model, "--extra", "own", "--files", "--yes").exit_code == 1
    assert model.with_suffix(".json").read_text() == before
    kept = run("remove", model, "--extra", "edges", "--files", "--yes")
    assert (kept.exit_code, kept.stdout) == (0, f"{model}/controls/edges.safetensors\n")
    assert find(str(model)).state == "controls/edges.safetensors not on this machine"
    removed = run("remove", model, "--extra", "controls/edges", "--yes")
    assert (removed.exit_code, removed.stdout) == (0, f"controls/edges of {model}.json\n")
    removed = run("remove", model, "--extra", "toy", "--yes")
    assert removed.stdout == f"embeddings/toy of {model}.json\n{model}/embeddings/toy.safetensors\n"
    assert not (model / "embeddings").exists() and not (model / ".easel-pulled").exists()
    removed = run("remove", model, "--extra", "own", "--yes")
    assert (removed.exit_code, removed.stdout) == (0, f"loras/own of {model}.json\n")
    assert "loras/own.safetensors stays" in removed.stderr.replace("\n", "")
    assert (model / "loras" / "own.safetensors").exists()
    assert not entry(model.with_suffix(".json")).keys() & {"loras", "controls", "embeddings"}


def test_an_extra_that_cannot_leave(run: Easel, origins: Path, checkpoint: Path) -> None:
    model = add_base(run, "folder", checkpoint, origins)
    unknown = run("remove", model, "--extra", "toy", "--yes")
    assert (unknown.exit_code, "no LoRA, no ControlNet" in unknown.stderr) == (2, True)
    for source in ("org/model/blob/main/toy.safetensors", "s3://mine/edges.safetensors"):
        assert run("add", source, "--to", model, "--id", "both").exit_code == 0
    several = run("remove", model, "--extra", "both", "--yes")
    assert (several.exit_code, "--extra controls/both" in several.stderr) == (2, True)
    assert run("remove", model, "--extra", "embeddings/both", "--yes").exit_code == 0
    assert run("remove", model, "--extra", "both", "--yes").exit_code == 0
