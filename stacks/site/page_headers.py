"""The security headers of the page's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from constructs import Construct

POLICY = Path(__file__).parents[2] / "web" / "content-security-policy.txt"
"""One directive a line. The laptop's gateway sends the same policy."""
YEAR = cdk.Duration.days(365)


CONNECTIONS = "connect-src"


class PageHeaders(cloudfront.ResponseHeadersPolicy):
    """The page loads only its own files, cannot be framed, and is requested by HTTPS only.

    `sources`: all that it may connect to beside its own address; None: whatever the user enters in its settings.
    """

    def __init__(self, scope: Construct, id: str, *, name: str, sources: Sequence[str] | None) -> None:
        directives = POLICY.read_text().splitlines()
        if sources is not None:
            own = " ".join((CONNECTIONS, "'self'", "blob:", *sources))
            directives = [own if line.startswith(f"{CONNECTIONS} ") else line for line in directives]
        policy = cloudfront.ResponseHeadersContentSecurityPolicy(
            content_security_policy="; ".join(directives), override=True
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
