"""The stand-ins of SageMaker and autoscaling, asked by botocore: what they answer is what it documents."""

import functools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.deploy.door import Door
from tests.deploy.emulator.autoscaling import DIMENSION, AutoScaling
from tests.deploy.emulator.buckets import Buckets
from tests.deploy.emulator.fleet import Hold
from tests.deploy.emulator.inference import Runtime
from tests.deploy.emulator.rights import Right
from tests.deploy.emulator.sagemaker import SageMaker
from tests.deploy.emulator.service import ACCOUNT, REGION, Service, ServiceError
from tests.deploy.emulator.wire import Gateway

PROGRAM = """
import http.server, json, pathlib, sys, time
folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
told = json.loads((folder / "code" / "behaviour.json").read_text())
if told.get("exit"): raise SystemExit(3)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self): self.send(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if body == b"die": sys.exit(1) if __import__("os")._exit(1) else None
        time.sleep(told.get("sleep", 0))
        self.send(told.get("status", 200), self.headers.get("x-amzn-sagemaker-inference-id", "").encode() + body)
    def send(self, status, body):
        self.send_response(status); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
ROLE = f"arn:aws:iam::{ACCOUNT}:role/execution"
AUTOSCALING = "application-autoscaling"
SOURCE = {"S3Uri": "s3://store/releases/1/", "S3DataType": "S3Prefix", "CompressionType": "None"}
NOT_MODELLED = {"ValidationException", "UnknownOperationException", "AccessDeniedException"}
"""What every AWS service answers, whether its model says so or not."""


class Folder:
    """As much of S3, SNS and CloudWatch as an endpoint needs."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.ringing: set[str] = set()

    def client(self, _: str) -> "Folder":
        return self

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=self.pages)

    def pages(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        yield {"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}

    def download_file(self, bucket: str, key: str, path: str) -> None:
        Path(path).write_bytes(self.objects[key])

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "The key does not exist."}}, "GetObject")
        return {"Body": SimpleNamespace(read=lambda: self.objects[Key])}

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:  # noqa: N803
        self.objects[Key] = Body

    def publish(self, TopicArn: str, Message: str) -> None:  # noqa: N803
        self.published.append((TopicArn.rsplit(":", 1)[-1], json.loads(Message)))

    def describe_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:  # noqa: N803
        states = {True: "ALARM", False: "OK"}
        told = [{"AlarmName": name, "StateValue": states[name in self.ringing]} for name in AlarmNames]
        return {"MetricAlarms": told}


