"""The door: a REST API before one function, with keys, a usage plan and our errors."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.api.gateway_responses import GatewayResponses
from stacks.common.nag_suppressions import acknowledge
from stacks.config.settings import Settings

STAGE = "v1"
TIMEOUT = cdk.Duration.seconds(29)
"""What the gateway waits, without a raised quota."""
METHODS = ["GET", "POST", "DELETE", "OPTIONS"]
HEADERS = ["content-type", "idempotency-key", "x-api-key", "authorization", "x-amz-date", "x-amz-security-token"]
"""What a page may send: the gateway answers its preflight as `lambda/gateway/events.py` does, without waking the function."""

_FINDINGS = {
    "AwsSolutions-APIG1": "Access logs of a REST API need a role in the account's settings, which other stacks share "
    "and destroy could not take back; the function logs every request",
    "AwsSolutions-APIG2": "The contract checks every body in the function and names the field; the gateway's check "
    "would answer in another shape",
    "AwsSolutions-APIG4": "Keys (the default) are checked by the gateway on every method but the CORS preflight; "
    "api_auth=iam asks for signed requests",
    "AwsSolutions-APIG6": "Execution logs need the same role in the account's settings as access logs; the function "
    "logs every request",
    "AwsSolutions-COG4": "Callers are programs with an API key or an IAM role; there are no users to sign in",
}


class Gateway(Construct):
    """`api` answers; `key` is there where `api_auth` is `key`."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, function: lambda_.IFunction) -> None:
        super().__init__(scope, id)
        signed = settings.api_auth == "iam"
        self.api = apigateway.RestApi(
            self,
            "Api",
            description="Easel",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                throttling_rate_limit=settings.throttle_rate,
                throttling_burst_limit=settings.throttle_burst,
            ),
            default_method_options=apigateway.MethodOptions(
                api_key_required=settings.api_auth == "key",
                authorization_type=apigateway.AuthorizationType.IAM if signed else apigateway.AuthorizationType.NONE,
            ),
            default_integration=apigateway.LambdaIntegration(function, timeout=TIMEOUT, allow_test_invoke=False),
            default_cors_preflight_options=apigateway.CorsOptions(
                allow_origins=["*"], allow_methods=METHODS, allow_headers=HEADERS, max_age=cdk.Duration.hours(2)
            ),
        )
        self.api.node.try_remove_child("Endpoint")  # an output with a name that nobody can read
        for resource in (self.api.root, self.api.root.add_resource("{proxy+}")):
            resource.add_method("ANY")
        GatewayResponses(self, "Responses", api=self.api)
        self.key = self._key(settings) if settings.api_auth == "key" else None
        acknowledge(self.api, _FINDINGS)

    def _key(self, settings: Settings) -> apigateway.IApiKey:
        plan = self.api.add_usage_plan(
            "Plan",
            throttle=apigateway.ThrottleSettings(
                rate_limit=settings.throttle_rate, burst_limit=settings.throttle_burst
            ),
            quota=apigateway.QuotaSettings(limit=settings.daily_quota, period=apigateway.Period.DAY),
            api_stages=[apigateway.UsagePlanPerApiStage(api=self.api, stage=self.api.deployment_stage)],
        )
        key = self.api.add_api_key("Key")
        plan.add_api_key(key)
        return key
