"""The catalogue: what an entry contains, and which entries are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import contract
import model_folder
from contract import ModelProfile, parse_profile
from stacks.config import catalogue
from stacks.config.catalogue import (
    CONTAINER_BYTES,
    PROFILE,
    VARIABLE_BYTES,
    CatalogueError,
    FolderSource,
    HubFiles,
    HubSource,
    Model,
    Preset,
    S3Source,
    model_ids,
    read_model,
)
from stacks.config.model_folder import CONTENT_HELP, released_files
from stacks.config.serving import profile_variables
from tests.conftest import ROOT
from tests.model_files import safetensors
from tests.stacks.assembly import FOLDER, write_files, write_model

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
HUB = {"kind": "hub", "repository": "a/b", "revision": "main"}
OPTIONAL = {
    "upscales", "image_to_image", "clip_layers", "max_pixel_steps", "max_steps", "subjects", "prompt_tokens", "presets",
    "loras", "edits", "content", "controls", "embeddings",
    "most_controls", "control_cost_percent", "control_without", "takes_negative_prompt",
    "takes_guidance_scale",
}  # fmt: skip


def refusal(root: Path, name: str = "tiny") -> CatalogueError:
    with pytest.raises(CatalogueError) as caught:
        read_model(name, root)
    return caught.value


def test_profile_can_be_read_by_the_contract(tmp_path: Path) -> None:
    root = write_model(tmp_path)
    model = read_model("tiny", root)
    assert read_model("tiny.json", root) == model
    assert parse_profile(model.profile).suggestions == ("a red apple",)
    assert parse_profile(model.container_profile).suggestions == ()
    assert set(json.loads(model.profile)) == set(PROFILE) - OPTIONAL
    assert (model.id, model.source) == ("tiny", FolderSource(path=tmp_path / "models" / "tiny"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(
    ("source", "variant"),
    [(None, None), (HUB, ""), *((HUB | {"variant": name}, name) for name in ("fp16", "bf16", "ema", "non_ema"))],
)
def test_dtype_and_variant_reach_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, source: dict[str, str] | None, variant: str | None
) -> None:
    from loading.profiles import LoadingOptions, loading_options

    model = read_model("tiny", write_model(tmp_path, dtype=dtype, source=source))
    monkeypatch.setenv("EASEL_MODEL_PROFILE", model.container_profile)
    assert loading_options() == LoadingOptions(dtype, variant, ())


@pytest.mark.parametrize("size", [1, VARIABLE_BYTES, VARIABLE_BYTES + 1, 5 * VARIABLE_BYTES])
@pytest.mark.parametrize("letter", ["x", "苹"])
def test_a_profile_reaches_the_container_in_parts(size: int, letter: str) -> None:
    profile = json.dumps({"name": letter * size}, ensure_ascii=False)
    variables = profile_variables(profile)
    assert list(variables)[:2] == ["EASEL_MODEL_PROFILE", "EASEL_MODEL_PROFILE_2"][: len(variables)]
    assert all(len(part.encode()) <= VARIABLE_BYTES for part in variables.values())
    assert json.loads("".join(variables.values())) == json.loads(profile)


@pytest.mark.parametrize(("less", "refused"), [(0, True), (1, False)])
def test_the_longest_profile_is_accepted(tmp_path: Path, less: int, refused: bool) -> None:
    room = CONTAINER_BYTES - len(read_model("tiny", write_model(tmp_path, licence="x")).container_profile)
    root = write_model(tmp_path, licence="x" * (room + 2 - less))
    if refused:
        assert refusal(root).code == "too_long"
    else:
        read_model("tiny", root)


def test_profile_has_the_fields_of_the_contract() -> None:
    assert {field.name for field in fields(ModelProfile)} == set(PROFILE)


def test_catalogue_and_contract_have_the_same_bounds() -> None:
    bounds = [(bound.minimum, bound.maximum) for bound in (contract.SIDE, contract.STEPS, contract.GUIDANCE)]
    assert bounds == [catalogue.SIDES, catalogue.STEPS, catalogue.GUIDANCE]
    assert catalogue.SCHEDULERS == contract.SCHEDULERS
    assert catalogue.SCHEDULER_STEPS == contract.SCHEDULER_STEPS


def test_every_key_is_documented() -> None:
    for model in (Model, Preset, HubSource, S3Source, FolderSource):
        assert [key for key, field in model.model_fields.items() if not field.description and key != "kind"] == []


def test_ids_of_the_catalogue() -> None:
    assert model_ids(ROOT) == [
        "emoji",
        "flux.2-klein-4b",
        "lcm-dreamshaper-v7",
        "sd-1.5",
        "sdxl",
        "sdxl-lcm",
        "z-image-turbo",
    ]


def test_a_profile_says_whether_the_model_takes_a_negative_prompt_and_guidance() -> None:
    profiles = [parse_profile(read_model(name, ROOT).container_profile) for name in model_ids(ROOT)]
    without = [profile.id for profile in profiles if not profile.takes_negative_prompt]
    assert without == ["flux.2-klein-4b", "lcm-dreamshaper-v7", "sdxl-lcm"]
    assert [profile.id for profile in profiles if not profile.takes_guidance_scale] == ["flux.2-klein-4b"]


@pytest.mark.parametrize("name", model_ids(ROOT))
def test_every_entry_fits_the_contract(name: str) -> None:
    model = read_model(name, ROOT)
    profile = parse_profile(model.profile)
    assert parse_profile(model.container_profile).sizes == profile.sizes
    assert model.id == name
    family = model_folder.PIPELINES[model.pipeline]
    assert model.dtype == (family.dtypes[0] if model.gpu_memory_gib else "float32")
    for width, height in profile.sizes:
        contract.parse_request(json.dumps({"prompt": "x", "width": width, "height": height}), profile)
    assert profile.max_side <= contract.SIDE.maximum
    assert [preset.name for preset in profile.presets] == [preset.name for preset in model.presets]
    assert all(profile.steps <= contract.steps_bound(profile, scheduler).maximum for scheduler in profile.schedulers)
    assert set(profile.schedulers) <= set(contract.SCHEDULERS)


def test_every_kind_of_source(tmp_path: Path) -> None:
    def source(entry: dict[str, Any]) -> object:
        return read_model("tiny", write_model(tmp_path, source=entry)).source

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
    ("changes", "code", "key"),
    [
        ({"steps": None}, "missing", "steps"),
        ({"source": {"kind": "hub", "repository": "a/b"}}, "missing", "source.hub.revision"),
        ({"source": HUB | {"parts": {"unet": {"repository": "c/d"}}}}, "missing", "source.hub.parts.unet.revision"),
        ({"sizes": [[64]]}, "missing", "sizes.0.1"),
        ({"colour": "red"}, "unknown_key", "colour"),
        ({"source": HUB | {"path": "x"}}, "unknown_key", "source.hub.path"),
        ({"source": HUB | {"parts": {"unet": HUB}}}, "unknown_key", "source.hub.parts.unet.kind"),
        ({"steps": "20"}, "wrong_type", "steps"),
        ({"steps": True}, "wrong_type", "steps"),
        ({"steps": 20.0}, "wrong_type", "steps"),
        ({"guidance_scale": "7"}, "wrong_type", "guidance_scale"),
        ({"gated": 1}, "wrong_type", "gated"),
        ({"name": 1}, "wrong_type", "name"),
        ({"sizes": "64x64"}, "wrong_type", "sizes"),
        ({"sizes": [[64, "64"]]}, "wrong_type", "sizes.0.1"),
        ({"sizes": [[64, 64, 64]]}, "wrong_type", "sizes.0"),
        ({"suggestions": "an apple"}, "wrong_type", "suggestions"),
        ({"source": "a/b"}, "wrong_type", "source"),
        ({"source": {"kind": "folder", "path": 1}}, "wrong_type", "source.folder.path"),
        ({"dtype": "half"}, "not_allowed", "dtype"),
        ({"dtype": "float16", "pipeline": "ZImagePipeline"}, "not_allowed", "dtype"),
        ({"schedulers": ["ddim", "magic"]}, "not_allowed", "schedulers"),
        ({"source": {"kind": "ftp"}}, "not_allowed", "source"),
        ({"source": {}}, "not_allowed", "source"),
        ({"sizes": []}, "out_of_range", "sizes"),
        ({"schedulers": []}, "out_of_range", "schedulers"),
        ({"sizes": [[64, 60]]}, "out_of_range", "sizes"),
        ({"sizes": [[136, 64]]}, "out_of_range", "sizes"),
        ({"sizes": [[0, 64]]}, "out_of_range", "sizes"),
        ({"max_side": 4096}, "out_of_range", "max_side"),
        ({"steps": 0}, "out_of_range", "steps"),
        ({"steps": 21, "max_steps": 20}, "out_of_range", "steps"),
        ({"steps": 51, "scheduler": "lcm", "schedulers": ["lcm"]}, "out_of_range", "steps"),
        ({"max_steps": 151}, "out_of_range", "max_steps"),
        ({"steps": 151}, "out_of_range", "steps"),
        ({"guidance_scale": float("nan")}, "out_of_range", "guidance_scale"),
        ({"gpu_memory_gib": float("nan")}, "out_of_range", "gpu_memory_gib"),
        ({"host_memory_gib": float("inf")}, "out_of_range", "host_memory_gib"),
        ({"host_memory_gib": 0}, "out_of_range", "host_memory_gib"),
        ({"max_pixel_steps": 0}, "out_of_range", "max_pixel_steps"),
        ({"clip_layers": 0}, "out_of_range", "clip_layers"),
        ({"clip_layers": 12, "pipeline": "ZImagePipeline", "dtype": "bfloat16"}, "conflict", "clip_layers"),
        ({"edits": 0}, "out_of_range", "edits"),
        ({"edits": 1}, "conflict", "edits"),
        ({"edits": 11, "pipeline": "Flux2KleinPipeline", "dtype": "bfloat16"}, "out_of_range", "edits"),
        ({"scheduler": "lms"}, "conflict", "scheduler"),
        ({"id": "other"}, "conflict", "id"),
        ({"id": "../x"}, "wrong_form", "id"),
        ({"licence_url": "http://x"}, "wrong_form", "licence_url"),
        ({"pipeline": "os.system"}, "wrong_form", "pipeline"),
        ({"diffusers": "0.37"}, "wrong_form", "diffusers"),
        ({"source": HUB | {"repository": "a/b/c"}}, "wrong_form", "source.hub.repository"),
        ({"source": HUB | {"revision": "../main"}}, "wrong_form", "source.hub.revision"),
        ({"source": HUB | {"variant": "../x"}}, "wrong_form", "source.hub.variant"),
        ({"source": HUB | {"parts": {"../x": {"repository": "c/d", "revision": "x"}}}}, "wrong_form",
         "source.hub.parts.../x.[key]"),
        ({"source": {"kind": "s3", "uri": "s3://mine/sdxl"}}, "wrong_form", "source.s3.uri"),
        *(({"source": {"kind": "url", "url": f"https://{host}/x"}}, "wrong_form", "source.url")
          for host in ("127.0.0.1:99999", "a.test:0", "a..b", "[", "x" * 64 + ".test")),
        ({"presets": [{}]}, "missing", "presets.0.name"),
        ({"presets": [{"name": "x", "stepz": 1}]}, "unknown_key", "presets.0.stepz"),
        ({"presets": [{"name": " x"}]}, "wrong_form", "presets.0.name"),
        ({"presets": [{"name": "x", "steps": 151}]}, "out_of_range", "presets.0.steps"),
        ({"presets": [{"name": "x", "steps": 21}], "max_steps": 20}, "out_of_range", "presets"),
        ({"presets": [{"name": "x", "guidance_scale": 31}]}, "out_of_range", "presets.0.guidance_scale"),
        ({"presets": [{"name": "x", "size": [64, 60]}]}, "out_of_range", "presets"),
        ({"presets": [{"name": "x", "scheduler": "lms"}]}, "conflict", "presets"),
        ({"presets": [{"name": "x"}, {"name": "x"}]}, "conflict", "presets"),
        ({"presets": [{"name": "x", "negative_prompt": "fog"}], "pipeline": "Flux2KleinPipeline", "dtype": "bfloat16"},
         "conflict", "presets"),
        ({"presets": [{"name": "x", "guidance_scale": 2.0}], "fixed_guidance": True}, "conflict", "presets"),
        ({"licence": "x" * CONTAINER_BYTES}, "too_long", ""),
    ],
)  # fmt: skip
def test_an_invalid_entry_is_refused(tmp_path: Path, changes: dict[str, object], code: str, key: str) -> None:
    error = refusal(write_model(tmp_path, **changes))
    assert (error.code, error.key) == (code, key)
    assert str(error).startswith(f"{tmp_path}/models/tiny.json: ")
    assert key in str(error)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"step": 1}, "'steps'"),
        ({"source": HUB | {"revison": "x"}}, "'revision'"),
        ({"presets": [{"name": "x", "step": 1}]}, "'steps'"),
        ({"source": HUB | {"parts": {"unet": {"reposit": "x"}}}}, "'repository'"),
        ({"source": {"kind": "ftp"}}, "hub, s3, url or folder"),
        ({"source": {}}, "hub, s3, url or folder"),
        ({"dtype": "half"}, "float16, bfloat16 or float32"),
        ({"source": {"kind": "folder", "path": "x", "prediction": "v"}}, "epsilon or v_prediction"),
        ({"steps": 0}, "1 to 150"),
        ({"max_pixel_steps": 0}, "more than 0"),
        ({"gpu_memory_gib": -1}, "0 or more"),
    ],
)
def test_an_error_names_what_is_allowed(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    assert named in str(refusal(write_model(tmp_path, **changes)))


HALF, BRAIN = (f"unet/diffusion_pytorch_model.{variant}.safetensors" for variant in ("fp16", "bf16"))
BESIDE = {
    "unet/diffusion_pytorch_model.bin": "pickle",
    HALF: safetensors(b"half").decode(),
    BRAIN: safetensors(b"brain").decode(),
    "unet/evil.py": "code",
    "unet/.cache.json": "hidden",
    "unet/deeper/config.json": "{}",
    "all-in-one.ckpt": "pickle",
    "all-in-one.safetensors": "weights",
    "safety_checker/config.json": "{}",
    "code/inference.py": "code",
    "sheet.webp": "an image",
    ".git/config": "hidden",
}
"""Further files of a complete download of a repository."""


@pytest.mark.parametrize(("variant", "weights"), [(None, HALF), ("fp16", HALF), ("bf16", BRAIN), ("", WEIGHTS)])
def test_the_files_of_one_variant_are_released(tmp_path: Path, variant: str | None, weights: str) -> None:
    assert released_files(write_files(tmp_path / "plain", FOLDER)) == sorted(FOLDER)
    whole = write_files(tmp_path / "whole", {**FOLDER, **BESIDE, "vocabulary.json": "[]"})
    assert released_files(whole, variant) == sorted({*FOLDER, weights, "vocabulary.json"} - ({WEIGHTS} - {weights}))


def test_a_variant_that_no_part_has_is_refused(tmp_path: Path) -> None:
    """It would be replaced by the plain files without a word."""
    whole = write_files(tmp_path / "whole", {**FOLDER, **BESIDE})
    with pytest.raises(CatalogueError, match=r"'bf61'.*bf16, fp16"):
        released_files(whole, "bf61")


def test_everything_of_the_embedded_model_but_its_model_card_and_images_is_released() -> None:
    folder = ROOT / "models" / "emoji"
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    released = released_files(folder, extras=read_model("emoji", ROOT).extra_digests)
    assert {*released} == {name for name in files if not name.endswith((".md", ".png", ".webp"))}


def link(folder: Path, name: str) -> None:
    """Replace a file or a folder by a symbolic link, as the hub's cache does."""
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda at: (at / "model_index.json").unlink(), ["model_index.json"]),
        (lambda at: (at / "model_index.json").write_text("[]"), ["model_index.json", "JSON object"]),
        (lambda at: (at / "model_index.json").write_text('{"_class_name": "EvilPipeline"}'),
         ["EvilPipeline", "ChromaPipeline"]),
        (lambda at: (at / "model_index.json").write_text(FOLDER["model_index.json"].replace("diffusers", "os")),
         ["os.DDIMScheduler", "scheduler"]),
        (lambda at: (at / "unet/config.json").write_text('{"auto_map": {}}'), ["unet/config.json", "auto_map"]),
        (lambda at: (at / WEIGHTS).rename(at / "unet/model.bin"), ["unet", "'fp16'", "model.bin"]),
        (lambda at: link(at, "model_index.json"), ["model_index.json", "symbolic link"]),
        (lambda at: link(at, WEIGHTS), [WEIGHTS, "symbolic link"]),
        (lambda at: link(at, "unet"), ["unet", "symbolic link"]),
    ],
    ids=["no index", "index", "pipeline", "class", "code", "pickle", "linked index", "linked file", "linked folder"],
)  # fmt: skip
def test_a_folder_that_cannot_be_released_is_refused(
    tmp_path: Path, damage: Callable[[Path], Any], named: list[str]
) -> None:
    folder = write_files(tmp_path / "mine", FOLDER)
    damage(folder)
    with pytest.raises(CatalogueError) as error:
        released_files(folder)
    assert all(name in str(error.value) for name in [str(folder), *named, CONTENT_HELP])


def test_an_unknown_model_is_refused_with_the_known_ids(tmp_path: Path) -> None:
    root = write_model(tmp_path)
    assert refusal(root, "x" * 300).code == "missing"
    error = refusal(root, "tinny")
    assert error.code == "missing"
    assert str(error).endswith("tiny.")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_broken_json_is_refused(tmp_path: Path, text: str) -> None:
    write_model(tmp_path)
    (tmp_path / "models" / "tiny.json").write_text(text)
    assert refusal(tmp_path).code == "wrong_type"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that not even root can read")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (write_model(tmp_path) / "models" / "mine.json").symlink_to("/proc/self/mem")
    assert refusal(tmp_path, "mine").code == "unreadable"
