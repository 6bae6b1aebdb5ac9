"""Emulator test: an account with a key, a network and a firewall of its own and with the notebook; and what expires.

Never tested on AWS. As in test_deploy.py, each step of the account's life stands on the one before.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import boto3
import jmespath
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from model_importer.stream import PIECE
from tests.conftest import ROOT
from tests.deploy.agreed import MARK, REQUEST
from tests.deploy.conftest import Own, documented_policy, pictures
from tests.deploy.emulator.expiry import play
from tests.deploy.emulator.service import ACCOUNT, REGION
from tests.deploy.inventory import inventory
from tests.deploy.test_deploy import Done, expiring, follow, releases, store, until
from tests.model_importer.example import LARGE, SOURCE, TAKEN, WEIGHTS, write_files
from tests.model_importer.hub import HubServer, Repository

pytestmark = pytest.mark.timeout(900)

IDLE_HOURS = 13
"""More than an instance waits on which Jupyter cannot be asked."""
AWS = """#!{python}
import sys, urllib.parse, boto3
source = urllib.parse.urlsplit(sys.argv[-2])
boto3.client("s3").download_file(source.netloc, source.path[1:], sys.argv[-1])
"""
"""`aws s3 cp`, which the instance has."""


@pytest.fixture(scope="module")
def own(own_begun: Future[Own]) -> Own:
    return own_begun.result()


# --- the key -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def job(own: Own) -> dict[str, Any]:
    """A finished one."""
    accepted = own.api.call("POST", "/jobs", REQUEST)
    assert accepted.status == 202, accepted.body
    return dict(own.api.finished(accepted.json["urls"]["get"]))


def test_an_imported_model_draws_in_a_bucket_with_a_key(own: Own, job: dict[str, Any]) -> None:
    assert job["status"] == "succeeded", job
    drawn = pictures(own.api.call("POST", "/generate", REQUEST).json)
    assert [follow(own.api, image["url"]).body for image in job["images"]] == drawn


@pytest.mark.usefixtures("job")
def test_every_object_has_the_key(own: Own) -> None:
    s3, bucket = store(own)
    keys = [
        one["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for one in page["Contents"]
    ]
    assert {key.partition("/")[0] for key in keys} >= {"async-output", "imports", "jobs", "releases", "sources"}
    assert {s3.head_object(Bucket=bucket, Key=key).get("SSEKMSKeyId") for key in keys} == {own.key}


def test_groups_topics_queues_disks_and_answers_have_the_key(own: Own) -> None:
    cloud = own.cloud
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    assert {one.get("kmsKeyId") for one in groups if "Easel" in one["logGroupName"]} == {own.key}
    sns, sqs, sagemaker = (cloud.client(name) for name in ("sns", "sqs", "sagemaker"))
    topics = [sns.get_topic_attributes(TopicArn=one["TopicArn"])["Attributes"] for one in sns.list_topics()["Topics"]]
    queues = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
              for url in sqs.list_queues()["QueueUrls"]]  # fmt: skip
    assert {one.get("KmsMasterKeyId") for one in (*topics, *queues)} == {own.key}
    config = sagemaker.describe_endpoint_config(EndpointConfigName=own.endpoint()["EndpointConfigName"])
    assert config["KmsKeyId"] == config["AsyncInferenceConfig"]["OutputConfig"]["KmsKeyId"] == own.key


def test_a_role_that_may_not_use_the_key_reads_nothing(own: Own, job: dict[str, Any]) -> None:
    """Links are signed by the API's role, and S3 asks in its name."""
    functions, iam = own.cloud.client("lambda").list_functions()["Functions"], own.cloud.client("iam")
    link = job["images"][0]["url"]
    (signer,) = (one["Role"].rpartition("/")[2] for one in functions if one["Handler"] == "handlers.api")
    whole, name = policy_with_keys(iam, signer)
    less = {**whole, "Statement": [one for one in whole["Statement"] if "kms:" not in json.dumps(one["Action"])]}
    iam.put_role_policy(RoleName=signer, PolicyName=name, PolicyDocument=json.dumps(less))
    refused = follow(own.api, link)
    iam.put_role_policy(RoleName=signer, PolicyName=name, PolicyDocument=json.dumps(whole))
    assert (refused.status, b"kms:Decrypt" in refused.body) == (403, True)
    assert follow(own.api, link).status == 200


