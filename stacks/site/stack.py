"""The site stack: CloudFront serves page and API under one address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.api.gateway import STAGE, TIMEOUT
from stacks.common.custom_domain import certificate, create_records
from stacks.common.nag_suppressions import suppress
from stacks.common.outputs import output
from stacks.config.settings import Settings
from stacks.site.page import Page
from stacks.site.page_headers import PageHeaders
from stacks.site.sign_in import SignInClient
from stacks.users.stack import UsersStack

API_TIMEOUT = TIMEOUT.plus(cdk.Duration.seconds(6))
"""How long CloudFront waits for the API: longer than the gateway, so that a timeout gets the gateway's response."""
ERRORS = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)
"""Statuses that CloudFront caches for ten seconds by default, whatever the cache policy says."""

_REASONS = {
    "AwsSolutions-CFR1": "An API key decides who may use Easel, not the country of the caller",
    "AwsSolutions-CFR2": "The page is a few public files; a firewall, where the setting waf has one, stands before the "
    "API, which can be called without CloudFront as well",
    "AwsSolutions-CFR3": "Access logs need a bucket that outlives destroy; the function logs every request of the API",
    "AwsSolutions-CFR4": "A minimum of TLS 1.2 needs a certificate for the user's own domain; *.cloudfront.net has "
    "AWS's certificate, whose policy cannot be set",
}


class SiteStack(cdk.Stack):
    """A distribution with two origins: the bucket for the page's files, the gateway for everything else.

    `users`: who may sign in on the page; None: nobody. `store`: the bucket with the images.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        api: apigateway.IRestApi,
        page: Path,
        users: UsersStack | None,
        store: s3.IBucket,
        **options: Any,
    ) -> None:
        super().__init__(scope, id, description="Easel: page and API under one address", **options)
        self._name = f"{cdk.Aws.STACK_NAME}-{cdk.Aws.REGION}"  # CloudFront is global, and requires names
        self._sources = _sign_in_sources(users, store) if users else None
        files = Page(self, "Page", folder=page, log_days=settings.log_days)
        domain = settings.domain_name
        self.distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=settings.names.prefix,
            default_behavior=self._api_behavior(api),
            error_responses=[_uncached(status) for status in ERRORS],
            default_root_object="index.html",
            additional_behaviors=dict.fromkeys(files.patterns, self._page_behavior(files)),
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            web_acl_id=settings.global_waf or None,
            domain_names=[domain] if domain else None,
            certificate=certificate(self, settings) if domain else None,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021 if domain else None,
        )
        satisfied = {"AwsSolutions-CFR2": settings.global_waf, "AwsSolutions-CFR4": domain}
        suppress(self.distribution, {rule: reason for rule, reason in _REASONS.items() if not satisfied.get(rule)})
        output(self, "SiteUrl", f"https://{domain or self.distribution.domain_name}/")
        if domain:
            output(self, "DomainRecord", self._records(settings))
        if users:
            hosts = (domain, self.distribution.domain_name) if domain else (self.distribution.domain_name,)
            addresses = [f"https://{host}/" for host in hosts]
            files.content.configure(SignInClient(self, "SignIn", users=users, addresses=addresses).config)

    def _records(self, settings: Settings) -> str:
        """Create records for IPv4 and IPv6."""
        zone = targets.CloudFrontTarget.CLOUDFRONT_ZONE_ID
        target = self.distribution.domain_name
        return create_records(self, settings, target=target, target_zone=zone, types=("A", "AAAA"))

    def _api_behavior(self, api: apigateway.IRestApi) -> cloudfront.BehaviorOptions:
        """Pass requests on unchanged but for Host, which the gateway needs to be its own; HTTPS only."""
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
            read_timeout=API_TIMEOUT,
        )

    def _page_behavior(self, page: Page) -> cloudfront.BehaviorOptions:
        """Cache each file as long as its own Cache-Control header says."""
        access = cloudfront.S3OriginAccessControl(self, "Access", origin_access_control_name=self._name)
        return cloudfront.BehaviorOptions(
            origin=origins.S3BucketOrigin.with_origin_access_control(page.bucket, origin_access_control=access),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
            cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            response_headers_policy=PageHeaders(self, "Headers", name=self._name, sources=self._sources),
        )


def _uncached(status: int) -> cloudfront.ErrorResponse:
    return cloudfront.ErrorResponse(http_status=status, ttl=cdk.Duration.seconds(0))


def _sign_in_sources(users: UsersStack, store: s3.IBucket) -> tuple[str, ...]:
    """Return what a page that holds tokens may connect to beside the API: the hosted page, and images in S3."""
    s3_hosts = (f"s3.{cdk.Aws.URL_SUFFIX}", f"s3.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}")
    return users.hosted_page, *(f"https://{store.bucket_name}.{host}" for host in s3_hosts)