class World:
    """Fresh stand-ins behind the door."""

    def __init__(self, door: Door, folder: Path) -> None:
        self.store, self.now, self.denied = Folder(), time.time(), ""
        self.counted: list[str] = []
        self.folder, self.roles = folder, {ROLE}
        program = (sys.executable, "-c", PROGRAM, "{model_dir}", "{port}")
        self.control = SageMaker(
            program, self.act_as, self.permit, Hold(folder), lambda metric, _: self.counted.append(metric)
        )
        planes = [
            Service("sagemaker", self.control),
            Service("application-autoscaling", AutoScaling(self.control.endpoints)),
        ]
        runtime = Service("sagemaker-runtime", Runtime(self.control.endpoints, lambda: self.now))
        door.gateway = Gateway(runtime, planes, self.authorize)
        self.clients = door.clients
        self.sagemaker, self.runtime, self.scaling = door.clients.values()

    def authorize(self, path: str, headers: Mapping[str, str], body: bytes, action: str, resource: str) -> None:
        if action == self.denied:
            raise ServiceError("AccessDeniedException", f"not authorized to perform: {action} on resource: {resource}")

    def act_as(self, role: str) -> Any:
        if role not in self.roles:
            raise ServiceError("ValidationException", f"Could not assume role {role}.")
        return self.store

    def permit(self, role: str, rights: Sequence[Right]) -> None:
        if self.denied in {action for action, *_ in rights}:
            raise ServiceError("ValidationException", f"{role} may not {self.denied}")

    @contextmanager
    def hold(self, status: str) -> Iterator[None]:
        (self.folder / status).touch()
        yield
        (self.folder / status).unlink()

    @property
    def status(self) -> str:
        return str(self.sagemaker.describe_endpoint(EndpointName="Endpoint")["EndpointStatus"])

    def gone(self) -> bool:
        """Waits for the end of a deletion."""
        while found := self.sagemaker.list_endpoints()["Endpoints"]:
            assert found[0]["EndpointStatus"] == "Deleting"
            time.sleep(0.05)
        return True

    def model(self, **environment: str) -> None:
        container = {"Image": "image", "ModelDataSource": {"S3DataSource": SOURCE}, "Environment": environment}
        self.sagemaker.create_model(ModelName="Model", ExecutionRoleArn=ROLE, PrimaryContainer=container)

    def config(self, name: str = "Config", asynchronous: bool = False, **own: Any) -> None:
        topics = {kind: f"arn:aws:sns:{REGION}:{ACCOUNT}:{kind}" for kind in ("SuccessTopic", "ErrorTopic")}
        paths = {"S3OutputPath": "s3://store/answers", "S3FailurePath": "s3://store/failures"}
        output = {"OutputConfig": {**paths, "NotificationConfig": topics}}
        one = {
            "VariantName": "AllTraffic",
            "ModelName": "Model",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
        more = {"AsyncInferenceConfig": output, **own} if asynchronous else own
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[one], **more)

    def endpoint(self, asynchronous: bool = False, queue: str = "4", **behaviour: Any) -> dict[str, Any]:
        """The description of the endpoint `Endpoint` once it is up or has failed."""
        self.store.objects["releases/1/code/behaviour.json"] = json.dumps(behaviour).encode()
        self.model(MMS_JOB_QUEUE_SIZE=queue)
        self.config(asynchronous=asynchronous)
        self.sagemaker.create_endpoint(EndpointName="Endpoint", EndpointConfigName="Config")
        return self.settled()

    def settled(self) -> dict[str, Any]:
        while True:
            found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName="Endpoint")
            if found["EndpointStatus"] not in ("Creating", "Updating"):
                return found
            time.sleep(0.05)

    def call_async(self, body: bytes, **more: Any) -> dict[str, Any]:
        self.store.objects["jobs/1/request.json"] = body
        told = {"InputLocation": "s3://store/jobs/1/request.json", "InferenceId": "owner-1", **more}
        answer: dict[str, Any] = self.runtime.invoke_endpoint_async(EndpointName="Endpoint", **told)
        return answer

    def notice(self) -> tuple[str, dict[str, Any]]:
        end = time.monotonic() + 20
        while not self.store.published and time.monotonic() < end:
            time.sleep(0.05)
        return self.store.published.pop()


@pytest.fixture
def world(door: Door, tmp_path: Path) -> Iterator[World]:
    made = World(door, tmp_path)
    yield made
    for endpoint in list(made.control.endpoints.values()):
        endpoint.end()


def refused(world: World, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    """The error's response; its code is one that botocore documents for the operation."""
    client = world.clients[service]
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**parameters)
    response: dict[str, Any] = caught.value.response
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
    assert response["Error"]["Code"] in {shape.name for shape in model.error_shapes} | NOT_MODELLED
    assert response["Error"]["Message"]
    return response


# --- control plane -------------------------------------------------------------------------------


def test_an_operation_that_is_not_there_is_an_error(world: World) -> None:
    assert refused(world, "sagemaker", "list_apps")["Error"]["Code"] == "UnknownOperationException"
    assert refused(world, "application-autoscaling", "describe_scaling_activities", ServiceNamespace="sagemaker")


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ({"InstanceType": "ml.nothing.large"}, "enum value set"),
        ({"VariantName": "a_b"}, "regular expression"),
        ({"InitialInstanceCount": "one"}, "Invalid type"),
        ({"ContainerStartupHealthCheckTimeoutInSeconds": 3601}, "less than or equal to 3600"),
        ({"ContainerStartupHealthCheckTimeoutInSeconds": 59}, "valid min value: 60"),
        ({"ModelName": "Nobody"}, "Could not find model"),
    ],
)
def test_a_configuration_that_aws_would_refuse(world: World, variant: dict[str, Any], told: str) -> None:
    world.model()
    one = {"VariantName": "AllTraffic", "ModelName": "Model", "InitialInstanceCount": 1, **variant}
    answer = refused(world, "sagemaker", "create_endpoint_config", EndpointConfigName="c", ProductionVariants=[one])
    assert told in answer["Error"]["Message"]


