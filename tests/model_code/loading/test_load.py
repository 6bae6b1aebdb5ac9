"""Loading of model folders. Everything that could run code is refused before diffusers is imported."""

import gc
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from contract import EaselError, ModelProfile, render_profile
from generation import schedulers
from loading import load
from loading.parts import dtype_keyword
from loading.plain_folder import plain_folder
from model_folder import COMPONENTS, PIPELINES, ModelFolderError, check_folder
from tests.model_code import tiny
from tests.model_code.conftest import PROFILE

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def message_of(folder: Path) -> str:
    """Return the message of the refusal."""
    with pytest.raises(ModelFolderError) as caught:
        check_folder(folder)
    assert caught.value.hint
    return caught.value.message


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# --- the check -----------------------------------------------------------------------------------


def test_a_folder_that_diffusers_saved_is_accepted(folder: Path) -> None:
    assert check_folder(folder).index.pipeline == "StableDiffusionPipeline"


@pytest.mark.parametrize(
    "component",
    [
        ["os", "system"],
        ["diffusers_modules.local", "UNet2DConditionModel"],
        ["pipeline_code", "UNet2DConditionModel"],
        ["diffusers", "DiffusionPipeline"],
        ["diffusers.utils", "UNet2DConditionModel"],
        ["transformers", "AutoModel"],
        ["stable_diffusion", "StableDiffusionPipeline"],
        ["diffusers", "UNet2DConditionModel", "more"],
        [None, "UNet2DConditionModel"],
        ["diffusers", None],
        ["diffusers", ["UNet2DConditionModel"]],
        [],
    ],
)
def test_an_unknown_component_is_refused(copy: Path, component: list[Any]) -> None:
    edit(copy / "model_index.json", unet=component)
    assert "unet" in message_of(copy)


@pytest.mark.parametrize("name", ["DiffusionPipeline", "my_pipeline", "StableDiffusionImg2ImgPipeline", None, ["x"]])
def test_an_unknown_pipeline_is_refused(copy: Path, name: Any) -> None:
    edit(copy / "model_index.json", _class_name=name)
    assert "pipeline" in message_of(copy)


@pytest.mark.parametrize("index", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"a": "' + b"a" * 200_000 + b'"}', None])
def test_an_unreadable_index_is_refused(copy: Path, index: bytes | None) -> None:
    (copy / "model_index.json").unlink()
    if index is not None:
        (copy / "model_index.json").write_bytes(index)
    assert "model_index.json" in message_of(copy)


@pytest.mark.parametrize(
    "name",
    [
        "unet/diffusion_pytorch_model.bin",
        "text_encoder/pytorch_model.BIN",
        "v1-5.ckpt",
        "vae/a.pt",
        "a.pth",
        "a.pkl",
        "deep/er/weights.pickle",
        "pipeline.py",
        "unet/my_unet.py",
    ],
)
def test_pickles_and_programs_are_refused(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).touch()
    assert name in message_of(copy)


def test_the_code_folder_of_a_release_is_accepted(copy: Path) -> None:
    (copy / "code").mkdir()
    (copy / "code" / "inference.py").touch()
    check_folder(copy)


@pytest.mark.parametrize(
    "name",
    ["unet/config.json", "tokenizer/tokenizer_config.json", "tokenizer/preprocessor_config.json", "vae/other.json"],
)
@pytest.mark.parametrize("depth", [0, 1])
def test_settings_that_ask_for_code_are_refused(copy: Path, name: str, depth: int) -> None:
    if not (copy / name).exists():
        (copy / name).write_text("{}")
    request = {"auto_map": {"AutoModel": "evil--code.Model"}}
    edit(copy / name, **({"image_processor": request} if depth else request))
    message = message_of(copy)
    assert name in message and "auto_map" in message


def test_a_link_out_of_the_folder_is_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (copy / "notes.txt").symlink_to(tmp_path / "secret")
    assert "notes.txt" in message_of(copy)


def test_a_link_within_the_folder_is_accepted(copy: Path) -> None:
    (copy / "again.json").symlink_to(copy / "model_index.json")
    check_folder(copy)


def test_a_malformed_vocabulary_is_refused(copy: Path) -> None:
    (copy / "vocabulary.json").write_text('{"panda": ["熊猫"]}')
    assert "vocabulary.json" in message_of(copy)


