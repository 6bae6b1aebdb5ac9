"""The import of a model while the stack is deployed, and what becomes of older releases."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Annotations, Match, Template
from aws_cdk.aws_s3 import Bucket
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from custom_resources import model_import, release_expiry
from stacks.config.catalogue import read_model
from stacks.config.settings import Settings, SettingsError
from stacks.model.release.model_import import IMPORT_MINUTES, QUEUE_MINUTES, WAIT_MINUTES, ModelImport, _allow_secret
from tests.conftest import ROOT
from tests.stacks.assembly import HUB, Assembly

PROJECT = "AWS::CodeBuild::Project"


# --- the template --------------------------------------------------------------------------------


def test_codebuild_runs_the_importer_within_a_bound(hub: Assembly) -> None:
    project = hub.only(PROJECT)
    assert json.loads(project["Source"]["BuildSpec"])["phases"] == {"build": {"commands": ["python3 -m importer"]}}
    assert project["Artifacts"] == {"Type": "NO_ARTIFACTS"}
    assert project["Environment"]["Type"] == "LINUX_CONTAINER"
    assert "PrivilegedMode" not in project["Environment"]
    assert project["TimeoutInMinutes"] + project["QueuedTimeoutInMinutes"] == IMPORT_MINUTES + QUEUE_MINUTES
    assert IMPORT_MINUTES + QUEUE_MINUTES < WAIT_MINUTES
    assert hub.only("Custom::EaselImport")["ServiceTimeout"] == str(WAIT_MINUTES * 60)


def test_what_is_asked_has_the_source_and_no_token(hub: Assembly) -> None:
    request = json.loads(hub.only("Custom::EaselImport")["Request"])
    assert request["source"] == {**HUB, "parts": {}}
    assert (request["hub_url"], request["token_secret"]) == ("https://huggingface.co", "hub-token")
    assert len(json.dumps(request)) < 3000  # CodeBuild takes about 5,500 characters for all variables


@pytest.mark.parametrize(
    ("gated", "secret", "told"), [(True, "", True), (True, "hub-token", False), (False, "", False)]
)
def test_a_gated_model_without_a_token_is_told_of_before_the_deploy(gated: bool, secret: str, told: bool) -> None:
    stack = cdk.Stack()
    ModelImport(
        stack, "Import", settings=Settings(hub_token_secret=secret), bucket=Bucket(stack, "Store"),
        model=dataclasses.replace(read_model("sd-1.5", ROOT), gated=gated), code="0" * 16,
    )  # fmt: skip
    said = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("hub_token_secret names none"))
    assert bool(said) is told


def test_the_release_waits_for_the_import(hub: Assembly) -> None:
    (imported,) = hub.resources("Custom::EaselImport")
    release = hub.only("Custom::EaselRelease")
    assert release["Prefix"] == {"Fn::GetAtt": [imported, "Prefix"]}
    assert [part["Below"] for part in release["Parts"]] == ["code/"]


def test_a_secret_may_be_named_by_its_arn_with_or_without_the_characters_behind_its_name() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hub-token"
    role = iam.Role(cdk.Stack(), "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))
    _allow_secret(role, arn)
    (policy,) = Template.from_stack(cdk.Stack.of(role)).find_resources("AWS::IAM::Policy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Resource"] == [arn, f"{arn}-??????"]


def test_the_import_may_read_the_one_secret(hub: Assembly) -> None:
    allowed = [
        statement
        for policy in hub.resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "secretsmanager:GetSecretValue"
    ]
    (statement,) = allowed
    assert statement["Resource"]["Fn::Join"][1][-1] == ":secret:hub-token-??????"


def test_the_log_of_the_import_has_a_name_that_is_told_beforehand(hub: Assembly) -> None:
    names = [group["Properties"].get("LogGroupName") for group in hub.resources("AWS::Logs::LogGroup").values()]
    assert "/easel/EaselModel/import" in names
    assert "aws logs tail /easel/EaselModel/import --follow" in (hub.folder / "manifest.json").read_text() + "".join(
        path.read_text() for path in hub.folder.glob("*.metadata.json")
    )


def test_a_folder_needs_no_build(default: Assembly) -> None:
    assert default.resources(PROJECT) == {}


@pytest.mark.parametrize("secret", ["hf_abc", "a b", "arn:aws:s3:::x", "x" * 513])
def test_a_secret_is_named_and_never_given(secret: str) -> None:
    with pytest.raises(SettingsError, match="never the token itself"):
        Settings(hub_token_secret=secret)


@pytest.mark.parametrize("url", ["http://hub", "https://", "https://hub?x", "hub"])
def test_a_token_goes_out_encrypted_only(url: str) -> None:
    with pytest.raises(SettingsError, match="hub_url looks like"):
        Settings(hub_url=url)


# --- following the build -------------------------------------------------------------------------


class LimitError(Exception):
    pass


class CodeBuild:
    """Answers what it is told, in turn; `asked` are the calls that change something. `before` is an older build."""

    class exceptions:  # noqa: N801
        AccountLimitExceededException = LimitError

    def __init__(self, *builds: dict[str, Any]) -> None:
        self.builds, self.before = list(builds), dict[str, Any]()
        self.asked: list[dict[str, Any]] = []

    def start_build(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        return {"build": {"id": "project:1"}}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        if ids == ["project:0"]:
            return {"builds": [{"id": "project:0", **self.before}]}
        assert ids == ["project:1"]
        return {"builds": [{"id": "project:1", "timeoutInMinutes": 50, **self.builds.pop(0)}]}

    def list_builds_for_project(self, projectName: str) -> dict[str, Any]:  # noqa: N803
        return {"ids": [f"{projectName}:0"] if self.before else []}

    def stop_build(self, id: str) -> None:
        self.asked.append({"stopped": id})


class Context:
    log_stream_name, invoked_function_arn = "stream", "arn:follower"

    def __init__(self, *remaining: int) -> None:
        self.remaining = list(remaining)

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining.pop(0) if self.remaining else 900_000


class Lambda:
    def __init__(self) -> None:
        self.invoked: list[dict[str, Any]] = []

    def invoke(self, **asked: Any) -> None:
        self.invoked.append(asked)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="store")
        yield client


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What CloudFormation was told."""
    sent: list[dict[str, Any]] = []

    def urlopen(request: Any, timeout: float) -> io.BytesIO:
        sent.append(json.loads(request.data))
        return io.BytesIO()

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return sent


