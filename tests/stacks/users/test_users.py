"""The sign-in: the pool, the page as its client, the API's authorizer, and the settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import authorizer
from stacks.config.names import SIGN_IN_SCOPE, USAGE_SLOTS
from stacks.config.regions import why_no_site
from stacks.config.settings import Settings, SettingsError, parse_settings
from tests.stacks.assembly import Assembly, flat

CLOUDFRONT = "https://['Distribution830FAC52', 'DomainName']/"
HOSTED = "https://EaselUsers:ExportsOutputRefPoolDomainCFC71F563A148EC8.auth.us-east-1.amazoncognito.com"
POOL, CLIENT, PROVIDER = (f"AWS::Cognito::UserPool{end}" for end in ("", "Client", "IdentityProvider"))


def test_without_the_setting_nothing_of_it_exists(default: Assembly) -> None:
    assert "EaselUsers" not in default.templates
    text = json.dumps(default.templates)
    assert not re.search(r"Cognito::|cognito-idp|SIGN_IN|SignIn|USER_IMAGES|USAGE_SLOTS", text)


def test_only_an_operator_invites(own: Assembly) -> None:
    pool = own.only(POOL)
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert pool["UsernameConfiguration"]["CaseSensitive"] is False
    assert (pool["MfaConfiguration"], pool["EnabledMfas"]) == ("ON", ["SOFTWARE_TOKEN_MFA"])
    assert re.fullmatch(
        r"aws cognito-idp admin-create-user --region us-east-1 --user-pool-id PoolD3F588B8 --username alice .*",
        flat(own.outputs("EaselUsers")["InviteCommand"]),
    )


def test_destroy_deletes_the_pool(own: Assembly) -> None:
    (pool,) = own.resources(POOL).values()
    assert (pool["DeletionPolicy"], pool["Properties"].get("DeletionProtection")) == ("Delete", None)


def test_the_domain_is_of_this_stack_alone_and_has_no_reserved_word(own: Assembly) -> None:
    """Its names are those of a region, of all accounts; a stack's id ends with a UUID."""
    domain = own.only("AWS::Cognito::UserPoolDomain")["Domain"]["Fn::Join"][1]
    assert domain[0] == "easel-"
    assert domain[1] == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}


