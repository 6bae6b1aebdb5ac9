"""The layer with the deployed models in a file: profiles outgrow the 4 KB of a function's variables.

A layer is published and rolled back with the function, and is there before its first line runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.config.catalogue import Model
from stacks.config.prices import highest_price
from stacks.model.endpoint import Endpoint

FILE = "easel-models.json"
"""Name of the file in the folder from which a layer's modules are imported."""


@dataclass(frozen=True)
class ServedModel:
    """A model and the endpoint that serves it."""

    model: Model
    endpoint: Endpoint

    def entry(self) -> dict[str, Any]:
        """Return the model's part of the file. Without a known price it has none."""
        usd = highest_price(self.endpoint.settings.pool)
        return {
            "profile": json.loads(self.model.profile),
            "endpoint": self.endpoint.name,
            **({"usd_per_hour": float(f"{usd:.4g}")} if usd else {}),
        }


def models_layer(scope: Construct, id: str, served: Sequence[ServedModel]) -> lambda_.LayerVersion:
    """Return a layer with the models; the first is the default."""
    text = json.dumps({"models": [each.entry() for each in served]}, ensure_ascii=False)
    with TemporaryDirectory() as folder:  # the CDK copies it at once
        file = Path(folder, "python", FILE)
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8")
        return lambda_.LayerVersion(
            scope,
            id,
            code=lambda_.Code.from_asset(folder),
            layer_version_name=f"{cdk.Stack.of(scope).stack_name}-models",
            description="Easel: the deployed models",
        )
