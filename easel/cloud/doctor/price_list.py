"""AWS's own price list: what a region sells, and for how much."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from easel.cloud.account import Account, explained

PRICING = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""Where the price list of a partition is asked for."""
USAGE = {"async": "AsyncInf", "realtime": "Host"}
"""What the price list calls an instance behind an endpoint of the mode."""


def prices(account: Account, usage: str) -> Mapping[str, float]:
    """USD per hour by instance type. GovCloud has no list of its own."""
    where = PRICING.get(account.partition)
    if where is None:
        return {}
    filters = [
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": account.region},
        {"Type": "CONTAINS", "Field": "usagetype", "Value": f"{usage}:ml."},
    ]
    with explained():
        found = account.all(
            "pricing", "get_products", "PriceList", region=where, ServiceCode="AmazonSageMaker", Filters=filters
        )
        return dict(_price(json.loads(item)) for item in found)


def _price(item: Mapping[str, Any]) -> tuple[str, float]:
    instance: str = item["product"]["attributes"]["usagetype"].rsplit(":", 1)[-1]
    terms = item.get("terms", {}).get("OnDemand", {}).values()
    prices = [next(iter(one["pricePerUnit"].values())) for term in terms for one in term["priceDimensions"].values()]
    return instance, max(map(float, prices), default=0.0)
