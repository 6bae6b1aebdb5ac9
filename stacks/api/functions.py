"""The functions of lambda/ and their permissions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.api.models_layer import FILE, ServedModel, models_layer
from stacks.api.powertools import powertools
from stacks.api.webhooks import Webhooks
from stacks.common.function import Function, folder_code
from stacks.common.grants import allow, allow_listing, allow_objects
from stacks.common.kms_key import allow_key
from stacks.config.names import API_FUNCTION_SECONDS, DEADLINE_SECONDS, STOP_MARKER, WAIT_SECONDS, job_ttl_seconds
from stacks.config.settings import Settings
from stacks.model.async_output import AsyncOutput

LAMBDA = Path(__file__).parents[2] / "lambda"


class ApiFunctions(Construct):
    """`api`, which serves the API, and `helper`, which ends jobs: finalizer in async mode, runner in realtime mode.

    Events that the helper cannot handle go to `lost_events`. `webhooks`: None if they are off.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        served: Sequence[ServedModel],
        bucket: s3.IBucket,
        accounts: dynamodb.ITable,
        lost_events: sqs.IQueue,
    ) -> None:
        super().__init__(scope, id)
        self._settings, self._served, self._bucket, self._accounts = settings, served, bucket, accounts
        self._arns = [each.endpoint.arn for each in served]
        self._stoppable = settings.budget_action == "stop"
        self._layer = powertools(self, settings.powertools_layer)
        self._models = models_layer(self, "Models", served)
        if async_output := served[0].endpoint.async_output:
            self.helper = self._finalizer(async_output, lost_events)
            self.api = self._async_api()
        else:
            self.helper = self._runner(lost_events)
            self.api = self._realtime_api(self.helper.function)
        allow_key(self.helper.role, bucket.encryption_key, "sqs")
        self.webhooks = self._webhooks() if settings.webhooks == "on" else None

    def _async_api(self) -> Function:
        api = self._api(variables={})
        allow(api.role, ["sagemaker:InvokeEndpointAsync"], self._arns)
        allow_objects(api.role, self._bucket, ["s3:GetObject"], "async-output/*", "async-failures/*")
        allow_listing(api.role, self._bucket, "async-output/*", "async-failures/*")
        return api

    def _realtime_api(self, runner: lambda_.IFunction) -> Function:
        api = self._api(variables={"EASEL_RUNNER": runner.function_name})
        allow(api.role, ["lambda:InvokeFunction"], [runner.function_arn])
        return api

    def _api(self, *, variables: dict[str, str]) -> Function:
        mode = self._settings.mode
        api = self._function(
            "Api",
            "handlers.api",
            seconds=API_FUNCTION_SECONDS,
            concurrency=self._settings.api_concurrency,
            variables={
                "EASEL_MODELS": FILE,
                "EASEL_AUTH": self._settings.api_auth,
                "EASEL_MODE": mode,
                "EASEL_WAIT_SECONDS": str(WAIT_SECONDS),
                "EASEL_DEADLINE_SECONDS": str(DEADLINE_SECONDS[mode]),
                "EASEL_JOB_TTL_SECONDS": str(job_ttl_seconds(mode, self._settings.queue_minutes)),
                **variables,
                **({"EASEL_STOP_MARKER": STOP_MARKER} if self._stoppable else {}),
            },
            models=True,
        )
        if len(self._served) > 1:  # a client of AUTOMATIC1111 chooses its model once
            allow_objects(api.role, self._bucket, ["s3:GetObject", "s3:PutObject"], "options/*")
            allow_listing(api.role, self._bucket, "options/*")
        if self._stoppable:
            allow_objects(api.role, self._bucket, ["s3:GetObject"], STOP_MARKER)
            allow_listing(api.role, self._bucket, STOP_MARKER)
        allow_objects(api.role, self._bucket, ["s3:GetObject", "s3:PutObject"], "idempotency/*")
        allow_listing(api.role, self._bucket, "idempotency/*")
        images = ("init-image", "mask-image", "input-images", "control-images")
        inputs = tuple(f"jobs/*/{name}" for name in ("request.json", *images))
        allow_objects(api.role, self._bucket, ["s3:DeleteObject"], "idempotency/*", *inputs)
        allow(api.role, ["sagemaker:DescribeEndpoint"], self._arns)
        return api

    def _finalizer(self, async_output: AsyncOutput, lost_events: sqs.IQueue) -> Function:
        """Turns the endpoint's output into the outcome of a job, and is retried twice."""
        retry = lambda_.EventInvokeConfigOptions(on_failure=destinations.SqsDestination(lost_events), retry_attempts=2)
        finalizer = self._function("Finalizer", "handlers.finalizer", seconds=60, async_invoke=retry)
        allow_objects(finalizer.role, self._bucket, ["s3:GetObject"], "async-output/*")
        allow_listing(finalizer.role, self._bucket, "async-output/*")
        for topic in async_output.topics.all:
            subscription = subscriptions.LambdaSubscription(finalizer.function, dead_letter_queue=lost_events)
            topic.add_subscription(subscription)
        return finalizer

    def _runner(self, lost_events: sqs.IQueue) -> Function:
        """Calls the endpoint, and is never retried. Lambda drops an event that has waited for `queue_minutes`."""
        once = lambda_.EventInvokeConfigOptions(
            on_failure=destinations.SqsDestination(lost_events),
            retry_attempts=0,
            max_event_age=cdk.Duration.minutes(self._settings.queue_minutes),
        )
        runner = self._function(
            "Runner", "handlers.runner", seconds=90, variables={"EASEL_MODELS": FILE}, models=True, async_invoke=once
        )
        allow(runner.role, ["sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint"], self._arns)
        return runner

    def _webhooks(self) -> Webhooks:
        code = folder_code(LAMBDA)
        webhooks = Webhooks(
            self,
            "Webhooks",
            settings=self._settings,
            bucket=self._bucket,
            code=code,
            layers=[self._layer, self._models],
        )
        webhooks.let_queue(self.api, secrets=True)
        webhooks.let_queue(self.helper)
        return webhooks

    def _function(
        self,
        id: str,
        handler: str,
        *,
        seconds: int,
        concurrency: int = 0,
        variables: dict[str, str] | None = None,
        models: bool = False,
        async_invoke: lambda_.EventInvokeConfigOptions | None = None,
    ) -> Function:
        """Return a function of lambda/ that reads and writes jobs, and settles what they used.

        `models`: with the file of the models.
        """
        function = Function(
            self,
            id,
            code=folder_code(LAMBDA),
            handler=handler,
            memory_mb=1024,
            seconds=seconds,
            concurrency=concurrency,
            log_days=self._settings.log_days,
            environment={
                "EASEL_BUCKET": self._bucket.bucket_name,
                "EASEL_ACCOUNTS": self._accounts.table_name,
                "POWERTOOLS_SERVICE_NAME": self._settings.name,
                **({"EASEL_TRACING": "on"} if self._settings.tracing == "on" else {}),
                **(variables or {}),
            },
            layers=[self._layer, *([self._models] if models else [])],
            tracing=self._settings.tracing == "on",
            async_invoke=async_invoke,
        )
        allow_objects(function.role, self._bucket, ["s3:GetObject", "s3:PutObject"], "jobs/*")
        allow_listing(function.role, self._bucket, "jobs/*")
        allow(function.role, ["dynamodb:Query", "dynamodb:UpdateItem"], [self._accounts.table_arn])
        return function
