"""The instance types that can hold a model, and the cheapest of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stacks.config.catalogue import CatalogueError, Model
from stacks.config.images import has_gpu
from stacks.config.prices import USD_PER_HOUR
from stacks.config.settings import Settings


@dataclass(frozen=True)
class Family:
    """An instance family: GiB of one GPU as torch reports it (0: no GPU), and GiB of host memory of an `xlarge`."""

    gpu_gib: float
    bfloat16: bool
    host_gib: float


@dataclass(frozen=True)
class Choice:
    """A model, and the settings with the instance types of its endpoint."""

    model: Model
    settings: Settings


FAMILIES: Mapping[str, Family] = {
    "g4dn": Family(14.5, False, 16),  # T4
    "g5": Family(22, True, 16),  # A10G
    "g6": Family(22, True, 16),  # L4
    "g6e": Family(44, True, 32),  # L40S
    "p3": Family(15.7, False, 30.5),  # V100
    **dict.fromkeys(("c5", "c6i", "c7i"), Family(0, True, 8)),
    **dict.fromkeys(("m5", "m6i", "m7i"), Family(0, True, 16)),
}
"""Source: AWS's pages of the EC2 instance types."""

UNSUPPORTED: Mapping[str, str] = {
    r"[a-z]+\d+g|p6e-gb": "its processors are ARM, and the serving image is for x86",
    r"g4ad\.": "its GPUs are made by AMD, and the serving image is for NVIDIA",
    r"gr?6f\.": "it has a part of a GPU, which SageMaker does not offer for endpoints",
    r"p2\.": "its GPUs (K80) are too old for the serving image's CUDA 12.4",
    r"g7e?\.|p6-": "its GPUs (Blackwell) are too new for the serving image's CUDA 12.4 and its driver",
}
"""Start of the name of types on which the serving image does not run, and the reason.

ARM types (Graviton, Grace) have a g after the generation's number. CUDA 12 has no Kepler; Blackwell needs CUDA 12.8.
"""


def choose_all(models: Sequence[Model], settings: Settings) -> tuple[Choice, ...]:
    """Return each model with the settings of its endpoint. Raises CatalogueError as `choose_instances` does."""
    return tuple(Choice(model, choose_instances(model, settings)) for model in models)


def choose_instances(model: Model, settings: Settings) -> Settings:
    """Return the settings with `instance_type` set: the requested type or the cheapest that holds the model.

    Raises CatalogueError: a type cannot hold the model, or the fallbacks are not of the same kind.
    """
    several, settings = len(settings.models) > 1, settings.of(model.id)
    requested = instance_for(model, settings.instance_type, several=several)
    chosen = settings.model_copy(update={"instance_type": requested})
    first, *fallbacks = chosen.pool
    for name in fallbacks:
        instance_for(model, name, "instance_fallbacks", several=several)
        if has_gpu(name) is not has_gpu(first):
            kinds = ["has a GPU" if has_gpu(item) else "has no GPU" for item in (first, name)]
            raise CatalogueError(
                f"{first} {kinds[0]} and {name} in instance_fallbacks {kinds[1]}. All types of an endpoint share one "
                "image and one driver. Set fallbacks of the same kind.",
                code="mixed_types",
                key="instance_fallbacks",
            )
    if repeated := [name for i, name in enumerate(chosen.pool) if name in chosen.pool[:i]]:
        message = f"{repeated[0]} is set twice: {first} comes first, then instance_fallbacks."
        raise CatalogueError(message, code="repeated_type", key="instance_fallbacks")
    return chosen


def instance_for(model: Model, requested: str, setting: str = "instance_type", *, several: bool = False) -> str:
    """Return `requested`, the value of `setting`, or where it is empty the cheapest type that holds the model.

    A type that is not in `FAMILIES` is accepted. Raises CatalogueError: it cannot hold the model; names types that can.
    `several`: there are other models, so that the error says how this one alone gets a type.
    """
    suitable = instance_types(model)
    if requested and (shortage := _shortage(model, requested)):
        code, reason = shortage
        remedy = f"Set {setting} to {', '.join(suitable)}." if suitable else "No known type can."
        if several and suitable:
            remedy = f"{remedy} For this model alone: {setting}={model.id}={suitable[0]}."
        message = f"{requested} cannot hold {model.id}: {reason}. {remedy}"
        raise CatalogueError(message, code=code, key=setting)
    if not requested and not suitable:
        own = f" For this model alone: {setting}={model.id}=<type>." if several else ""
        message = f"No known instance type holds {model.id}. Set instance_type.{own}"
        raise CatalogueError(message, code="missing", key=setting)
    return requested or suitable[0]


def instance_types(model: Model) -> list[str]:
    """Return the types with a known price that hold the model, the cheapest first."""
    return sorted((name for name in USD_PER_HOUR if not _shortage(model, name)), key=USD_PER_HOUR.__getitem__)


def has_ebs_volume(name: str) -> bool:
    """Return False for types with local disks, for which SageMaker refuses a volume's size and key.

    Source: `volume_size_supported` of the SageMaker SDK; g7 as users report it.
    """
    family = name.split(".")[1]
    return "d" not in family and not family.startswith(("g5", "g6", "g7", "p5", "trn1"))


def _shortage(model: Model, name: str) -> tuple[str, str] | None:
    """Return a code and the reason why the type cannot hold the model, or None."""
    if reason := next((why for start, why in UNSUPPORTED.items() if re.match(rf"ml\.({start})", name)), ""):
        return "unsupported_type", reason
    gpu_gib, host_gib = model.gpu_memory_gib, model.host_memory_gib
    family = FAMILIES.get(name.split(".")[1])
    if gpu_gib and not (family.gpu_gib if family else has_gpu(name)):
        return "no_gpu", f"it needs {gpu_gib:g} GiB of GPU memory, and the type has no GPU"
    if family is None:
        return None
    if gpu_gib > family.gpu_gib:
        return "gpu_memory", f"it needs {gpu_gib:g} GiB of GPU memory, and the type has {family.gpu_gib:g} GiB"
    if gpu_gib and model.dtype == "bfloat16" and not family.bfloat16:
        return "no_bfloat16", "it computes in bfloat16, which the type's GPU does not support"
    if host_gib > (installed := family.host_gib * _units(name)):
        return "host_memory", f"loading it needs {host_gib:g} GiB of memory, and the type has {installed:g} GiB"
    return None


def processors(name: str) -> int:
    """Return the number of virtual CPUs: 4 in an `xlarge` of every known family."""
    return round(4 * _units(name))


def _units(name: str) -> float:
    """Return the size as a number: `large` is 0.5, `xlarge` 1, `2xlarge` 2."""
    size = name.split(".")[2]
    found = re.fullmatch(r"(\d*)xlarge", size)
    return float(found[1] or 1) if found else 0.5
