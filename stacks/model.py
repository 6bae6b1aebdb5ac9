"""The GPU side: a release, the endpoint that runs it, and how many instances it may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.catalogue import Model
from stacks.parts.endpoint import Endpoint
from stacks.parts.release import Release
from stacks.parts.retirement import Retirement
from stacks.parts.scaling import Scaling
from stacks.prices import price
from stacks.settings import Settings

MODEL_CODE = Path(__file__).parent.parent / "model_code"


class ModelStack(cdk.Stack):
    """Costs money by the hour, and only this stack does."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, model: Model, bucket: s3.IBucket, **options: Any
    ) -> None:
        super().__init__(scope, id, description=f"Easel: the endpoint that runs {model.id}", **options)
        release = Release(self, "Release", settings=settings, bucket=bucket, model=model, code=MODEL_CODE)
        self.endpoint = Endpoint(
            self,
            "Endpoint",
            settings=settings,
            bucket=bucket,
            release=release.uri,
            profile=model.container_profile,
        )
        Scaling(self, "Scaling", endpoint=self.endpoint)
        retirement = Retirement(self, "Retirement", bucket=bucket, uri=release.uri, log_days=settings.log_days)
        retirement.node.add_dependency(self.endpoint)

        instance, warm = settings.instance_type, max(1, settings.min_instances)
        cdk.CfnOutput(self, "Model", value=model.id)
        cdk.CfnOutput(self, "EndpointName", value=self.endpoint.name)
        cdk.CfnOutput(self, "PriceWarm", value=price(instance, warm))
        cdk.CfnOutput(self, "PriceIdle", value=price(instance, settings.min_instances))