def policy_with_keys(iam: Any, role: str) -> tuple[dict[str, Any], str]:
    """The policy of a role that speaks of keys, and its name."""
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    told = {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}
    (name,) = (name for name, policy in told.items() if "kms:" in json.dumps(policy))
    return told[name], name


@pytest.fixture
def stranger(own: Own) -> Iterator[Any]:
    """A role with all rights but to the key: a function that takes those and gives its clients of S3 and SNS."""
    iam, cloud = own.cloud.client("iam"), own.cloud
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName="stranger", AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    told = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    session = boto3.Session(told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"], REGION)
    clients = [session.client(name, endpoint_url=cloud.url, verify=str(cloud.certificate)) for name in ("s3", "sns")]
    all_else = {"Effect": "Allow", "Action": ["s3:*", "sns:*"], "Resource": "*"}

    def may(*actions: str, via: str = "s3") -> list[Any]:
        where = {"StringLike": {"kms:ViaService": f"{via}.{REGION}.amazonaws.com*"}}
        key = {"Effect": "Allow", "Action": list(actions), "Resource": own.key, "Condition": where}
        policy = document(all_else, *([key] if actions else []))
        iam.put_role_policy(RoleName="stranger", PolicyName="all", PolicyDocument=policy)
        return clients

    yield may
    iam.delete_role_policy(RoleName="stranger", PolicyName="all")
    iam.delete_role(RoleName="stranger")


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


READ, WRITE = "kms:Decrypt", "kms:GenerateDataKey"


@pytest.mark.parametrize(
    ("rights", "done"),
    [
        ((), {"head"}),
        ((READ,), {"head", "get", "part"}),
        ((WRITE,), {"head", "put", "begin"}),
        ((READ, WRITE), {"head", "get", "put", "copy", "begin", "part"}),
    ],
)
def test_each_request_asks_for_its_right_to_the_key(
    own: Own, stranger: Any, rights: tuple[str, ...], done: set[str]
) -> None:
    root, bucket = store(own)
    here, there = {"Bucket": bucket, "Key": "imports/here"}, {"Bucket": bucket, "Key": "imports/there"}
    root.put_object(**here, Body=b"x")
    upload = {**there, "UploadId": root.create_multipart_upload(**there)["UploadId"]}
    s3, _ = stranger(*rights)
    requests: dict[str, Callable[[], Any]] = {
        "head": lambda: s3.head_object(**here), "get": lambda: s3.get_object(**here),
        "put": lambda: s3.put_object(**there, Body=b"x"), "copy": lambda: s3.copy_object(**there, CopySource=here),
        "begin": lambda: root.abort_multipart_upload(
            **there, UploadId=s3.create_multipart_upload(**there)["UploadId"]
        ),
        "part": lambda: s3.upload_part(**upload, PartNumber=1, Body=b"x"),
    }  # fmt: skip
    assert {name for name, request in requests.items() if allowed(request)} == done
    root.abort_multipart_upload(**upload)


@pytest.mark.parametrize(("via", "published"), [("s3", False), ("sns", True)])
def test_the_right_to_the_key_is_that_of_one_service(own: Own, stranger: Any, via: str, published: bool) -> None:
    topic = own.cloud.client("sns").list_topics()["Topics"][0]["TopicArn"]
    _, sns = stranger(READ, WRITE, via=via)
    assert allowed(lambda: sns.publish(TopicArn=topic, Message="x")) is published


def allowed(request: Callable[[], Any]) -> bool:
    try:
        request()
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDenied", "AuthorizationError"), error
        return False
    return True


def test_without_the_documented_statement_there_are_no_log_groups(own: Own) -> None:
    kms, cloudformation = own.cloud.client("kms"), own.cloud.client("cloudformation")
    policy = documented_policy()
    less = {**policy, "Statement": [one for one in policy["Statement"] if one["Sid"] != "LogGroups"]}
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"KmsKeyId": own.key}}
    kms.put_key_policy(KeyId=own.key, PolicyName="default", Policy=json.dumps(less))
    template = json.dumps({"Resources": {"Group": group}})
    cloudformation.create_stack(StackName="Group", TemplateBody=template, OnFailure="DO_NOTHING")
    until(lambda: own.cloud.statuses()["Group"] != "CREATE_IN_PROGRESS")
    told = cloudformation.describe_stack_events(StackName="Group")["StackEvents"]
    kms.put_key_policy(KeyId=own.key, PolicyName="default", Policy=json.dumps(policy))
    cloudformation.delete_stack(StackName="Group")
    assert any("not allowed to be used" in one.get("ResourceStatusReason", "") for one in told)


