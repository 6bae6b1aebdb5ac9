"""What a run sees beside its steps: facts for the record. Where AWS refuses one, the record has its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from easel.cloud.account import aws_errors
from easel.cloud.prove.run import Facts, Run
from easel.cloud.stack_state import find_endpoint, resources_of
from easel.console.errors import CommandError

TOO_LARGE_BYTES = 11_000_000
"""More than API Gateway takes."""
BURST, BURST_THREADS = 40, 20
TRACE_MINUTES = 5.0
TRACE_HOURS = 6
ROLE = "AWS::IAM::Role"
VARIANT = "AllTraffic"
METRICS = "/aws/sagemaker/Endpoints"


def seen(name: str, look: Callable[[], str]) -> Facts:
    """Return what `look` sees as a fact, or why it saw nothing. An empty text is no fact."""
    try:
        text = look()
    except CommandError as error:
        text = f"not seen: {error.why or error}"
    return {name: text} if text else {}


def role_names(run: Run) -> str:
    """Return whether CloudFormation begins the names of roles with the whole name of their stack."""
    roles = [
        (stack, resource["PhysicalResourceId"])
        for stack in run.stack_statuses()
        for resource in resources_of(run.account, stack)
        if resource["ResourceType"] == ROLE
    ]
    cut = [name for stack, name in roles if not name.startswith(f"{stack}-")]
    return f"{len(roles) - len(cut)} of {len(roles)} begin with the stack's whole name" if roles else ""


def trace(run: Run) -> str:
    """Return the services in the trace of the newest job. Empty if tracing is off."""
    if "tracing=on" not in run.state.context:
        return ""
    (newest, *_) = run.service.call("GET", "/jobs").expect(200).json["jobs"]
    services = run.wait("Waiting for the trace", lambda: _traced(run, newest["id"]), TRACE_MINUTES)
    return ", ".join(sorted(services))


def _traced(run: Run, job: str) -> set[str]:
    now = datetime.now(UTC)
    with aws_errors():
        summaries = run.account.items(
            "xray", "get_trace_summaries", "TraceSummaries", StartTime=now - timedelta(hours=TRACE_HOURS), EndTime=now,
            FilterExpression=f'annotation.job = "{job}"',
        )  # fmt: skip
        return {str(service["Name"]) for summary in summaries for service in summary.get("ServiceIds", ())}


def large_body(run: Run) -> str:
    """Return the status of a request that is larger than API Gateway takes."""
    return str(run.service.call("POST", "/generate", {"prompt": "x" * TOO_LARGE_BYTES}).status)


def burst(run: Run) -> str:
    """Return the statuses of many requests at the same moment: the throttle refuses some."""
    with ThreadPoolExecutor(BURST_THREADS) as pool:
        calls = [pool.submit(run.service.call, "GET", "/models") for _ in range(BURST)]
        statuses = Counter(call.result().status for call in calls)
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))


def image_for_the_page(run: Run, url: str) -> str:
    """Return how S3 responds to the page that shows an image: status, region in the host, and CORS header."""
    reply = run.service.fetch(url, {"origin": run.service.site})
    origin = reply.headers.get("access-control-allow-origin")
    allowed = "allowed" if origin in ("*", run.service.site) else "refused"
    host = "of the region" if f".{run.state.region}." in url else "without the region"
    return f"{reply.status} from a host {host}, {allowed} by CORS"


def processor(run: Run) -> str:
    """Return the least and the most that a minute used of the container's processors."""
    endpoint, now = find_endpoint(run.account).endpoint, datetime.now(UTC)
    dimensions = {"EndpointName": endpoint, "VariantName": VARIANT}
    with aws_errors():
        points = run.account.client("cloudwatch").get_metric_statistics(
            Namespace=METRICS, MetricName="CPUUtilization", Statistics=["Average"], Period=60,
            StartTime=now - timedelta(hours=2), EndTime=now,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        )["Datapoints"]  # fmt: skip
    values = sorted(point["Average"] for point in points)
    return f"{values[0]:.1f} to {values[-1]:.1f} % of a core" if values else ""


def scalable_target(run: Run, endpoint: str) -> str:
    """Return whether autoscaling still knows the variant of an endpoint."""
    resource = f"endpoint/{endpoint}/variant/{VARIANT}"
    with aws_errors():
        targets = run.account.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[resource]
        )["ScalableTargets"]
    return "still registered" if targets else "forgotten"
