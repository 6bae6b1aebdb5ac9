"""The API: the gateway, the functions behind it, and what each of them may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.api.alarms import Alarms
from stacks.api.dashboard import Dashboard
from stacks.api.firewall import Firewall, attach
from stacks.api.gateway import Gateway
from stacks.api.powertools import powertools
from stacks.common.function import Function, folder_code
from stacks.common.grants import allow, allow_listing, allow_objects
from stacks.common.nag_suppressions import acknowledge
from stacks.common.own_domain import GatewayDomain
from stacks.common.own_key import allow_key
from stacks.config.catalogue import Model
from stacks.config.serving import CALL_SECONDS
from stacks.config.settings import Settings
from stacks.model.async_output import Answers
from stacks.model.endpoint import Endpoint

LAMBDA = Path(__file__).parents[2] / "lambda"
API_SECONDS = 28
WAIT_SECONDS = 25
"""gateway 29 > function 28 > wait 25"""
MARGIN_SECONDS = 240
"""For what comes after the picture: unpacking, and one more try of it."""

_APIG3 = (
    "A firewall costs money by the month; the throttle, the quota and max_instances bound what an attacker can spend. "
    "waf=on has one, and CloudFront may have the user's own"
)


class ApiStack(cdk.Stack):
    """Costs nothing while nobody calls, but what alarms and a dashboard beyond the free ones do."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        model: Model,
        bucket: s3.IBucket,
        endpoint: Endpoint,
        alerts: sns.ITopic,
        site: bool,
        **options: Any,
    ) -> None:
        super().__init__(scope, id, description="Easel: the API", **options)
        self._settings, self._model, self._bucket, self._endpoint = settings, model, bucket, endpoint
        self._layer = powertools(self, settings.powertools_layer)
        lost = sqs.Queue(self, "Lost", enforce_ssl=True, retention_period=cdk.Duration.days(14))
        acknowledge(lost, {"AwsSolutions-SQS3": "This queue is where the functions' lost events go to"})

        if endpoint.answers:
            helper, api = self._finalizer(endpoint.answers, lost), self._async_api()
        else:
            helper = self._runner(lost)
            api = self._realtime_api(helper.function)
        allow_key(helper.role, bucket.encryption_key, "sqs")
        gateway = Gateway(self, "Gateway", settings=settings, function=api.function)
        self.api = gateway.api
        self._protect(gateway.api, behind_cloudfront=site)
        if settings.domain_name and not site:
            domain = GatewayDomain(self, "Domain", settings=settings, api=gateway.api)
            cdk.CfnOutput(self, "DomainUrl", value=f"https://{settings.domain_name}/")
            cdk.CfnOutput(self, "DomainRecord", value=domain.record)
        alarms = Alarms(self, "Alarms", endpoint=endpoint, topic=alerts)
        alarms.watch_api(gateway.api, api.function, lost)
        groups = [api.logs, helper.logs, endpoint.logs]
        dashboard = Dashboard(self, "Dashboard", endpoint=endpoint, api=gateway.api, alarms=alarms.all, groups=groups)

        cdk.CfnOutput(self, "DashboardName", value=dashboard.dashboard_name)
        self._tell(gateway)

    def _tell(self, gateway: Gateway) -> None:
        cdk.CfnOutput(self, "ApiUrl", value=gateway.api.url)
        if gateway.key:
            command = f"aws apigateway get-api-key --api-key {gateway.key.key_id} --region {self.region}"
            cdk.CfnOutput(self, "ApiKeyCommand", value=f"{command} --include-value --query value --output text")

    def _protect(self, api: apigateway.RestApi, *, behind_cloudfront: bool) -> None:
        waf = self._settings.regional_waf
        if waf == "on":
            firewall = Firewall(self, "Firewall", stage=api.deployment_stage, behind_cloudfront=behind_cloudfront)
            cdk.CfnOutput(self, "FirewallCosts", value=firewall.cost)
        elif waf:
            attach(self, waf, api.deployment_stage)
        else:
            acknowledge(api, {"AwsSolutions-APIG3": _APIG3})

    def _async_api(self) -> Function:
        api = self._api(deadline=600, variables={})
        allow(api.role, ["sagemaker:InvokeEndpointAsync"], [self._endpoint.arn])
        allow_objects(api.role, self._bucket, ["s3:GetObject"], "answers/*", "failures/*")
        return api

    def _realtime_api(self, runner: lambda_.IFunction) -> Function:
        api = self._api(deadline=55, variables={"EASEL_RUNNER": runner.function_name})
        allow(api.role, ["lambda:InvokeFunction"], [runner.function_arn])
        return api

    def _api(self, *, deadline: int, variables: dict[str, str]) -> Function:
        """SageMaker or, in realtime mode, Lambda drops a call that has waited for `queue_minutes`."""
        ttl = 60 * self._settings.queue_minutes + CALL_SECONDS[self._settings.mode] + MARGIN_SECONDS
        api = self._function(
            "Api",
            "handlers.api",
            seconds=API_SECONDS,
            concurrency=self._settings.api_concurrency,
            variables={
                "EASEL_MODEL_PROFILE": self._model.profile,
                "EASEL_MODE": self._settings.mode,
                "EASEL_ENDPOINT": self._endpoint.name,
                "EASEL_WAIT_SECONDS": str(WAIT_SECONDS),
                "EASEL_DEADLINE_SECONDS": str(deadline),
                "EASEL_JOB_TTL_SECONDS": str(ttl),
                **variables,
            },
        )
        allow_objects(api.role, self._bucket, ["s3:GetObject", "s3:PutObject"], "idempotency/*")
        inputs = ("jobs/*/request.json", "jobs/*/init-image")
        allow_objects(api.role, self._bucket, ["s3:DeleteObject"], "idempotency/*", *inputs)
        allow(api.role, ["sagemaker:DescribeEndpoint"], [self._endpoint.arn])
        return api

    def _finalizer(self, answers: Answers, lost: sqs.IQueue) -> Function:
        again = lambda_.EventInvokeConfigOptions(on_failure=destinations.SqsDestination(lost), retry_attempts=2)
        finalizer = self._function("Finalizer", "handlers.finalizer", seconds=60, asynchronous=again)
        allow_objects(finalizer.role, self._bucket, ["s3:GetObject"], "answers/*")
        for topic in answers.topics:
            topic.add_subscription(subscriptions.LambdaSubscription(finalizer.function, dead_letter_queue=lost))
        return finalizer

    def _runner(self, lost: sqs.IQueue) -> Function:
        once = lambda_.EventInvokeConfigOptions(
            on_failure=destinations.SqsDestination(lost),
            retry_attempts=0,
            max_event_age=cdk.Duration.minutes(self._settings.queue_minutes),
        )
        variables = {"EASEL_ENDPOINT": self._endpoint.name}
        runner = self._function("Runner", "handlers.runner", seconds=90, variables=variables, asynchronous=once)
        allow(runner.role, ["sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint"], [self._endpoint.arn])
        return runner

    def _function(
        self,
        id: str,
        handler: str,
        *,
        seconds: int,
        concurrency: int = 0,
        variables: dict[str, str] | None = None,
        asynchronous: lambda_.EventInvokeConfigOptions | None = None,
    ) -> Function:
        """A function of lambda/, which reads and writes jobs."""
        function = Function(
            self,
            id,
            code=folder_code(LAMBDA),
            handler=handler,
            memory_mb=1024,
            seconds=seconds,
            concurrency=concurrency,
            log_days=self._settings.log_days,
            environment={"EASEL_BUCKET": self._bucket.bucket_name, **(variables or {})},
            layers=[self._layer],
            asynchronous=asynchronous,
        )
        allow_objects(function.role, self._bucket, ["s3:GetObject", "s3:PutObject"], "jobs/*")
        allow_listing(function.role, self._bucket, "jobs/*")
        return function
