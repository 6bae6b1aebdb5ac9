"""The function that identifies callers by their API key, and the gateway's API keys that count them."""

from __future__ import annotations

from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from stacks.api.functions import LAMBDA
from stacks.common.function import Function, folder_code
from stacks.common.grants import allow
from stacks.config.names import SIGN_IN_SCOPE, USAGE_SLOT, USAGE_SLOTS
from stacks.config.settings import Settings
from stacks.users.stack import UsersStack


class KeyAuthorizer(Construct):
    """The authorizer `authorizer`. `keys` belong into the usage plan: the stack's `key`, and one for each slot.

    The gateway knows a slot's API key by a value that is no secret: callers send the keys of `easel keys`, whose hashes
    are in `accounts`. Results are not cached, so that a revoked key is refused at once; a cache would also need one
    header that all clients send. `users`: who may sign in beside that; None: nobody.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        api: apigateway.RestApi,
        accounts: dynamodb.ITable,
        users: UsersStack | None,
    ) -> None:
        super().__init__(scope, id)
        self.key = api.add_api_key("Key")
        # The key would refer to the stage, which needs the methods, which need this function, which needs the key.
        cast(cdk.CfnResource, self.key.node.default_child).add_property_deletion_override("StageKeys")
        stack = cdk.Stack.of(self)
        prefix = f"easel-usage-{cdk.Fn.select(2, cdk.Fn.split('/', stack.stack_id))}-"
        slots = [apigateway.ApiKey(self, f"{USAGE_SLOT}{i}", value=f"{prefix}{i}") for i in range(USAGE_SLOTS)]
        self.keys: list[apigateway.IApiKey] = [self.key, *slots]
        function = Function(
            self,
            "Authorizer",
            code=folder_code(LAMBDA),
            handler="authorizer.handler",
            memory_mb=1024,
            seconds=10,
            log_days=settings.log_days,
            tracing=settings.tracing == "on",
            environment={
                "EASEL_ACCOUNTS": accounts.table_name,
                "EASEL_OPERATOR_KEY": self.key.key_id,
                "EASEL_USAGE_PREFIX": prefix,
                "POWERTOOLS_SERVICE_NAME": settings.name,
                **(_sign_in(settings, users) if users else {}),
            },
        )
        key_arn = stack.format_arn(service="apigateway", account="", resource="/apikeys", resource_name=self.key.key_id)
        allow(function.role, ["apigateway:GET"], [key_arn])
        allow(function.role, ["dynamodb:GetItem", *(["dynamodb:PutItem"] if users else [])], [accounts.table_arn])
        self.authorizer = apigateway.RequestAuthorizer(
            self,
            "Requests",
            handler=function.function,
            identity_sources=[],
            results_cache_ttl=cdk.Duration.seconds(0),
        )
        # The CDK writes an empty text.
        cast(cdk.CfnResource, self.authorizer.node.default_child).add_property_deletion_override("IdentitySource")


def _sign_in(settings: Settings, users: UsersStack) -> dict[str, str]:
    return {
        "EASEL_SIGN_IN_ISSUER": users.issuer,
        "EASEL_SIGN_IN_SCOPE": SIGN_IN_SCOPE,
        "EASEL_USER_IMAGES_A_DAY": str(settings.sign_in_images_a_day),
        "EASEL_USAGE_SLOTS": str(USAGE_SLOTS),
    }