def event(kind: str = "Create", **more: Any) -> dict[str, Any]:
    request = {"code": "c0de", "source": HUB, "hub_url": "https://hub"}
    return {
        "RequestType": kind,
        "ResponseURL": "https://cloudformation/answer",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Import",
        "ResourceProperties": {"Bucket": "store", "Project": "project", "Request": json.dumps(request)},
        **more,
    }


def follow(monkeypatch: pytest.MonkeyPatch, build: CodeBuild, asked: dict[str, Any], context: Context) -> Lambda:
    function, real = Lambda(), boto3.client
    made = {"codebuild": build, "lambda": function}
    monkeypatch.setattr(boto3, "client", lambda name, **more: made.get(name) or real(name, **more))
    model_import.handler(asked, context)
    return function


def put_state(s3: Any, **state: Any) -> None:
    body = {"message": "3 of 17 files, 1.20 of 4.57 GB, 96.3 MB/s", **state}
    s3.put_object(Bucket="store", Key="imports/request.json", Body=json.dumps(body))


def test_an_import_is_started_followed_and_told(
    s3: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_state(s3, prefix="releases/0123456789abcdef/", commits={"org/model": "c" * 40}, licence="mit")
    build = CodeBuild({"buildStatus": "IN_PROGRESS"}, {"buildStatus": "SUCCEEDED"})
    follow(monkeypatch, build, event(), Context())
    (started,) = build.asked
    (variable,) = started["environmentVariablesOverride"]
    assert (started["projectName"], started["idempotencyToken"]) == ("project", "request")
    assert json.loads(variable["value"]) == {
        "code": "c0de", "source": HUB, "hub_url": "https://hub", "bucket": "store", "state": "imports/request.json"
    }  # fmt: skip
    (answered,) = told
    assert (answered["Status"], answered["PhysicalResourceId"]) == ("SUCCESS", "releases/0123456789abcdef/")
    assert answered["Data"]["Prefix"] == "releases/0123456789abcdef/"
    assert answered["Data"]["Commits"] == "org/model@" + "c" * 40
    assert "1.20 of 4.57 GB, 96.3 MB/s" in capsys.readouterr().out


def test_an_answer_fits_what_cloudformation_takes(
    s3: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a hub calls its licence, and in whatever letters something failed."""
    put_state(
        s3, prefix="releases/0123456789abcdef/", commits={"org/" + "m" * 5000: "c" * 40}, licence="\ud83d熊" * 5000
    )
    follow(monkeypatch, CodeBuild({"buildStatus": "SUCCEEDED"}), event(), Context())
    put_state(s3, error="熊" * 5000)
    follow(monkeypatch, CodeBuild({"buildStatus": "FAILED"}), event(), Context())
    assert [answered["Status"] for answered in told] == ["SUCCESS", "FAILED"]
    assert all(len(json.dumps(answered, ensure_ascii=False).encode()) < 4096 for answered in told)


def test_a_long_import_is_handed_over_before_the_function_ends(
    s3: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = CodeBuild({"buildStatus": "IN_PROGRESS"}, {"buildStatus": "IN_PROGRESS"})
    function = follow(monkeypatch, build, event(), Context(60_000, 59_999))
    (again,) = function.invoked
    assert (again["FunctionName"], again["InvocationType"], told) == ("arn:follower", "Event", [])
    follow(monkeypatch, CodeBuild({"buildStatus": "FAILED"}), json.loads(again["Payload"]), Context())
    assert [answered["Status"] for answered in told] == ["FAILED"]


@pytest.mark.parametrize(
    ("build", "state", "said"),
    [
        ({"buildStatus": "FAILED"}, {"error": "org/model is gated"}, "NotImportedError: org/model is gated"),
        ({"buildStatus": "TIMED_OUT"}, {}, "longer than 50 minutes. What is in the bucket stays: deploy again"),
        ({"buildStatus": "FAULT", "phases": [{"phaseType": "BUILD", "contexts": [{"message": "no image"}]}]}, {},
         "as FAULT. no image"),
        ({"buildStatus": "TIMED_OUT", "queuedTimeoutInMinutes": 5,
          "phases": [{"phaseType": "QUEUED", "phaseStatus": "TIMED_OUT"}]}, {},
         "no room for the import within 5 minutes: as many builds run as this account may have"),
        ({"buildStatus": "SUCCEEDED"}, {}, "ended as SUCCEEDED"),
    ],
)  # fmt: skip
def test_a_failure_says_why(
    s3: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, build: Any, state: Any, said: str
) -> None:
    put_state(s3, **state)
    follow(monkeypatch, CodeBuild(build), event(), Context())
    assert said in told[0]["Reason"]
    assert told[0]["Status"] == "FAILED"


def imports(request: str) -> dict[str, Any]:
    """A running build of `request`."""
    asked = event()["ResourceProperties"]
    told = {**json.loads(asked["Request"]), "bucket": "store", "state": f"imports/{request}.json"}
    variable = {"name": "EASEL_IMPORT", "value": json.dumps(told), "type": "PLAINTEXT"}
    return {"buildStatus": "IN_PROGRESS", "environment": {"environmentVariables": [variable]}}


def test_the_way_back_of_a_stack_stops_the_import_that_was_given_up(
    s3: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would run on, and a new account has room for one: the way back would wait in the queue and fail."""
    put_state(s3, prefix="releases/0123456789abcdef/", commits={}, licence="mit")
    build = CodeBuild({"buildStatus": "SUCCEEDED"})
    build.before = imports("update")
    follow(monkeypatch, build, event("Update", PhysicalResourceId="releases/0123456789abcdef/"), Context())
    stopped, started = build.asked
    assert stopped == {"stopped": "project:0"}
    assert started["idempotencyToken"] == "request"
    assert told[0]["Status"] == "SUCCESS"


def test_a_function_that_is_run_again_goes_on_with_its_own_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda may do so when CodeBuild has forgotten the token, and two builds would write the same release."""
    build = CodeBuild()
    build.before = imports("request")
    monkeypatch.setattr(boto3, "client", lambda *_, **__: build)
    assert (model_import.start(event()), build.asked) == ("project:0", [])


def test_an_account_without_builds_is_told_which_quota(
    s3: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(CodeBuild):
        def start_build(self, **asked: Any) -> dict[str, Any]:
            raise LimitError("Cannot have more than 0 builds in queue for the account")

    follow(monkeypatch, Full(), event(), Context())
    assert "more than 0 builds in queue" in told[0]["Reason"]
    assert "'Concurrently running builds for Linux/Small environment'" in told[0]["Reason"]


def test_deleting_stops_what_still_runs_and_never_fails(
    s3: Any, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = CodeBuild()
    build.before = {"buildStatus": "IN_PROGRESS"}
    follow(monkeypatch, build, event("Delete", PhysicalResourceId="x"), Context())
    assert build.asked == [{"stopped": "project:0"}]
    monkeypatch.setattr(build, "stop_build", lambda **_: 1 / 0)
    follow(monkeypatch, build, event("Delete", PhysicalResourceId="x"), Context())
    assert [answered["Status"] for answered in told] == ["SUCCESS", "SUCCESS"]


# --- older releases ------------------------------------------------------------------------------


@dataclass
class Patient:
    """Of a function that has so many milliseconds left."""

    left: int = 600_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left


def tags(s3: Any, key: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = s3.get_object_tagging(Bucket="store", Key=key)["TagSet"]
    return found


def point(uri: str, name: str) -> None:
    """An endpoint configuration whose model reads `uri`."""
    sagemaker, role = boto3.client("sagemaker"), "arn:aws:iam::123456789012:role/easel"
    source = {"S3Uri": uri, "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "image", "ModelDataSource": {"S3DataSource": source}}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)
    variant = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def test_only_old_releases_that_nothing_points_at_expire(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"releases/{name}/{file}" for name in "abcdef" for file in ("model_index.json", "code/inference.py")]
    for key in keys:
        s3.put_object(Bucket="store", Key=key, Body=b"x")
    order = {f"releases/{name}/": [key for key in keys if key.startswith(f"releases/{name}/")] for name in "fedcba"}
    monkeypatch.setattr(release_expiry, "_by_age", lambda *_: order)
    point("s3://store/releases/b/", "second")
    point("s3://elsewhere/releases/a/", "foreign")
    boto3.client("sagemaker").delete_model(ModelName="foreign")
    release_expiry.retire({"ResourceProperties": {"Bucket": "store", "Uri": "s3://store/releases/c/"}}, Patient())
    expiring = {key.split("/")[1] for key in keys if tags(s3, key) == [release_expiry.TAG]}
    kept = {key.split("/")[1] for key in keys if tags(s3, key) == []}
    assert (expiring, kept) == (set("ad"), set("bcef"))


def test_releases_are_ordered_by_their_newest_object(s3: Any) -> None:
    for key in ("releases/a/x", "releases/b/x"):
        s3.put_object(Bucket="store", Key=key, Body=b"x")
    assert release_expiry._by_age(s3, "store").keys() == {"releases/a/", "releases/b/"}


def test_what_cannot_be_looked_up_fails_no_deploy(s3: Any) -> None:
    made = release_expiry.retire({"ResourceProperties": {"Bucket": "gone", "Uri": "s3://gone/releases/c/"}}, Patient())
    assert made == ("retirement", {})


@pytest.mark.parametrize("cut", ["network", "time"])
def test_neither_does_what_cannot_be_looked_up_in_time(
    s3: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cut: str
) -> None:
    """An account may have thousands of configurations. Where not all were looked at, nothing expires."""
    for name in "abcd":
        s3.put_object(Bucket="store", Key=f"releases/{name}/x", Body=b"x")
    point("s3://store/releases/b/", "second")
    asked = {"ResourceProperties": {"Bucket": "store", "Uri": "s3://store/releases/c/"}}
    if cut == "network":
        monkeypatch.setattr(release_expiry, "_models", lambda *_: _raise(EndpointConnectionError(endpoint_url="x")))
    context = Patient(59_999 if cut == "time" else 600_000)
    assert release_expiry.retire(asked, context) == ("retirement", {})
    assert "older releases stay for now: " in capsys.readouterr().out
    assert not any(tags(s3, f"releases/{name}/x") for name in "abcd")


def _raise(error: Exception) -> Iterator[str]:
    raise error


def test_the_rule_deletes_what_the_function_tags(default: Assembly) -> None:
    rules = default.only("AWS::S3::Bucket", "EaselStorage")["LifecycleConfiguration"]["Rules"]
    (rule,) = (rule for rule in rules if rule.get("TagFilters"))
    assert (rule["Prefix"], rule["TagFilters"], rule["Status"]) == ("releases/", [release_expiry.TAG], "Enabled")


def test_releases_are_retired_once_the_endpoint_runs(default: Assembly) -> None:
    (endpoint,) = default.resources("AWS::SageMaker::Endpoint")
    (resource,) = default.resources("Custom::EaselRetirement").values()
    (release,) = default.resources("Custom::EaselRelease")
    assert endpoint in resource["DependsOn"]
    assert resource["Properties"]["Uri"] == {"Fn::GetAtt": [release, "Uri"]}
