"""What MiniStack 1.5.33 lacks of Cognito: refusals of AWS, the revocation endpoint, and the branding of hosted pages.

Sources: Cognito's API reference (CreateUserPoolDomain, CreateUserPoolClient, CreateManagedLoginBranding), and its
developer guide, "The revoke endpoint" and "Managed login branding".
"""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from ministack import app
from ministack.services import cognito

from ..aws_api.service import Parameters

PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
RESERVED = ("aws", "amazon", "cognito")
REVOKE = "/oauth2/revoke"
STANDARD_SCOPES = {"openid", "email", "phone", "profile", "aws.cognito.signin.user.admin"}
CALLBACK = re.compile(r"https://[^#]+|http://(localhost|127\.0\.0\.1)(:\d+)?/[^#]*")

_branded: set[str] = set()
"""Ids of the clients whose hosted page has a branding."""


def install() -> None:
    """Refuse what AWS refuses, and serve the revocation of tokens."""
    create_domain, create_client = cognito._create_user_pool_domain, cognito._create_user_pool_client
    authorize, handle_body = cognito.handle_oauth2_authorize, app._handle_cognito_body_request
    cognito._create_user_pool_domain = lambda data: _domain_error(data) or create_domain(data)
    cognito._create_user_pool_client = lambda data: _client_error(data) or create_client(data)

    def authorize_branded(method: str, path: str, headers: Any, query: Any) -> Any:
        pool, _, client = cognito._find_pool_by_client_id(cognito._qp(query, "client_id"))
        if client and _is_managed(pool) and client["ClientId"] not in _branded:
            return 400, {"Content-Type": "text/html"}, b"Login pages unavailable. Please contact an administrator."
        return authorize(method, path, headers, query)

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if method == "POST" and path == REVOKE:
            token = parse_qs(body.decode()).get("token", [""])[0]
            cognito._revoke_token({"Token": token})
            return 200, {}, b""
        return await handle_body(method, path, headers, body, query)

    cognito.handle_oauth2_authorize, app._handle_cognito_body_request = authorize_branded, handle


def _is_managed(pool: str) -> bool:
    versions = cognito._user_pools[pool].get("_managed_login_versions", {})
    return 2 in versions.values()


def _error(message: str) -> Any:
    return cognito.error_response_json("InvalidParameterException", message, 400)


def _domain_error(data: Parameters) -> Any:
    prefix = str(data.get("Domain", ""))
    if data.get("CustomDomainConfig"):
        return None
    if not PREFIX.fullmatch(prefix):
        return _error(f"Value '{prefix}' at 'domain' failed to satisfy constraint: {PREFIX.pattern}")
    if word := next((word for word in RESERVED if word in prefix), ""):
        return _error(f"Domain cannot contain reserved word: {word}")
    return None


def _client_error(data: Parameters) -> Any:
    pool = cognito._user_pools.get(data.get("UserPoolId", ""), {})
    scopes = set(data.get("AllowedOAuthScopes", ()))
    if unknown := scopes - STANDARD_SCOPES - _custom_scopes(pool):
        return _error(f"ScopeDoesNotExistException: Invalid scope requested: {', '.join(sorted(unknown))}")
    for url in (*data.get("CallbackURLs", ()), *data.get("LogoutURLs", ())):
        if not CALLBACK.fullmatch(url):
            return _error(f"{url} cannot use the HTTP protocol, or has a fragment")
    known = {"COGNITO", *pool.get("_identity_providers", {})}
    if unknown := set(data.get("SupportedIdentityProviders", ())) - known:
        return _error(f"The provider {', '.join(sorted(unknown))} does not exist for User Pool")
    return None


def _custom_scopes(pool: Parameters) -> set[str]:
    servers = pool.get("_resource_servers", {}).values()
    return {f"{server['Identifier']}/{scope['ScopeName']}" for server in servers for scope in server.get("Scopes", ())}


class Brandings:
    """AWS::Cognito::ManagedLoginBranding."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def create(self, _: str, properties: Parameters, __: str) -> tuple[str, Parameters]:
        id, own = properties["ClientId"], "Settings" in properties or "Assets" in properties
        self.client("cognito-idp").describe_user_pool_client(UserPoolId=properties["UserPoolId"], ClientId=id)
        if id in _branded:
            raise ValueError(f"ManagedLoginBrandingExistsException: the client {id} has one")
        if (str(properties.get("UseCognitoProvidedValues")).lower() == "true") is own:
            raise ValueError("InvalidParameterException: either UseCognitoProvidedValues, or Settings and Assets")
        _branded.add(id)
        return json.dumps([properties["UserPoolId"], id]), {"ManagedLoginBrandingId": id}

    def delete(self, _: str, properties: Parameters) -> None:
        _branded.discard(properties["ClientId"])