def test_an_import_that_was_cut_off_goes_on_in_a_bucket_with_a_key(own: Own, tmp_path: Path) -> None:
    content = WEIGHTS + os.urandom(PIECE * 2)
    repository = Repository(write_files(tmp_path, {**TAKEN, LARGE: content}))
    s3, bucket = store(own)
    with HubServer(repository) as hub:
        repository.stall_from = PIECE
        build = begin_import(own, bucket, hub)
        until(lambda: any(parts(s3, bucket)))
        repository.expired, repository.removed, repository.stall_from = 1_000, True, None
        assert ended(own, build) == "FAILED"
        assert len(list(parts(s3, bucket))) == 1
        repository.expired, repository.removed = 0, False
        hub.sent.clear()
        assert ended(own, begin_import(own, bucket, hub)) == "SUCCEEDED", own.cloud.tail()
    assert hub.sent[LARGE] == len(content) - PIECE
    state = json.loads(s3.get_object(Bucket=bucket, Key="imports/by-hand.json")["Body"].read())
    found = s3.get_object(Bucket=bucket, Key=f"{state['prefix']}{LARGE}")
    assert (found["SSEKMSKeyId"], found["Body"].read() == content) == (own.key, True)
    for key in [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix=state["prefix"])["Contents"]]:
        s3.delete_object(Bucket=bucket, Key=key)


def begin_import(own: Own, bucket: str, hub: HubServer) -> str:
    """A build of the project, as its function starts one, of another model."""
    codebuild = own.cloud.client("codebuild")
    (project,) = codebuild.list_projects()["projects"]
    told = {"bucket": bucket, "state": "imports/by-hand.json", "code": "c0de", "hub_url": hub.url, "source": SOURCE}
    variable = {"name": "EASEL_IMPORT", "value": json.dumps(told)}
    return str(codebuild.start_build(projectName=project, environmentVariablesOverride=[variable])["build"]["id"])


def ended(own: Own, build: str) -> str:
    codebuild = own.cloud.client("codebuild")

    def status() -> str:
        return str(codebuild.batch_get_builds(ids=[build])["builds"][0]["buildStatus"])

    until(lambda: status() != "IN_PROGRESS")
    return status()


