"""SageMaker's runtime: synchronous invocations, and asynchronous ones with input and output in S3."""

import json
import queue
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from ..aws_api.service import ACCOUNT, REGION, Parameters, ServiceError
from .container import split_uri
from .endpoint import Endpoint
from .fleet import Fleet

REALTIME_SECONDS = 60
ASYNC_SECONDS = 900
QUEUE_SECONDS = 21_600
FORWARDED = {
    "ContentType": "content-type", "Accept": "accept",
    "CustomAttributes": "x-amzn-sagemaker-custom-attributes", "InferenceId": "x-amzn-sagemaker-inference-id",
}  # fmt: skip
"""Parameters that reach the container, and their headers."""
REALTIME_PARAMETERS = {"EndpointName", "Body", *FORWARDED}
ASYNC_PARAMETERS = {"EndpointName", "InputLocation", "RequestTTLSeconds", "InvocationTimeoutSeconds", *FORWARDED}


def container_headers(parameters: Parameters) -> dict[str, str]:
    return {header: parameters[name] for name, header in FORWARDED.items() if name in parameters}


class Runtime:
    """Invokes the endpoints that the control plane keeps in `endpoints`.

    `backlog` counts the asynchronous invocations that wait or run, by endpoint.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], clock: Callable[[], float] = time.time) -> None:
        self.endpoints, self.clock = endpoints, clock
        self.queue: queue.Queue[AsyncInvocation] = queue.Queue()
        self.backlog: Counter[str] = Counter()
        threading.Thread(target=self._run_queue, daemon=True).start()

    def invoke_endpoint(self, parameters: Parameters) -> Parameters:
        fleet = self._fleet(parameters, REALTIME_PARAMETERS, wants_async=False)
        response = fleet.invoke(parameters.get("Body", b""), container_headers(parameters), REALTIME_SECONDS)
        variant = fleet.config["ProductionVariants"][0]["VariantName"]
        return {"Body": response.body, "ContentType": response.content_type, "InvokedProductionVariant": variant}

    def invoke_endpoint_async(self, parameters: Parameters) -> Parameters:
        fleet = self._fleet(parameters, ASYNC_PARAMETERS, wants_async=True)
        if "InputLocation" not in parameters:
            raise ServiceError("ValidationError", "InputLocation is required.")
        output_config = fleet.config["AsyncInferenceConfig"]["OutputConfig"]
        invocation = AsyncInvocation.accept(output_config, parameters, self.clock())
        self.backlog[parameters["EndpointName"]] += 1
        self.queue.put(invocation)
        failure = {"FailureLocation": invocation.failure_location} if invocation.failure_location else {}
        return {"InferenceId": invocation.inference_id, "OutputLocation": invocation.output_location, **failure}

    def _fleet(self, parameters: Parameters, known: set[str], *, wants_async: bool) -> Fleet:
        name = parameters["EndpointName"]
        if unknown := parameters.keys() - known:
            raise ServiceError("ValidationError", f"{sorted(unknown)} is not emulated")
        fleet = self.endpoints[name].fleet if name in self.endpoints else None
        if fleet is None:
            raise ServiceError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        if ("AsyncInferenceConfig" in fleet.config) != wants_async:
            reason = "requires" if wants_async else "does not support this inference type; it requires"
            raise ServiceError("ValidationError", f"Endpoint {name} {reason} an asynchronous configuration.")
        return fleet

    def _run_queue(self) -> None:
        while True:
            invocation = self.queue.get()
            if fleet := self._wait_for_instance(invocation):
                invocation.run(fleet)
            self.backlog[invocation.parameters["EndpointName"]] -= 1

    def _wait_for_instance(self, invocation: "AsyncInvocation") -> Fleet | None:
        """Return the fleet once it has an instance; None if the invocation expired or the endpoint was deleted."""
        while not invocation.expired(self.clock()):
            endpoint = self.endpoints.get(invocation.parameters["EndpointName"])
            if not endpoint or not endpoint.fleet or endpoint.fleet.instances:
                return endpoint.fleet if endpoint else None
            time.sleep(0.1)
        return None


@dataclass(frozen=True)
class AsyncInvocation:
    """One accepted asynchronous invocation, from the queue to its notification."""

    parameters: Parameters
    inference_id: str
    output_location: str
    failure_location: str
    topics: Mapping[str, str]
    received: float
    kms_key: str = ""
    """Encrypts the output."""

    @classmethod
    def accept(cls, output: Parameters, parameters: Parameters, now: float) -> "AsyncInvocation":
        name = str(uuid.uuid4())
        failures = output.get("S3FailurePath", "").rstrip("/")
        return cls(
            parameters,
            parameters.get("InferenceId", name),
            f"{output['S3OutputPath'].rstrip('/')}/{name}.out",
            f"{failures}/{name}-error.out" if failures else "",
            output.get("NotificationConfig", {}),
            now,
            output.get("KmsKeyId", ""),
        )

    def expired(self, now: float) -> bool:
        return now > self.received + int(self.parameters.get("RequestTTLSeconds", QUEUE_SECONDS))

    def run(self, fleet: Fleet) -> None:
        try:
            content_type = self._invoke(fleet)
        except (ServiceError, ClientError) as error:
            self._fail(fleet, f"{'ClientError' if 'client error' in str(error) else 'InternalServerError'}: {error}")
        else:
            parameters = {"contentType": content_type, "outputLocation": self.output_location}
            self._notify(fleet, "SuccessTopic", "Completed", {"responseParameters": parameters})

    def _invoke(self, fleet: Fleet) -> str:
        """Write the output to S3 and return its content type."""
        bucket, key = split_uri(self.parameters["InputLocation"])
        body = fleet.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        seconds = self.parameters.get("InvocationTimeoutSeconds", ASYNC_SECONDS)
        response = fleet.invoke(body, container_headers(self.parameters), seconds)
        self._put(fleet, self.output_location, response.body, response.content_type)
        return response.content_type

    def _fail(self, fleet: Fleet, reason: str) -> None:
        if self.failure_location:
            self._put(fleet, self.failure_location, reason.encode(), "text/plain")
        self._notify(fleet, "ErrorTopic", "Failed", {"failureReason": reason})

    def _put(self, fleet: Fleet, location: str, body: bytes, content_type: str) -> None:
        bucket, key = split_uri(location)
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key} if self.kms_key else {}
        fleet.s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, **encryption)

    def _notify(self, fleet: Fleet, topic: str, status: str, outcome: Parameters) -> None:
        """Publish the outcome. A refused notification is lost: SageMaker only counts it (NotificationFailures)."""
        if topic not in self.topics:
            return
        message = {
            "awsRegion": REGION, "eventTime": _iso(time.time()), "receivedTime": _iso(self.received),
            "invocationStatus": status, "requestParameters": self._request_parameters(), **outcome,
            "inferenceId": self.inference_id, "eventVersion": "1.0", "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }  # fmt: skip
        try:
            fleet.sns.publish(TopicArn=self.topics[topic], Message=json.dumps(message))
        except (ClientError, BotoCoreError) as error:
            print(f"the notification of {self.inference_id} was refused: {error}", file=sys.stderr)

    def _request_parameters(self) -> dict[str, str]:
        names = ("Accept", "ContentType", "CustomAttributes", "EndpointName", "InputLocation")
        return {name[0].lower() + name[1:]: self.parameters[name] for name in names if name in self.parameters}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
