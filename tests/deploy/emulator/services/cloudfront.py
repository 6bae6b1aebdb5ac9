"""MiniStack's CloudFront with its own gateway and S3. MiniStack 1.5.33 answers 502 for a host of AWS."""

import re
from typing import Any

from ministack.services import cloudfront


def route_to_gateway(port: int) -> None:
    """Send requests for an API to the gateway at `port`, which uses TLS and finds an API by the host name."""
    forward, connect_target = cloudfront._forward_to_origin, cloudfront._origin_connect_target

    def forward_to_origin(origin: dict[str, Any], *more: Any) -> Any:
        id, _, rest = origin["domain_name"].partition(".")
        is_api = rest.startswith("execute-api.")
        return forward({**origin, "domain_name": f"{id}.execute-api.localhost"} if is_api else origin, *more)

    def origin_connect_target(origin: dict[str, Any], viewer_is_https: bool) -> Any:
        is_api = origin["domain_name"].endswith(".execute-api.localhost")
        return ("127.0.0.1", port, True) if is_api else connect_target(origin, viewer_is_https)

    cloudfront._forward_to_origin, cloudfront._origin_connect_target = forward_to_origin, origin_connect_target


def allow_emulated_s3(port: int) -> None:
    """Where a page's policy names the host of a bucket, also allow the address at which this S3 has it."""
    apply_policy = cloudfront._apply_response_headers_policy

    def apply_with_s3(*arguments: Any) -> dict[str, str]:
        headers: dict[str, str] = apply_policy(*arguments)
        policy = headers.get("content-security-policy", "")
        allowed = re.sub(r"(https://[\w.-]+\.s3\.amazonaws\.com)\b", rf"\1 https://127.0.0.1:{port}", policy)
        return {**headers, "content-security-policy": allowed} if policy else headers

    cloudfront._apply_response_headers_policy = apply_with_s3
