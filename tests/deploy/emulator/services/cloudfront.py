"""Route from MiniStack's CloudFront to its own gateway. MiniStack 1.5.33 answers 502 for a host of AWS."""

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