def test_the_page_is_a_public_client_with_a_code_and_no_other_way_to_tokens(own: Assembly) -> None:
    from stacks.site.sign_in import ACCESS_MINUTES  # importing the CDK starts Node

    client = own.only(CLIENT)
    assert (client["GenerateSecret"], client["AllowedOAuthFlows"]) == (False, ["code"])
    assert client["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]
    assert SIGN_IN_SCOPE in client["AllowedOAuthScopes"]
    assert "aws.cognito.signin.user.admin" not in client["AllowedOAuthScopes"]
    assert client["AccessTokenValidity"] == ACCESS_MINUTES
    assert client["SupportedIdentityProviders"] == ["COGNITO"]


def test_people_come_back_to_the_domain_and_to_cloudfronts_address(own: Assembly, hub: Assembly) -> None:
    for assembly, addresses in ((own, ["https://draw.example.com/", CLOUDFRONT]), (hub, [CLOUDFRONT])):
        client = assembly.only(CLIENT)
        assert [flat(url) for url in client["CallbackURLs"]] == addresses
        assert client["LogoutURLs"] == client["CallbackURLs"]


def test_the_hosted_page_has_a_branding(own: Assembly) -> None:
    """Managed login responds that it is unavailable to a client without one."""
    assert own.only("AWS::Cognito::UserPoolDomain")["ManagedLoginVersion"] == 2
    (client,) = own.resources(CLIENT)
    branding = own.only("AWS::Cognito::ManagedLoginBranding")
    assert (branding["ClientId"], branding["UseCognitoProvidedValues"]) == ({"Ref": client}, True)


def test_the_page_knows_the_hosted_page_and_its_id(own: Assembly) -> None:
    (client,) = own.resources(CLIENT)
    config = own.only("Custom::EaselPage")["SignIn"]
    assert flat(config["url"]) == HOSTED
    assert config["client"] == {"Ref": client}
    assert config["scope"].split() == own.only(CLIENT)["AllowedOAuthScopes"]


def test_the_page_may_connect_to_the_hosted_page_and_the_bucket_only(own: Assembly) -> None:
    headers = own.only("AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
    policy = flat(headers["ContentSecurityPolicy"]["ContentSecurityPolicy"])
    (sources,) = re.findall(r"connect-src ([^;]+)", policy)
    bucket = "https://EaselStorage:ExportsOutputRefStore1D2A845BA6E0D5A9.s3"
    hosts = [f"{bucket}.AWS::URLSuffix", f"{bucket}.us-east-1.AWS::URLSuffix"]
    assert sources.replace("AWS::Region", "us-east-1").split() == ["'self'", "blob:", HOSTED, *hosts]
    assert " https: " not in policy
    assert "unsafe" not in policy


def authorizer_function(assembly: Assembly) -> dict[str, Any]:
    functions = assembly.properties("AWS::Lambda::Function", "EaselApi")
    (function,) = (item for item in functions if item["Handler"] == "authorizer.handler")
    return function


def test_the_authorizer_knows_issuer_scope_and_quota(own: Assembly, hub: Assembly) -> None:
    variables = authorizer_function(own)["Environment"]["Variables"]
    issuer = flat(variables["EASEL_SIGN_IN_ISSUER"])
    assert issuer == "https://cognito-idp.us-east-1.AWS::URLSuffix/EaselUsers:ExportsOutputRefPoolD3F588B86FF122B2"
    assert variables["EASEL_SIGN_IN_SCOPE"] == SIGN_IN_SCOPE
    assert variables["EASEL_USER_IMAGES_A_DAY"] == "7"
    assert variables["EASEL_USAGE_SLOTS"] == str(USAGE_SLOTS)
    assert authorizer_function(hub)["Environment"]["Variables"]["EASEL_USER_IMAGES_A_DAY"] == "100"
    source = Path(authorizer.__file__).read_text()
    assert set(re.findall(r"EASEL_\w+", source)) == {name for name in variables if name.startswith("EASEL_")}


def test_a_provider_replaces_the_pools_own_users(hub: Assembly) -> None:
    provider = hub.only(PROVIDER)
    assert provider["ProviderType"] == "OIDC"
    assert provider["ProviderDetails"]["oidc_issuer"] == "https://login.example.com"
    assert hub.only(CLIENT)["SupportedIdentityProviders"] == [provider["ProviderName"]]
    outputs = hub.outputs("EaselUsers")
    assert flat(outputs["SignInRedirect"]).endswith("amazoncognito.com/oauth2/idpresponse")
    assert "InviteCommand" not in outputs


def test_the_providers_secret_is_a_reference(hub: Assembly) -> None:
    secret = hub.only(PROVIDER)["ProviderDetails"]["client_secret"]
    assert flat(secret).startswith("{{resolve:secretsmanager:easel-sign-in:SecretString")


# --- settings ------------------------------------------------------------------------------------

OIDC = {"sign_in_issuer": "https://login.example.com", "sign_in_client_id": "a", "sign_in_client_secret": "b"}


@pytest.mark.parametrize(
    ("settings", "key", "code"),
    [
        ({"sign_in_mfa": "on"}, "sign_in_mfa", "conflict"),
        (OIDC, "sign_in_issuer", "conflict"),
        ({"sign_in": "cognito", "api_auth": "iam"}, "sign_in", "conflict"),
        ({"sign_in": "cognito", "api_auth": "none"}, "sign_in", "conflict"),
        ({"sign_in": "cognito", "sign_in_issuer": OIDC["sign_in_issuer"]}, "sign_in_client_id", "conflict"),
        ({"sign_in": "cognito", "sign_in_client_secret": "b"}, "sign_in_issuer", "conflict"),
        ({"sign_in": "cognito", "sign_in_mfa": "on", **OIDC}, "sign_in_mfa", "conflict"),
        ({"sign_in": "cognito", **OIDC, "sign_in_issuer": "http://login.example.com"}, "sign_in_issuer", "wrong_form"),
        ({"sign_in": "cognito", **OIDC, "sign_in_client_secret": "a b"}, "sign_in_client_secret", "wrong_form"),
        ({"sign_in": "cognito", "sign_in_images_a_day": "-1"}, "sign_in_images_a_day", "out_of_range"),
        ({"sign_in": "cognito", "sign_in_images_a_day": "1000001"}, "sign_in_images_a_day", "out_of_range"),
        ({"sign_in": "google"}, "sign_in", "not_allowed"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_refused(settings: dict[str, str], key: str, code: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(settings)
    assert (caught.value.key, caught.value.code) == (key, code)


@pytest.mark.parametrize("images", ["0", "1", "1000000"])
def test_bounds_of_the_quota(images: str) -> None:
    assert parse_settings({"sign_in": "cognito", "sign_in_images_a_day": images}).sign_in_images_a_day == int(images)


@pytest.mark.parametrize(("changes", "region"), [({"site": "off"}, ""), ({}, "cn-north-1"), ({}, "us-gov-west-1")])
def test_there_is_no_sign_in_without_the_page(changes: dict[str, Any], region: str) -> None:
    with pytest.raises(SettingsError) as caught:
        why_no_site(Settings(sign_in="cognito", **changes), region)
    assert (caught.value.code, caught.value.key) == ("conflict", "sign_in")
    assert why_no_site(Settings(sign_in="cognito"), "eu-west-1") == ""
