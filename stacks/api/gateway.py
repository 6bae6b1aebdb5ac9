"""The REST API of API Gateway in front of one function, with API keys, a usage plan and our error format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.api.authorizer import KeyAuthorizer
from stacks.api.gateway_responses import GatewayResponses
from stacks.common.nag_suppressions import suppress
from stacks.config.names import GATEWAY_SECONDS
from stacks.config.settings import Settings
from stacks.users.stack import UsersStack

STAGE = "v1"
TIMEOUT = cdk.Duration.seconds(GATEWAY_SECONDS)
METHODS = ["GET", "POST", "DELETE", "OPTIONS"]
HEADERS = ["content-type", "idempotency-key", "x-api-key", "authorization", "x-amz-date", "x-amz-security-token", "*"]
"""Headers that a page may send. `*` does not include authorization.

The gateway responds to the preflight itself, as `lambda/gateway/events.py` would."""

_REASONS = {
    "AwsSolutions-APIG1": "Access logs of a REST API need a role in the account's settings, which other stacks share "
    "and destroy could not restore; the function logs every request",
    "AwsSolutions-APIG2": "The function validates every body and names the wrong field; the gateway's validation "
    "would respond in another format",
    "AwsSolutions-APIG4": "The gateway checks the API key (the default) on every method but the CORS preflight; "
    "api_auth=iam requires signed requests",
    "AwsSolutions-APIG6": "Execution logs need the same role in the account's settings as access logs; the function "
    "logs every request",
    "AwsSolutions-COG4": "Our own authorizer takes API keys and, with sign_in=cognito, verifies the pool's tokens; the "
    "gateway's for user pools takes no keys",
}


class Gateway(Construct):
    """The REST API `api`, and its API key `key`: None unless the setting `api_auth` is `key`."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        function: lambda_.IFunction,
        accounts: dynamodb.ITable,
        users: UsersStack | None,
    ) -> None:
        super().__init__(scope, id)
        keys, signed = settings.api_auth == "key", settings.api_auth == "iam"
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=cdk.Stack.of(self).stack_name,  # CloudWatch adds up the metrics of all APIs of one name
            description=settings.names.prefix,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            # Forms with files and images as bytes. Every body reaches the function as base64.
            binary_media_types=["*/*"],
            # The gateway decompresses requests; without this it replaces bytes of a gzip body that are not UTF-8.
            min_compression_size=cdk.Size.bytes(0),
            api_key_source_type=apigateway.ApiKeySourceType.AUTHORIZER if keys else None,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                tracing_enabled=settings.tracing == "on",
                throttling_rate_limit=settings.throttle_rate,
                throttling_burst_limit=settings.throttle_burst,
            ),
            default_integration=apigateway.LambdaIntegration(function, timeout=TIMEOUT, allow_test_invoke=False),
            default_cors_preflight_options=apigateway.CorsOptions(
                allow_origins=["*"], allow_methods=METHODS, allow_headers=HEADERS, max_age=cdk.Duration.hours(2)
            ),
        )
        self.api.node.try_remove_child("Endpoint")  # the CDK's own output has an unreadable name; the stack has ApiUrl
        by_key = (
            KeyAuthorizer(self, "Keys", settings=settings, api=self.api, accounts=accounts, users=users)
            if keys
            else None
        )
        authorization_type = apigateway.AuthorizationType.IAM if signed else apigateway.AuthorizationType.NONE
        for resource in (self.api.root, self.api.root.add_resource("{proxy+}")):
            resource.add_method(
                "ANY",
                api_key_required=keys,
                authorizer=by_key.authorizer if by_key else None,
                authorization_type=None if by_key else authorization_type,
            )
            _convert_to_text(resource)
        GatewayResponses(self, "Responses", api=self.api, keys=keys)
        self.key = by_key.key if by_key else None
        if by_key:
            self._add_plan(settings, by_key.keys)
        suppress(self.api, _REASONS)

    def _add_plan(self, settings: Settings, keys: Sequence[apigateway.IApiKey]) -> None:
        plan = self.api.add_usage_plan(
            "Plan",
            throttle=apigateway.ThrottleSettings(
                rate_limit=settings.throttle_rate, burst_limit=settings.throttle_burst
            ),
            quota=apigateway.QuotaSettings(limit=settings.daily_quota, period=apigateway.Period.DAY),
            api_stages=[apigateway.UsagePlanPerApiStage(api=self.api, stage=self.api.deployment_stage)],
        )
        for key in keys:
            plan.add_api_key(key)


def _convert_to_text(resource: apigateway.IResource) -> None:
    """Let the preflight of a resource read its template, which with binary media types is an error otherwise."""
    method = cast(cdk.CfnResource, resource.node.find_child("OPTIONS").node.default_child)
    method.add_property_override("Integration.ContentHandling", "CONVERT_TO_TEXT")
