"""The API: the gateway, the functions behind it, and what each of them may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.catalogue import Model
from stacks.parts.answers import Answers
from stacks.parts.endpoint import ASYNC_SECONDS, REALTIME_SECONDS, Endpoint
from stacks.parts.findings import acknowledge, acknowledge_prefixes
from stacks.parts.function import Function
from stacks.parts.gateway import Gateway
from stacks.parts.powertools import powertools
from stacks.settings import Settings

LAMBDA = Path(__file__).parent.parent / "lambda"
API_SECONDS = 28
WAIT_SECONDS = 25
"""gateway 29 > function 28 > wait 25"""
QUEUE_SECONDS = 6 * 3600
"""How long SageMaker and Lambda keep a call that nobody has taken up."""


class ApiStack(cdk.Stack):
    """Costs nothing while nobody calls."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        model: Model,
        bucket: s3.IBucket,
        endpoint: Endpoint,
        **options: Any,
    ) -> None:
        super().__init__(scope, id, description="Easel: the API", **options)
        self._log_days, self._bucket, self._endpoint = settings.log_days, bucket, endpoint
        self._variables = {
            "EASEL_MODEL_PROFILE": model.profile,
            "EASEL_BUCKET": bucket.bucket_name,
            "EASEL_ENDPOINT": endpoint.name,
            "EASEL_MODE": settings.mode,
        }
        self._layer = powertools(self, settings.powertools_layer)
        self._lost = sqs.Queue(self, "Lost", enforce_ssl=True, retention_period=cdk.Duration.days(14))
        acknowledge(self._lost, {"AwsSolutions-SQS3": "This queue is where the functions' lost events go to"})

        api = self._async_api(endpoint.answers) if endpoint.answers else self._realtime_api()
        gateway = Gateway(self, "Gateway", settings=settings, function=api.function)
        self._tell(gateway)

    def _async_api(self, answers: Answers) -> Function:
        finalizer = self._function("Finalizer", "cloud.finalizer", seconds=60, lost=True, retries=2)
        finalizer.allow(["s3:GetObject"], [self._bucket.arn_for_objects(f"{top}/*") for top in ("answers", "failures")])
        acknowledge_prefixes(finalizer, "answers/", "failures/")
        for topic in answers.topics:
            topic.add_subscription(subscriptions.LambdaSubscription(finalizer.function, dead_letter_queue=self._lost))
        api = self._api(ASYNC_SECONDS, {})
        api.allow(["sagemaker:InvokeEndpointAsync"], [self._endpoint.arn])
        return api

    def _realtime_api(self) -> Function:
        runner = self._function("Runner", "cloud.runner", seconds=REALTIME_SECONDS + 30, lost=True, retries=0)
        runner.allow(["sagemaker:InvokeEndpoint"], [self._endpoint.arn])
        api = self._api(REALTIME_SECONDS, {"EASEL_RUNNER": runner.function.function_name})
        api.allow(["lambda:InvokeFunction"], [runner.function.function_arn])
        return api

    def _api(self, call_seconds: int, more: dict[str, str]) -> Function:
        variables = {
            "EASEL_WAIT_SECONDS": str(WAIT_SECONDS),
            "EASEL_DEADLINE_SECONDS": str(call_seconds - 5),
            "EASEL_JOB_TTL_SECONDS": str(QUEUE_SECONDS + call_seconds + 60),
            **more,
        }
        api = self._function("Api", "cloud.api", seconds=API_SECONDS, variables=variables)
        api.allow(
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [self._bucket.arn_for_objects("idempotency/*")]
        )
        acknowledge_prefixes(api, "idempotency/")
        api.allow(["sagemaker:DescribeEndpoint"], [self._endpoint.arn])
        return api

    def _function(
        self,
        id: str,
        handler: str,
        *,
        seconds: int,
        variables: dict[str, str] | None = None,
        lost: bool = False,
        retries: int | None = None,
    ) -> Function:
        """A function of lambda/ that reads and writes jobs."""
        made = Function(
            self,
            id,
            code=LAMBDA,
            handler=handler,
            memory_mb=1024,
            timeout=cdk.Duration.seconds(seconds),
            log_days=self._log_days,
            environment={**self._variables, **(variables or {})},
            layers=[self._layer],
            lost=destinations.SqsDestination(self._lost) if lost else None,
            retries=retries,
        )
        made.allow(["s3:GetObject", "s3:PutObject"], [self._bucket.arn_for_objects("jobs/*")])
        # Without this S3 answers 403 where an object is missing. A request for one object names no prefix.
        made.allow(["s3:ListBucket"], [self._bucket.bucket_arn], {"StringLikeIfExists": {"s3:prefix": "jobs/*"}})
        acknowledge_prefixes(made, "jobs/")
        return made

    def _tell(self, gateway: Gateway) -> None:
        cdk.CfnOutput(self, "ApiUrl", value=gateway.api.url)
        if gateway.key:
            command = f"aws apigateway get-api-key --api-key {gateway.key.key_id} --include-value"
            cdk.CfnOutput(self, "ApiKeyCommand", value=f"{command} --query value --output text")
