"""What a browser is told beside each file of the page."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from constructs import Construct

POLICY = Path(__file__).parents[2] / "web" / "content-security-policy.txt"
"""One directive a line; the laptop's gateway sends the same."""
YEAR = cdk.Duration.days(365)


class PageHeaders(cloudfront.ResponseHeadersPolicy):
    """The page may load only its own files, nobody may frame it, and the browser comes back by HTTPS alone."""

    def __init__(self, scope: Construct, id: str, *, name: str) -> None:
        policy = cloudfront.ResponseHeadersContentSecurityPolicy(
            content_security_policy="; ".join(POLICY.read_text().splitlines()), override=True
        )
        super().__init__(
            scope,
            id,
            response_headers_policy_name=name,
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_security_policy=policy,
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                frame_options=cloudfront.ResponseHeadersFrameOptions(
                    frame_option=cloudfront.HeadersFrameOption.DENY, override=True
                ),
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True
                ),
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=YEAR, override=True
                ),
            ),
        )
