"""The one typed reader of models/*.json, and what it says of an entry that cannot be released."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import contract
from app import ROOT
from contract import ModelProfile, parse_profile
from loading import classes
from stacks.config import catalogue
from stacks.config.catalogue import (
    CONTAINER_BYTES,
    FUNCTION_BYTES,
    PROFILE,
    CatalogueError,
    FolderSource,
    HubFiles,
    HubSource,
    S3Source,
    model_ids,
    read_model,
)
from stacks.config.model_folder import BELONGS, released_files
from tests.stacks.assembly import FOLDER, write_files, write_model

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
HUB = {"kind": "hub", "repository": "a/b", "revision": "main"}


def test_the_profile_is_what_the_contract_reads(tmp_path: Path) -> None:
    root = write_model(tmp_path)
    model = read_model("tiny", root)
    assert read_model("tiny.json", root) == model
    assert parse_profile(model.profile).suggestions == ("a red apple",)
    assert parse_profile(model.container_profile).suggestions == ()
    assert set(json.loads(model.profile)) == set(PROFILE) - {"enlarges", "image_to_image", "budget", "draws"}
    assert (model.id, model.source) == ("tiny", FolderSource(path=tmp_path / "models" / "tiny"))


def test_the_profile_has_the_fields_of_the_contract() -> None:
    assert {field.name for field in fields(ModelProfile)} == set(PROFILE)


def test_the_catalogue_and_the_contract_have_the_same_bounds() -> None:
    bounds = [(bound.minimum, bound.maximum) for bound in (contract.SIDE, contract.STEPS, contract.GUIDANCE)]
    assert bounds == [catalogue.SIDES, catalogue.STEPS, catalogue.GUIDANCE]
    assert catalogue.SCHEDULERS == contract.SCHEDULERS


def test_the_catalogue_is_what_is_documented() -> None:
    assert model_ids(ROOT) == ["emoji", "flux.2-klein-4b", "sd-1.5", "sdxl", "sdxl-lcm", "z-image-turbo"]


@pytest.mark.parametrize("name", model_ids(ROOT))
def test_every_entry_fits_the_contract(name: str) -> None:
    model = read_model(name, ROOT)
    profile = parse_profile(model.profile)
    assert parse_profile(model.container_profile).sizes == profile.sizes
    assert model.id == name
    family = classes.PIPELINES[model.pipeline]
    assert model.dtype == (family.dtypes[0] if model.gpu_memory_gib else "float32")
    for width, height in profile.sizes:
        contract.parse_request(json.dumps({"prompt": "x", "width": width, "height": height}), profile)
    assert profile.max_side <= contract.SIDE.maximum
    assert set(profile.schedulers) <= set(contract.SCHEDULERS)


def test_sources_of_every_kind(tmp_path: Path) -> None:
    def source(told: dict[str, Any]) -> object:
        return read_model("tiny", write_model(tmp_path, source=told)).source

    part = {"repository": "c/d", "revision": "v1.0", "variant": "fp16"}
    assert source(HUB | {"parts": {"unet": part}}) == HubSource(
        repository="a/b", revision="main", parts={"unet": HubFiles(repository="c/d", revision="v1.0", variant="fp16")}
    )
    assert source({"kind": "s3", "uri": "s3://mine/sdxl/"}) == S3Source(uri="s3://mine/sdxl/")
    assert source({"kind": "folder", "path": "tiny"}) == FolderSource(path=tmp_path / "models" / "tiny")
    assert source({"kind": "folder", "path": "/elsewhere/tiny"}) == FolderSource(path=Path("/elsewhere/tiny"))


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_a_path_names_an_entry_and_the_folder_beside_it(tmp_path: Path, suffix: str) -> None:
    write_model(tmp_path, source=None)
    path = tmp_path / "models" / "tiny"
    assert read_model(f"{path}{suffix}", Path("/nowhere")).source == FolderSource(path=path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": None}, "the entry lacks steps."),
        ({"colour": "red"}, "the entry has 'colour', which is not known. Known: id, name, licence,"),
        ({"steps": "20"}, "steps is '20'; it must be a whole number."),
        ({"steps": True}, "steps is True; it must be a whole number."),
        ({"guidance_scale": "7"}, "guidance_scale is '7'; it must be a number."),
        ({"gated": 1}, "gated is 1; it must be true or false."),
        ({"name": 1}, "name is 1; it must be a text."),
        ({"dtype": "half"}, "dtype is 'half'; it can be float16, bfloat16, float32."),
        ({"sizes": [[64]]}, "sizes holds [64]; see the other entries"),
        ({"sizes": "64x64"}, "sizes holds '64x64'; see the other entries"),
        ({"sizes": []}, "it needs one size and one scheduler at least."),
        ({"sizes": [[64, 60]]}, "size 64x60: sides are multiples of 8, 64 at least, at most max_side 128."),
        ({"sizes": [[136, 64]]}, "size 136x64: sides are multiples of 8, 64 at least, at most max_side 128."),
        ({"sizes": [[0, 64]]}, "size 0x64: sides are multiples of 8, 64 at least"),
        ({"max_side": 4096}, "max_side is 4096; it can be 64 to 2048."),
        ({"steps": 151}, "steps is 151; it can be 1 to 150."),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan; it can be 0 to 30."),
        ({"gpu_memory_gib": float("nan")}, "gpu_memory_gib is nan; it must be 0 (for a CPU) or more."),
        ({"budget": 0}, "budget is 0; it must be more than 0."),
        ({"schedulers": ["ddim", "magic"]}, "schedulers has 'magic'; it can have ddim, "),
        ({"scheduler": "lms"}, "scheduler 'lms' is not among its schedulers."),
        ({"steps": 0}, "steps is 0; it can be 1 to 150."),
        ({"id": "other"}, "id is 'other'; it must be the name of the file, 'tiny'."),
        ({"id": "../x"}, "id is '../x'; it must be lower-case letters"),
        ({"licence_url": "http://x"}, "licence_url is 'http://x'; it must be a link that starts with https://."),
        ({"pipeline": "os.system"}, "pipeline is 'os.system'; it must be a class of diffusers"),
        ({"diffusers": "0.37"}, "diffusers is '0.37'; it must be a version"),
        ({"source": "a/b"}, "source must be an object."),
        ({"source": {"kind": "ftp"}}, "source.kind is 'ftp'; it can be hub, s3, folder."),
        ({"source": {"kind": "hub", "repository": "a/b"}}, "source (hub) lacks revision."),
        ({"source": HUB | {"path": "x"}}, "source (hub) has 'path', which is not known."),
        ({"source": HUB | {"repository": "a/b/c"}}, "repository is 'a/b/c'; it must be owner/name."),
        ({"source": HUB | {"revision": "../main"}}, "revision is '../main'; it must be a commit"),
        ({"source": HUB | {"variant": "../x"}}, "variant is '../x'; it must be like fp16."),
        ({"source": HUB | {"parts": {"unet": {"repository": "c/d"}}}}, "the part 'unet' lacks revision."),
        ({"source": HUB | {"parts": {"../x": HUB | {"kind": "hub"}}}}, "the part '../x' has 'kind'"),
        ({"source": HUB | {"parts": {"../x": {"repository": "c/d", "revision": "x"}}}}, "the part '../x' is not the"),
        (
            {"source": {"kind": "s3", "uri": "s3://mine/sdxl"}},
            "uri is 's3://mine/sdxl'; it must be like s3://bucket/prefix/.",
        ),
        ({"source": {"kind": "folder", "path": 1}}, "path is 1; it must be a text."),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(CatalogueError) as refusal:
        read_model("tiny", write_model(tmp_path, **changes))
    assert str(refusal.value).startswith(f"{tmp_path}/models/tiny.json: {said}")


@pytest.mark.parametrize(
    ("changes", "limit"), [({"licence": "x" * CONTAINER_BYTES}, 1024), ({"suggestions": ["x" * FUNCTION_BYTES]}, 3072)]
)
def test_a_profile_that_fits_no_variable_is_refused(tmp_path: Path, changes: dict[str, object], limit: int) -> None:
    with pytest.raises(CatalogueError, match=f"AWS takes {limit} in a variable"):
        read_model("tiny", write_model(tmp_path, **changes))


BESIDE = {
    "unet/diffusion_pytorch_model.bin": "pickle",
    "unet/diffusion_pytorch_model.fp16.safetensors": "half",
    "unet/diffusion_pytorch_model.bf16.safetensors": "other",
    "unet/evil.py": "code",
    "unet/.cache.json": "hidden",
    "unet/deeper/config.json": "{}",
    "all-in-one.ckpt": "pickle",
    "all-in-one.safetensors": "weights",
    "safety_checker/config.json": "{}",
    "code/inference.py": "code",
    "sheet.webp": "a picture",
    ".git/config": "hidden",
}
"""What a whole download of a repository brings along."""


def test_of_a_folder_the_files_of_one_variant_are_released(tmp_path: Path) -> None:
    assert released_files(write_files(tmp_path / "plain", FOLDER)) == sorted(FOLDER)
    whole = write_files(tmp_path / "whole", {**FOLDER, **BESIDE, "vocabulary.json": "[]"})
    half = "unet/diffusion_pytorch_model.fp16.safetensors"
    assert released_files(whole) == ["model_index.json", "unet/config.json", half, "vocabulary.json"]


def test_of_the_embedded_model_everything_is_released_but_its_card_and_pictures() -> None:
    folder = ROOT / "models" / "emoji"
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert {*released_files(folder)} == {name for name in files if not name.endswith((".md", ".png", ".webp"))}


def link(folder: Path, name: str) -> None:
    """What a cache of the hub has in the place of a file or a folder."""
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda at: (at / "model_index.json").unlink(), "it is not a diffusers pipeline: it has no model_index.json."),
        (lambda at: (at / "model_index.json").write_text("[]"), "model_index.json is no JSON object."),
        (lambda at: (at / "model_index.json").write_text('{"_class_name": "EvilPipeline"}'),
         "The pipeline is a 'EvilPipeline'. Known are ChromaPipeline,"),
        (lambda at: (at / "model_index.json").write_text(FOLDER["model_index.json"].replace("diffusers", "os")),
         "model_index.json asks for os.UNet2DConditionModel as unet. Only known classes"),
        (lambda at: (at / "unet/config.json").write_text('{"auto_map": {}}'),
         "unet/config.json asks for code of its own (auto_map)."),
        (lambda at: (at / WEIGHTS).rename(at / "unet/model.bin"),
         "unet has no safetensors of the variant 'fp16', nor plain ones, only model.bin. Pickled weights can run code"),
        (lambda at: link(at, "model_index.json"), "model_index.json is a symbolic link. Put there what it"),
        (lambda at: link(at, WEIGHTS), f"{WEIGHTS} is a symbolic link."),
        (lambda at: link(at, "unet"), "unet is a symbolic link."),
    ],
    ids=["no index", "index", "pipeline", "class", "code", "pickle", "linked index", "linked file", "linked folder"],
)  # fmt: skip
def test_a_folder_that_cannot_be_released_is_refused(tmp_path: Path, spoil: Callable[[Path], Any], said: str) -> None:
    folder = write_files(tmp_path / "mine", FOLDER)
    spoil(folder)
    with pytest.raises(CatalogueError) as refusal:
        released_files(folder)
    assert str(refusal.value).startswith(f"{folder} cannot be released: {said}")
    assert str(refusal.value).endswith(BELONGS)


def test_an_unknown_model_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="There is no model 'xxx"):
        read_model("x" * 300, write_model(tmp_path))
    with pytest.raises(CatalogueError, match=r"no model 'tinny'.*The catalogue has: tiny\."):
        read_model("tinny", write_model(tmp_path))


@pytest.mark.parametrize(("text", "said"), [("{", "it is not JSON"), ("[]", "the entry must be an object")])
def test_broken_json_is_refused(tmp_path: Path, text: str, said: str) -> None:
    write_model(tmp_path)
    (tmp_path / "models" / "tiny.json").write_text(text)
    with pytest.raises(CatalogueError, match=said):
        read_model("tiny", tmp_path)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that nobody can read, whoever runs the tests")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (write_model(tmp_path) / "models" / "mine.json").symlink_to("/proc/self/mem")
    with pytest.raises(CatalogueError, match=r"mine\.json: it cannot be read: "):
        read_model("mine", tmp_path)
