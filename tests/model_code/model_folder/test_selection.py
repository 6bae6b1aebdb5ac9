"""The rule of model folders: which files belong to a model, and what is refused by name."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from model_folder import ModelFolderError, check_model
from model_folder.classes import PIPELINES
from tests.model_files import INDEX, TEXT_ENCODER, UNET, VAE, safetensors, stable_diffusion

Folder = dict[str, bytes]
"""Path to content."""


class FilesInMemory:
    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.sizes = {path: len(content) for path, content in folder.items()}
        self.bytes_read = 0

    def read(self, path: str, first: int, end: int) -> bytes:
        self.bytes_read += end - first
        return self._folder[path][first:end]


@pytest.fixture
def folder() -> Folder:
    return stable_diffusion()


def select(folder: Folder, variant: str | None = "") -> set[str]:
    return {*check_model(FilesInMemory(folder), {"": variant}).files}


def refusal(folder: Folder, variant: str | None = "") -> str:
    with pytest.raises(ModelFolderError) as caught:
        select(folder, variant)
    assert caught.value.message and caught.value.hint
    return str(caught.value)


def change_index(folder: Folder, **changes: Any) -> None:
    folder["model_index.json"] = json.dumps(INDEX | changes).encode()


# --- weights -------------------------------------------------------------------------------------

SHARDS = [
    ["{}-00001-of-00002.safetensors", "{}-00002-of-00002.safetensors"],
    ["{}.fp16-00001-of-00002.safetensors", "{}.fp16-00002-of-00002.safetensors"],
    ["{}-00001-of-00002.fp16.safetensors", "{}-00002-of-00002.fp16.safetensors"],
]
INDEXES = ["{}.safetensors.index.json", "{}.safetensors.index.fp16.json", "{}.safetensors.fp16.index.json",
           "{}.fp16.safetensors.index.json"]  # fmt: skip


def shard(folder: Folder, file: str, shards: list[str], index: str) -> set[str]:
    """Replace the weights `file` by shards. Return their paths and that of their index."""
    del folder[file]
    stem = file.removesuffix(".safetensors")
    paths = [form.format(stem) for form in shards]
    names = {f"tensor {number}": path.rpartition("/")[2] for number, path in enumerate(paths)}
    for path, tensor in zip(paths, names, strict=True):
        header = json.dumps({tensor: {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
        folder[path] = len(header).to_bytes(8, "little") + header + b"x"
    folder[index.format(stem)] = json.dumps({"metadata": {}, "weight_map": names}).encode()
    return {*paths, index.format(stem)}


@pytest.mark.parametrize("file", [TEXT_ENCODER, UNET])
@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("index", INDEXES)
def test_the_shards_of_a_part_are_those_that_its_index_names(
    folder: Folder, file: str, shards: list[str], index: str
) -> None:
    paths = shard(folder, file, shards, index)
    folder[f"{file.removesuffix('.safetensors')}-00003-of-00003.safetensors"] = safetensors(b"left over")
    assert select(folder, None) == {*folder} - {f"{file.removesuffix('.safetensors')}-00003-of-00003.safetensors"}
    assert paths <= select(folder, "fp16" if "fp16" in index else "")


@pytest.mark.parametrize("variant", ["fp16", "bf16", "ema", "non_ema"])
def test_a_part_without_the_variant_gives_its_plain_weights(folder: Folder, variant: str) -> None:
    named = UNET.replace(".safetensors", f".{variant}.safetensors")
    folder[named] = safetensors(b"variant")
    assert select(folder, variant) == {*folder} - {UNET}
    assert select(folder, "") == {*folder} - {named}


def test_the_only_variant_is_taken(folder: Folder) -> None:
    named = UNET.replace(".safetensors", ".bf16.safetensors")
    folder[named] = folder.pop(UNET)
    assert named in select(folder, None) and named in select(folder, "")


def lose_a_shard(folder: Folder) -> None:
    shard(folder, UNET, SHARDS[0], INDEXES[0])
    del folder["unet/diffusion_pytorch_model-00002-of-00002.safetensors"]


def lose_a_tensor(folder: Folder) -> None:
    shard(folder, UNET, SHARDS[0], INDEXES[0])
    folder["unet/diffusion_pytorch_model-00002-of-00002.safetensors"] = safetensors(b"other")


def lose_the_index(folder: Folder) -> None:
    shard(folder, UNET, SHARDS[0], INDEXES[0])
    del folder[INDEXES[0].format("unet/diffusion_pytorch_model")]


def two_variants(folder: Folder) -> None:
    content = folder.pop(UNET)
    folder |= {UNET.replace(".safetensors", f".{variant}.safetensors"): content for variant in ("bf16", "ema")}


def truncate(folder: Folder) -> None:
    folder[VAE] = folder[VAE][:-1]


def lie_about_a_shape(folder: Folder) -> None:
    folder[VAE] = folder[VAE].replace(b'"shape": [3]', b'"shape": [2]')


def hide_bytes(folder: Folder) -> None:
    folder[VAE] = folder[VAE].replace(b"[0, 3]", b"[1, 3]").replace(b'"shape": [3]', b'"shape": [2]')


def claim_a_large_header(folder: Folder) -> None:
    folder[VAE] = (100_000_000).to_bytes(8, "little") + b"{" * 17_000_000


def no_tensors(folder: Folder) -> None:
    folder[VAE] = (2).to_bytes(8, "little") + b"{}"


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda at: at.pop(UNET), ["unet", "safetensors"]),
        (lambda at: at.update({"unet/a.bin": at.pop(UNET)}), ["unet", "a.bin", "code"]),
        (lambda at: at.update({"unet/a.gguf": at.pop(UNET)}), ["unet", "a.gguf"]),
        (lambda at: at.update({"unet/model.safetensors": at.pop(UNET)}), ["unet", "model.safetensors"]),
        (two_variants, ["unet", "bf16, ema"]),
        (lose_a_shard, ["unet", "diffusion_pytorch_model-00002-of-00002.safetensors"]),
        (lose_a_tensor, ["unet/diffusion_pytorch_model-00002-of-00002.safetensors", "tensor 1"]),
        (lose_the_index, ["unet", "diffusion_pytorch_model-00001-of-00002.safetensors", "index"]),
        (truncate, [VAE, "truncated"]),
        (lie_about_a_shape, [VAE, "damaged"]),
        (hide_bytes, [VAE, "damaged"]),
        (no_tensors, [VAE, "damaged"]),
        (claim_a_large_header, [VAE]),
        (lambda at: at.update({VAE: b"version https://git-lfs.github.com/spec/v1\n"}), [VAE, "LFS"]),
    ],
)
def test_weights_that_would_not_load_are_named(
    folder: Folder, damage: Callable[[Folder], Any], named: list[str]
) -> None:
    damage(folder)
    message = refusal(folder)
    assert [text for text in named if text not in message] == []


@pytest.mark.parametrize("name", ["../../jobs/x.safetensors", "a/b.safetensors", "x.bin", 1, None])
def test_an_index_names_safetensors_of_its_folder(folder: Folder, name: Any) -> None:
    shard(folder, UNET, SHARDS[0], INDEXES[0])
    index = INDEXES[0].format("unet/diffusion_pytorch_model")
    folder[index] = json.dumps({"weight_map": {"a": name}}).encode()
    assert index in refusal(folder)


def test_the_size_of_a_file_is_known_before_it_is_read(folder: Folder) -> None:
    folder["unet/config.json"] = b"{" + b" " * (16 * 1024 * 1024)
    files = FilesInMemory(folder)
    with pytest.raises(ModelFolderError, match=r"unet/config\.json is too large"):
        check_model(files, {})
    assert files.bytes_read < 100_000


# --- the index -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": "EvilPipeline"},
        {"_class_name": ["StableDiffusionPipeline"]},
        {"unet": ["os", "system"]},
        {"unet": ["diffusers", "EvilModel"]},
        {"unet": ["diffusers", ["UNet2DConditionModel"]]},
        {"unet": ["diffusers", {"a": 1}]},
        {"unet": ["diffusers"]},
        {"unet": "UNet2DConditionModel"},
        {"unet": {"library": "diffusers"}},
        {"unet": 1},
        {"unet": ["diffusers", "AutoencoderKL"]},
        {"unet": ["transformers", "UNet2DConditionModel"]},
        {"vae": ["diffusers", "AutoencoderDC"]},
        {"a/b": ["diffusers", "UNet2DConditionModel"]},
        {"../../tmp": ["diffusers", "UNet2DConditionModel"]},
        {"../../tmp": "x"},
        {"controlnet": ["diffusers", "UNet2DConditionModel"]},
        {"controlnet": {"a": 1}},
        {"quantization_config": {"quant_method": "bitsandbytes"}},
    ],
)
def test_an_index_with_unknown_parts_is_refused(folder: Folder, changes: dict[str, Any]) -> None:
    change_index(folder, **changes)
    assert "model_index.json" in refusal(folder)


@pytest.mark.parametrize("null", [None, [None, None]])
@pytest.mark.parametrize("name", [name for name in INDEX if name != "_class_name"])
def test_parts_are_null_where_the_pipeline_allows_it(folder: Folder, name: str, null: Any) -> None:
    change_index(folder, **{name: null})
    if name in PIPELINES["StableDiffusionPipeline"].optional:
        assert name in check_model(FilesInMemory(folder), {}).index.unused
    else:
        assert f"no {name}" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}, "feature_extractor"),
        ({"image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}, "image_encoder"),
    ],
)
def test_a_part_that_the_index_names_must_be_there(folder: Folder, changes: dict[str, Any], named: str) -> None:
    change_index(folder, **changes)
    assert named in refusal(folder)


def test_plain_values_of_the_index_are_settings(folder: Folder) -> None:
    change_index(folder, requires_safety_checker=False, note=None, _name_or_path="a/b")
    assert check_model(FilesInMemory(folder), {}).index.settings == {"requires_safety_checker": False, "note": None}


# --- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["bitsandbytes", "torchao", "gguf", "quanto", None])
@pytest.mark.parametrize("part", ["unet", "text_encoder", "vae"])
def test_a_quantised_part_is_refused(folder: Folder, part: str, method: str | None) -> None:
    content = {"quantization_config": {"quant_method": method} if method else {"load_in_4bit": True}}
    folder[f"{part}/config.json"] = json.dumps(content).encode()
    message = refusal(folder)
    assert f"{part}/config.json" in message and (method or "quantised") in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"unet/config.json": None}, "unet/config.json"),
        ({"unet/config.json": b"[]"}, "unet/config.json"),
        ({"unet/config.json": b'\xef\xbb\xbf{"_class_name": "UNet2DConditionModel"}'}, "byte order mark"),
        ({"scheduler/scheduler_config.json": '{"_class_name": "DDIMScheduler"}'.encode("utf-16")}, "UTF-8"),
        ({"unet/config.json": b'{"_class_name": "AutoencoderKL"}'}, "unet/config.json"),
        ({"scheduler/scheduler_config.json": None}, "scheduler"),
        ({"tokenizer/tokenizer_config.json": None}, "tokenizer/tokenizer_config.json"),
        ({"tokenizer/tokenizer_config.json": b"{}"}, "model_max_length"),
        ({"tokenizer/tokenizer_config.json": b'{"model_max_length": 1e30}'}, "model_max_length"),
        ({"tokenizer/merges.txt": None}, "only vocab.json"),
        ({"tokenizer/vocab.json": None}, "only merges.txt"),
        ({"tokenizer/vocab.json": None, "tokenizer/merges.txt": None, "tokenizer/spiece.model": b"x"}, "spiece.model"),
        ({"unet/a\\b": b""}, "a\\b"),
        ({"../x": b""}, "../x"),
        ({"unet/" + "n" * 256: b""}, "nnn"),
        ({"unet/\x1b]0;title\x07.json": b"{}"}, "\\x1b]0;title\\x07"),
        ({"unet/\u202enosj.json": b"{}"}, "\\u202e"),
    ],
)
def test_files_that_would_not_load_are_named(folder: Folder, changes: dict[str, bytes | None], named: str) -> None:
    folder |= {path: content for path, content in changes.items() if content is not None}
    for path in (path for path, content in changes.items() if content is None):
        del folder[path]
    message = refusal(folder)
    assert named in message
    assert message.isprintable()


def test_a_vocabulary_may_have_any_word(folder: Folder) -> None:
    folder["tokenizer/vocab.json"] = b'{"auto_map": 1}'
    assert "tokenizer/vocab.json" in select(folder)
