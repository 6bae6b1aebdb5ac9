"""The site: CloudFront's configuration, and where there is no site."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from app import create_stacks
from stacks.config.regions import why_no_site
from stacks.config.settings import Settings, SettingsError
from stacks.site.page import PageError
from stacks.site.stack import ERRORS
from tests.stacks.assembly import Assembly

CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
CACHING_OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
ALL_VIEWER_EXCEPT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
"""AWS's managed policies, by the ids in its documentation."""
HEADERS, BUCKET = "AWS::CloudFront::ResponseHeadersPolicy", "AWS::S3::Bucket"


@pytest.fixture
def distribution(default: Assembly) -> dict[str, Any]:
    config: dict[str, Any] = default.only("AWS::CloudFront::Distribution")["DistributionConfig"]
    return config


def origin(distribution: dict[str, Any], behavior: dict[str, Any]) -> dict[str, Any]:
    (found,) = (item for item in distribution["Origins"] if item["Id"] == behavior["TargetOriginId"])
    return dict(found)


# --- page and API under one root -----------------------------------------------------------------


def test_everything_but_the_pages_files_goes_to_the_api(distribution: dict[str, Any]) -> None:
    behavior = distribution["DefaultCacheBehavior"]
    api = origin(distribution, behavior)
    assert api["OriginPath"] == "/v1"
    assert ".execute-api." in json.dumps(api["DomainName"])
    assert api["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert set(behavior["AllowedMethods"]) == {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"}


def test_api_responses_are_not_cached_and_all_headers_but_host_are_passed_on(distribution: dict[str, Any]) -> None:
    behavior = distribution["DefaultCacheBehavior"]
    assert behavior["CachePolicyId"] == CACHING_DISABLED
    assert behavior["OriginRequestPolicyId"] == ALL_VIEWER_EXCEPT_HOST
    assert "ResponseHeadersPolicyId" not in behavior


def test_errors_are_the_apis_own_and_not_cached(distribution: dict[str, Any]) -> None:
    responses = distribution["CustomErrorResponses"]
    assert {response["ErrorCode"] for response in responses} == set(ERRORS)
    assert all(response == {"ErrorCode": response["ErrorCode"], "ErrorCachingMinTTL": 0} for response in responses)


def test_cloudfront_waits_longer_than_the_gateway(distribution: dict[str, Any], default: Assembly) -> None:
    gateway = {
        method["Properties"]["Integration"].get("TimeoutInMillis", 0) / 1000
        for method in default.resources("AWS::ApiGateway::Method").values()
    }
    (api,) = (item for item in distribution["Origins"] if "CustomOriginConfig" in item)
    assert max(gateway) == 29
    assert max(gateway) < api["CustomOriginConfig"]["OriginReadTimeout"] <= 60


def test_a_key_is_sent_by_https_only(distribution: dict[str, Any]) -> None:
    assert distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "https-only"
    policies = {behavior["ViewerProtocolPolicy"] for behavior in distribution["CacheBehaviors"]}
    assert policies == {"redirect-to-https"}


# --- the page ------------------------------------------------------------------------------------


def test_every_file_of_the_page_comes_from_its_bucket(distribution: dict[str, Any], default: Assembly) -> None:
    patterns = [behavior["PathPattern"] for behavior in distribution["CacheBehaviors"]]
    assert patterns == ["/", "/assets/*", "/favicon.svg", "/index.html", "/theme.js"]
    assert distribution["DefaultRootObject"] == "index.html"
    for behavior in distribution["CacheBehaviors"]:
        assert behavior["CachePolicyId"] == CACHING_OPTIMIZED
        assert "OriginAccessControlId" in origin(distribution, behavior)
        assert behavior["ResponseHeadersPolicyId"]["Ref"] in default.resources(HEADERS)


