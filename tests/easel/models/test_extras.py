"""`easel models add --to`: a LoRA, a ControlNet or an embedding in the entry of a model, and those that are refused."""

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
from easel.models.entry_text import insert, remove
from tests.checkpoints import save_checkpoint
from tests.easel.models.conftest import Easel
from tests.easel.models.test_models import LORA, MIT, entry, files_in
from tests.easel.running import ROOT
from tests.model_code import every_pipeline, tiny
from tests.model_code.control_files import STABILITY, create_control, write_control
from tests.model_files import UNET, UNET_OF_LORA, lora, stable_diffusion, tensors
from tests.model_importer.example import LARGE, TAKEN, write_files
from tests.model_importer.hub import LFS_BYTES, HubServer, Repository
from tests.model_importer.site import Site

FILE = lora()
SHA256 = hashlib.sha256(FILE).hexdigest()


@pytest.fixture
def hub(run: Easel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with a model, which has an entry `model` and is not pulled, and a LoRA for it."""
    files = {**TAKEN, LARGE: tensors(UNET_OF_LORA), "flat.safetensors": FILE}
    files["pytorch_lora_weights.fp16.safetensors"] = FILE
    files["large.safetensors"] = lora(rank=LFS_BYTES // 100)
    with HubServer(Repository(write_files(tmp_path / "hub", files))) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert run("add", "org/model", "--folder", tmp_path, "--licence-url", "https://a.test/licence").exit_code == 0
        yield server


@pytest.fixture
def mine(run: Easel, tmp_path: Path) -> Path:
    """The entry `mine` of a model folder on this machine."""
    write_files(tmp_path / "mine", {**stable_diffusion(), UNET: tensors(UNET_OF_LORA)})
    assert run("add", tmp_path / "mine", "--folder", tmp_path, *MIT).exit_code == 0
    return tmp_path / "mine.json"


def refused(run: Easel, path: Path, *arguments: Any) -> tuple[int, str]:
    """Return exit code and error of `add`, which leaves the entry as it was."""
    before, files = path.read_text(), files_in(path.with_suffix(""))
    result = run("add", *arguments, "--to", path)
    assert (path.read_text(), files_in(path.with_suffix(""))) == (before, files)
    return result.exit_code, " ".join(result.stderr.split())


@pytest.mark.parametrize("pulled", [False, True])
def test_a_link_becomes_a_lora_that_pull_brings(run: Easel, hub: HubServer, tmp_path: Path, pulled: bool) -> None:
    if pulled:
        assert run("pull", tmp_path / "model").exit_code == 0
    options = ("--id", "flat", "--scale", 0.5, "--scheduler", "euler", "--steps", 4, "--guidance", 0)
    with Site(FILE) as site:
        added = run("add", site.link, "--to", tmp_path / "model", *options)
        assert (added.exit_code, added.stdout) == (0, f"{tmp_path}/model.json\n"), added.stderr
        assert entry(tmp_path / "model.json")["loras"] == [
            {
                "id": "flat", "sha256": SHA256, "scale": 0.5, "scheduler": "euler", "steps": 4, "guidance_scale": 0,
                "source": {"kind": "url", "url": site.link},
            }
        ]  # fmt: skip
        assert run("pull", tmp_path / "model").exit_code == 0
    assert (tmp_path / "model" / "loras" / "flat.safetensors").read_bytes() == FILE
    assert "would load" in run("check", tmp_path / "model").stdout


def test_a_file_of_a_hub_is_pinned(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    for id in ("flat", "other"):
        added = run("add", "org/model/blob/main/flat.safetensors", "--to", tmp_path / "model", "--id", id)
        assert added.exit_code == 0, added.stderr
    flat, other = entry(tmp_path / "model.json")["loras"]
    source = {"kind": "hub", "repository": "org/model", "revision": "c" * 40, "file": "flat.safetensors"}
    assert (flat["sha256"], flat["source"], flat["licence"]) == (SHA256, source, "CreativeML OpenRAIL++-M")
    assert flat | {"id": "other"} == other


def test_a_file_that_diffusers_named_has_the_name_of_its_repository(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    source = "org/model/blob/main/pytorch_lora_weights.fp16.safetensors"
    assert run("add", source, "--to", tmp_path / "model").exit_code == 0
    assert entry(tmp_path / "model.json")["loras"][0]["id"] == "model"


def test_s3(run: Easel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="bucket")
        for name, content in {**stable_diffusion(), UNET: tensors(UNET_OF_LORA)}.items():
            s3.put_object(Bucket="bucket", Key=f"model/{name}", Body=content)
        s3.put_object(Bucket="bucket", Key="Flat.safetensors", Body=FILE)
        run("add", "s3://bucket/model/", "--folder", tmp_path, *MIT)
        added = run("add", "s3://bucket/Flat.safetensors", "--to", tmp_path / "model")
        assert added.exit_code == 0, added.stderr
        source = {"kind": "s3", "uri": "s3://bucket/Flat.safetensors"}
        assert entry(tmp_path / "model.json")["loras"] == [{"id": "flat", "sha256": SHA256, "source": source}]
        assert run("add", "s3://bucket/none.safetensors", "--to", tmp_path / "model").exit_code == 3


def test_a_local_file_is_copied_beside_a_model_of_this_machine(run: Easel, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "flat.safetensors").write_bytes(FILE)
    copy = tmp_path / "mine" / "loras" / "flat.safetensors"
    added = run("add", tmp_path / "flat.safetensors", "--to", mine, "--words", "flat style", "--words", "bold")
    assert (added.exit_code, added.stdout) == (0, f"{mine}\n{copy}\n"), added.stderr
    assert entry(mine)["loras"] == [{"id": "flat", "sha256": SHA256, "words": ["flat style", "bold"]}]
    assert (copy.read_bytes(), "would load" in run("check", mine).stdout) == (FILE, True)
    code, why = refused(run, mine, tmp_path / "flat.safetensors")
    assert (code, "has a LoRA of this id" in why) == (2, True)
    write_files(tmp_path / "mine", {"loras/near.safetensors": FILE})
    assert run("add", tmp_path / "mine" / "loras" / "near.safetensors", "--to", mine).stdout == f"{mine}\n"


def test_a_local_file_of_a_model_of_a_hub_needs_a_copy_of_the_model(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "flat.safetensors").write_bytes(FILE)
    _, why = refused(run, tmp_path / "model.json", tmp_path / "flat.safetensors")
    assert "copy" not in why
    assert run("pull", tmp_path / "model").exit_code == 0
    code, why = refused(run, tmp_path / "model.json", tmp_path / "flat.safetensors")
    assert (code, f"easel models add {tmp_path}/model --id my-model" in why) == (2, True)
    copy = ("--folder", tmp_path, *MIT, "--id", "my-model")
    assert run("add", tmp_path / "model", *copy).exit_code == 0
    assert run("add", tmp_path / "flat.safetensors", "--to", tmp_path / "my-model").exit_code == 0
    assert "would load" in run("check", tmp_path / "my-model").stdout


def test_a_local_file_while_another_is_not_pulled(run: Easel, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "near.safetensors").write_bytes(FILE)
    with Site(FILE) as site:
        assert run("add", site.link, "--to", mine, "--id", "far").exit_code == 0
        added = run("add", tmp_path / "near.safetensors", "--to", mine)
        assert (added.exit_code, "easel models pull" in added.stderr) == (0, True), added.stderr
        assert run("pull", mine).exit_code == 0
    assert find(str(mine)).state == "here"


def test_a_controlnet(run: Easel, tmp_path: Path) -> None:
    pipeline = tiny.stable_diffusion()
    pipeline.save_pretrained(tmp_path / "tiny")
    write_control(pipeline.unet, tmp_path / "edges.safetensors")
    assert run("add", tmp_path / "tiny", "--folder", tmp_path, *MIT).exit_code == 0
    entry_file = tmp_path / "tiny.json"
    code, _ = refused(run, entry_file, tmp_path / "edges.safetensors", "--steps", 4)
    assert code == 1
    added = run("add", tmp_path / "edges.safetensors", "--to", entry_file, "--scale", 0.5, "--preprocess", "canny")
    assert added.exit_code == 0, added.stderr
    sha256 = hashlib.sha256((tmp_path / "edges.safetensors").read_bytes()).hexdigest()
    control = {"id": "edges", "sha256": sha256, "scale": 0.5, "preprocess": "canny"}
    assert entry(entry_file)["controls"] == [control]
    assert "would load" in run("check", entry_file).stdout


def test_a_controlnet_of_a_transformer(run: Easel, tmp_path: Path) -> None:
    pipeline = tiny.flux()
    pipeline.save_pretrained(tmp_path / "tiny")
    write_control(pipeline.transformer, tmp_path / "edges.safetensors")
    write_control(every_pipeline.qwen_image().transformer, tmp_path / "other.safetensors")
    assert run("add", tmp_path / "tiny", "--folder", tmp_path, *MIT).exit_code == 0
    entry_file = tmp_path / "tiny.json"
    code, why = refused(run, entry_file, tmp_path / "other.safetensors")
    assert (code, "It is for Qwen-Image." in why) == (1, True)
    assert refused(run, entry_file, tmp_path / "edges.safetensors", "--inputs", "zeros")[0] == 1
    added = run("add", tmp_path / "edges.safetensors", "--to", entry_file)
    assert added.exit_code == 0, added.stderr
    assert [control["id"] for control in entry(entry_file)["controls"]] == ["edges"]
    assert "would load" in run("check", entry_file).stdout
    alone = run("add", tmp_path / "edges.safetensors", "--folder", tmp_path, *MIT)
    assert (alone.exit_code, "a ControlNet for FLUX.1" in " ".join(alone.stderr.split())) == (2, True)


def test_a_folder_of_a_controlnet(run: Easel, tmp_path: Path) -> None:
    pipeline = tiny.flux()
    pipeline.save_pretrained(tmp_path / "tiny")
    create_control(pipeline.transformer).save_pretrained(tmp_path / "edges")
    assert run("add", tmp_path / "tiny", "--folder", tmp_path, *MIT).exit_code == 0
    entry_file, folder = tmp_path / "tiny.json", tmp_path / "edges"
    alone = run("add", folder, "--folder", tmp_path, *MIT)
    assert (alone.exit_code, "a ControlNet for FLUX.1" in " ".join(alone.stderr.split())) == (2, True)
    (folder / "config.json").write_text('{"_class_name": "SparseControlNetModel"}')
    code, why = refused(run, entry_file, folder)
    assert (code, "it is a SparseControlNetModel" in why) == (2, True)
    (folder / "config.json").write_text('{"_class_name": "FluxControlNetModel"}')
    assert run("add", folder, "--to", entry_file).exit_code == 0
    assert [control["id"] for control in entry(entry_file)["controls"]] == ["edges"]
    assert "would load" in run("check", entry_file).stdout
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "diffusion_pytorch_model-00001-of-2.safetensors")
    code, why = refused(run, entry_file, folder, "--id", "other")
    assert (code, "it has no diffusion_pytorch_model.safetensors" in why) == (2, True)
    for places in ([0, 5, 10, 15, 20, 25], [*range(0, 30, 2)], [0, 10, 20], [0, 1], [], None):
        config = {"_class_name": "ZImageControlNetModel", "control_layers_places": places}
        (folder / "config.json").write_text(json.dumps(config))
        code, why = refused(run, entry_file, folder, "--id", "other")
        assert (code, "adds to the layers" in why) == (2, places in ([0, 1], [], None))


def test_the_inputs_of_a_controlnet_of_stable_diffusion_3(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    pipeline = every_pipeline.stable_diffusion_3()
    pipeline.save_pretrained(tmp_path / "tiny")
    assert run("add", tmp_path / "tiny", "--folder", tmp_path, *MIT).exit_code == 0
    entry_file, folder = tmp_path / "tiny.json", tmp_path / "edges"
    create_control(pipeline.transformer).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    zeros = "force_zeros_for_pooled_projection"
    for number, (changes, inputs) in enumerate(
        [
            ({zeros: False}, "text"),
            ({zeros: True}, "zeros"),
            ({"_class_name": "ControlNetSD3Model", zeros: ...}, "zeros"),
        ]
    ):
        saved = {key: value for key, value in (config | changes).items() if value is not ...}
        (folder / "config.json").write_text(json.dumps(saved))
        added = run("add", folder, "--to", entry_file, "--id", f"edges-{number}")
        assert added.exit_code == 0, added.stderr
        assert entry(entry_file)["controls"][-1]["inputs"] == inputs
    assert "would load" in run("check", entry_file).stdout
    hub.repository.folder = folder
    assert run("add", "org/model", "--to", entry_file, "--id", "far").exit_code == 0
    far = entry(entry_file)["controls"][-1]
    assert (far["inputs"], far["source"]["repository"]) == ("zeros", "org/model")
    code, why = refused(run, entry_file, folder, "--id", "edges", "--inputs", "text")
    assert (code, "--inputs to zeros:" in why) == (2, True)
    file = folder / "diffusion_pytorch_model.safetensors"
    code, why = refused(run, entry_file, file, "--id", "edges")
    assert (code, "--inputs to zeros or text or text-raw:" in why) == (2, True)
    assert run("add", file, "--to", entry_file, "--id", "file", "--inputs", "zeros").exit_code == 0
    create_control(pipeline.transformer, **STABILITY).save_pretrained(folder)
    code, why = refused(run, entry_file, folder, "--id", "edges")
    assert (code, "--inputs to text or text-raw:" in why) == (2, True)
    assert run("add", folder, "--to", entry_file, "--id", "raw", "--inputs", "text-raw").exit_code == 0
    write_control(tiny.flux().transformer, tmp_path / "flux.safetensors")
    code, why = refused(run, entry_file, tmp_path / "flux.safetensors", "--inputs", "zeros")
    assert (code, "it is for FLUX.1" in why) == (2, True)


def test_a_repository_of_a_controlnet(run: Easel, hub: HubServer, tmp_path: Path) -> None:
    create_control(tiny.flux().transformer).save_pretrained(tmp_path / "control")
    hub.repository.folder = tmp_path / "control"
    result = run("add", "org/model", "--folder", tmp_path, *MIT)
    assert (result.exit_code, "a ControlNet for FLUX.1" in " ".join(result.stderr.split())) == (2, True), result.stderr


def test_an_embedding(run: Easel, tmp_path: Path) -> None:
    tiny.stable_diffusion().save_pretrained(tmp_path / "tiny")
    assert run("add", tmp_path / "tiny", "--folder", tmp_path, *MIT).exit_code == 0
    entry_file, files = tmp_path / "tiny.json", {"toy": tensors({"emb_params": (2, 32)})}
    files["wide"] = tensors({"emb_params": (2, 1024)})
    for name, content in files.items():
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    code, error = refused(run, entry_file, tmp_path / "wide.safetensors")
    assert (code, "have 1024 numbers, and here they have 32" in error) == (1, True)
    assert refused(run, entry_file, tmp_path / "toy.safetensors", "--scale", 0.5)[0] != 0
    for options, token in (([], "toy"), (["--id", "toy-2", "--token", "<toy>"], "<toy>")):
        added = run("add", tmp_path / "toy.safetensors", "--to", entry_file, *options)
        assert (added.exit_code, f"token: {token}\n" in added.stderr) == (0, True), added.stderr
    sha256 = hashlib.sha256(files["toy"]).hexdigest()
    second = {"id": "toy-2", "sha256": sha256, "token": "<toy>"}
    assert entry(entry_file)["embeddings"] == [{"id": "toy", "sha256": sha256}, second]
    assert "would load" in run("check", entry_file).stdout
    alone = run("add", tmp_path / "wide.safetensors", "--folder", tmp_path, *MIT)
    assert (alone.exit_code, "a textual-inversion embedding for Stable Diffusion 2.x" in alone.stderr) == (2, True)


def test_what_does_not_fit_is_refused(run: Easel, mine: Path, hub: HubServer, tmp_path: Path) -> None:
    write_files(tmp_path, {"wide.safetensors": lora(channels=5), "flat.safetensors": FILE})
    model = tmp_path / "model.json"
    code, why = refused(run, mine, tmp_path / "wide.safetensors")
    assert (code, "does not fit this model" in why) == (1, True)
    with Site(lora(channels=5)) as site:
        code, why = refused(run, model, site.link, "--id", "wide")
        assert (code, "does not fit this model" in why) == (1, True)
        code, why = refused(run, mine, site.link)
        assert (code, "does not fit this model" in why) == (1, True)
        assert refused(run, model, site.link, "--sha256", "0" * 63)[0] == 1
    assert refused(run, model, tmp_path / "flat.safetensors")[0] == 2
    assert refused(run, model, "org/model/blob/main/large.safetensors", "--sha256", "0" * 64)[0] == 2
    assert refused(run, model, "org/model/blob/main/flat.safetensors", "--scale", 4.1)[0] == 1
    assert refused(run, model, "org/model/blob/main/flat.safetensors", "--scheduler", "magic")[0] == 1
    assert refused(run, model, "org/model/blob/main/flat.safetensors", "--side", 512)[0] == 2
    assert refused(run, model, "org/model")[0] == 2
    assert refused(run, model, tmp_path / "mine" / UNET)[0] == 2


def test_options_of_the_other_kind(run: Easel, tmp_path: Path) -> None:
    assert run("add", tmp_path, "--scale", 1).exit_code == 2
    assert run("add", tmp_path, "--to", "none").exit_code == 2


def test_the_models_of_its_base_are_named(run: Easel, tmp_path: Path) -> None:
    path = save_checkpoint(LORA, tmp_path / "lora.safetensors")
    assert "are: lcm-dreamshaper-v7, sd-1.5. They take a file of a hub" in " ".join(run("add", path).stderr.split())
    with Site(path.read_bytes()) as site:
        result = run("add", site.link)
    text = " ".join(result.stderr.split())
    assert (result.exit_code, "a LoRA for Stable Diffusion 1.x" in text) == (2, True)
    assert "are: lcm-dreamshaper-v7, sd-1.5." in text
    assert "--to emoji" in run("add", ROOT / "models/emoji/loras/comic.safetensors").stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("metadata", "options", "named"),
    [
        ({"modelspec.title": "SDXL_Lightning_4step"}, (), "lightning"),
        ({"ss_output_name": "hyperreal"}, (), "If it is"),
        ({"ss_output_name": "my-lcm"}, ("--scheduler", "euler", "--steps", 4, "--guidance", 1), ""),
    ],
)
def test_a_distilled_lora_is_not_guessed(
    run: Easel, mine: Path, tmp_path: Path, metadata: dict[str, str], options: tuple[Any, ...], named: str
) -> None:
    layer = "lora_unet_conv_in"
    shapes = {f"{layer}.lora_down.weight": (2, 4, 3, 3), f"{layer}.lora_up.weight": (8, 2, 1, 1)}
    (tmp_path / "flat.safetensors").write_bytes(tensors(shapes, metadata))
    added = run("add", tmp_path / "flat.safetensors", "--to", mine, "--id", "flat", *options)
    assert (added.exit_code, named in added.stderr, "Turbo" in added.stderr) == (0, True, bool(named))
    assert ("steps" in entry(mine)["loras"][0]) == bool(options)


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*.json")), ids=lambda path: path.stem)
@pytest.mark.parametrize("key", ["loras", "controls"])
def test_the_rest_of_an_entry_keeps_its_form(path: Path, key: str) -> None:
    text = path.read_text()
    new, value = insert(text, key, {"id": "熊猫"}), json.loads(text)
    assert json.loads(new) == value | {key: [*value.get(key, ()), {"id": "熊猫"}]}
    assert new.startswith(text[: text.rindex("\n  ")].partition('"loras"')[0])


def test_an_entry_of_any_form() -> None:
    for text in ('{"a": 1, "loras" :[ ]}', '{"a": "}]", "loras": []\n}', '{"a": 1}'):
        new = insert(text, "loras", {"id": "b"})
        assert json.loads(new)["loras"] == [{"id": "b"}]
        assert json.loads(remove(new, "loras", "b")) == {"a": json.loads(text)["a"]}


@pytest.mark.parametrize("place", ['{%s, "a": 1}', '{ "a": 1 ,\n%s}', '{"z": [], %s,"a": {"loras": 1}}'])
def test_an_item_leaves_an_entry(place: str) -> None:
    items = '[{"id": "a", "x": "]"},\n {"id": "b"} , {"id":"c"}]'
    text = place % f'"loras" : {items}'
    for id in "abc":
        left = [item for item in json.loads(items) if item["id"] != id]
        new = remove(text, "loras", id)
        assert json.loads(new) == json.loads(text) | {"loras": left}
        assert new.startswith(text.partition("[{")[0]) and new.endswith(text.rpartition("}]")[2])
    for id in "ab":
        text = remove(text, "loras", id)
    assert json.loads(remove(text, "loras", "c")) == {k: v for k, v in json.loads(text).items() if k != "loras"}
