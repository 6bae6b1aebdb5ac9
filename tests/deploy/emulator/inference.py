"""SageMaker's runtime: calls that wait, and calls whose input and answer lie in S3."""

import json
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from .container import split_uri
from .fleet import Endpoint, Fleet
from .service import ACCOUNT, REGION, Parameters, ServiceError

REALTIME_SECONDS = 60
ASYNC_SECONDS = 900
QUEUE_SECONDS = 21_600
FORWARDED = {
    "ContentType": "content-type", "Accept": "accept",
    "CustomAttributes": "x-amzn-sagemaker-custom-attributes", "InferenceId": "x-amzn-sagemaker-inference-id",
}  # fmt: skip
REALTIME_PARAMETERS = {"EndpointName", "Body", *FORWARDED}
ASYNC_PARAMETERS = {"EndpointName", "InputLocation", "RequestTTLSeconds", "InvocationTimeoutSeconds", *FORWARDED}


def container_headers(parameters: Parameters) -> dict[str, str]:
    return {header: parameters[name] for name, header in FORWARDED.items() if name in parameters}


class Runtime:
    """Invokes the endpoints that the control plane keeps in `endpoints`."""

    def __init__(self, endpoints: Mapping[str, Endpoint], clock: Callable[[], float] = time.time) -> None:
        self.endpoints, self.clock = endpoints, clock
        self.queue: queue.Queue[AsyncCall] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def invoke_endpoint(self, parameters: Parameters) -> Parameters:
        fleet = self._fleet(parameters, REALTIME_PARAMETERS, wants_async=False)
        reply = fleet.invoke(parameters.get("Body", b""), container_headers(parameters), REALTIME_SECONDS)
        variant = fleet.config["ProductionVariants"][0]["VariantName"]
        return {"Body": reply.body, "ContentType": reply.content_type, "InvokedProductionVariant": variant}

    def invoke_endpoint_async(self, parameters: Parameters) -> Parameters:
        fleet = self._fleet(parameters, ASYNC_PARAMETERS, wants_async=True)
        if "InputLocation" not in parameters:
            raise ServiceError("ValidationError", "InputLocation is required.")
        call = AsyncCall.accept(fleet.config["AsyncInferenceConfig"]["OutputConfig"], parameters, self.clock())
        self.queue.put(call)
        failure = {"FailureLocation": call.failure} if call.failure else {}
        return {"InferenceId": call.inference_id, "OutputLocation": call.output, **failure}

    def _fleet(self, parameters: Parameters, known: set[str], *, wants_async: bool) -> Fleet:
        name = parameters["EndpointName"]
        if unknown := parameters.keys() - known:
            raise ServiceError("ValidationError", f"{sorted(unknown)} is not in the stand-in")
        fleet = self.endpoints[name].fleet if name in self.endpoints else None
        if fleet is None:
            raise ServiceError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        if ("AsyncInferenceConfig" in fleet.config) != wants_async:
            told = "requires" if wants_async else "does not support this inference type; it requires"
            raise ServiceError("ValidationError", f"Endpoint {name} {told} an asynchronous configuration.")
        return fleet

    def _work(self) -> None:
        while True:
            call = self.queue.get()
            if fleet := self._awake(call):
                call.run(fleet)

    def _awake(self, call: "AsyncCall") -> Fleet | None:
        """The fleet for a call, once it has an instance; None where the call or the endpoint is gone by then."""
        while not call.expired(self.clock()):
            endpoint = self.endpoints.get(call.parameters["EndpointName"])
            if not endpoint or not endpoint.fleet or endpoint.fleet.instances:
                return endpoint.fleet if endpoint else None
            time.sleep(0.1)
        return None


@dataclass(frozen=True)
class AsyncCall:
    """One accepted asynchronous call, from the queue to its notification."""

    parameters: Parameters
    inference_id: str
    output: str
    failure: str
    topics: Mapping[str, str]
    received: float
    key: str = ""
    """Of KMS, for what is written."""

    @classmethod
    def accept(cls, output: Parameters, parameters: Parameters, now: float) -> "AsyncCall":
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
            content_type = self._answer(fleet)
        except (ServiceError, ClientError) as error:
            self._fail(fleet, f"{'ClientError' if 'client error' in str(error) else 'InternalServerError'}: {error}")
        else:
            answer = {"contentType": content_type, "outputLocation": self.output}
            self._notify(fleet, "SuccessTopic", "Completed", {"responseParameters": answer})

    def _answer(self, fleet: Fleet) -> str:
        bucket, key = split_uri(self.parameters["InputLocation"])
        body = fleet.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        seconds = self.parameters.get("InvocationTimeoutSeconds", ASYNC_SECONDS)
        reply = fleet.invoke(body, container_headers(self.parameters), seconds)
        self._put(fleet, self.output, reply.body, reply.content_type)
        return reply.content_type

    def _fail(self, fleet: Fleet, reason: str) -> None:
        if self.failure:
            self._put(fleet, self.failure, reason.encode(), "text/plain")
        self._notify(fleet, "ErrorTopic", "Failed", {"failureReason": reason})

    def _put(self, fleet: Fleet, location: str, body: bytes, content_type: str) -> None:
        bucket, key = split_uri(location)
        encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key} if self.key else {}
        fleet.s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, **encrypted)

    def _notify(self, fleet: Fleet, topic: str, status: str, outcome: Parameters) -> None:
        """A notification that is refused is lost: the service only counts it (NotificationFailures)."""
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
        told = ("Accept", "ContentType", "CustomAttributes", "EndpointName", "InputLocation")
        return {name[0].lower() + name[1:]: self.parameters[name] for name in told if name in self.parameters}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
