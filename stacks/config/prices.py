"""What things cost: `prices.json`, second-hand numbers with a date, for an estimate and not for a bill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

_TABLE = json.loads((Path(__file__).parent / "prices.json").read_text(encoding="utf-8"))

SEEN: str = _TABLE["seen"]
REGION: str = _TABLE["region"]
PAGE: str = _TABLE["pages"]["usd_per_hour"]
HOURS_PER_MONTH: int = _TABLE["hours_per_month"]
USD_PER_HOUR: dict[str, float] = _TABLE["usd_per_hour"]
"""Of an instance that hosts a model or a notebook."""
USD_PER_MONTH: dict[str, float] = _TABLE["usd_per_month"]
"""Of what is paid by being there, or by the GB that it keeps."""


def price(instance_types: Sequence[str], instances: int) -> str:
    """USD per hour of so many instances of one of the types, as a sentence for the outputs of a deploy."""
    if instances == 0:
        return "0 USD per hour: no instance runs (storage and requests cost extra)"
    each = ", or ".join(_price(name, instances) for name in instance_types)
    return f"{each} ({REGION}, {SEEN}; see {PAGE})"


def monthly(what: str, amount: int, unit: str) -> str:
    """USD per month of so much of a row of the table, as `price`."""
    return f"about {USD_PER_MONTH[what] * amount:.4g} USD per month for {amount} {unit} ({REGION}, {SEEN}; see {PAGE})"


def _price(instance_type: str, instances: int) -> str:
    usd = USD_PER_HOUR.get(instance_type)
    said = f"about {usd * instances:.4g} USD per hour" if usd else "a price that is not in our table"
    return f"{said} for {instances} x {instance_type}"
