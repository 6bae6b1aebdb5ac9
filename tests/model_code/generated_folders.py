"""Model folders of every class, variant, sharding, tokenizer and choice of parts, and what becomes of them.

The rule accepts a folder exactly if it loads and generates. `test_every_folder.py` runs them with the laptop's
versions, `make parity` with the serving image's:

    python -m tests.model_code.generated_folders PIPELINES RESULT

PIPELINES has the pipelines as `save_pipelines` saved them, with any version.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", OMP_WAIT_POLICY="PASSIVE")

from contract import EaselError, parse_request
from generation.generate import generate
from loading.load import _import_diffusers, load_model
from loading.load_errors import to_easel_error
from loading.parts import find_class
from model_folder import PIPELINES, Component, ModelFolderError, check_folder, select_local_files
from tests.model_code import every_pipeline

_NEED_TORCHVISION = ("AutoProcessor", "PixtralProcessor")
Change = Callable[[Path], None]
VARIANTS = ("", "fp16", "bf16", "ema")
SHARDINGS = ("whole", "{stem}.{variant}-{shard}.safetensors", "{stem}-{shard}.{variant}.safetensors")
"""How the weights of a part are named. The words in braces may be empty, and then their dot goes, too."""


@dataclass(frozen=True)
class Case:
    """A folder: a saved pipeline and what is changed in it."""

    name: str
    pipeline: str
    change: Change
    refused: tuple[str, ...] = ()
    """Words of the refusal; none: the folder loads and generates."""


def save_pipelines(folder: Path, **options: Any) -> Path:
    """Save every pipeline with the installed versions. Return `folder`."""
    _import_diffusers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in [*every_pipeline.PIPELINES, *every_pipeline.OTHER_PARTS]:
            every_pipeline.create(name).save_pretrained(folder / name, **options)
    return folder


# --- weights -------------------------------------------------------------------------------------


def weight_cases() -> Iterator[Case]:
    """Yield each class with each variant and sharding."""
    for pipeline in every_pipeline.PIPELINES:
        for variant in VARIANTS:
            for sharding in SHARDINGS:
                name = f"{pipeline}, variant {variant or 'none'}, {sharding}"
                yield Case(name, pipeline, partial(name_weights, variant=variant, sharding=sharding))


def pairwise(cases: list[Case]) -> list[Case]:
    """Return a third of the weight cases, in which each class meets each variant and each sharding."""
    return [case for number, case in enumerate(cases) if (number // 3 + number // 12) % 3 == number % 3]


def name_weights(folder: Path, variant: str, sharding: str) -> None:
    """Rename the weights of all parts, and split them into two files unless they are to be whole."""
    for file in sorted(folder.glob("*/*.safetensors")):
        stem = file.name.partition(".")[0]
        if sharding == "whole":
            file.rename(file.with_name(_join(f"{stem}.{variant}.safetensors")))
        else:
            _split(file, stem, variant, sharding)


def _join(name: str) -> str:
    return name.replace("..", ".").replace(".-", "-")


def _split(file: Path, stem: str, variant: str, sharding: str) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    file.unlink()
    weight_map: dict[str, str] = {}
    for number in (0, 1):
        words = {"stem": stem, "variant": variant, "shard": f"0000{number + 1}-of-00002"}
        shard = _join(sharding.format(**words))
        part = dict(sorted(tensors.items())[number::2])
        save_file(part, file.with_name(shard), metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, shard)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    file.with_name(_join(f"{stem}.safetensors.index.{variant}.json")).write_text(json.dumps(index))


# --- parts ---------------------------------------------------------------------------------------


def part_cases() -> Iterator[Case]:
    """Yield each class with each of its parts null, or named but missing."""
    for pipeline in every_pipeline.PIPELINES:
        family = PIPELINES[pipeline]
        for part in family.parts:
            if part in family.optional:
                continue
            yield Case(f"{pipeline}, {part} null", pipeline, partial(_set_null, part=part), (part,))
            yield Case(f"{pipeline}, no {part}", pipeline, partial(_remove, part=part), (part,))
    for pipeline in every_pipeline.OTHER_PARTS:
        yield Case(pipeline, pipeline, lambda at: None)
    for part in ("safety_checker", "feature_extractor", "image_encoder"):
        yield Case(f"no {part}", "all parts", partial(_remove, part=part), (part,))
    for name in ("CLIPFeatureExtractor", "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil"):
        yield Case(name, "all parts", partial(_edit_index, feature_extractor=["transformers", name]))
    yield Case(
        "one of a pair", "StableDiffusion3Pipeline", lambda at: _set_null(at, "text_encoder_3"), ("tokenizer_3",)
    )


def processor_cases() -> Iterator[Case]:
    """Yield FLUX.2 with the processor that its repository has. The laptop has no torchvision for it."""
    for name in ("AutoProcessor", "PixtralProcessor"):
        yield Case(f"Flux2Pipeline, {name}", "Flux2Pipeline", partial(_make_processor, name=name))


def _make_processor(folder: Path, name: str) -> None:
    _edit_index(folder, tokenizer=["transformers", name])
    images = {"image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 32}, "patch_size": 8}
    (folder / "tokenizer" / "preprocessor_config.json").write_text(json.dumps(images))
    (folder / "tokenizer" / "processor_config.json").write_text('{"processor_class": "PixtralProcessor"}')


def quantised_cases() -> Iterator[Case]:
    for pipeline in every_pipeline.PIPELINES:
        for part in ("transformer", "unet", "text_encoder", "vae"):
            if part in PIPELINES[pipeline].parts:
                yield Case(
                    f"{pipeline}, {part} quantised",
                    pipeline,
                    partial(_quantise, part=part),
                    (f"{part}/config.json", "torchao"),
                )


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _edit_index(folder: Path, **changes: Any) -> None:
    _edit(folder / "model_index.json", **changes)


def _quantise(folder: Path, part: str) -> None:
    _edit(folder / part / "config.json", quantization_config={"quant_method": "torchao"})


def _remove(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)


def _set_null(folder: Path, part: str) -> None:
    _edit_index(folder, **{part: [None, None]})


# --- tokenizers ----------------------------------------------------------------------------------


def tokenizer_cases() -> Iterator[Case]:
    """Yield each tokenizer of each class in all forms that hubs have."""
    for pipeline in every_pipeline.PIPELINES:
        for part in (name for name in PIPELINES[pipeline].parts if "tokenizer" in name):
            for form, refused in _forms(pipeline, part):
                words = (part, *refused) if refused is not None else ()
                name = f"{pipeline}, {part}, {form.__name__.strip('_').replace('_', ' ')}"
                yield Case(name, pipeline, partial(_change_part, part=part, change=form), words)


def _change_part(folder: Path, part: str, change: Change) -> None:
    change(folder / part)


def _forms(pipeline: str, part: str) -> Iterator[tuple[Change, tuple[str, ...] | None]]:
    """Yield forms with the words of their refusal, None for those that load."""
    classes = PIPELINES[pipeline].parts[part]
    from_two_files = any(name.startswith(("CLIP", "Qwen2")) for name in classes)
    yield _old_files, None
    yield _vocabulary_and_merges, None if from_two_files else ("tokenizer.json",)
    yield _vocabulary_alone, ("tokenizer.json",)
    yield _sentencepiece_alone, ("spiece.model",)
    yield _tokenizer_model_alone, ("tokenizer.model",)
    yield _both_kinds, None
    yield _no_vocabulary, ("tokenizer.json",)
    yield _no_settings, ("tokenizer_config.json",)
    if PIPELINES[pipeline].chat == part:
        yield _template_in_settings, None
        yield _no_template, ("chat template",)
    if any(name.startswith("CLIP") for name in classes):
        yield _no_length, ("model_max_length",)


def _old_files(folder: Path) -> None:
    _edit(folder / "tokenizer_config.json", clean_up_tokenization_spaces=True)
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "added_tokens.json").write_text("{}")


def _vocabulary_and_merges(folder: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    words = model["vocab"] if isinstance(model["vocab"], dict) else [word for word, _ in model["vocab"]]
    vocabulary = words if isinstance(words, dict) else {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer.json").unlink()


def _vocabulary_alone(folder: Path) -> None:
    _vocabulary_and_merges(folder)
    (folder / "merges.txt").unlink()


def _sentencepiece_alone(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "spiece.model")


def _tokenizer_model_alone(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")


def _both_kinds(folder: Path) -> None:
    (folder / "spiece.model").write_bytes(b"\x0a\x00")


def _no_vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _no_settings(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()


def _template_in_settings(folder: Path) -> None:
    template = folder / "chat_template.jinja"
    _edit(folder / "tokenizer_config.json", chat_template=template.read_text())
    template.unlink()


def _no_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _no_length(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("model_max_length")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


# --- values in settings --------------------------------------------------------------------------

_SCHEDULERS = (
    "DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler", "HeunDiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler", "PNDMScheduler",
    "UniPCMultistepScheduler",
)  # fmt: skip
_VALUES: tuple[tuple[str, tuple[str, ...], Callable[[Any], Any]], ...] = (
    ("unet transformer", ("in_channels",), lambda value: 2 * value),
    ("unet transformer", ("num_layers", "n_layers", "block_out_channels"), lambda value: 2 * value),
    ("unet transformer", ("attention_head_dim", "hidden_size", "dim"), lambda value: None),
    ("text_encoder", ("vocab_size",), lambda value: 2 * value),
    ("text_encoder", ("hidden_size", "d_model"), lambda value: str(value)),
    ("text_encoder", ("num_hidden_layers", "num_layers"), lambda value: 2 * value),
    ("vae", ("block_out_channels", "encoder_block_out_channels", "dim_mult"), lambda value: None),
    ("vae", ("latent_channels", "z_dim"), lambda value: 2 * value),
    ("vae", ("scaling_factor", "latents_std", "batch_norm_eps"), lambda value: None),
)
"""Parts, names of the field of which each class has one, and the change of its value."""


def value_cases() -> Iterator[Case]:
    """Yield each class and each scheduler with values that do not load, and with fields that do not matter."""
    for pipeline in every_pipeline.PIPELINES:
        for number, (parts, fields, value) in enumerate(_VALUES):
            part = next(part for part in parts.split() if part in PIPELINES[pipeline].parts)
            change = partial(_change_value, part=part, fields=fields, value=value)
            yield Case(f"{pipeline}, value {number}", pipeline, change, (f"{part}/config.json",))
        name, change = f"{pipeline}, num_train_timesteps", partial(_set_scheduler, num_train_timesteps=None)
        yield Case(name, pipeline, change, ("scheduler/scheduler_config.json", "num_train_timesteps"))
    for pipeline in ("ErnieImagePipeline", "SanaPipeline", "StableDiffusion3Pipeline"):
        words = ("scheduler/scheduler_config.json", "use_dynamic_shifting") if "Stable" not in pipeline else ()
        change = partial(_set_scheduler, use_dynamic_shifting=True)
        yield Case(f"{pipeline}, use_dynamic_shifting", pipeline, change, words)
    for pipeline, solver, missing in (
        ("FluxPipeline", "DPMSolver", ""), ("FluxPipeline", "DPMSolver", "use_dynamic_shifting"),
        ("FluxPipeline", "UniPC", ""), ("FluxPipeline", "UniPC", "prediction_type"),
        ("QwenImagePipeline", "UniPC", "use_flow_sigmas"), ("Flux2KleinPipeline", "DPMSolver", "use_flow_sigmas"),
        ("SanaPipeline", "DPMSolver", ""),
    ):  # fmt: skip
        settings: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
        settings |= {"use_dynamic_shifting": True} if solver == "DPMSolver" and "Flux" in pipeline else {}
        settings.pop(missing, None)
        words = ("scheduler/scheduler_config.json", missing) if missing else ()
        change = partial(_set_scheduler, scheduler=f"{solver}MultistepScheduler", **settings)
        yield Case(f"{pipeline}, {solver}, {missing or 'all settings'}", pipeline, change, words)
    for pipeline, family in PIPELINES.items():
        for scheduler in ("DDIMScheduler", "FlowMatchHeunDiscreteScheduler", "LCMScheduler"):
            words = () if scheduler in family.parts["scheduler"] else ("model_index.json", scheduler)
            yield Case(f"{pipeline}, {scheduler}", pipeline, partial(_set_scheduler, scheduler=scheduler), words)
    for scheduler in _SCHEDULERS:
        pipeline, set_class = "StableDiffusionPipeline", partial(_set_scheduler, scheduler=scheduler)
        for field in ("beta_schedule", "prediction_type"):
            words = ("scheduler/scheduler_config.json", field)
            yield Case(f"{scheduler}, {field}", pipeline, partial(set_class, **{field: "unknown"}), words)
        yield Case(f"{scheduler}, another field", pipeline, partial(set_class, another=[None]))
    yield Case("more tokens than embeddings", "StableDiffusionPipeline", _add_token, ("tokenizer", "text_encoder"))


def _change_value(folder: Path, part: str, fields: tuple[str, ...], value: Callable[[Any], Any]) -> None:
    """Change the first of `fields` that the settings of a part have, or else those of its text model."""
    file = folder / part / "config.json"
    settings = json.loads(file.read_text())
    owner = settings if any(name in settings for name in fields) else settings["text_config"]
    field = next(name for name in fields if name in owner)
    owner[field] = value(owner[field])
    file.write_text(json.dumps(settings))


def _set_scheduler(folder: Path, scheduler: str = "", **changes: Any) -> None:
    file = folder / "scheduler" / "scheduler_config.json"
    if scheduler:
        _edit_index(folder, scheduler=["diffusers", scheduler])
        file.write_text(json.dumps({"_class_name": scheduler, "steps_offset": 1, "clip_sample": False}))
    _edit(file, **changes)


def _add_token(folder: Path) -> None:
    file = folder / "tokenizer" / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"]["newest</w>"] = 60
    file.write_text(json.dumps(content))


# --- what becomes of a folder --------------------------------------------------------------------


def all_cases() -> list[Case]:
    """Return the cases whose folders are loaded, or refused."""
    return [
        *pairwise(list(weight_cases())),
        *part_cases(),
        *processor_cases(),
        *quantised_cases(),
        *tokenizer_cases(),
        *value_cases(),
    ]


def combined_cases() -> list[Case]:
    """Return `all_cases` in fewer folders: each with other weights has one accepted form of all its tokenizers, too."""
    tokenizers = list(tokenizer_cases())
    forms: dict[str, dict[str, list[Case]]] = {}
    for case in (case for case in tokenizers if not case.refused):
        forms.setdefault(case.pipeline, {}).setdefault(case.name.rpartition(", ")[2], []).append(case)
    weights = [_join_cases(case, forms[case.pipeline]) for case in pairwise(list(weight_cases()))]
    assert not any(forms.values())
    refused = [case for case in tokenizers if case.refused]
    return [*weights, *refused, *part_cases(), *processor_cases(), *quantised_cases(), *value_cases()]


def _join_cases(case: Case, forms: dict[str, list[Case]]) -> Case:
    """Take the next form, and return the case of a folder with both changes."""
    if not forms:
        return case
    form = next(iter(forms))
    changes = [case.change, *(item.change for item in forms.pop(form))]

    def change_all(folder: Path) -> None:
        for change in changes:
            change(folder)

    return replace(case, name=f"{case.name}, {form}", change=change_all)


def difference(case: Case, pipelines: Path, scratch: Path, *, load: bool = True) -> str:
    """Return what is not as it should be, or "". Nothing of a refused folder is loaded."""
    folder = Path(shutil.copytree(pipelines / case.pipeline, scratch / "model"))
    try:
        case.change(folder)
        return _difference(case, folder, load)
    finally:
        shutil.rmtree(folder)


def _difference(case: Case, folder: Path, load: bool) -> str:
    try:
        files = select_local_files(folder)
        check_folder(folder, files)
    except ModelFolderError as error:
        missing = [word for word in case.refused if word not in error.message]
        return f"refused: {error}" if missing or not case.refused or not error.hint else ""
    if case.refused:
        return "accepted"
    if not load:
        return ""
    released = _release(folder, files)
    try:
        _generate(released)
    except Exception as error:
        return f"does not load: {to_easel_error(error).message}"
    finally:
        shutil.rmtree(released)
    return ""


def _release(folder: Path, files: list[str]) -> Path:
    """Return a copy of the folder with the files that a release has."""
    released = folder.with_name("released")
    for name in files:
        (released / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, released / name)
    return released


def _generate(folder: Path) -> None:
    model = load_model(folder)
    body = {"prompt": "a cat", "width": 64, "height": 64, "num_inference_steps": 1, "seed": 1}
    try:
        generate(model, parse_request(json.dumps(body), model.profile), expires_at=None)
    except EaselError as error:
        if error.code != "blank_output":  # random weights
            raise


def unknown_names(pipelines: Path) -> dict[str, str]:
    """Return the names that `save_pretrained` writes for known classes, but no index may have.

    Name to the class that was loaded, with the installed versions. The names of the other classes are in the saved
    pipelines.
    """
    found = {}
    for pipeline in every_pipeline.PIPELINES:
        for part, classes in PIPELINES[pipeline].parts.items():
            for name in (name for name in classes if name not in _NEED_TORCHVISION):
                if "ImageProcessor" in name or name == "CLIPFeatureExtractor":
                    written = type(find_class(Component(part, "transformers", name))()).__name__
                elif "tokenizer" in part:
                    tokenizer = find_class(Component(part, "transformers", name))
                    written = type(tokenizer.from_pretrained(pipelines / pipeline / part)).__name__
                else:
                    continue
                if written not in classes:
                    found[f"{pipeline}, {part}: {written}"] = name
    return found


def main() -> None:
    pipelines, result = map(Path, sys.argv[1:])
    os.environ.pop("EASEL_MODEL_PROFILE", None)
    cases = all_cases()
    differences: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        found = ((case.name, difference(case, pipelines, Path(scratch))) for case in cases)
        differences = {name: text for name, text in found if text}
    differences = differences | unknown_names(pipelines)
    result.write_text(json.dumps({"folders": len(cases), "differences": differences}))


if __name__ == "__main__":
    main()
