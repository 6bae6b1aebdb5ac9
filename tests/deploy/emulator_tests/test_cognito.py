"""What the emulator refuses of Cognito, as its API reference describes it. No Easel is deployed."""

from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError

from tests.deploy.harness.account import Account
from tests.deploy.harness.environment import set_up

pytestmark = [pytest.mark.xdist_group("gateway_account"), pytest.mark.timeout(900)]

ADDRESS = "https://page.example.com/"
CLIENT: dict[str, Any] = {
    "ClientName": "page", "AllowedOAuthFlowsUserPoolClient": True, "AllowedOAuthFlows": ["code"],
    "AllowedOAuthScopes": ["openid", "easel/generate"], "CallbackURLs": [ADDRESS], "LogoutURLs": [ADDRESS],
    "SupportedIdentityProviders": ["COGNITO"],
}  # fmt: skip


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    set_up()
    with Account(tmp_path_factory.mktemp("cognito")) as account:
        yield account


@pytest.fixture(scope="module")
def pool(account: Account) -> str:
    """A pool with the scope easel/generate and a domain of managed login."""
    idp = account.client("cognito-idp")
    id = str(idp.create_user_pool(PoolName="people")["UserPool"]["Id"])
    right = {"ScopeName": "generate", "ScopeDescription": "Generate"}
    idp.create_resource_server(UserPoolId=id, Identifier="easel", Name="easel", Scopes=[right])
    idp.create_user_pool_domain(UserPoolId=id, Domain="easel-1", ManagedLoginVersion=2)
    return id


@pytest.mark.parametrize("domain", ["my-aws-page", "amazonas", "cognito1", "Easel", "-easel", "a" * 64])
def test_a_domain_with_a_reserved_word_or_another_form_is_refused(account: Account, domain: str) -> None:
    idp = account.client("cognito-idp")
    other = idp.create_user_pool(PoolName="other")["UserPool"]["Id"]
    with pytest.raises(ClientError) as caught:
        idp.create_user_pool_domain(UserPoolId=other, Domain=domain)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"


@pytest.mark.parametrize(
    "changes",
    [
        {"AllowedOAuthScopes": ["easel/other"]},
        {"CallbackURLs": ["http://page.example.com/"]},
        {"LogoutURLs": ["https://page.example.com/#top"]},
        {"SupportedIdentityProviders": ["Oidc"]},
    ],
)
def test_a_client_with_what_the_pool_has_not_is_refused(account: Account, pool: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        account.client("cognito-idp").create_user_pool_client(UserPoolId=pool, **{**CLIENT, **changes})
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"


def test_managed_login_is_unavailable_to_a_client_without_a_branding(account: Account, pool: str) -> None:
    client = account.client("cognito-idp").create_user_pool_client(UserPoolId=pool, **CLIENT)["UserPoolClient"]
    query = {"client_id": client["ClientId"], "response_type": "code", "scope": "openid", "redirect_uri": ADDRESS}
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{account.url}/oauth2/authorize?{urlencode(query)}", context=account.tls, timeout=60)
    assert (caught.value.code, b"unavailable" in caught.value.read()) == (400, True)
