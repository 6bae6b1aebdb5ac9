"""Where Easel can be deployed: what AWS lacks in a region is reported before anything is created."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from stacks.config.catalogue import ExtraLink, HubSource, Model, UrlSource
from stacks.config.images import ACCOUNTS, check_class
from stacks.config.settings import HUB, Settings, SettingsError

CLOUDFRONT = "us-east-1"
"""The region of CloudFront's certificates, wherever the rest is."""

LAYERS_ELSEWHERE = {
    "cn-north-1": "arn:aws-cn:lambda:cn-north-1:498634801083",
    "us-gov-east-1": "arn:aws-us-gov:lambda:us-gov-east-1:165087284144",
    "us-gov-west-1": "arn:aws-us-gov:lambda:us-gov-west-1:165093116878",
}
"""Publishers of the Powertools layer in regions without its public parameter. Source: Powertools' installation page,
which names layer 27 (3.23.0)."""

_LAYERS_PUBLISHED = (
    "af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
    "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7",
    "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1",
    "eu-west-2", "eu-west-3", "il-central-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1",
    "us-west-2",
)  # fmt: skip
"""Regions with the public parameter. Source: `.github/workflows/update_ssm.yml` of Powertools, which writes it."""
LAYERS = frozenset((*_LAYERS_PUBLISHED, *LAYERS_ELSEWHERE))
"""Regions that have a Powertools layer."""

_NO_CLOUDFRONT = {
    "cn-": "CloudFront in China needs an ICP filing and your own domain",
    "us-gov-": "CloudFront is not in AWS GovCloud",
    "us-iso": "CloudFront is not in this partition",
}


def check_deployable(region: str, settings: Settings, models: Sequence[Model]) -> str:
    """Check that Easel can be deployed to `region`; empty: any region.

    Returns why the site cannot be there, or an empty text. Raises SettingsError or CatalogueError.
    """
    for model in models:
        check_class(model)
        check_region(region, settings, model)
    _check_token(settings, models)
    no_site = why_no_site(settings, region)
    check_domain_and_firewall(region, settings, site=not no_site)
    return no_site


def check_region(region: str, settings: Settings, model: Model) -> None:
    """Check that `region` has what every deploy needs. Raises SettingsError."""
    if region and region not in ACCOUNTS:
        message = f"AWS has no serving image in {region}. It has the image in {', '.join(sorted(ACCOUNTS))}."
        raise SettingsError(message, code="region_without_image", key="region")
    if region and region not in LAYERS and not settings.powertools_layer:
        message = (
            f"AWS publishes no Powertools layer in {region}. Publish a layer for python3.13 and set powertools_layer "
            f"to its ARN, or deploy to one of {', '.join(sorted(LAYERS & ACCOUNTS.keys()))}."
        )
        raise SettingsError(message, code="region_without_layer", key="powertools_layer")
    if settings.budget_action == "stop" and not has_budgets(region):
        message = f"budget_action=stop needs AWS Budgets, which cannot notify in {region}. Leave budget_action out."
        raise SettingsError(message, code="region_without_budgets", key="budget_action")
    _check_region_of("kms_key_arn", settings.kms_key_arn, region)
    for key in ("hub_token_secret", "model_token_secret"):
        if getattr(settings, key).startswith("arn:"):
            _check_region_of(key, getattr(settings, key), region)
    _check_region_of("powertools_layer", settings.powertools_layer, region)
    if region.startswith("cn-") and settings.hub_url == HUB and isinstance(model.source, HubSource):
        message = (
            f"{HUB}, the source of {model.id}, cannot be reached from {region}. Set hub_url to a mirror, or choose a "
            "model from a folder or from S3, such as model=emoji."
        )
        raise SettingsError(message, code="region_without_hub", key="hub_url")


def _check_token(settings: Settings, models: Sequence[Model]) -> None:
    """Refuse links of several hosts beside a token, which each of them would get. Raises SettingsError."""
    sources = [source for model in models for source in (model.source, *model.extra_sources(ExtraLink))]
    hosts = {urlsplit(source.url).netloc for source in sources if isinstance(source, UrlSource | ExtraLink)}
    if settings.model_token_secret and len(hosts) > 1:
        message = (
            f"model_token_secret is the token of one host, and the models have links of {', '.join(sorted(hosts))}. "
            "Use links of one host, put the other files into S3, or leave model_token_secret out."
        )
        raise SettingsError(message, code="conflict", key="model_token_secret")


def has_budgets(region: str) -> bool:
    """Return whether AWS Budgets can notify in `region`. GovCloud has none; in China it cannot publish to SNS."""
    return not region.startswith(("cn-", "us-gov-", "us-iso"))


def check_domain_and_firewall(region: str, settings: Settings, *, site: bool) -> None:
    """Check the certificate and the firewall of API and site. Raises SettingsError."""
    if settings.regional_waf.startswith("arn:"):
        _check_region_of("waf", settings.waf, region)
    if settings.global_waf and not site:
        message = (
            "waf is a global web ACL, which only CloudFront accepts, and there is no site. Set waf to a regional web "
            "ACL or to on."
        )
        raise SettingsError(message, code="conflict", key="waf")
    if not site:
        _check_region_of("certificate_arn", settings.certificate_arn, region)
    elif (arn := settings.certificate_arn) and (actual := arn.split(":")[3]) != CLOUDFRONT:
        message = (
            f"certificate_arn is in {actual}, and CloudFront accepts only certificates of {CLOUDFRONT}. Request a "
            f"certificate there: aws acm request-certificate --region {CLOUDFRONT} --domain-name "
            f"{settings.domain_name} --validation-method DNS. Or set site=off: then the domain is the API's."
        )
        raise SettingsError(message, code="other_region", key="certificate_arn")


def _check_region_of(setting: str, arn: str, region: str) -> None:
    actual = arn.split(":")[3] if arn else region
    if region and actual != region:
        message = f"{setting} is in {actual}, and Easel is deployed to {region}. Set {setting} to an ARN of {region}."
        raise SettingsError(message, code="other_region", key=setting)


def why_no_site(settings: Settings, region: str) -> str:
    """Return why the site cannot be in `region`, or an empty text. Raises SettingsError where a setting needs it."""
    if settings.site == "off" and settings.sign_in == "off":
        return "site is off"
    reason = next((why for start, why in _NO_CLOUDFRONT.items() if region.startswith(start)), "")
    if settings.api_auth == "iam":
        reason = "with api_auth=iam the API accepts signed requests only, which a page cannot make"
    if settings.sign_in != "off" and (settings.site == "off" or reason):
        message = f"sign_in={settings.sign_in} is for the page, and {reason or 'site is off'}. Leave sign_in out."
        raise SettingsError(message, code="conflict", key="sign_in")
    if reason and settings.site == "on":
        message = (
            f"site is on, but {reason}. Set site=off. `EASEL_TARGET=<ApiUrl> npm run dev` in web/ shows the page on "
            "your own machine."
        )
        raise SettingsError(message, code="conflict", key="site")
    return reason