def test_only_this_distribution_may_read_the_bucket(default: Assembly) -> None:
    bucket = default.only(BUCKET, "EaselSite")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    statements = default.only("AWS::S3::BucketPolicy", "EaselSite")["PolicyDocument"]["Statement"]
    (read,) = (item for item in statements if item["Action"] == "s3:GetObject" and item["Effect"] == "Allow")
    assert read["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert "distribution/" in json.dumps(read["Condition"]["StringEquals"]["AWS:SourceArn"])


def test_the_page_has_security_headers(default: Assembly) -> None:
    policy = default.only(HEADERS)["ResponseHeadersPolicyConfig"]
    headers = policy["SecurityHeadersConfig"]
    directives = dict(
        directive.split(" ", 1) for directive in headers["ContentSecurityPolicy"]["ContentSecurityPolicy"].split("; ")
    )
    assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
    assert {"blob:", "data:"} <= set(directives["img-src"].split())
    assert "https:" in directives["connect-src"].split()  # for presigned URLs of images
    assert "unsafe" not in json.dumps(directives)
    assert headers["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31536000
    assert headers["FrameOptions"]["FrameOption"] == "DENY"


def test_global_names_contain_the_region(default: Assembly) -> None:
    """So that Easel can be deployed to several regions of an account."""
    access = "AWS::CloudFront::OriginAccessControl"
    names = [
        default.only(HEADERS)["ResponseHeadersPolicyConfig"]["Name"],
        default.only(access)["OriginAccessControlConfig"]["Name"],
    ]
    for name in names:
        assert {"Ref": "AWS::Region"} in name["Fn::Join"][1]


def test_destroy_deletes_the_pages_bucket(default: Assembly) -> None:
    (bucket,) = default.resources(BUCKET, "EaselSite").values()
    assert bucket["DeletionPolicy"] == "Delete"
    assert len(default.resources("Custom::S3AutoDeleteObjects", "EaselSite")) == 1


def test_an_output_has_the_address(default: Assembly) -> None:
    assert default.outputs("EaselSite")["SiteUrl"]["Fn::Join"][1][0] == "https://"


# --- where there is no site ----------------------------------------------------------------------


def test_synthesis_says_why_there_is_no_site(cloud9: Assembly, china: Assembly) -> None:
    settings = Settings(api_auth="iam")
    for assembly, reason in ((cloud9, why_no_site(settings, "")), (china, why_no_site(Settings(), "cn-north-1"))):
        assert "EaselSite" not in assembly.templates
        annotations = "".join(path.read_text() for path in assembly.folder.glob("*.metadata.json"))
        assert reason in annotations


@pytest.mark.parametrize(
    ("region", "reason"),
    [("cn-north-1", "ICP"), ("cn-northwest-1", "ICP"), ("us-gov-west-1", "GovCloud"), ("us-iso-east-1", "partition")],
)
def test_a_site_that_is_not_possible_is_refused_if_it_is_set(region: str, reason: str) -> None:
    assert reason in why_no_site(Settings(), region)
    with pytest.raises(SettingsError) as error:
        why_no_site(Settings(site="on"), region)
    assert (error.value.code, error.value.key) == ("conflict", "site")
    assert reason in str(error.value)


@pytest.mark.parametrize("region", ["", "us-east-1", "eu-west-3", "ap-southeast-7"])
def test_a_site_is_possible_elsewhere(region: str) -> None:
    assert why_no_site(Settings(site="on"), region) == ""


def test_a_page_cannot_send_signed_requests() -> None:
    with pytest.raises(SettingsError) as error:
        why_no_site(Settings(site="on", api_auth="iam"), "")
    assert "api_auth=iam" in str(error.value)


def test_a_page_that_is_not_built_is_an_error_that_says_what_to_do(tmp_path: Path, catalogue: Path) -> None:
    app = cdk.App(context={"model": "tiny"})
    with pytest.raises(PageError) as error:
        create_stacks(app, root=catalogue, page=tmp_path)
    for value in (str(tmp_path / "index.html"), "`make page`", "-c site=off"):
        assert value in str(error.value)


def test_site_off_needs_no_page(tmp_path: Path, catalogue: Path) -> None:
    app = cdk.App(context={"model": "tiny", "site": "off"})
    create_stacks(app, root=catalogue, page=tmp_path)
    assert app.node.try_find_child("EaselSite") is None
