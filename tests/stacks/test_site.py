"""The site: what CloudFront is told, and where it is not there."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from moto import mock_aws

from app import ROOT, compose
from custom_resources import page
from stacks.config.regions import why_no_site
from stacks.config.settings import Settings, SettingsError
from stacks.site.page import PageError
from stacks.site.stack import ERRORS
from tests.stacks.assembly import Assembly

CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
CACHING_OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
ALL_VIEWER_EXCEPT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
"""The policies of AWS itself, by the ids that its documentation gives."""


@pytest.fixture
def distribution(default: Assembly) -> dict[str, Any]:
    config: dict[str, Any] = default.only("AWS::CloudFront::Distribution")["DistributionConfig"]
    return config


def origin(distribution: dict[str, Any], behavior: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in distribution["Origins"] if one["Id"] == behavior["TargetOriginId"])
    return dict(found)


# --- page and API under one root -----------------------------------------------------------------


def test_what_is_no_file_of_the_page_goes_to_the_api(distribution: dict[str, Any]) -> None:
    behavior = distribution["DefaultCacheBehavior"]
    to = origin(distribution, behavior)
    assert to["OriginPath"] == "/v1"
    assert ".execute-api." in json.dumps(to["DomainName"])
    assert to["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert set(behavior["AllowedMethods"]) == {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"}


def test_nothing_of_the_api_is_kept_and_all_but_the_host_is_passed_on(distribution: dict[str, Any]) -> None:
    behavior = distribution["DefaultCacheBehavior"]
    assert behavior["CachePolicyId"] == CACHING_DISABLED
    assert behavior["OriginRequestPolicyId"] == ALL_VIEWER_EXCEPT_HOST
    assert "ResponseHeadersPolicyId" not in behavior


def test_an_error_is_the_apis_own_and_not_kept(distribution: dict[str, Any]) -> None:
    told = distribution["CustomErrorResponses"]
    assert {one["ErrorCode"] for one in told} == set(ERRORS)
    assert all(one == {"ErrorCode": one["ErrorCode"], "ErrorCachingMinTTL": 0} for one in told)


def test_cloudfront_waits_longer_than_the_gateway(distribution: dict[str, Any], default: Assembly) -> None:
    gateway = {
        method["Properties"]["Integration"].get("TimeoutInMillis", 0) / 1000
        for method in default.resources("AWS::ApiGateway::Method").values()
    }
    (api,) = (one for one in distribution["Origins"] if "CustomOriginConfig" in one)
    assert max(gateway) == 29
    assert max(gateway) < api["CustomOriginConfig"]["OriginReadTimeout"] <= 60


def test_a_key_never_travels_in_the_clear(distribution: dict[str, Any]) -> None:
    assert distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "https-only"
    assert {one["ViewerProtocolPolicy"] for one in distribution["CacheBehaviors"]} == {"redirect-to-https"}


# --- the page ------------------------------------------------------------------------------------


def test_every_file_of_the_page_comes_from_its_bucket(distribution: dict[str, Any], default: Assembly) -> None:
    patterns = [one["PathPattern"] for one in distribution["CacheBehaviors"]]
    assert patterns == ["/", "/assets/*", "/favicon.svg", "/index.html", "/theme.js"]
    assert distribution["DefaultRootObject"] == "index.html"
    for behavior in distribution["CacheBehaviors"]:
        assert behavior["CachePolicyId"] == CACHING_OPTIMIZED
        assert "OriginAccessControlId" in origin(distribution, behavior)
        assert behavior["ResponseHeadersPolicyId"]["Ref"] in default.resources("AWS::CloudFront::ResponseHeadersPolicy")


def test_cloudfront_alone_reads_the_bucket_and_only_this_distribution(default: Assembly) -> None:
    bucket = default.only("AWS::S3::Bucket", "EaselSite")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    statements = default.only("AWS::S3::BucketPolicy", "EaselSite")["PolicyDocument"]["Statement"]
    (read,) = (one for one in statements if one["Action"] == "s3:GetObject" and one["Effect"] == "Allow")
    assert read["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert "distribution/" in json.dumps(read["Condition"]["StringEquals"]["AWS:SourceArn"])


def test_the_page_is_sent_with_its_policy(default: Assembly) -> None:
    policy = default.only("AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    told = policy["SecurityHeadersConfig"]
    directives = dict(
        directive.split(" ", 1) for directive in told["ContentSecurityPolicy"]["ContentSecurityPolicy"].split("; ")
    )
    assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
    assert {"blob:", "data:"} <= set(directives["img-src"].split())
    assert "https:" in directives["connect-src"].split()  # the links of pictures
    assert "unsafe" not in json.dumps(directives)
    assert told["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31536000
    assert told["FrameOptions"]["FrameOption"] == "DENY"


def test_another_easel_in_another_region_has_other_names(default: Assembly) -> None:
    named = [
        default.only("AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]["Name"],
        default.only("AWS::CloudFront::OriginAccessControl")["OriginAccessControlConfig"]["Name"],
    ]
    for name in named:
        assert {"Ref": "AWS::Region"} in name["Fn::Join"][1]


def test_destroy_leaves_no_page(default: Assembly) -> None:
    (bucket,) = default.resources("AWS::S3::Bucket", "EaselSite").values()
    assert bucket["DeletionPolicy"] == "Delete"
    assert len(default.resources("Custom::S3AutoDeleteObjects", "EaselSite")) == 1


def test_the_address_is_told(default: Assembly) -> None:
    assert default.outputs("EaselSite")["SiteUrl"]["Fn::Join"][1][0] == "https://"


# --- where it is not -----------------------------------------------------------------------------


def test_without_cloudfront_or_without_keys_there_is_no_site(cloud9: Assembly, china: Assembly) -> None:
    for assembly, why in ((cloud9, "api_auth=iam"), (china, "ICP filing")):
        assert "EaselSite" not in assembly.templates
        said = "".join(path.read_text() for path in assembly.folder.glob("*.metadata.json"))
        assert "No page: " in said
        assert why in said


@pytest.mark.parametrize(
    ("region", "told"),
    [("cn-north-1", "ICP"), ("cn-northwest-1", "ICP"), ("us-gov-west-1", "GovCloud"), ("us-iso-east-1", "partition")],
)
def test_a_site_that_cannot_be_is_refused_where_it_was_asked_for(region: str, told: str) -> None:
    assert told in why_no_site(Settings(), region)
    with pytest.raises(SettingsError, match=rf"site is on, but .*{told}.*site=off"):
        why_no_site(Settings(site="on"), region)


@pytest.mark.parametrize("region", ["", "us-east-1", "eu-west-3", "ap-southeast-7"])
def test_elsewhere_it_can_be(region: str) -> None:
    assert why_no_site(Settings(site="on"), region) == ""


def test_signed_requests_and_a_page_do_not_go_together() -> None:
    with pytest.raises(SettingsError, match="api_auth=iam"):
        why_no_site(Settings(site="on", api_auth="iam"), "")


def test_a_page_that_was_not_built_is_told_with_the_way_out(tmp_path: Path, catalogue: Path) -> None:
    app = cdk.App(context={"model": "tiny"})
    with pytest.raises(PageError, match=r"not built.*index\.html is missing\. `make page` builds it; -c site=off"):
        compose(app, root=catalogue, page=tmp_path)


def test_it_can_be_left_out(tmp_path: Path, catalogue: Path) -> None:
    app = cdk.App(context={"model": "tiny", "site": "off"})
    compose(app, root=catalogue, page=tmp_path)
    assert app.node.try_find_child("EaselSite") is None


# --- the writer of the page ----------------------------------------------------------------------


def test_files_are_written_with_type_and_caching_and_the_entrance_last(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("index.html", "assets/", "assets/a-B1.js", "assets/a-B1.css", "favicon.svg", "theme.js"):
            archive.writestr(name, name)
    with mock_aws():
        s3 = boto3.client("s3")
        for bucket in ("assets", "page"):
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket="assets", Key="p.zip", Body=out.getvalue())
        s3.put_object(Bucket="page", Key="assets/a-A0.js", Body=b"from the deploy before")
        asked = {"Bucket": "page", "Source": {"Bucket": "assets", "Key": "p.zip"}}
        assert page.publish({"ResourceProperties": asked}) == ("page", {})
        listed = s3.list_objects_v2(Bucket="page")["Contents"]
        found = {item["Key"]: s3.head_object(Bucket="page", Key=item["Key"]) for item in listed}
    kept = "public, max-age=31536000, immutable"
    assert {key: (one["ContentType"], one.get("CacheControl")) for key, one in found.items()} == {
        "index.html": ("text/html; charset=utf-8", "no-cache"),
        "theme.js": ("text/javascript; charset=utf-8", "no-cache"),
        "favicon.svg": ("image/svg+xml", "no-cache"),
        "assets/a-B1.js": ("text/javascript; charset=utf-8", kept),
        "assets/a-B1.css": ("text/css; charset=utf-8", kept),
        "assets/a-A0.js": ("binary/octet-stream", None),
    }


def test_the_entrance_is_written_last() -> None:
    names = ["index.html", "assets/b.js", "theme.js", "assets/a.css"]
    assert sorted(names, key=page.turn) == ["assets/b.js", "assets/a.css", "theme.js", "index.html"]


def test_only_the_folder_of_hashed_names_is_kept_for_long() -> None:
    """What Vite writes: everything below assets/ has its content's hash in its name, and nothing else has."""
    built = ROOT / "web" / "vite.config.ts"
    assert "assetsDir" not in built.read_text()
    assert page.cache_control("assets.html") == "no-cache"
