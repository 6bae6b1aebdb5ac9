"""AUTOMATIC1111's samplers and schedule types: two names that together are a scheduler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contract import ModelProfile
from routes.automatic1111.infotext import SAMPLERS
from routes.lenient import LenientFields
from routes.scheduler_names import native_scheduler

AUTOMATIC = "Automatic"


def sampler_of(scheduler: str) -> tuple[str, str]:
    """Return sampler and schedule type of a scheduler. A scheduler that AUTOMATIC1111 lacks keeps its own name."""
    return SAMPLERS.get(scheduler, (scheduler, AUTOMATIC))


def set_scheduler(lenient: LenientFields, profile: ModelProfile, sampler: str, schedule: str) -> None:
    """Set the scheduler of a sampler and a schedule type; an empty text is the model's own, or Automatic."""
    if not sampler and schedule.lower() in ("", "automatic"):
        return
    native = native_scheduler(sampler) if sampler else profile.scheduler
    label = native and sampler_of(native)[0]
    variants = {sampler_of(name)[1].lower(): name for name in profile.schedulers if sampler_of(name)[0] == label}
    if not variants:
        lenient.scheduler(None, sampler, "sampler_name")
        return
    wanted = "karras" if native == "dpmpp_2m_karras" and sampler else schedule.strip().lower() or "automatic"
    automatic = variants.get("karras") or next(iter(variants.values()))
    plain = variants.get("uniform") or variants.get("automatic")
    chosen = {"automatic": automatic, "uniform": plain, "normal": plain}.get(wanted) or variants.get(wanted)
    lenient.scheduler(chosen or automatic, sampler, "sampler_name")
    if not chosen:
        used = sampler_of(automatic)[1]
        lenient.warnings.append(f"scheduler {schedule[:80]!r} is not available with {label}; {used} was used")


def sampler_views(schedulers: Iterable[str]) -> list[dict[str, Any]]:
    """Return the response of /samplers."""
    names: dict[str, list[str]] = {}
    for scheduler in schedulers:
        names.setdefault(sampler_of(scheduler)[0], []).append(scheduler)
    return [{"name": name, "aliases": aliases, "options": {}} for name, aliases in names.items()]


def schedule_views(schedulers: Iterable[str]) -> list[dict[str, Any]]:
    """Return the response of /schedulers."""
    labels = dict.fromkeys([AUTOMATIC, *(sampler_of(scheduler)[1] for scheduler in schedulers)])
    return [
        {"name": label.lower(), "label": label, "aliases": None, "default_rho": -1.0, "need_inner_model": False}
        for label in labels
    ]
