"""Which instance types hold which model, and which of them costs least."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from stacks.config.catalogue import CatalogueError, Model
from stacks.config.images import has_gpu
from stacks.config.prices import USD_PER_HOUR
from stacks.config.settings import Settings


@dataclass(frozen=True)
class Family:
    """`ml.<family>.<size>`. GiB of one GPU as torch sees it (0: none), and of host memory per unit of size."""

    gpu_gib: float
    bfloat16: bool
    host_gib: float


FAMILIES: Mapping[str, Family] = {
    "g4dn": Family(14.5, False, 16),  # T4
    "g5": Family(22, True, 16),  # A10G
    "g6": Family(22, True, 16),  # L4
    "g6e": Family(44, True, 32),  # L40S
    "p3": Family(15.7, False, 30.5),  # V100
    **dict.fromkeys(("c5", "c6i", "c7i"), Family(0, True, 8)),
    **dict.fromkeys(("m5", "m6i", "m7i"), Family(0, True, 16)),
}
"""Those we know of. Source: AWS's pages of the EC2 instance types."""


UNFIT: Mapping[str, str] = {
    r"[a-z]+\d+g|p6e-gb": "its processors are ARM's, and the serving image is for x86 alone",
    r"g4ad\.": "its GPUs are AMD's, and the serving image is for NVIDIA's alone",
    r"gr?6f\.": "its GPU is a part of a card, which SageMaker does not offer for endpoints",
    r"p2\.": "its GPUs (K80) are older than the serving image's CUDA 12.4 knows",
    r"g7e?\.|p6-": "its GPUs (Blackwell) are newer than the serving image's CUDA 12.4 and its driver know",
}
"""How the names of types begin on which the serving image does not run, whatever the model, and why.

Of ARM's (Graviton, Grace) a g follows the generation's number. CUDA 12 has no Kepler, Blackwell needs CUDA 12.8.
"""


def choose_instances(model: Model, settings: Settings) -> Settings:
    """The settings with the type that was asked for, or where none was the cheapest that holds the model.

    Raises CatalogueError: that type or a fallback cannot hold it, or the fallbacks are of another kind.
    """
    chosen = replace(settings, instance_type=instance_for(model, settings.instance_type))
    first, *fallbacks = chosen.pool
    for name in fallbacks:
        instance_for(model, name, "instance_fallbacks")
        if has_gpu(name) is not has_gpu(first):
            kinds = ["has a GPU" if has_gpu(one) else "has none" for one in (first, name)]
            raise CatalogueError(
                f"{first} {kinds[0]} and {name} in instance_fallbacks {kinds[1]}: one image and one driver serve all "
                "types of an endpoint. Set fallbacks of the same kind."
            )
    if twice := [name for i, name in enumerate(chosen.pool) if name in chosen.pool[:i]]:
        raise CatalogueError(f"{twice[0]} is in the list twice: {first} comes first, then instance_fallbacks.")
    return chosen


def instance_for(model: Model, asked: str, setting: str = "instance_type") -> str:
    """The type asked for in `setting`, or where none is the cheapest that holds the model.

    Raises CatalogueError: it cannot hold the model, with those that can. A type that is not in our table is believed.
    """
    held = instance_types(model)
    if asked and (reason := _lack(model, asked)):
        would = f"Set {setting} to {', '.join(held)}." if held else "No type of our table can."
        raise CatalogueError(f"{asked} cannot hold {model.id}: {reason}. {would}")
    if not asked and not held:
        raise CatalogueError(f"{model.id}: no instance type of our table holds it. Set instance_type.")
    return asked or held[0]


def instance_types(model: Model) -> list[str]:
    """Those with a known price that hold the model, the cheapest first."""
    return sorted((name for name in USD_PER_HOUR if not _lack(model, name)), key=USD_PER_HOUR.__getitem__)


def has_ebs_volume(name: str) -> bool:
    """False for types with disks of their own, for which SageMaker refuses size and key of a volume.

    Source: `volume_size_supported` of the SageMaker SDK; g7 as users report it.
    """
    family = name.split(".")[1]
    return "d" not in family and not family.startswith(("g5", "g6", "g7", "p5", "trn1"))


def _lack(model: Model, name: str) -> str:
    """What the type has too little of, or nothing."""
    if unfit := next((why for start, why in UNFIT.items() if re.match(rf"ml\.({start})", name)), ""):
        return unfit
    family = FAMILIES.get(name.split(".")[1])
    if family is None:
        lacks = model.gpu_memory_gib and not has_gpu(name)
        return f"it needs {model.gpu_memory_gib:g} GiB of GPU memory, and the type has no GPU" if lacks else ""
    if model.gpu_memory_gib > family.gpu_gib:
        has = f"has a GPU of {family.gpu_gib:g} GiB" if family.gpu_gib else "has no GPU"
        return f"it needs {model.gpu_memory_gib:g} GiB of GPU memory, and the type {has}"
    if model.gpu_memory_gib and model.dtype == "bfloat16" and not family.bfloat16:
        return "it draws in bfloat16, which the type's GPU cannot"
    host = family.host_gib * _units(name)
    if model.host_memory_gib > host:
        return f"loading it needs {model.host_memory_gib:g} GiB of memory, and the type has {host:g}"
    return ""


def processors(name: str) -> int:
    """Virtual ones: 4 of an `xlarge` in every family that we know of."""
    return round(4 * _units(name))


def _units(name: str) -> float:
    """`large` is 0.5, `xlarge` 1, `2xlarge` 2."""
    size = name.split(".")[2]
    found = re.fullmatch(r"(\d*)xlarge", size)
    return float(found[1] or 1) if found else 0.5