def test_a_parameter_that_aws_does_not_know(world: World) -> None:
    with pytest.raises(ServiceError, match="Unknown parameter"):
        Service("sagemaker", world.control).call("CreateModel", {"ModelName": "m", "Color": "red"})


def test_a_variable_is_at_most_1024_characters(world: World) -> None:
    world.model(FITS="x" * 1024)
    container = {"Image": "image", "Environment": {"LONG": "x" * 1025}}
    answer = refused(world, "sagemaker", "create_model", ModelName="m", PrimaryContainer=container)
    assert "1024" in answer["Error"]["Message"]


def test_names_are_taken_once_and_known_afterwards(world: World) -> None:
    world.model()
    answer = refused(world, "sagemaker", "create_model", ModelName="Model")
    assert f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/model" in answer["Error"]["Message"]
    world.sagemaker.delete_model(ModelName="Model")
    assert "Could not find" in refused(world, "sagemaker", "delete_model", ModelName="Model")["Error"]["Message"]
    assert world.sagemaker.list_models()["Models"] == []


def test_a_container_that_exits_fails_the_endpoint(world: World) -> None:
    found = world.endpoint(exit=True)
    assert found["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in found["FailureReason"]


def test_an_endpoint_fails_without_the_right_to_the_key_of_its_disk(world: World) -> None:
    world.model()
    world.denied = "kms:CreateGrant"
    world.config(KmsKeyId=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1")
    world.sagemaker.create_endpoint(EndpointName="Endpoint", EndpointConfigName="Config")
    found = world.settled()
    assert (found["EndpointStatus"], found["FailureReason"]) == ("Failed", f"{ROLE} may not kms:CreateGrant")


def test_an_update_that_fails_keeps_the_old_fleet(world: World) -> None:
    world.endpoint()
    world.config("Second")
    world.store.objects["releases/1/code/behaviour.json"] = b'{"exit": true}'
    world.sagemaker.update_endpoint(EndpointName="Endpoint", EndpointConfigName="Second")
    found = world.settled()
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "Config")
    assert found["FailureReason"]
    assert world.runtime.invoke_endpoint(EndpointName="Endpoint", Body=b"x")["Body"].read() == b"x"


@pytest.mark.parametrize("status", ["Updating", "SystemUpdating", "RollingBack"])
def test_an_endpoint_on_its_way_is_neither_changed_nor_deleted(world: World, status: str) -> None:
    world.endpoint()
    counts = {"DesiredWeightsAndCapacities": [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]}
    calls: dict[str, dict[str, Any]] = {
        "delete_endpoint": {}, "update_endpoint": {"EndpointConfigName": "Config"},
        "update_endpoint_weights_and_capacities": counts,
    }  # fmt: skip
    with world.hold(status):
        if status == "Updating":
            world.sagemaker.update_endpoint_weights_and_capacities(EndpointName="Endpoint", **counts)
        assert world.status == status
        for call, more in calls.items():
            answer = refused(world, "sagemaker", call, EndpointName="Endpoint", **more)
            assert answer["Error"]["Message"].startswith('Cannot update in-progress endpoint "arn:aws:sagemaker:')
    assert world.settled()["EndpointStatus"] == "InService"
    world.sagemaker.delete_endpoint(EndpointName="Endpoint")
    assert world.gone()


def test_an_endpoint_that_is_created_is_not_deleted_before_it_failed(world: World) -> None:
    with world.hold("Creating"):
        world.store.objects["releases/1/code/behaviour.json"] = b'{"exit": true}'
        world.model()
        world.config()
        world.sagemaker.create_endpoint(EndpointName="Endpoint", EndpointConfigName="Config")
        assert (
            "in-progress" in refused(world, "sagemaker", "delete_endpoint", EndpointName="Endpoint")["Error"]["Message"]
        )
    assert world.settled()["EndpointStatus"] == "Failed"
    assert refused(world, "sagemaker", "update_endpoint", EndpointName="Endpoint", EndpointConfigName="Config")
    with world.hold("Deleting"):
        world.sagemaker.delete_endpoint(EndpointName="Endpoint")
        assert world.status == "Deleting"
        assert refused(world, "sagemaker", "create_endpoint", EndpointName="Endpoint", EndpointConfigName="Config")
    assert world.gone()


@pytest.mark.parametrize("status", ["UpdateRollbackFailed", "OutOfService"])
def test_what_failed_later_can_be_deleted(world: World, status: str) -> None:
    world.endpoint()
    with world.hold(status):
        assert world.status == status
        world.sagemaker.delete_endpoint(EndpointName="Endpoint")
    assert world.gone()


def test_an_endpoint_is_not_deleted_without_its_role(world: World) -> None:
    world.endpoint()
    world.roles.clear()
    assert "assume role" in refused(world, "sagemaker", "delete_endpoint", EndpointName="Endpoint")["Error"]["Message"]


WATCHED = {
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "Refusing"}, {"AlarmName": "Crashing"}]},
    "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}},
}


