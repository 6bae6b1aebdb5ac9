"""The site: page and API under one address, by HTTPS, without a stage in the path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from stacks.api.gateway import STAGE, TIMEOUT
from stacks.common.nag_suppressions import acknowledge
from stacks.common.own_domain import certificate, point
from stacks.config.settings import Settings
from stacks.site.page import Page
from stacks.site.page_headers import PageHeaders

PATIENCE = TIMEOUT.plus(cdk.Duration.seconds(6))
"""What CloudFront waits for the API: longer than the gateway, so that it is the gateway that says why."""
ERRORS = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)
"""Those that CloudFront would keep for ten seconds and give to the next caller, whatever the cache policy says."""

_FINDINGS = {
    "AwsSolutions-CFR1": "Who may use Easel is a matter of its key, not of the country that the caller is in",
    "AwsSolutions-CFR2": "The page is a few files that everybody may read; a firewall, where waf asks for one, stands "
    "before the API, which can be called without CloudFront as well",
    "AwsSolutions-CFR3": "Access logs need a bucket that outlives destroy; the function logs every request of the API",
    "AwsSolutions-CFR4": "Viewers get TLS 1.2 or newer only with a certificate of one's own domain; *.cloudfront.net "
    "has AWS's own, whose policy cannot be set",
}


class SiteStack(cdk.Stack):
    """Costs nothing while nobody looks."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, api: apigateway.IRestApi, page: Path, **options: Any
    ) -> None:
        super().__init__(scope, id, description="Easel: page and API under one address", **options)
        self._name = f"{cdk.Aws.STACK_NAME}-{cdk.Aws.REGION}"  # CloudFront knows no regions, and wants names
        built = Page(self, "Page", folder=page, log_days=settings.log_days)
        self.distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment="Easel",
            default_behavior=self._api(api),  # what is no file of the page is the API's to answer, errors too
            error_responses=[_never_kept(status) for status in ERRORS],
            default_root_object="index.html",
            additional_behaviors=dict.fromkeys(built.patterns, self._page(built)),
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            web_acl_id=settings.global_waf or None,
            domain_names=[settings.domain_name] if settings.domain_name else None,
            certificate=certificate(self, settings) if settings.domain_name else None,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021 if settings.domain_name else None,
        )
        answered = {"AwsSolutions-CFR2": settings.global_waf, "AwsSolutions-CFR4": settings.domain_name}
        acknowledge(self.distribution, {rule: why for rule, why in _FINDINGS.items() if not answered.get(rule)})
        cdk.CfnOutput(self, "SiteUrl", value=f"https://{settings.domain_name or self.distribution.domain_name}/")
        if settings.domain_name:
            cdk.CfnOutput(self, "DomainRecord", value=self._point(settings))

    def _point(self, settings: Settings) -> str:
        """CloudFront answers by IPv6 as well."""
        zone = targets.CloudFrontTarget.CLOUDFRONT_ZONE_ID
        return point(self, settings, to=self.distribution.domain_name, zone=zone, kinds=("A", "AAAA"))

    def _api(self, api: apigateway.IRestApi) -> cloudfront.BehaviorOptions:
        """Passed on as it comes, but for Host, by which the gateway knows its own; a key never travels in the clear."""
        return cloudfront.BehaviorOptions(
            origin=self._gateway(api),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            compress=False,
        )

    def _gateway(self, api: apigateway.IRestApi) -> cloudfront.IOrigin:
        return origins.HttpOrigin(
            f"{api.rest_api_id}.execute-api.{self.region}.{self.url_suffix}",
            origin_path=f"/{STAGE}",
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
            read_timeout=PATIENCE,
        )

    def _page(self, built: Page) -> cloudfront.BehaviorOptions:
        """Kept as long as each file says."""
        access = cloudfront.S3OriginAccessControl(self, "Access", origin_access_control_name=self._name)
        return cloudfront.BehaviorOptions(
            origin=origins.S3BucketOrigin.with_origin_access_control(built.bucket, origin_access_control=access),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
            cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            response_headers_policy=PageHeaders(self, "Headers", name=self._name),
        )


def _never_kept(status: int) -> cloudfront.ErrorResponse:
    return cloudfront.ErrorResponse(http_status=status, ttl=cdk.Duration.seconds(0))
