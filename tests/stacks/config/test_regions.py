"""Regions: what AWS has there, and what is refused."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from stacks.config import images
from stacks.config.catalogue import read_model
from stacks.config.regions import LAYERS, check_deployable, check_domain_and_firewall, check_region
from stacks.config.settings import Settings, SettingsError, parse_settings
from tests.conftest import ROOT
from tests.stacks.assembly import write_model

EMOJI, SD = (read_model(name, ROOT) for name in ("emoji", "sd-1.5"))
LAYER = "arn:aws:lambda:{}:123456789012:layer:powertools:1"


@pytest.fixture(scope="module")
def sdk() -> Any:
    """Return the entry of the serving image in the SageMaker SDK's table."""
    path = distribution("sagemaker-core").locate_file("sagemaker/core/image_uri_config/huggingface.json")
    versions = json.loads(Path(str(path)).read_text())["inference"]["versions"]
    assert list(versions)[-1] == "5.5.3"
    return versions["5.5.3"]["pytorch2.6.0"]


def test_accounts_equal_those_of_the_sdk(sdk: Any) -> None:
    assert sdk["registries"] == images.ACCOUNTS
    assert sdk["repository"] == images.REPOSITORY


@pytest.mark.parametrize(("kind", "tag"), [("gpu", images.GPU_TAG), ("cpu", images.CPU_TAG)])
def test_tags_equal_those_of_the_sdk(sdk: Any, kind: str, tag: str) -> None:
    (python,) = sdk["py_versions"]
    assert tag == f"2.6.0-transformers5.5.3-{kind}-{python}-{sdk['container_version'][kind]}"


@pytest.mark.parametrize("region", ["", *sorted(images.ACCOUNTS.keys() & LAYERS)])
def test_region_with_image_and_layer_is_accepted(region: str) -> None:
    check_region(region, Settings(), EMOJI)


def test_region_without_image_is_refused_with_the_regions_that_have_it() -> None:
    with pytest.raises(SettingsError) as caught:
        check_region("mx-central-1", Settings(powertools_layer=LAYER.format("mx-central-1")), EMOJI)
    assert caught.value.code == "region_without_image"
    assert ", ".join(sorted(images.ACCOUNTS)) in str(caught.value)


@pytest.mark.parametrize("region", sorted(images.ACCOUNTS.keys() - LAYERS))
def test_region_without_layer_needs_the_setting(region: str) -> None:
    check_region(region, Settings(powertools_layer=LAYER.format(region)), EMOJI)
    with pytest.raises(SettingsError) as caught:
        check_region(region, Settings(), EMOJI)
    assert (caught.value.code, caught.value.key) == ("region_without_layer", "powertools_layer")
    alternatives = str(caught.value).rpartition("deploy to one of ")[2]
    assert alternatives.startswith("af-south-1, ap-east-1,")
    assert region not in alternatives


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_a_budget_can_stop_only_where_aws_budgets_notifies(region: str) -> None:
    check_region(region, Settings(), EMOJI)
    check_region("eu-west-1", Settings(budget_action="stop"), EMOJI)
    with pytest.raises(SettingsError) as caught:
        check_region(region, Settings(budget_action="stop"), EMOJI)
    assert (caught.value.code, caught.value.key) == ("region_without_budgets", "budget_action")


def test_a_token_goes_to_the_host_of_one_link(tmp_path: Path) -> None:
    """Each model has its own import, and all imports have the same token."""
    link, lora = {"kind": "url", "sha256": "0" * 64}, {"id": "flat", "sha256": "0" * 64}
    hub = {"kind": "hub", "repository": "c/d", "revision": "main"}
    entries: list[dict[str, Any]] = [
        {"source": {**link, "url": "https://a.example/x"}},
        {"source": hub, "loras": [{**lora, "source": {"kind": "url", "url": "https://b.example/y"}}]},
        {"source": {**link, "url": "https://a.example/z"}},
    ]
    models = [read_model("tiny", write_model(tmp_path / str(i), **entry)) for i, entry in enumerate(entries)]
    secret = Settings(model_token_secret="token")
    check_deployable("eu-west-1", Settings(), models)
    check_deployable("eu-west-1", secret, models[::2])
    with pytest.raises(SettingsError) as caught:
        check_deployable("eu-west-1", secret, models)
    assert (caught.value.code, caught.value.key) == ("conflict", "model_token_secret")
    assert "a.example, b.example" in str(caught.value)


