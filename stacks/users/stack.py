"""The users stack: the pool of people who may sign in, and its hosted page. It exists with `sign_in=cognito` only."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito

from stacks.common.outputs import output
from stacks.config.names import SIGN_IN_RESOURCE, SIGN_IN_RIGHT
from stacks.config.settings import Settings
from stacks.users.pool import Pool

PROVIDER = "Oidc"
"""Name of the provider of `sign_in_issuer` in the pool. Cognito puts it before the names of its users."""


class UsersStack(cdk.Stack):
    """The state of the sign-in. `provider`: name of the identity provider that the hosted page uses.

    The API's authorizer needs the pool, and the page's client in the site stack the page's address: so both import
    from here, and with `sign_in=off` this stack stays until somebody destroys it.
    """

    def __init__(self, scope: cdk.App, id: str, *, settings: Settings, **options: Any) -> None:
        super().__init__(scope, id, description="Easel: the people who may sign in", **options)
        self.pool = Pool(self, "Pool", settings=settings)
        unique = cdk.Fn.select(2, cdk.Fn.split("/", self.stack_id))  # no two pools of a region have the same domain
        domain = self.pool.add_domain(
            "Domain",
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=f"easel-{unique}"),
            managed_login_version=cognito.ManagedLoginVersion.NEWER_MANAGED_LOGIN,
        )
        right = cognito.ResourceServerScope(scope_name=SIGN_IN_RIGHT, scope_description="Generate images")
        self.pool.add_resource_server("Api", identifier=SIGN_IN_RESOURCE, scopes=[right])
        self.provider = self._add_provider(settings) if settings.sign_in_issuer else "COGNITO"
        self.issuer = f"https://cognito-idp.{self.region}.{self.url_suffix}/{self.pool.user_pool_id}"
        self.hosted_page = f"https://{domain.domain_name}.auth.{self.region}.amazoncognito.com"
        for value in (self.pool.user_pool_id, domain.domain_name):
            self.export_value(value)
        self._add_outputs(settings)

    def _add_provider(self, settings: Settings) -> str:
        """Let people sign in at the OpenID Connect provider of the settings. The secret is never in the template."""
        secret = cdk.SecretValue.secrets_manager(settings.sign_in_client_secret)
        cognito.UserPoolIdentityProviderOidc(
            self,
            "Provider",
            user_pool=self.pool,
            name=PROVIDER,
            issuer_url=settings.sign_in_issuer,
            client_id=settings.sign_in_client_id,
            client_secret=secret.unsafe_unwrap(),  # a reference that CloudFormation resolves
            scopes=["openid", "email"],
            attribute_mapping=cognito.AttributeMapping(email=cognito.ProviderAttribute.other("email")),
        )
        return PROVIDER

    def _add_outputs(self, settings: Settings) -> None:
        if settings.sign_in_issuer:
            output(self, "SignInRedirect", f"{self.hosted_page}/oauth2/idpresponse")
            return
        create = f"aws cognito-idp admin-create-user --region {self.region} --user-pool-id {self.pool.user_pool_id}"
        address = "Name=email,Value=alice@example.com Name=email_verified,Value=true"
        output(self, "InviteCommand", f"{create} --username alice --user-attributes {address}")
