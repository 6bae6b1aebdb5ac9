"""What things cost: `prices.json`, second-hand numbers with a date, for an estimate and not for a bill."""

from __future__ import annotations

import json
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


def price(instance_type: str, instances: int) -> str:
    """USD per hour of so many instances, as a sentence for the outputs of a deploy."""
    if instances == 0:
        return "0 USD per hour: no instance runs (storage and requests cost extra)"
    if instance_type not in USD_PER_HOUR:
        return f"not in our table; see {PAGE}"
    total = USD_PER_HOUR[instance_type] * instances
    return f"about {total:.4g} USD per hour for {instances} x {instance_type} ({REGION}, {SEEN}; see {PAGE})"
