"""LoRAs, ControlNets and embeddings among what people give: their base, and the models that they may fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from easel.console.errors import CommandError
from easel.models.given_source import refused

if TYPE_CHECKING:
    from easel.laptop.catalogue import Entry
    from model_importer.model_folder import Header

_PIPELINES = {
    "sd-1": ("StableDiffusionPipeline", "LatentConsistencyModelPipeline"), "sd-2": ("StableDiffusionPipeline",),
    "sdxl": ("StableDiffusionXLPipeline",), "sd-3": ("StableDiffusion3Pipeline",), "flux": ("FluxPipeline",),
    "flux-2": ("Flux2KleinPipeline", "Flux2Pipeline"), "z-image": ("ZImagePipeline",),
    "qwen-image": ("QwenImagePipeline", "QwenImageEditPlusPipeline"), "sana": ("SanaPipeline",),
}  # fmt: skip
"""Base to the classes of its models."""


@dataclass(frozen=True)
class ExtraKind:
    """`key`: of `EXTRAS`. `base`: as `lora_base` has it; `base_name`: as people read it."""

    key: str
    base: str
    base_name: str

    @property
    def name(self) -> str:
        from model_importer.model_folder import EXTRAS

        return EXTRAS[self.key].name


def extra_kind(header: Header) -> ExtraKind | None:
    """Return what kind of extra a file is, or None for another file."""
    from model_importer.model_folder import ModelFolderError, lora_base
    from model_importer.model_folder.extras.controls import control_base, is_control
    from model_importer.model_folder.extras.embeddings import embedding_base, is_embedding
    from model_importer.model_folder.loras.base import BASES

    for key, known, base_of in (
        ("controls", is_control, control_base),
        ("embeddings", is_embedding, embedding_base),
    ):
        if known(header.shapes):
            name = base_of(header.shapes)
            return ExtraKind(key, next((base for base in BASES if BASES[base] == name), "unknown"), name)
    try:
        base = lora_base(header)
    except ModelFolderError:
        return None
    return ExtraKind("loras", base, BASES.get(base, "an unknown base"))


def check_not_extra(header: Header, text: str, *, local: bool) -> None:
    """Raise CommandError for a file that a model's entry lists. `local`: it is on this machine."""
    if (kind := extra_kind(header)) is None:
        return
    raise refused(text, f"it is a {kind.name} for {kind.base_name}, not a model", _advice(kind, text, local=local))


def _advice(kind: ExtraKind, text: str, *, local: bool) -> str:
    ids = [entry.model.id for entry in _candidates(kind, local=local)]
    if ids:
        return f"Add it to a model: easel models add {quote(text)} --to {ids[0]}. Of its class are: {', '.join(ids)}."
    if local and (ids := [entry.model.id for entry in _candidates(kind, local=False)]):
        return f"Of its class are: {', '.join(ids)}. They take a file of a hub, a link, or an object of S3, with --to."
    return "The catalogue has no model that can take it: add the model first, then this file with --to and its id."


def _candidates(kind: ExtraKind, *, local: bool) -> Iterator[Entry]:
    """Yield the entries whose class and source can take an extra. Its shapes are checked when it is added."""
    from easel.laptop.catalogue import entries
    from model_importer.model_folder import CLIP_PIPELINES, CONTROL_PIPELINES, PIPELINES

    pipelines = {"controls": CONTROL_PIPELINES, "embeddings": CLIP_PIPELINES}.get(kind.key, tuple(PIPELINES))
    with suppress(CommandError):  # of an entry that cannot be read
        for entry in entries():
            takes = entry.model.source.kind == "folder" or not local
            if takes and entry.model.pipeline in pipelines and _is_of(entry, kind.base):
                yield entry


def _is_of(entry: Entry, base: str) -> bool:
    """Return whether a model may be of a base: by the width of its UNet's text if it is here, else by its class."""
    from model_importer.model_folder.loras.base import CROSS_ATTENTION

    try:
        settings = json.loads((entry.path / "unet" / "config.json").read_bytes())
        width = int(settings["cross_attention_dim"])
    except (OSError, ValueError, KeyError, TypeError):
        return entry.model.pipeline in _PIPELINES.get(base, ())
    return base == CROSS_ATTENTION.get(width, f"unet-{width}")