@pytest.mark.parametrize("rings", [True, False])
def test_a_watched_update_goes_back_when_an_alarm_rings(world: World, rings: bool) -> None:
    world.endpoint()
    world.config("Second")
    world.store.objects["releases/1/code/behaviour.json"] = b'{"status": 400}'
    world.sagemaker.update_endpoint(EndpointName="Endpoint", EndpointConfigName="Second", DeploymentConfig=WATCHED)
    while world.sagemaker.describe_endpoint(EndpointName="Endpoint")["EndpointConfigName"] != "Second":
        time.sleep(0.05)
    assert world.status == "Updating"
    refused(world, "sagemaker-runtime", "invoke_endpoint", EndpointName="Endpoint", Body=b"x")
    assert world.counted == ["Invocation4XXErrors"]
    world.store.ringing = {"Crashing"} if rings else {"another"}
    found = world.settled()
    assert found["EndpointConfigName"] == ("Config" if rings else "Second")
    assert found.get("FailureReason", "").endswith("ALARM: Crashing.") is rings


# --- runtime -------------------------------------------------------------------------------------


def test_a_call_reaches_the_container_with_its_id(world: World) -> None:
    world.endpoint()
    answer = world.runtime.invoke_endpoint(EndpointName="Endpoint", Body=b"in", InferenceId="id-")
    assert answer["Body"].read() == b"id-in"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_an_unknown_endpoint_is_a_validation_error(world: World) -> None:
    answer = refused(world, "sagemaker-runtime", "invoke_endpoint", EndpointName="Nobody", Body=b"x")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"]["Message"] == f"Endpoint Nobody of account {ACCOUNT} not found."


def test_what_the_container_refuses_is_a_model_error(world: World) -> None:
    world.endpoint(status=400)
    answer = refused(world, "sagemaker-runtime", "invoke_endpoint", EndpointName="Endpoint", Body=b"bad")
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (424, "ModelError")
    assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (400, "bad")


def test_a_container_that_dies_is_started_again(world: World) -> None:
    world.endpoint()
    answer = refused(world, "sagemaker-runtime", "invoke_endpoint", EndpointName="Endpoint", Body=b"die")
    assert answer["OriginalStatusCode"] == 500
    assert world.runtime.invoke_endpoint(EndpointName="Endpoint", Body=b"x")["Body"].read() == b"x"


def test_calls_beyond_the_queue_are_turned_away_at_once(world: World) -> None:
    world.endpoint(queue="1", sleep=1)
    call = functools.partial(world.runtime.invoke_endpoint, EndpointName="Endpoint", Body=b"x")
    with ThreadPoolExecutor() as pool:
        held = [pool.submit(call) for _ in range(2)]
        time.sleep(0.5)
        answer = refused(world, "sagemaker-runtime", "invoke_endpoint", EndpointName="Endpoint", Body=b"x")
        assert not any(one.done() for one in held)
        assert [one.result()["Body"].read() for one in held] == [b"x", b"x"]
    assert (answer["OriginalStatusCode"], world.counted) == (503, ["Invocation5XXErrors"])
    assert call()["Body"].read() == b"x"