@pytest.mark.parametrize("region", ["cn-north-1", "cn-northwest-1"])
def test_hub_model_in_china_needs_a_mirror(region: str) -> None:
    check_region(region, Settings(powertools_layer=LAYER.format(region), hub_url="https://hub.example.cn"), SD)
    with pytest.raises(SettingsError) as caught:
        check_region(region, Settings(powertools_layer=LAYER.format(region)), SD)
    assert (caught.value.code, caught.value.key) == ("region_without_hub", "hub_url")


@pytest.mark.parametrize(
    ("key", "arn"),
    [
        ("kms_key_arn", "arn:aws:kms:eu-west-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef"),
        ("hub_token_secret", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hub-token"),
        ("model_token_secret", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model-token"),
        ("powertools_layer", "arn:aws:lambda:eu-west-1:123456789012:layer:mine:1"),
    ],
)
def test_arn_of_another_region_is_refused(key: str, arn: str) -> None:
    settings = parse_settings({key: arn})
    check_region("eu-west-1", settings, EMOJI)
    check_region("", settings, EMOJI)
    with pytest.raises(SettingsError) as caught:
        check_region("us-east-1", settings, EMOJI)
    assert (caught.value.code, caught.value.key) == ("other_region", key)
    assert "eu-west-1" in str(caught.value) and "us-east-1" in str(caught.value)


def test_web_acl_is_regional_for_the_api_and_global_for_the_site() -> None:
    acl = "webacl/mine/01234567-89ab-cdef-0123-456789abcdef"
    regional = Settings(waf=f"arn:aws:wafv2:eu-west-1:123456789012:regional/{acl}")
    check_domain_and_firewall("eu-west-1", regional, site=False)
    with pytest.raises(SettingsError) as other_region:
        check_domain_and_firewall("us-east-1", regional, site=True)
    for_site = Settings(waf=f"arn:aws:wafv2:us-east-1:123456789012:global/{acl}")
    check_domain_and_firewall("eu-west-1", for_site, site=True)
    with pytest.raises(SettingsError) as no_site:
        check_domain_and_firewall("eu-west-1", for_site, site=False)
    assert (other_region.value.code, no_site.value.code) == ("other_region", "conflict")
    assert other_region.value.key == no_site.value.key == "waf"


def test_certificate_is_of_us_east_1_for_the_site_and_of_the_region_for_the_api() -> None:
    arn = "arn:aws:acm:{}:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"
    local, global_ = (
        Settings(domain_name="images.example.com", certificate_arn=arn.format(region))
        for region in ("eu-west-1", "us-east-1")
    )
    check_domain_and_firewall("eu-west-1", local, site=False)
    check_domain_and_firewall("", local, site=False)
    check_domain_and_firewall("eu-west-1", global_, site=True)
    for region, site in (("eu-west-3", False), ("eu-west-1", True)):
        with pytest.raises(SettingsError) as caught:
            check_domain_and_firewall(region, local, site=site)
        assert (caught.value.code, caught.value.key) == ("other_region", "certificate_arn")
    assert "aws acm request-certificate --region us-east-1 --domain-name images.example.com" in str(caught.value)


@pytest.mark.cdk
def test_app_refuses_a_region_before_it_creates_a_stack() -> None:
    import aws_cdk as cdk

    from app import create_stacks

    app = cdk.App(context={"model": "emoji"})
    with pytest.raises(SettingsError) as caught:
        create_stacks(app, env=cdk.Environment(account="123456789012", region="mx-central-1"))
    assert caught.value.code == "region_without_image"
    assert app.node.children == []
