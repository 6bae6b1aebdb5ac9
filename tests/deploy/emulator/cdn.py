"""The way from MiniStack's CloudFront to its own gateway: MiniStack 1.5.33 answers 502 for a host of AWS."""

from typing import Any

from ministack.services import cloudfront


def lead_to_gateway(port: int) -> None:
    """The gateway listens at `port` with TLS and knows an API by the name of the host, as on AWS."""
    forward, target = cloudfront._forward_to_origin, cloudfront._origin_connect_target

    def forwarded(origin: dict[str, Any], *more: Any) -> Any:
        id, _, rest = origin["domain_name"].partition(".")
        ours = rest.startswith("execute-api.")
        return forward({**origin, "domain_name": f"{id}.execute-api.localhost"} if ours else origin, *more)

    def reached(origin: dict[str, Any], viewer_is_https: bool) -> Any:
        ours = origin["domain_name"].endswith(".execute-api.localhost")
        return ("127.0.0.1", port, True) if ours else target(origin, viewer_is_https)

    cloudfront._forward_to_origin, cloudfront._origin_connect_target = forwarded, reached
