"""Where Easel can be: what AWS has in one region and not in another, said before anything is made."""

from __future__ import annotations

from stacks.catalogue import HubSource, Model
from stacks.images import ACCOUNTS
from stacks.parts.powertools import REGIONS
from stacks.settings import HUB, Settings, SettingsError

CLOUDFRONT = "us-east-1"
"""Where CloudFront looks for certificates, wherever the rest is."""


def check_region(region: str, settings: Settings, model: Model) -> None:
    """`region` is empty where the template is for any. Raises SettingsError: something we need is not there."""
    if region and region not in ACCOUNTS:
        raise SettingsError(f"AWS has no serving image in {region}. It has one in {', '.join(sorted(ACCOUNTS))}.")
    if region and region not in REGIONS and not settings.powertools_layer:
        have = ", ".join(sorted(REGIONS & ACCOUNTS.keys()))
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
