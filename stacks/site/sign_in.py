"""The page as a client of the user pool: what the hosted page may send people back to, and what it needs to know."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from stacks.config.names import SIGN_IN_SCOPE
from stacks.users.stack import UsersStack

ACCESS_MINUTES = 15
"""How long an access token works after a sign-out, or after the user was disabled in the pool."""
SESSION_HOURS = 12
"""Time after which people sign in again."""


class SignInClient(Construct):
    """A public client: authorization code with PKCE, no secret. `addresses`: the page's, each with a closing slash.

    `config`: what the page needs to know.
    """

    def __init__(self, scope: Construct, id: str, *, users: UsersStack, addresses: Sequence[str]) -> None:
        super().__init__(scope, id)
        client = cognito.CfnUserPoolClient(
            self,
            "Client",
            user_pool_id=users.pool.user_pool_id,
            client_name=cdk.Stack.of(self).stack_name,
            generate_secret=False,
            allowed_o_auth_flows_user_pool_client=True,
            allowed_o_auth_flows=["code"],
            allowed_o_auth_scopes=["openid", "email", SIGN_IN_SCOPE],
            callback_ur_ls=list(addresses),
            logout_ur_ls=list(addresses),
            supported_identity_providers=[users.provider],
            explicit_auth_flows=["ALLOW_REFRESH_TOKEN_AUTH"],  # no sign-in beside the hosted page
            prevent_user_existence_errors="ENABLED",
            enable_token_revocation=True,
            access_token_validity=ACCESS_MINUTES,
            id_token_validity=ACCESS_MINUTES,
            refresh_token_validity=SESSION_HOURS,
            token_validity_units=cognito.CfnUserPoolClient.TokenValidityUnitsProperty(
                access_token="minutes", id_token="minutes", refresh_token="hours"
            ),
        )
        cognito.CfnManagedLoginBranding(  # without one the hosted page responds that it is unavailable
            self,
            "Branding",
            user_pool_id=users.pool.user_pool_id,
            client_id=client.ref,
            use_cognito_provided_values=True,
        )
        config = {"url": users.hosted_page, "client": client.ref, "scope": f"openid email {SIGN_IN_SCOPE}"}
        self.config = config
