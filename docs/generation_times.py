"""Seconds and price of an image by model and instance type, for the page of the models.

`generation_times.json` has what was measured or published, and the work of an image in TFLOP: of a step, and of the
rest (text encoder, decoder). Where nothing was published for a GPU, the time is computed: work / (peak × share), with
the share of the peak that eager torch reaches (20 % for Stable Diffusion 1.5 on a T4, 35 % for SDXL on an A10).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.config.catalogue import Model
from stacks.config.instances import instance_types
from stacks.config.prices import USD_PER_HOUR

TIMES: Mapping[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Time:
    """Seconds of one image at the model's first size and default steps. `kind`: measured, published or computed."""

    instance_type: str
    seconds: float
    kind: str
    source: str

    @property
    def usd_per_1000(self) -> float:
        """Price of 1,000 images on an instance that is never idle."""
        return 1000 * self.seconds * USD_PER_HOUR[self.instance_type] / 3600


def times(model: Model) -> Iterator[Time]:
    """Yield a time for the cheapest known type of each family that can hold the model."""
    for entry in TIMES["measured"]:
        if entry["model"] == model.id and entry["steps"] == model.steps:
            yield Time(entry["type"], entry["seconds"], "measured", entry["source"])
    families: dict[str, str] = {}
    for name in instance_types(model):
        families.setdefault(name.split(".")[1], name)
    work = TIMES["work"].get(model.id)
    for family, name in families.items():
        if work and family in TIMES["peak_tflops"]:
            yield _time(model, family, name, work)


def _time(model: Model, family: str, name: str, work: Mapping[str, Any]) -> Time:
    found = (item for item in TIMES["published"] if (item["model"], item["family"]) == (model.id, family))
    wanted = work["step"] * model.steps + work["rest"]
    if item := next(found, None):
        if item["steps"] == model.steps:
            return Time(name, item["seconds"], "published", item["source"])
        seconds = item["seconds"] * wanted / (work["step"] * item["steps"] + work["rest"])
        basis = f"from {item['seconds']} s for {item['steps']} steps, published ({item['source']})"
        return Time(name, seconds, "computed", basis)
    seconds = wanted / (TIMES["peak_tflops"][family] * work["share"])
    return Time(name, seconds, "computed", f"{wanted:.0f} TFLOP at {work['share']:.0%} of the GPU's peak")
