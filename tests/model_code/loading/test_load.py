"""Nothing in a model folder is believed: every way to smuggle code in is refused before diffusers is imported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from contract import EaselError, ModelProfile
from generation import schedulers
from loading import classes, model_folder
from loading import load as loading
from tests.model_code import tiny

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def refused(folder: Path) -> EaselError:
    with pytest.raises(EaselError) as caught:
        model_folder.check(folder)
    assert caught.value.code == "config_error"
    return caught.value


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_diffusers_saved_is_taken(folder: Path) -> None:
    assert model_folder.check(folder) == "StableDiffusionPipeline"


def test_the_safety_checker_as_folders_of_stable_diffusion_name_it(copy: Path) -> None:
    edit(copy / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    model_folder.check(copy)


@pytest.mark.parametrize(
    "named",
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
def test_a_component_of_another_library_or_class(copy: Path, named: list[Any]) -> None:
    edit(copy / "model_index.json", unet=named)
    assert "unet" in refused(copy).message


@pytest.mark.parametrize("name", ["DiffusionPipeline", "my_pipeline", "StableDiffusionImg2ImgPipeline", None, ["x"]])
def test_a_pipeline_of_its_own(copy: Path, name: Any) -> None:
    edit(copy / "model_index.json", _class_name=name)
    assert "pipeline" in refused(copy).message


@pytest.mark.parametrize("index", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"a": "' + b"a" * 200_000 + b'"}', None])
def test_an_index_that_cannot_be_read(copy: Path, index: bytes | None) -> None:
    (copy / "model_index.json").unlink()
    if index is not None:
        (copy / "model_index.json").write_bytes(index)
    assert "model_index.json" in refused(copy).message


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
def test_pickles_and_programs(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).touch()
    assert name in refused(copy).message


def test_the_code_of_the_release_may_be_code(copy: Path) -> None:
    (copy / "code").mkdir()
    (copy / "code" / "inference.py").touch()
    model_folder.check(copy)


@pytest.mark.parametrize("name", ["unet/config.json", "tokenizer/tokenizer_config.json"])
def test_a_config_that_brings_code(copy: Path, name: str) -> None:
    edit(copy / name, auto_map={"AutoModel": "evil--code.Model"})
    assert "auto_map" in refused(copy).message


def test_a_link_out_of_the_folder(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (copy / "notes.txt").symlink_to(tmp_path / "secret")
    assert "notes.txt" in refused(copy).message


def test_a_link_within_the_folder_is_fine(copy: Path) -> None:
    (copy / "again.json").symlink_to(copy / "model_index.json")
    model_folder.check(copy)


def test_a_vocabulary_that_is_an_object(copy: Path) -> None:
    (copy / "vocabulary.json").write_text('{"panda": ["熊猫"]}')
    assert "vocabulary.json" in refused(copy).message


def test_a_refused_folder_costs_no_import(copy: Path) -> None:
    edit(copy / "model_index.json", unet=["os", "system"])
    program = (
        "import sys, loading, pathlib\n"
        "try: loading.load(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(error.code, 'diffusers' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(copy)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "model_code", check=True)
    assert ran.stdout.split() == ["config_error", "False"]


def test_pickled_weights_are_not_read_even_if_the_check_were_gone(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = next((copy / "unet").glob("*.safetensors"))
    weights.rename(weights.with_suffix(".bin"))
    monkeypatch.setattr(loading, "check", lambda folder: "StableDiffusionPipeline")
    with pytest.raises(OSError, match="safetensors"):
        loading.load(copy)


def test_every_scheduler_of_the_contract_is_a_known_class() -> None:
    known = {name for name in classes.COMPONENTS["diffusers"] if name.endswith("Scheduler")}
    assert known == schedulers.CLASS_NAMES


def test_every_class_is_in_the_diffusers_of_the_laptop() -> None:
    diffusers = loading._import_diffusers()
    assert [name for name in classes.PIPELINES if not hasattr(diffusers, name)] == []


def test_a_part_without_the_variant_is_loaded_as_it_is(tmp_path: Path) -> None:
    """What the import lays together from several repositories."""
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
    loaded = loading.load(folder).pipeline
    for part in ("unet", "vae"):
        mine, kept = getattr(loaded, part).state_dict(), getattr(pipeline, part).state_dict()
        assert all(mine[name].equal(kept[name]) for name in kept)


def test_weights_by_names_that_transformers_does_not_find_are_refused(copy: Path) -> None:
    """A folder that a newer version saved: without the check it draws from random text states."""
    file = copy / "text_encoder" / "model.safetensors"
    save_file({f"newer.{name}": weight for name, weight in load_file(file).items()}, file, metadata={"format": "pt"})
    with pytest.raises(EaselError, match=r"does not find \d+ weights of text_encoder, such as ") as caught:
        loading.load(copy)
    assert caught.value.code == "config_error"


def test_a_folder_alone_tells_what_it_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EASEL_MODEL_PROFILE", raising=False)
    assert loading.load(folder).profile == ModelProfile(
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
    )  # fmt: skip


@pytest.mark.parametrize(("version", "keyword"), [("0.38.0", "torch_dtype"), ("0.42.1", "dtype"), ("1.0.0", "dtype")])
def test_the_keyword_for_numbers_follows_the_version(version: str, keyword: str) -> None:
    assert loading._dtype_keyword(version) == keyword
