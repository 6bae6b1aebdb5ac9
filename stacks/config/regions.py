"""Where Easel can be: what AWS has in one region and not in another, said before anything is made."""

from __future__ import annotations

from stacks.config.catalogue import HubSource, Model
from stacks.config.images import ACCOUNTS, check_class
from stacks.config.settings import HUB, Settings, SettingsError

CLOUDFRONT = "us-east-1"
"""Where CloudFront looks for certificates, wherever the rest is."""

LAYERS_ELSEWHERE = {
    "cn-north-1": "arn:aws-cn:lambda:cn-north-1:498634801083",
    "us-gov-east-1": "arn:aws-us-gov:lambda:us-gov-east-1:165087284144",
    "us-gov-west-1": "arn:aws-us-gov:lambda:us-gov-west-1:165093116878",
}
"""Of Powertools, in regions without its public parameter. Source: its installation page, which names layer 27 (3.23.0).
"""

_LAYERS_PUBLISHED = (
    "af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
    "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7",
    "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1",
    "eu-west-2", "eu-west-3", "il-central-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1",
    "us-west-2",
)  # fmt: skip
"""Regions with the parameter. Source: `.github/workflows/update_ssm.yml` of Powertools, which writes it."""
LAYERS = frozenset((*_LAYERS_PUBLISHED, *LAYERS_ELSEWHERE))
"""Regions that have a layer of Powertools."""

_NO_CLOUDFRONT = {
    "cn-": "CloudFront in China needs an ICP filing and a domain of your own",
    "us-gov-": "CloudFront is not in AWS GovCloud",
    "us-iso": "CloudFront is not in this partition",
}


def check_place(region: str, settings: Settings, model: Model) -> str:
    """What synthesis refuses of a deploy to `region`; gives why the site cannot be there, empty where it can.

    Raises SettingsError or CatalogueError.
    """
    check_class(model)
    check_region(region, settings, model)
    no_site = why_no_site(settings, region)
    check_front(region, settings, site=not no_site)
    return no_site


def check_region(region: str, settings: Settings, model: Model) -> None:
    """`region` is empty where the template is for any. Raises SettingsError: something we need is not there."""
    if region and region not in ACCOUNTS:
        raise SettingsError(f"AWS has no serving image in {region}. It has one in {', '.join(sorted(ACCOUNTS))}.")
    if region and region not in LAYERS and not settings.powertools_layer:
        have = ", ".join(sorted(LAYERS & ACCOUNTS.keys()))
        raise SettingsError(
            f"AWS publishes no Powertools layer in {region}, as far as we know. Publish your own for python3.13 and "
            f"set powertools_layer to its ARN, or deploy to one of {have}."
        )
    _check_region_of("kms_key_arn", settings.kms_key_arn, region)
    if settings.hub_token_secret.startswith("arn:"):
        _check_region_of("hub_token_secret", settings.hub_token_secret, region)
    _check_region_of("powertools_layer", settings.powertools_layer, region)
    if region.startswith("cn-") and settings.hub_url == HUB and isinstance(model.source, HubSource):
        raise SettingsError(
            f"{HUB} cannot be reached from {region}, where {model.id} is. Set hub_url to a mirror, or choose a "
            "model that comes from a folder or from S3, such as model=emoji."
        )


def check_front(region: str, settings: Settings, *, site: bool) -> None:
    """What stands before API and page. Raises SettingsError: it cannot stand there."""
    if settings.regional_waf.startswith("arn:"):
        _check_region_of("waf", settings.waf, region)
    if settings.global_waf and not site:
        raise SettingsError(
            "waf is a global web ACL, which only CloudFront takes, and there is no site. Name a regional one, or set "
            "waf=on."
        )
    if not site:
        _check_region_of("certificate_arn", settings.certificate_arn, region)
    elif (arn := settings.certificate_arn) and (theirs := arn.split(":")[3]) != CLOUDFRONT:
        raise SettingsError(
            f"certificate_arn is of {theirs}, and CloudFront takes certificates of {CLOUDFRONT} alone. Request one "
            f"there: aws acm request-certificate --region {CLOUDFRONT} --domain-name {settings.domain_name} "
            "--validation-method DNS; or set site=off, then the domain is the API's."
        )


def _check_region_of(setting: str, arn: str, region: str) -> None:
    theirs = arn.split(":")[3] if arn else region
    if region and theirs != region:
        raise SettingsError(f"{setting} is of {theirs}, and Easel goes to {region}. Name one of {region}.")


def why_no_site(settings: Settings, region: str) -> str:
    """Why the site cannot be there; empty where it can. Raises SettingsError where it was asked for all the same."""
    if settings.site == "off":
        return "site is off"
    reason = next((why for start, why in _NO_CLOUDFRONT.items() if region.startswith(start)), "")
    if settings.api_auth == "iam":
        reason = "with api_auth=iam the API takes signed requests, which a page cannot make"
    if reason and settings.site == "on":
        raise SettingsError(
            f"site is on, but {reason}. Set site=off; `EASEL_TARGET=<ApiUrl> npm run dev` in web/ shows the page on "
            "your own machine."
        )
    return reason
