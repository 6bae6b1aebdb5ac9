"""Values of different parts that must fit each other: a part may come from another model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..classes import FOR_INPAINTING, PIPELINES
from ..errors import ModelFolderError
from ..index import ModelIndex
from .check import Tensors, find_size, text_fields
from .kinds import NUMBER, Kinds, check_fields, one_of

Settings = Mapping[str, Mapping[str, Any]]
"""The content of each JSON file of a part by its name."""
_PAIRS = {
    "tokenizer": "text_encoder",
    "tokenizer_2": "text_encoder_2",
    "tokenizer_3": "text_encoder_3",
    "pe_tokenizer": "pe",
}
_EMBEDDINGS = ("embeddings.token_embedding.weight", "embed_tokens.weight", "shared.weight")
_LATENTS = "vae.latent_channels"
_PACKED = "4*vae.latent_channels"
_WIDTH = "text_encoder.hidden_size"

_QWEN_IMAGE = {"transformer.in_channels": "4*vae.z_dim", "transformer.joint_attention_dim": _WIDTH}
_EQUAL: Mapping[str, Mapping[str, str]] = {
    "ChromaPipeline": {
        "transformer.in_channels": _PACKED,
        "transformer.joint_attention_dim": "text_encoder.d_model",
    },
    "ErnieImagePipeline": {"transformer.in_channels": _PACKED, "transformer.text_in_dim": _WIDTH},
    "Flux2KleinPipeline": {"transformer.in_channels": _PACKED, "transformer.joint_attention_dim": f"3*{_WIDTH}"},
    "Flux2Pipeline": {"transformer.in_channels": _PACKED, "transformer.joint_attention_dim": f"3*{_WIDTH}"},
    "FluxPipeline": {
        "transformer.in_channels": _PACKED,
        "transformer.joint_attention_dim": "text_encoder_2.d_model",
        "transformer.pooled_projection_dim": _WIDTH,
    },
    "LatentConsistencyModelPipeline": {"unet.in_channels": _LATENTS, "unet.cross_attention_dim": _WIDTH},
    "Lumina2Pipeline": {"transformer.in_channels": _LATENTS, "transformer.cap_feat_dim": _WIDTH},
    "OvisImagePipeline": {"transformer.in_channels": _PACKED, "transformer.joint_attention_dim": _WIDTH},
    "QwenImageEditPlusPipeline": _QWEN_IMAGE,
    "QwenImagePipeline": _QWEN_IMAGE,
    "SanaPipeline": {"transformer.in_channels": _LATENTS, "transformer.caption_channels": _WIDTH},
    "StableDiffusion3Pipeline": {
        "transformer.in_channels": _LATENTS,
        "transformer.joint_attention_dim": "text_encoder_3.d_model",
        "transformer.pooled_projection_dim": "text_encoder.projection_dim + text_encoder_2.projection_dim",
    },
    "StableDiffusionPipeline": {"unet.in_channels": _LATENTS, "unet.cross_attention_dim": _WIDTH},
    "StableDiffusionXLPipeline": {
        "unet.in_channels": _LATENTS,
        "unet.cross_attention_dim": f"{_WIDTH} + text_encoder_2.hidden_size",
    },
    "ZImagePipeline": {"transformer.in_channels": _LATENTS, "transformer.cap_feat_dim": _WIDTH},
}
"""Field of a part to the sum of fields of other parts, each with a factor."""
_NEED_SHIFT = (
    "ChromaPipeline", "FluxPipeline", "Lumina2Pipeline", "OvisImagePipeline", "StableDiffusion3Pipeline",
    "ZImagePipeline",
)  # fmt: skip
"""Pipelines that shift the latents of AutoencoderKL, whose default is no shift."""

_WITHOUT_MU = ("ErnieImagePipeline", "SanaPipeline")
"""Pipelines that pass no `mu` to their scheduler, which FlowMatchEulerDiscreteScheduler needs for dynamic shifting."""

_OF_FLOW: Kinds = {"use_flow_sigmas": one_of(True), "prediction_type": one_of("flow_prediction")}
_FLOW_SOLVERS: Mapping[str, Kinds] = {
    # The pipelines that take it pass it `mu`.
    "DPMSolverMultistepScheduler": _OF_FLOW
    | {"use_dynamic_shifting": one_of(True), "time_shift_type": one_of("exponential")},
    "UniPCMultistepScheduler": _OF_FLOW,
}
_SOLVER_DEFAULTS = {
    "use_flow_sigmas": False,
    "prediction_type": "epsilon",
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
}


def check_together(index: ModelIndex, parts: Mapping[str, Settings], tensors: Mapping[str, Tensors]) -> None:
    """Raise ModelFolderError for parts that do not belong together."""
    for field, words in _EQUAL[index.pipeline].items():
        terms = [term for term in words.split(" + ") if term.rpartition("*")[2].partition(".")[0] in parts]
        values = [_term(parts, term) for term in terms]
        value = _term(parts, field)
        total = sum(filter(None, values))
        allowed = (total, 2 * total + 1) if _may_inpaint(index, field) else (total,)
        if isinstance(value, int) and values and None not in values and value not in allowed:
            part, _, name = field.partition(".")
            message = f"{part}/config.json has {value} as {name}, but {' + '.join(terms)} is {total}"
            raise ModelFolderError(message, "Use parts of the same model, or correct `parts` of the entry.")
    classes = {part.name: part.class_name for part in index.components}
    if index.pipeline in _NEED_SHIFT and classes.get("vae") == "AutoencoderKL":
        check_fields("vae/config.json", {"shift_factor": None, **parts["vae"]["config.json"]}, {"shift_factor": NUMBER})
    _check_flow(index.pipeline, classes.get("scheduler"), parts)
    for tokenizer, encoder in _PAIRS.items():
        if tokenizer in parts and encoder in parts:
            _check_tokens(tokenizer, encoder, parts[tokenizer], tensors[encoder])


def _check_flow(pipeline: str, scheduler: str | None, parts: Mapping[str, Settings]) -> None:
    """Check the settings that a scheduler must have for a flow model."""
    kinds: Kinds = {}
    if scheduler == "FlowMatchEulerDiscreteScheduler" and pipeline in _WITHOUT_MU:
        kinds = {"use_dynamic_shifting": one_of(False)}
    elif "DDIMScheduler" not in PIPELINES[pipeline].parts["scheduler"]:
        kinds = _FLOW_SOLVERS.get(scheduler or "", {})
    if kinds:
        settings = {**_SOLVER_DEFAULTS, **parts["scheduler"]["scheduler_config.json"]}
        check_fields("scheduler/scheduler_config.json", settings, kinds)


def _may_inpaint(index: ModelIndex, field: str) -> bool:
    """Return whether a UNet for inpainting would have more in this field: the latents twice, and the mask."""
    return field == "unet.in_channels" and index.pipeline in FOR_INPAINTING.values()


def _term(parts: Mapping[str, Settings], term: str) -> int | None:
    factor, _, name = term.rpartition("*")
    part, _, field = name.partition(".")
    value = text_fields(parts[part].get("config.json", {})).get(field)
    return int(factor or 1) * value if isinstance(value, int) else None


def _check_tokens(tokenizer: str, encoder: str, files: Settings, tensors: Tensors) -> None:
    rows = next((shape[0] for name in _EMBEDDINGS if (shape := find_size(tensors, name, "transformers"))), None)
    last = max(_tokens(files), default=-1)
    if rows is not None and last >= rows:
        message = f"{tokenizer} has tokens up to number {last}, but {encoder} has embeddings of {rows} tokens only"
        raise ModelFolderError(message, "Use the tokenizer and the text encoder of the same model.")


def _tokens(files: Settings) -> Iterator[int]:
    """Yield numbers of tokens. Those that were added later, such as `<mask>`, may lack an embedding."""
    model = files.get("tokenizer.json", {}).get("model")
    vocabulary = files.get("vocab.json") if model is None else model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):
        yield len(vocabulary) - 1
    elif isinstance(vocabulary, dict):
        yield from filter(_is_int, vocabulary.values())


def _is_int(value: Any) -> bool:
    return isinstance(value, int)