def parts(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    """Of all open uploads."""
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        yield from s3.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts", [])


# --- the firewall and the notebook ---------------------------------------------------------------


def test_the_firewall_stands_before_the_stage(own: Own) -> None:
    waf, (api,) = own.cloud.client("wafv2"), own.cloud.client("apigateway").get_rest_apis()["items"]
    stage = f"arn:aws:apigateway:{REGION}::/restapis/{api['id']}/stages/v1"
    (acl,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    assert waf.get_web_acl_for_resource(ResourceArn=stage)["WebACL"]["ARN"] == acl["ARN"]


def test_leftovers_sees_the_notebook_and_the_firewall_and_leaves_the_key_alone(own: Own) -> None:
    left = json.loads(own.cloud.easel("leftovers", "--json").stdout)
    assert left["errors"] == []
    found = {one["type"]: one for one in left["leftovers"]}
    assert found["AWS::SageMaker::NotebookInstance"]["note"] == "InService, ml.g4dn.xlarge, 20 GB"
    assert found["AWS::SageMaker::NotebookInstance"]["usd_per_month"] > 500
    assert found["AWS::WAFv2::WebACL"]["usd_per_month"] > 5
    assert "AWS::KMS::Key" not in found


def notebook(own: Own) -> dict[str, Any]:
    sagemaker = own.cloud.client("sagemaker")
    return dict(sagemaker.describe_notebook_instance(NotebookInstanceName=own.cloud.outputs()["NotebookName"]))


def aws(own: Own, command: str) -> str:
    """What AWS's command line says to a command, which names an operation and its parameters as botocore does."""
    _, service, operation, *words = shlex.split(command)
    told = dict(zip(words[::2], words[1::2], strict=True))
    query, form = told.pop("--query"), told.pop("--output")
    client = own.cloud.client(service)
    assert (form, told.pop("--region")) == ("text", client.meta.region_name)
    name = operation.replace("-", "_")
    members = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[name]).input_shape.members
    options = {f"--{xform_name(member, '-')}": member for member in members}
    return str(jmespath.search(query, getattr(client, name)(**{options[key]: value for key, value in told.items()})))


def test_the_notebooks_command_opens_it(own: Own) -> None:
    url = aws(own, own.cloud.outputs()["NotebookUrlCommand"])
    assert re.fullmatch(r"https://[\w-]+\.notebook\.us-east-1\.sagemaker\.aws\?authToken=\w+", url)


PLACES = {"home": "/home/ec2-user/SageMaker", "easel": "/opt/easel"}
"""Of the instance."""


class Disk:
    """What lies on the instance, and a shell there: programs that it has and we have not, and the role's keys."""

    def __init__(self, own: Own, folder: Path) -> None:
        self.own, self.folder = own, folder
        self.instance = own.cloud.folder / "instances" / own.cloud.outputs()["NotebookName"]
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name, program in {"aws": AWS.format(python=sys.executable), "chown": "#!/bin/sh\n",
                              "systemd-run": f"#!/bin/sh\necho \"$@\" >> {folder}/timers\n"}.items():  # fmt: skip
            (self.bin / name).write_text(program)
            (self.bin / name).chmod(0o755)

    def run(self, *command: str, stdin: str = "") -> Done:
        cloud, root = self.own.cloud, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        environment = {name: value for name, value in cloud.common.items() if name not in root} | {
            "AWS_SHARED_CREDENTIALS_FILE": str(self.instance / "credentials"),
            "AWS_ENDPOINT_URL_SAGEMAKER": f"http://127.0.0.1:{cloud.stand_ins}",
            "PATH": f"{self.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        return subprocess.run(command, env=environment, input=stdin, text=True, capture_output=True, timeout=60)

    def script(self, hook: str, **places: Path) -> None:
        """Runs a script of the lifecycle configuration with places of ours for those of the instance."""
        text = (self.instance / hook).read_text()
        for ours, theirs in places.items():
            assert PLACES[ours] in text
            text = text.replace(PLACES[ours], str(theirs))
        done = self.run("bash", stdin=text)
        assert done.returncode == 0, done.stderr

    def idle_stop(self, name: str) -> Done:
        """The timer's command, on an instance of this name that is idle since long ago."""
        file = self.folder / "easel/idle_stop.py"
        long_ago = time.time() - IDLE_HOURS * 3600
        os.utime(file, (long_ago, long_ago))
        metadata = self.folder / "metadata.json"
        told = json.loads((self.instance / "resource-metadata.json").read_text())
        metadata.write_text(json.dumps({**told, "ResourceName": name}))
        timer = next(line for line in (self.folder / "timers").read_text().splitlines() if "easel-idle" in line)
        command = [word for word in timer.split() if not word.startswith(("--unit", "--on-"))]
        return self.run(*command, "--jupyter", "https://127.0.0.1:1", "--metadata", str(metadata))


@pytest.fixture(scope="module")
def disk(own: Own, tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return Disk(own, tmp_path_factory.mktemp("disk"))


def test_the_notebooks_role_fetches_what_was_shipped(disk: Disk) -> None:
    disk.script("OnCreate", home=disk.folder / "home")
    shipped = disk.folder / "home/easel/notebooks/stable_diffusion.ipynb"
    assert shipped.read_bytes() == (ROOT / "notebooks/stable_diffusion.ipynb").read_bytes()


def test_an_idle_notebook_stops_itself_and_no_other(own: Own, disk: Disk) -> None:
    disk.script("OnStart", easel=disk.folder / "easel")
    another = disk.idle_stop("another")
    assert (another.returncode != 0, "AccessDeniedException" in another.stderr) == (True, True), another.stderr
    assert notebook(own)["NotebookInstanceStatus"] == "InService"
    done = disk.idle_stop(own.cloud.outputs()["NotebookName"])
    assert done.returncode == 0, done.stderr
    until(lambda: notebook(own)["NotebookInstanceStatus"] == "Stopped")


def test_a_running_notebook_is_stopped_and_goes_with_its_stack(own: Own, disk: Disk) -> None:
    sagemaker, name = own.cloud.client("sagemaker"), own.cloud.outputs()["NotebookName"]
    if notebook(own)["NotebookInstanceStatus"] == "Stopped":
        sagemaker.start_notebook_instance(NotebookInstanceName=name)
        until(lambda: notebook(own)["NotebookInstanceStatus"] == "InService")
    with own.cloud.hold("Stopping"):
        destroying = own.cloud.begin_destroy(own.assemblies / "own", "EaselNotebook")
        until(lambda: notebook(own)["NotebookInstanceStatus"] == "Stopping")
    done = destroying.ended()
    assert done.returncode == 0, done.stdout[-4000:] + own.cloud.tail()
    assert sagemaker.list_notebook_instances()["NotebookInstances"] == []
    assert sagemaker.list_notebook_instance_lifecycle_configs()["NotebookInstanceLifecycleConfigs"] == []
    left = json.loads(own.cloud.easel("leftovers", "--json").stdout)["leftovers"]
    assert [one["name"] for one in left if "otebook" in one["type"] + one["name"]] == []


# --- what expires --------------------------------------------------------------------------------

OLD, NAMED, NEWEST = ("releases/0a/", "releases/0b/", "releases/0c/")
"""Releases made by hand, in this order."""


@pytest.fixture(scope="module")
def first(own: Own, job: dict[str, Any]) -> str:
    """The release that was deployed first. By now there are three younger ones: a configuration names the second."""
    (prefix,) = releases(own)
    s3, bucket = store(own)
    sagemaker = own.cloud.client("sagemaker")
    for one in (OLD, NAMED, NEWEST):
        time.sleep(1)  # S3 tells ages by the second
        s3.put_object(Bucket=bucket, Key=f"{one}code/inference.py", Body=b"")
    (model,) = sagemaker.list_models()["Models"]
    told = sagemaker.describe_model(ModelName=model["ModelName"])
    container = told["PrimaryContainer"]
    container["ModelDataSource"]["S3DataSource"]["S3Uri"] = f"s3://{bucket}/{NAMED}"
    role = {"ExecutionRoleArn": told["ExecutionRoleArn"]}
    sagemaker.create_model(ModelName="by-hand", PrimaryContainer=container, **role)
    variant = {"VariantName": "one", "ModelName": "by-hand", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="by-hand", ProductionVariants=[variant])
    return prefix


@pytest.fixture(scope="module")
def second(own: Own, first: str) -> str:
    """Of other code, deployed over it. The hub's branch has moved on meanwhile; the model has not."""
    time.sleep(1)
    commit, own.hub.repository.commit = own.hub.repository.commit, "d" * 40
    updated = own.deploy("own-changed", "EaselModel")
    assert updated.returncode == 0, updated.stdout[-4000:] + own.cloud.tail()
    assert MARK in own.api.call("POST", "/generate", REQUEST).json["warnings"]
    (s3, bucket), release = store(own), releases(own)[-1]
    manifest = json.loads(s3.get_object(Bucket=bucket, Key=f"{release}release.json")["Body"].read())
    assert manifest["commits"] == {"org/model": commit}
    return release


def test_a_release_that_nothing_points_at_goes_when_its_day_is_over(own: Own, first: str, second: str) -> None:
    s3, bucket = store(own)
    s3.create_multipart_upload(Bucket=bucket, Key=f"{second}never-completed")
    assert play(s3, bucket, 0.9) == (set(), set())
    assert play(s3, bucket, 2) == ({f"{OLD}code/inference.py"}, {f"{second}never-completed"})
    assert releases(own) == [first, NAMED, NEWEST, second]


def test_one_that_was_taken_back_into_use_stays(own: Own, first: str, second: str) -> None:
    """Its configuration went with the update, so the next look marks it; the deploy after that takes the mark away."""
    look_for_unreferenced(own, second)
    assert [expiring(own, one) for one in (first, NAMED, NEWEST, second)] == [{True}, {False}, {False}, {False}]
    back = own.deploy("own", "EaselModel")
    assert back.returncode == 0, back.stdout[-4000:]
    assert expiring(own, first) == {False}
    look_for_unreferenced(own, first)
    s3, bucket = store(own)
    assert {key for key in play(s3, bucket, 5)[0] if key.startswith("releases/")} == set()
    assert releases(own) == [first, NAMED, NEWEST, second]


def test_what_belongs_to_jobs_goes_after_its_days_and_the_endpoint_goes_on(
    own: Own, job: dict[str, Any], second: str
) -> None:
    s3, bucket = store(own)
    gone = {key.partition("/")[0] for key in play(s3, bucket, 9)[0]}
    assert gone == {"async-output", "imports", "jobs"}
    assert own.api.call("GET", job["urls"]["get"]).status == 404
    assert own.api.call("GET", "/jobs").json["jobs"] == []
    assert own.api.finished(own.api.call("POST", "/jobs", REQUEST).json["urls"]["get"])["status"] == "succeeded"


def look_for_unreferenced(own: Own, current: str) -> None:
    """What the custom resource does when another release is deployed."""
    (s3, bucket), functions = store(own), own.cloud.client("lambda")
    (found,) = (
        one
        for one in functions.list_functions()["Functions"]
        if one["Handler"] == "custom_resources.release_expiry.handler"
    )
    told = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "imports/told.json"})
    asked = {"Bucket": bucket, "Uri": f"s3://{bucket}/{current}"}
    event = {"RequestType": "Update", "ResourceProperties": asked, "ResponseURL": told, "StackId": "",
             "RequestId": "", "LogicalResourceId": ""}  # fmt: skip
    done = functions.invoke(FunctionName=found["FunctionName"], Payload=json.dumps(event))
    assert "FunctionError" not in done, done["Payload"].read()


# --- the end -------------------------------------------------------------------------------------


def test_destroy_leaves_the_key_and_nothing_else(own: Own, second: str) -> None:
    sagemaker = own.cloud.client("sagemaker")
    sagemaker.delete_endpoint_config(EndpointConfigName="by-hand")
    sagemaker.delete_model(ModelName="by-hand")
    destroyed = own.cloud.destroy(own.assemblies / "own")
    assert destroyed.returncode == 0, destroyed.stdout[-4000:] + own.cloud.tail()
    assert inventory(own.cloud) == own.bare
    assert own.cloud.client("kms").describe_key(KeyId=own.key)["KeyMetadata"]["KeyState"] == "Enabled"
    proof = own.cloud.easel("leftovers")
    assert proof.returncode == 0, proof.stdout + proof.stderr
