"""The file with the deployed models, which a layer adds to the functions."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from contract import ModelProfile, dumps, parse_profile


@dataclass(frozen=True, kw_only=True)
class DeployedModel:
    """A model and the name of its endpoint. `usd_per_hour`: price of an instance of it, if it is known."""

    profile: ModelProfile
    endpoint: str
    usd_per_hour: float | None


def read_models(name: str) -> tuple[DeployedModel, ...]:
    """Return the models in a file, by its path, or by its name in a folder of imports, as layers have them.

    The first is the default. Raises OSError, ValueError, KeyError or TypeError if it cannot be read.
    """
    path = next((path for folder in sys.path if (path := Path(folder) / name).is_file()), Path(name))
    models = json.loads(path.read_text(encoding="utf-8"))["models"]
    if not models:
        raise ValueError("there is no model")
    return tuple(map(_parse, models))


def _parse(model: dict[str, object]) -> DeployedModel:
    usd = model.get("usd_per_hour")
    return DeployedModel(
        profile=parse_profile(dumps(model["profile"])),
        endpoint=str(model["endpoint"]),
        usd_per_hour=None if usd is None else float(str(usd)),
    )
