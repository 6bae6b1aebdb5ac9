"""The AWS price list: which instance types a region offers, and at which price."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from easel.cloud.account import Account, aws_errors

PRICING_REGION = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""Partition to the region that serves its price list."""
USAGE_TYPE = {"async": "AsyncInf", "realtime": "Host"}
"""Mode to the price list's name for an instance of such an endpoint."""


def prices(account: Account, usage_type: str) -> Mapping[str, float]:
    """Return USD per hour by instance type; empty in GovCloud, which has no price list. Raises CommandError."""
    pricing_region = PRICING_REGION.get(account.partition)
    if pricing_region is None:
        return {}
    filters = [
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": account.region},
        {"Type": "CONTAINS", "Field": "usagetype", "Value": f"{usage_type}:ml."},
    ]
    with aws_errors():
        products = account.items(
            "pricing",
            "get_products",
            "PriceList",
            region=pricing_region,
            ServiceCode="AmazonSageMaker",
            Filters=filters,
        )
        return dict(_price(json.loads(product)) for product in products)


def _price(product: Mapping[str, Any]) -> tuple[str, float]:
    """Return the instance type and its highest on-demand price."""
    instance_type: str = product["product"]["attributes"]["usagetype"].rsplit(":", 1)[-1]
    terms = product.get("terms", {}).get("OnDemand", {}).values()
    dimensions = [dimension for term in terms for dimension in term["priceDimensions"].values()]
    usd = [next(iter(dimension["pricePerUnit"].values())) for dimension in dimensions]
    return instance_type, max(map(float, usd), default=0.0)