def test_the_two_modes_exclude_each_other(world: World) -> None:
    world.endpoint(asynchronous=True)
    assert refused(world, "sagemaker-runtime", "invoke_endpoint", EndpointName="Endpoint", Body=b"x")
    world.sagemaker.delete_endpoint(EndpointName="Endpoint")
    assert world.gone()
    world.config("Realtime")
    world.sagemaker.create_endpoint(EndpointName="Endpoint", EndpointConfigName="Realtime")
    world.settled()
    where = "s3://store/jobs/1/request.json"
    assert refused(world, "sagemaker-runtime", "invoke_endpoint_async", EndpointName="Endpoint", InputLocation=where)


def test_iam_decides_about_the_endpoint(world: World) -> None:
    world.denied = "sagemaker:InvokeEndpoint"
    answer = refused(world, "sagemaker-runtime", "invoke_endpoint", EndpointName="Endpoint", Body=b"x")
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (403, "AccessDeniedException")
    assert answer["Error"]["Message"].endswith(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/endpoint")


# --- asynchronous calls --------------------------------------------------------------------------


def test_an_answer_lies_in_the_store_and_is_told(world: World) -> None:
    world.endpoint(asynchronous=True)
    accepted = world.call_async(b"in", ContentType="application/json")
    topic, message = world.notice()
    assert (topic, message["invocationStatus"], message["inferenceId"]) == ("SuccessTopic", "Completed", "owner-1")
    assert message["requestParameters"]["inputLocation"] == "s3://store/jobs/1/request.json"
    assert message["responseParameters"]["outputLocation"] == accepted["OutputLocation"]
    assert world.store.objects[accepted["OutputLocation"].removeprefix("s3://store/")] == b"owner-1in"


@pytest.mark.parametrize(
    ("behaviour", "body", "reason"),
    [({"status": 400}, b"bad", "client error (400)"), ({}, b"die", "(500)"), ({"sleep": 3}, b"slow", "timed out")],
)
def test_a_failure_lies_in_the_store_and_is_told(
    world: World, behaviour: dict[str, Any], body: bytes, reason: str
) -> None:
    world.endpoint(asynchronous=True, **behaviour)
    accepted = world.call_async(body, InvocationTimeoutSeconds=1)
    topic, message = world.notice()
    assert (topic, message["invocationStatus"], message["inferenceId"]) == ("ErrorTopic", "Failed", "owner-1")
    assert reason in message["failureReason"]
    assert (
        world.store.objects[accepted["FailureLocation"].removeprefix("s3://store/")].decode()
        == message["failureReason"]
    )


def test_an_input_that_is_not_there_is_a_failure(world: World) -> None:
    world.endpoint(asynchronous=True)
    world.call_async(b"x", InputLocation="s3://store/nothing.json")
    assert "NoSuchKey" in world.notice()[1]["failureReason"]


def test_a_call_that_waited_too_long_is_dropped(world: World) -> None:
    world.endpoint(asynchronous=True, sleep=0.5)
    world.call_async(b"first")
    world.call_async(b"late", RequestTTLSeconds=60, InferenceId="owner-2")
    world.now += 61
    assert world.notice()[1]["inferenceId"] == "owner-1"
    time.sleep(1)
    assert world.store.published == []


@pytest.mark.parametrize("more", [{"RequestTTLSeconds": 59}, {"InvocationTimeoutSeconds": 3601}, {"Filename": "x.out"}])
def test_an_asynchronous_call_that_is_refused(world: World, more: dict[str, Any]) -> None:
    world.endpoint(asynchronous=True)
    told = {"EndpointName": "Endpoint", "InputLocation": "s3://store/jobs/1/request.json", **more}
    assert refused(world, "sagemaker-runtime", "invoke_endpoint_async", **told)["Error"]["Code"] == "ValidationError"


def test_at_zero_instances_a_call_waits(world: World) -> None:
    world.endpoint(asynchronous=True)

    def scale(count: int) -> int:
        wanted = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
        world.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="Endpoint", DesiredWeightsAndCapacities=wanted
        )
        return int(world.settled()["ProductionVariants"][0]["CurrentInstanceCount"])

    assert scale(0) == 0
    world.call_async(b"in")
    time.sleep(0.3)
    assert world.store.published == []
    assert scale(1) == 1
    assert world.notice()[0] == "SuccessTopic"