@pytest.mark.slow
def test_a_refused_folder_costs_no_import(copy: Path) -> None:
    edit(copy / "model_index.json", unet=["os", "system"])
    program = (
        "import sys, pathlib\n"
        "from loading.load import load_model\n"
        "try: load_model(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, 'diffusers' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(copy)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "model_code", check=True)
    assert ended.stdout.split() == ["ModelFolderError", "False"]


def test_the_garbage_collector_waits_for_the_imports(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enabled, original = [], load._import_diffusers

    def import_diffusers() -> Any:
        enabled.append(gc.isenabled())
        return original()

    monkeypatch.setattr(load, "_import_diffusers", import_diffusers)
    load.load_model(copy)
    assert enabled == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 100_000

    monkeypatch.setattr(load, "_import_diffusers", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load.load_model(copy)
    assert gc.isenabled()


def test_known_schedulers_are_those_of_the_contract() -> None:
    known = {name for name in COMPONENTS["diffusers"] if name.endswith("Scheduler")}
    assert known == schedulers.CLASS_NAMES


def test_every_pipeline_exists_in_the_laptop_s_diffusers() -> None:
    diffusers = load._import_diffusers()
    assert [name for name in PIPELINES if not hasattr(diffusers, name)] == []


# --- loading -------------------------------------------------------------------------------------


def test_the_libraries_see_the_files_of_the_model_only(copy: Path) -> None:
    checked = check_folder(copy)
    (copy / "unet" / "diffusion_pytorch_model.bin").touch()
    (copy / "tokenizer" / "evil.py").touch()
    with plain_folder(copy, checked) as plain:
        files = {file.relative_to(plain).as_posix() for file in plain.rglob("*") if file.is_file()}
    assert files == {*checked.files} - {"model_index.json"}


def test_a_component_without_the_variant_is_loaded_too(tmp_path: Path) -> None:
    """An import may combine several repositories."""
    folder = tmp_path / "model"
    pipeline = tiny.stable_diffusion()
    pipeline.save_pretrained(folder, variant="fp16")
    shutil.rmtree(folder / "vae")
    pipeline.vae.save_pretrained(folder / "vae")
    assert {file.name for file in folder.rglob("*.safetensors")} == {
        "model.fp16.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.safetensors",
    }
    loaded = load.load_model(folder).pipeline
    for part in ("unet", "vae"):
        actual, expected = getattr(loaded, part).state_dict(), getattr(pipeline, part).state_dict()
        assert all(actual[name].to_dense().equal(expected[name]) for name in expected)


@pytest.mark.parametrize(("variant", "value"), [("fp16", 1.0), ("bf16", 2.0), ("", 3.0), (None, 1.0)])
def test_the_variant_of_the_profile_is_loaded(
    copy: Path, monkeypatch: pytest.MonkeyPatch, variant: str | None, value: float
) -> None:
    plain = copy / "unet" / "diffusion_pytorch_model.safetensors"
    for name, number in (("fp16.safetensors", 1.0), ("bf16.safetensors", 2.0), ("safetensors", 3.0)):
        weights = load_file(plain)
        weights["conv_out.bias"].fill_(number)
        save_file(weights, plain.with_name(f"diffusion_pytorch_model.{name}"), metadata={"format": "pt"})
    profile = json.loads(render_profile(PROFILE)) | ({} if variant is None else {"variant": variant})
    monkeypatch.setenv("EASEL_MODEL_PROFILE", json.dumps(profile))
    assert load.load_model(copy).pipeline.unet.conv_out.bias[0].item() == value


def test_a_profile_in_several_variables_is_joined(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = render_profile(replace(PROFILE, licence="long " * 300))
    parts = [text[start : start + 1024] for start in range(0, len(text), 1024)]
    for i, part in enumerate(parts, 1):
        monkeypatch.setenv(f"EASEL_MODEL_PROFILE_{i}" if i > 1 else "EASEL_MODEL_PROFILE", part)
    assert (len(parts), load.load_model(folder).profile.licence) == (2, "long " * 300)


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
def test_weights_that_the_library_does_not_find_are_refused(copy: Path, part: str) -> None:
    """As in a folder that a newer version saved. Without the check the part would be random."""
    (file,) = (copy / part).glob("*.safetensors")
    save_file({f"newer.{name}": weight for name, weight in load_file(file).items()}, file, metadata={"format": "pt"})
    with pytest.raises(EaselError, match=rf"{part}/{file.name} lacks \d+ tensors") as caught:
        load.load_model(copy)
    assert caught.value.code == "config_error"


def test_both_spellings_of_the_weights_of_clip_are_loaded(copy: Path) -> None:
    """transformers 5.23 saves them without the prefix that 5.5, the serving image's, looks for."""
    file = copy / "text_encoder" / "model.safetensors"
    weights = {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in load_file(file).items()}
    loaded = []
    for prefix in ("text_model.", ""):
        named = {f"{prefix}{name.removeprefix('text_model.')}": weight for name, weight in weights.items()}
        save_file(named, file, metadata={"format": "pt"})
        loaded.append(load.load_model(copy).pipeline.text_encoder.state_dict())
    assert all(loaded[0][name].equal(loaded[1][name]) for name in loaded[0])


def test_a_folder_without_a_profile_gets_a_derived_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)
    assert load.load_model(folder).profile == ModelProfile(
        id="tiny",
        name="StableDiffusionPipeline",
        licence="unknown",
        sizes=((64, 64),),
        max_side=2048,
        steps=50,
        guidance_scale=7.5,
        scheduler="ddim",
        schedulers=(
            "ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_a", "heun", "pndm", "unipc",
        ),
        image_to_image=True,
        clip_layers=2,
    )  # fmt: skip


@pytest.mark.parametrize(("version", "keyword"), [("0.38.0", "torch_dtype"), ("0.42.1", "dtype"), ("1.0.0", "dtype")])
def test_the_dtype_keyword_depends_on_the_version(version: str, keyword: str) -> None:
    assert dtype_keyword(version) == keyword
