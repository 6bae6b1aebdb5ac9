"""What AWS has where, and what is said of a region that lacks it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from app import ROOT, compose
from stacks.config import images
from stacks.config.catalogue import read_model
from stacks.config.regions import LAYERS, check_front, check_region
from stacks.config.settings import Settings, SettingsError, parse_settings

EMOJI, SD = (read_model(name, ROOT) for name in ("emoji", "sd-1.5"))
LAYER = "arn:aws:lambda:{}:123456789012:layer:powertools:1"


@pytest.fixture(scope="module")
def sdk() -> Any:
    """The entry of our image in the SageMaker SDK's own table."""
    path = distribution("sagemaker-core").locate_file("sagemaker/core/image_uri_config/huggingface.json")
    told = json.loads(Path(str(path)).read_text())["inference"]["versions"]
    assert list(told)[-1] == "5.5.3"
    return told["5.5.3"]["pytorch2.6.0"]


def test_the_accounts_are_those_of_the_sdk(sdk: Any) -> None:
    assert sdk["registries"] == images.ACCOUNTS
    assert sdk["repository"] == images.REPOSITORY


@pytest.mark.parametrize(("kind", "tag"), [("gpu", images.GPU_TAG), ("cpu", images.CPU_TAG)])
def test_the_tags_are_those_of_the_sdk(sdk: Any, kind: str, tag: str) -> None:
    (python,) = sdk["py_versions"]
    assert tag == f"2.6.0-transformers5.5.3-{kind}-{python}-{sdk['container_version'][kind]}"


@pytest.mark.parametrize("region", ["", *sorted(images.ACCOUNTS.keys() & LAYERS)])
def test_a_region_that_has_all(region: str) -> None:
    check_region(region, Settings(), EMOJI)


def test_a_region_without_the_image() -> None:
    with pytest.raises(SettingsError) as refusal:
        check_region("mx-central-1", Settings(powertools_layer=LAYER.format("mx-central-1")), EMOJI)
    assert str(refusal.value) == (
        f"AWS has no serving image in mx-central-1. It has one in {', '.join(sorted(images.ACCOUNTS))}."
    )


@pytest.mark.parametrize("region", sorted(images.ACCOUNTS.keys() - LAYERS))
def test_a_region_without_the_layer(region: str) -> None:
    check_region(region, Settings(powertools_layer=LAYER.format(region)), EMOJI)
    with pytest.raises(SettingsError) as refusal:
        check_region(region, Settings(), EMOJI)
    assert str(refusal.value).startswith(
        f"AWS publishes no Powertools layer in {region}, as far as we know. Publish your own for python3.13 and set "
        "powertools_layer to its ARN, or deploy to one of af-south-1, ap-east-1,"
    )
    assert region not in str(refusal.value).rpartition("deploy to one of ")[2]


@pytest.mark.parametrize("region", ["cn-north-1", "cn-northwest-1"])
def test_a_model_of_the_hub_in_china_wants_a_mirror(region: str) -> None:
    check_region(region, Settings(powertools_layer=LAYER.format(region), hub_url="https://hub.example.cn"), SD)
    with pytest.raises(SettingsError) as refusal:
        check_region(region, Settings(powertools_layer=LAYER.format(region)), SD)
    assert str(refusal.value) == (
        f"https://huggingface.co cannot be reached from {region}, where sd-1.5 is. Set hub_url to a mirror, or "
        "choose a model that comes from a folder or from S3, such as model=emoji."
    )


def test_a_key_of_another_region() -> None:
    settings = Settings(kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef")
    check_region("eu-west-1", settings, EMOJI)
    check_region("", settings, EMOJI)
    with pytest.raises(SettingsError) as refusal:
        check_region("us-east-1", settings, EMOJI)
    assert str(refusal.value) == ("kms_key_arn is of eu-west-1, and Easel goes to us-east-1. Name one of us-east-1.")


def test_a_web_acl_of_another_region() -> None:
    acl = "webacl/mine/01234567-89ab-cdef-0123-456789abcdef"
    regional = Settings(waf=f"arn:aws:wafv2:eu-west-1:123456789012:regional/{acl}")
    check_front("eu-west-1", regional, site=False)
    with pytest.raises(
        SettingsError, match=r"^waf is of eu-west-1, and Easel goes to us-east-1\. Name one of us-east-1"
    ):
        check_front("us-east-1", regional, site=True)
    for_site = Settings(waf=f"arn:aws:wafv2:us-east-1:123456789012:global/{acl}")
    check_front("eu-west-1", for_site, site=True)
    with pytest.raises(SettingsError) as refusal:
        check_front("eu-west-1", for_site, site=False)
    assert str(refusal.value) == (
        "waf is a global web ACL, which only CloudFront takes, and there is no site. Name a regional one, or set "
        "waf=on."
    )


def test_the_site_takes_certificates_of_one_region_and_the_api_its_own() -> None:
    there = Settings(
        domain_name="draw.example.com",
        certificate_arn="arn:aws:acm:eu-west-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef",
    )
    check_front("eu-west-1", there, site=False)
    check_front("", there, site=False)
    with pytest.raises(SettingsError, match=r"^certificate_arn is of eu-west-1, and Easel goes to eu-west-3\."):
        check_front("eu-west-3", there, site=False)
    with pytest.raises(SettingsError) as refusal:
        check_front("eu-west-1", there, site=True)
    assert str(refusal.value) == (
        "certificate_arn is of eu-west-1, and CloudFront takes certificates of us-east-1 alone. Request one there: aws "
        "acm request-certificate --region us-east-1 --domain-name draw.example.com --validation-method DNS; or set "
        "site=off, then the domain is the API's."
    )
    check_front(
        "eu-west-1", replace(there, certificate_arn=there.certificate_arn.replace("eu-west-1", "us-east-1")), site=True
    )


def test_the_app_refuses_before_it_makes_anything() -> None:
    app = cdk.App(context={"model": "emoji"})
    with pytest.raises(SettingsError, match="no serving image in mx-central-1"):
        compose(app, env=cdk.Environment(account="123456789012", region="mx-central-1"))
    assert app.node.children == []


@pytest.mark.parametrize(
    ("key", "arn"),
    [
        ("hub_token_secret", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hub-token"),
        ("powertools_layer", "arn:aws:lambda:eu-west-1:123456789012:layer:mine:1"),
    ],
)
def test_a_secret_and_a_layer_are_of_the_region(key: str, arn: str) -> None:
    settings = parse_settings({key: arn})
    check_region("eu-west-1", settings, EMOJI)
    with pytest.raises(SettingsError, match=f"{key} is of eu-west-1, and Easel goes to eu-west-3"):
        check_region("eu-west-3", settings, EMOJI)