# --- autoscaling ---------------------------------------------------------------------------------

TARGET = {
    "ServiceNamespace": "sagemaker", "ResourceId": "endpoint/Endpoint/variant/AllTraffic",
    "ScalableDimension": DIMENSION,
}  # fmt: skip


def test_a_target_needs_an_endpoint_that_may_have_so_few(world: World) -> None:
    sizes = {"MinCapacity": 0, "MaxCapacity": 1}
    assert (
        "not found"
        in refused(world, "application-autoscaling", "register_scalable_target", **TARGET, **sizes)["Error"]["Message"]
    )
    world.endpoint()
    answer = refused(world, "application-autoscaling", "register_scalable_target", **TARGET, **sizes)
    assert "Minimum capacity" in answer["Error"]["Message"]


def test_policies_come_and_go_with_their_target(world: World) -> None:
    world.endpoint(asynchronous=True)
    policy = {**TARGET, "PolicyName": "Wake", "PolicyType": "StepScaling"}
    missing = refused(world, "application-autoscaling", "put_scaling_policy", **policy)
    assert missing["Error"]["Code"] == "ObjectNotFoundException"
    world.scaling.register_scalable_target(**TARGET, MinCapacity=0, MaxCapacity=1)
    assert world.scaling.put_scaling_policy(**policy)["PolicyARN"].endswith("policyName/Wake")
    world.scaling.deregister_scalable_target(**TARGET)
    assert world.scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []


# --- buckets -------------------------------------------------------------------------------------


class Bucket:
    """A client of a bucket that holds `versions`."""

    def __init__(self, *versions: str) -> None:
        self.versions = list(versions)
        self.exceptions = SimpleNamespace(NoSuchBucket=KeyError)

    def list_object_versions(self, **_: Any) -> dict[str, Any]:
        return {"Versions": self.versions}


def test_a_full_bucket_is_not_deleted() -> None:
    deleted: list[str] = []
    inner = {"delete": lambda name, _: deleted.append(name)}
    with pytest.raises(ValueError, match="not empty"):
        Buckets(inner, lambda _: Bucket("one")).delete("store", {})
    Buckets(inner, lambda _: Bucket()).delete("store", {})
    assert deleted == ["store"]


def test_what_a_template_says_of_a_bucket_is_told_to_s3() -> None:
    said: dict[str, Any] = {}

    class S3:
        def __getattr__(self, name: str) -> Any:
            return lambda Bucket, **told: said.update({name: next(iter(told.values()), None)})  # noqa: N803

    inner: dict[str, Any] = {"create": lambda *_: ("store", {})}
    key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn"}
    told = {
        "LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "Prefix": "jobs/", "ExpirationInDays": "14"}]},
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": key, "BucketKeyEnabled": "true"}]
        },
    }
    Buckets(inner, lambda _: S3()).create("Store", told, "stack")
    rule = {"Status": "Enabled", "Filter": {"Prefix": "jobs/"}, "Expiration": {"Days": 14}}
    assert said["put_bucket_lifecycle_configuration"] == {"Rules": [rule]}
    default = {"ApplyServerSideEncryptionByDefault": key, "BucketKeyEnabled": True}
    assert said["put_bucket_encryption"] == {"Rules": [default]}
    Buckets({"update": inner["create"]}, lambda _: S3()).update("store", told, {}, "stack")
    assert {"delete_bucket_lifecycle", "delete_bucket_encryption"} <= said.keys()


def test_a_bucket_name_follows_the_rules() -> None:
    with pytest.raises(ValueError, match="uppercase"):
        Buckets({}, lambda _: Bucket()).create("Store", {"BucketName": "Store"}, "stack")
