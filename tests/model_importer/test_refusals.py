"""Models that the import refuses before it writes a file, since the container would, and text of a hub in its log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from model_importer.errors import ModelImportError
from tests.model_files import INDEX, safetensors
from tests.model_importer.conftest import Stage
from tests.model_importer.example import LARGE, SOURCE, write_files

MIB = 1024 * 1024
S3 = {"kind": "s3", "uri": "s3://mine/model/", "variant": None, "licence": "MIT"}


def upload_all(stage: Stage) -> None:
    """Put the files of the hub into S3, too."""
    folder = stage.repository.folder
    for file in (path for path in folder.rglob("*") if path.is_file()):
        key = f"model/{file.relative_to(folder).as_posix()}"
        stage.s3.put_object(Bucket="mine", Key=key, Body=file.read_bytes())


def index(**changes: Any) -> dict[str, bytes]:
    return {"model_index.json": json.dumps(INDEX | changes).encode()}


@pytest.mark.parametrize("source", [SOURCE, S3], ids=["hub", "s3"])
@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"unet/config.json": b'{"a": "' + b"x" * 17 * MIB + b'", "auto_map": {}}'}, "unet/config.json is too large"),
        ({"tokenizer/tokenizer.json": b"[" * 65 * MIB}, "tokenizer/tokenizer.json is too large"),
        ({"tokenizer/preprocessor_config.json": b'{"auto_map": {}}'}, "auto_map"),
        ({"unet/config.json": b'{"quantization_config": {"quant_method": "gguf"}}'}, "gguf"),
        ({LARGE: b"version https://git-lfs.github.com/spec/v1\n"}, LARGE),
        ({LARGE: (100_000_000).to_bytes(8, "little") + b"{" * 200_000}, LARGE),
        ({LARGE: safetensors(b"x" * 200_000)[:-1]}, LARGE),
        ({"tokenizer/tokenizer_config.json": b"{}"}, "model_max_length"),
        (index(vae=None), "vae"),
        (index(safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"]), "feature_extractor"),
    ],
)
def test_what_would_not_load_is_refused_before_a_file_is_written(
    stage: Stage, source: dict[str, Any], files: dict[str, bytes], named: str
) -> None:
    write_files(stage.repository.folder, files)
    if source is S3:
        upload_all(stage)
    assert named in stage.run(source=source)["error"]
    assert stage.released() == {}


def test_a_large_vocabulary_is_read_and_imported(stage: Stage) -> None:
    content = json.dumps({"model": {"vocab": {"x" * 20 * MIB: 1}}}).encode()
    write_files(stage.repository.folder, {"tokenizer/tokenizer.json": content})
    state = stage.run()
    assert stage.released(state["prefix"])["tokenizer/tokenizer.json"] == content


@pytest.mark.parametrize("variant", ["bf16", "ema", "non_ema"])
def test_any_variant_is_imported(stage: Stage, variant: str) -> None:
    weights = f"unet/diffusion_pytorch_model.{variant}.safetensors"
    write_files(stage.repository.folder, {weights: safetensors(b"variant")})
    for file in stage.repository.folder.glob("vae/*.fp16.safetensors"):
        file.rename(file.with_name(file.name.replace(".fp16", "")))
    released = stage.released(stage.run(source={**SOURCE, "variant": variant})["prefix"])
    found = {name for name in released if name.startswith("unet/") and name.endswith(".safetensors")}
    assert found == {weights}


def test_a_variant_that_no_part_has_is_refused(stage: Stage) -> None:
    error = stage.run(source={**SOURCE, "variant": "fp61"})["error"]
    assert "'fp61'" in error and "fp16, non_ema" in error


# --- text of a hub -------------------------------------------------------------------------------

CONTROL = ["\x1b]0;title\x07", "\x1b[31m", "\x9b31m", "\u202egpj", "\u2066a", "a\r\nb", "\u200b", "\ud800"]


def printed(capfd: pytest.CaptureFixture[str]) -> str:
    captured = capfd.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize("text", CONTROL)
@pytest.mark.parametrize("field", ["rfilename", "license", "sha", "path"])
def test_control_characters_of_a_hub_are_visible_in_log_and_error(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], field: str, text: str
) -> None:
    from tests.model_importer import hub

    original: Callable[[Any], bytes] = hub.metadata

    def metadata(repository: Any) -> bytes:
        info = json.loads(original(repository))
        if field == "license":
            info["cardData"]["license"] = text
        elif field == "sha":
            info["sha"] = text
        else:
            entry = info["siblings"][0]
            info["siblings"].append(
                {**entry, "rfilename": f"unet/{text}.json" if field == "rfilename" else f"{text}/a"}
            )
        return json.dumps(info).encode()

    monkeypatch.setattr(hub, "metadata", metadata)
    state = stage.run()
    assert ("error" in state) is (field != "license")
    for output in (
        json.loads(json.dumps(state)).get("error", ""),
        str(state.get("licence")),
        *printed(capfd).splitlines(),
    ):
        assert output.isprintable()


@pytest.mark.parametrize("text", CONTROL)
def test_errors_of_the_import_have_no_control_characters(text: str) -> None:
    assert str(ModelImportError(f"the hub says {text}")).isprintable()


def test_the_copy_of_printable_is_the_console_s() -> None:
    from easel.console import printable
    from model_importer.model_folder import printable as copy

    assert copy.__globals__["UNPRINTABLE"].pattern == printable.UNPRINTABLE.pattern
