"""Prices from `prices.json`, for estimates. The file names their sources and their date."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

_TABLE = json.loads((Path(__file__).parent / "prices.json").read_text(encoding="utf-8"))

PRICES_DATE: str = _TABLE["seen"]
"""The date of the prices."""
REGION: str = _TABLE["region"]
PAGE: str = _TABLE["pages"]["usd_per_hour"]
HOURS_PER_MONTH: int = _TABLE["hours_per_month"]
USD_PER_HOUR: dict[str, float] = _TABLE["usd_per_hour"]
"""Instance type of an endpoint or a notebook to its price."""
USD_PER_MONTH: dict[str, float] = _TABLE["usd_per_month"]
"""Resource to its price for a month, or for a GB and a month."""


def price(instance_types: Sequence[str], instances: int) -> str:
    """Return the price of an hour of `instances` of one of the types, as a sentence for the outputs of a deploy."""
    if instances == 0:
        return "0 USD per hour: no instance runs (storage and requests cost extra)"
    prices = ", or ".join(_price(name, instances) for name in instance_types)
    return f"{prices} ({REGION}, {PRICES_DATE}; see {PAGE})"


def monthly(resource: str, amount: int, unit: str) -> str:
    """Return the price of a month of `amount` of a row of `USD_PER_MONTH`, as `price` does."""
    usd = USD_PER_MONTH[resource] * amount
    return f"about {usd:.4g} USD per month for {amount} {unit} ({REGION}, {PRICES_DATE}; see {PAGE})"


def highest_price(instance_types: Sequence[str]) -> float:
    """Return the USD of an hour of the most expensive of the types, of which any can run; 0 if no price is known."""
    return max(USD_PER_HOUR.get(name, 0) for name in instance_types)


def _price(instance_type: str, instances: int) -> str:
    usd = USD_PER_HOUR.get(instance_type)
    text = f"about {usd * instances:.4g} USD per hour" if usd else "an unknown price"
    return f"{text} for {instances} x {instance_type}"
