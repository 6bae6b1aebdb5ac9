"""LoRAs, ControlNets and embeddings of a catalogue entry."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract import (
    CONTROL_COST_PERCENT,
    CONTROL_WITHOUT,
    CONTROLS,
    ProfileControl,
    ProfileEmbedding,
    ProfileLora,
    parse_profile,
)
from model_importer.model_folder import CONTROL_PIPELINES, ControlFamily
from stacks.config.catalogue import MOST_CONTROLS, MOST_EMBEDDINGS, MOST_LORAS, CatalogueError, read_model
from stacks.config.model_folder import released_files
from tests.model_files import UNET, UNET_OF_LORA, lora, tensors
from tests.stacks.assembly import write_model

FLAT = {"id": "flat", "sha256": hashlib.sha256(lora()).hexdigest()}
SOURCE = {"kind": "hub", "repository": "a/b", "revision": "main", "file": "a.safetensors"}
HUB = {"kind": "hub", "repository": "c/d", "revision": "main"}


def refusal(tmp_path: Path, *loras: dict[str, Any], **changes: Any) -> CatalogueError:
    with pytest.raises(CatalogueError) as caught:
        read_model("tiny", write_model(tmp_path, loras=[*loras], **changes))
    return caught.value


def test_functions_get_what_people_see_and_the_container_what_it_needs(tmp_path: Path) -> None:
    more = {"name": "Flat", "name_zh": "扁平", "words": ["flat"], "licence": "MIT", "scale": 0.5, "steps": 4}
    model = read_model("tiny", write_model(tmp_path, loras=[FLAT | more]))
    (found,) = parse_profile(model.profile).loras
    assert found == ProfileLora(id="flat", name="Flat", name_zh="扁平", words=("flat",), scale=0.5, steps=4)
    assert parse_profile(model.container_profile).loras == (ProfileLora(id="flat", scale=0.5, steps=4),)
    assert FLAT["sha256"] not in model.profile


def test_the_importer_gets_source_and_digest(tmp_path: Path) -> None:
    model = read_model("tiny", write_model(tmp_path, source=HUB, loras=[FLAT | {"source": SOURCE, "name": "Flat"}]))
    assert model.source_fields["loras"] == [FLAT | {"source": SOURCE}]
    assert "loras" not in read_model("tiny", write_model(tmp_path, source=HUB)).source_fields


def test_a_release_has_the_files_of_the_entry(tmp_path: Path) -> None:
    root = write_model(tmp_path, loras=[FLAT])
    folder = root / "models/tiny"
    (folder / UNET).write_bytes(tensors(UNET_OF_LORA))
    (folder / "loras").mkdir()
    for name in ("flat", "other"):
        (folder / f"loras/{name}.safetensors").write_bytes(lora())
    released = released_files(folder, extras=read_model("tiny", root).extra_digests)
    assert [path for path in released if path.startswith("loras/")] == ["loras/flat.safetensors"]
    (folder / "loras/flat.safetensors").write_bytes(lora(rank=3))
    with pytest.raises(CatalogueError, match="sha256"):
        released_files(folder, extras={"loras/flat.safetensors": FLAT["sha256"]})


@pytest.mark.parametrize(
    ("change", "code", "key"),
    [
        ({"id": "Flat"}, "wrong_form", "loras.0.id"),
        ({"id": "../flat"}, "wrong_form", "loras.0.id"),
        ({"sha256": "abc"}, "wrong_form", "loras.0.sha256"),
        ({"sha256": None}, "wrong_type", "loras.0.sha256"),
        ({"scale": 4.01}, "out_of_range", "loras.0.scale"),
        ({"scale": -4.01}, "out_of_range", "loras.0.scale"),
        ({"steps": 151}, "out_of_range", "loras.0.steps"),
        ({"guidance_scale": 30.5}, "out_of_range", "loras.0.guidance_scale"),
        ({"scheduler": "lcm2"}, "conflict", "loras"),
        ({"weight": 1}, "unknown_key", "loras.0.weight"),
    ],
)
def test_entries_that_are_refused(tmp_path: Path, change: dict[str, Any], code: str, key: str) -> None:
    error = refusal(tmp_path, FLAT | change)
    assert (error.code, error.key) == (code, key)


@pytest.mark.parametrize("file", ["a.ckpt", "../a.safetensors", "/a.safetensors"])
def test_sources_that_are_refused(tmp_path: Path, file: str) -> None:
    error = refusal(tmp_path, FLAT | {"source": SOURCE | {"file": file}}, source=HUB)
    assert (error.code, error.key) == ("wrong_form", "loras.0.source.hub.file")


def test_an_id_occurs_once_and_an_entry_has_few(tmp_path: Path) -> None:
    assert refusal(tmp_path, FLAT, FLAT).code == "conflict"
    many = [FLAT | {"id": f"l{i}"} for i in range(MOST_LORAS + 1)]
    refusal(tmp_path, *many)
    assert len(read_model("tiny", write_model(tmp_path, loras=many[:-1])).loras) == MOST_LORAS
    assert json.loads(read_model("tiny", tmp_path).container_profile)["loras"][0] == {"id": "l0"}


CANNY = {"id": "canny", "sha256": "0" * 64}


def test_controls_are_described_as_loras_are(tmp_path: Path) -> None:
    more = {"name": "Edges", "name_zh": "边缘", "licence": "MIT", "scale": 0.5, "preprocess": "canny"}
    controls = [CANNY | more | {"source": SOURCE}]
    model = read_model("tiny", write_model(tmp_path, source=HUB, controls=controls, loras=[FLAT]))
    found = ProfileControl(id="canny", name="Edges", name_zh="边缘", scale=0.5, preprocess="canny")
    assert parse_profile(model.profile).controls == (found,)
    assert parse_profile(model.container_profile).controls == (replace(found, name="", name_zh=""),)
    assert model.source_fields["controls"] == [CANNY | {"source": SOURCE}]
    assert [*model.extra_digests] == ["loras/flat.safetensors", "controls/canny.safetensors"]


@pytest.mark.parametrize(
    ("change", "code", "key"),
    [
        ({"id": "Canny"}, "wrong_form", "controls.0.id"),
        ({"scale": -0.01}, "out_of_range", "controls.0.scale"),
        ({"scale": 2.01}, "out_of_range", "controls.0.scale"),
        ({"preprocess": "depth"}, "not_allowed", "controls.0.preprocess"),
        ({"words": []}, "unknown_key", "controls.0.words"),
    ],
)
def test_controls_that_are_refused(tmp_path: Path, change: dict[str, Any], code: str, key: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        read_model("tiny", write_model(tmp_path, controls=[CANNY | change]))
    assert (caught.value.code, caught.value.key) == (code, key)


@pytest.mark.parametrize("pipeline", CONTROL_PIPELINES)
def test_the_profile_says_what_goes_with_controls(tmp_path: Path, pipeline: str) -> None:
    family, changes = CONTROL_PIPELINES[pipeline], {"pipeline": pipeline, "dtype": "bfloat16", "safety_checker": False}
    inputs: dict[str, Any] = {"inputs": family.inputs[0]} if family.inputs else {}
    model = read_model("tiny", write_model(tmp_path, controls=[CANNY | inputs], **changes))
    assert parse_profile(model.container_profile).controls == (ProfileControl(id="canny", **inputs),)
    assert parse_profile(model.profile).controls == (ProfileControl(id="canny"),)
    for text in (model.profile, model.container_profile):
        profile = parse_profile(text)
        found = profile.most_controls, profile.control_cost_percent, profile.control_without
        assert found == (family.most, family.cost_percent, family.without)
        assert {*profile.control_without} <= {*CONTROL_WITHOUT}
    assert "control" not in read_model("tiny", write_model(tmp_path, **changes)).profile
    default = ControlFamily()
    assert (default.most, default.cost_percent) == (CONTROLS.maximum, CONTROL_COST_PERCENT)


def test_controls_need_a_pipeline_that_takes_them(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as caught:
        read_model("tiny", write_model(tmp_path, controls=[CANNY], pipeline="Lumina2Pipeline", dtype="bfloat16"))
    assert (caught.value.code, caught.value.key) == ("conflict", "controls")
    many = [CANNY | {"id": f"c{i}"} for i in range(MOST_CONTROLS + 1)]
    with pytest.raises(CatalogueError):
        read_model("tiny", write_model(tmp_path, controls=many))
    assert len(read_model("tiny", write_model(tmp_path, controls=many[:-1])).controls) == MOST_CONTROLS


@pytest.mark.parametrize(
    ("pipeline", "inputs", "code", "key"),
    [
        ("StableDiffusion3Pipeline", {}, "missing", "controls"),
        ("StableDiffusion3Pipeline", {"inputs": "prompt"}, "not_allowed", "controls"),
        ("FluxPipeline", {"inputs": "text"}, "conflict", "controls"),
    ],
)
def test_the_inputs_of_controls_are_stated_where_nothing_else_says_them(
    tmp_path: Path, pipeline: str, inputs: dict[str, str], code: str, key: str
) -> None:
    with pytest.raises(CatalogueError) as caught:
        read_model("tiny", write_model(tmp_path, controls=[CANNY | inputs], pipeline=pipeline, dtype="bfloat16"))
    assert (caught.value.code, caught.value.key) == (code, key)


TOY = {"id": "toy", "sha256": "0" * 64}


def test_embeddings_are_described_as_loras_are(tmp_path: Path) -> None:
    more = {"token": "<Toy>", "name": "Toy", "name_zh": "玩具", "licence": "MIT", "source": SOURCE}
    model = read_model("tiny", write_model(tmp_path, source=HUB, embeddings=[TOY | more]))
    found = ProfileEmbedding(id="toy", token="<Toy>", name="Toy", name_zh="玩具")
    assert parse_profile(model.profile).embeddings == (found,)
    assert parse_profile(model.container_profile).embeddings == (replace(found, name="", name_zh=""),)
    assert model.source_fields["embeddings"] == [TOY | {"source": SOURCE}]
    assert [*model.extra_digests] == ["embeddings/toy.safetensors"]


def refused_embeddings(tmp_path: Path, *embeddings: dict[str, Any], **changes: Any) -> tuple[str, str]:
    with pytest.raises(CatalogueError) as caught:
        read_model("tiny", write_model(tmp_path, embeddings=[*embeddings], **changes))
    return caught.value.code, caught.value.key


@pytest.mark.parametrize("token", ["", "a b", "a,b", "(a)", "[a]", "a:1", "a\\", "<>", "a" * 41, "a\n"])
def test_tokens_that_are_refused(tmp_path: Path, token: str) -> None:
    assert refused_embeddings(tmp_path, TOY | {"token": token}) == ("wrong_form", "embeddings.0.token")


@pytest.mark.parametrize("token", ["BREAK", "break"])
def test_a_word_of_weighted_prompts_is_no_token(tmp_path: Path, token: str) -> None:
    assert refused_embeddings(tmp_path, TOY | {"token": token}) == ("conflict", "embeddings")
    assert refused_embeddings(tmp_path, TOY | {"id": "break"}) == ("conflict", "embeddings")


def test_a_token_occurs_once_and_an_entry_has_few(tmp_path: Path) -> None:
    assert refused_embeddings(tmp_path, TOY, TOY | {"token": "b"}) == ("conflict", "embeddings")
    assert refused_embeddings(tmp_path, TOY, TOY | {"id": "b", "token": "TOY"}) == ("conflict", "embeddings")
    many = [TOY | {"id": f"e{i}", "token": f"{'a' * 38}{i:02}"} for i in range(MOST_EMBEDDINGS + 1)]
    refused_embeddings(tmp_path, *many)
    assert len(read_model("tiny", write_model(tmp_path, embeddings=many[:-1])).embeddings) == MOST_EMBEDDINGS


def test_embeddings_need_a_pipeline_that_takes_them(tmp_path: Path) -> None:
    found = refused_embeddings(tmp_path, TOY, pipeline="SanaPipeline", dtype="bfloat16")
    assert found == ("conflict", "embeddings")
    assert refused_embeddings(tmp_path, TOY | {"scale": 1.0}) == ("unknown_key", "embeddings.0.scale")


LINK = {"kind": "url", "url": "https://a.test/1"}
OBJECT = {"kind": "s3", "uri": "s3://mine/styles/a.safetensors"}
PREFIX = {"kind": "s3", "uri": "s3://mine/model/"}
CHECKPOINTS = [
    HUB | {"file": "a.safetensors"},
    {"kind": "s3", "uri": "s3://mine/a.safetensors"},
    {"kind": "url", "url": "https://a.test/7", "sha256": "0" * 64},
]
FOLDERS = [{"kind": "folder", "path": "tiny"}, {"kind": "folder", "path": "tiny", "checkpoint": "a.safetensors"}]


@pytest.mark.parametrize("source", [LINK, OBJECT, SOURCE])
@pytest.mark.parametrize("model", [HUB, PREFIX, *CHECKPOINTS, *FOLDERS])
def test_a_file_may_come_from_elsewhere(tmp_path: Path, model: dict[str, str], source: dict[str, str]) -> None:
    found = read_model("tiny", write_model(tmp_path, source=model, loras=[FLAT | {"source": source}]))
    assert found.source_fields["loras"] == [FLAT | {"source": source}]
    without_kind = {key: value for key, value in source.items() if key != "kind"}
    if source is SOURCE:
        same = read_model("tiny", write_model(tmp_path, source=model, loras=[FLAT | {"source": without_kind}]))
        assert same.source_fields == found.source_fields


@pytest.mark.parametrize(
    ("source", "code", "key"),
    [
        (LINK | {"url": "http://a.test/1"}, "wrong_form", "loras.0.source.url.url"),
        (LINK | {"file": "a"}, "unknown_key", "loras.0.source.url.file"),
        (OBJECT | {"uri": "s3://mine/styles/"}, "wrong_form", "loras.0.source.s3.uri"),
        ({"kind": "ftp"}, "not_allowed", "loras.0.source"),
    ],
)
def test_a_source_that_cannot_be_is_refused(tmp_path: Path, source: dict[str, str], code: str, key: str) -> None:
    error = refusal(tmp_path, FLAT | {"source": source}, source=HUB)
    assert (error.code, error.key) == (code, key)


def test_links_are_of_one_host_which_gets_the_token(tmp_path: Path) -> None:
    other = FLAT | {"id": "other", "source": LINK | {"url": "https://b.test/1"}}
    for loras, model in (([FLAT | {"source": LINK}, other], HUB), ([other], CHECKPOINTS[2])):
        error = refusal(tmp_path, *loras, source=model)
        assert (error.code, error.key, "a.test, b.test" in str(error)) == ("conflict", "loras", True)


@pytest.mark.parametrize("model", CHECKPOINTS)
def test_beside_a_checkpoint_there_is_no_file(tmp_path: Path, model: dict[str, str]) -> None:
    error = refusal(tmp_path, FLAT | {"id": "a", "source": OBJECT}, FLAT, source=model)
    assert (error.code, error.key, "'flat' has no source" in str(error)) == ("conflict", "loras", True)
