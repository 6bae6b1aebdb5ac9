"""Emulator test: the CDK's command line deploys Easel into emulated accounts. Never tested on AWS.

Each step of an account's life is a fixture that stands on the one before; docs/not-yet-shown-on-aws.md tells what
this cannot show.
"""

import base64
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from custom_resources.wait_for_endpoint import POLL_SECONDS
from stacks.storage.stack import UNREFERENCED_TAG
from tests.conftest import ROOT
from tests.deploy import tools
from tests.deploy.agreed import MARK, OTHER, REQUEST
from tests.deploy.client import Answer, Caller
from tests.deploy.cloud import Cloud, Running
from tests.deploy.conftest import Deployed, Stage, pictures
from tests.deploy.emulator.service import ACCOUNT
from tests.deploy.inventory import inventory

pytestmark = pytest.mark.timeout(1800)

Done = subprocess.CompletedProcess[str]
PROBLEM = {"type", "title", "status", "detail", "instance", "code", "request_id", "retryable", "hint", "error"}
RESOLVING = """
import socket
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: resolve("127.0.0.1", *more, **named)
from easel.cli import app
app()
"""
"""The `easel` command where names below localhost mean this machine, as they should and on many do not."""

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


# --- asynchronous --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asynchronous(stage: Stage) -> Deployed:
    return stage.asynchronous


@pytest.fixture(scope="module")
def address(asynchronous: Deployed) -> str:
    """Where the API was after the first deploy."""
    return asynchronous.cloud.outputs()["ApiUrl"]


@pytest.mark.usefixtures("address")
def test_deploy_tells_the_address_the_key_the_model_and_the_price(asynchronous: Deployed) -> None:
    outputs = asynchronous.cloud.outputs()
    told = {"ApiUrl", "ApiKeyCommand", "Model", "PriceWarm", "PriceIdle", "Budget", "AlertsGoTo"}
    assert told <= outputs.keys()
    shell = asynchronous.cloud.easel("outputs", "--export").stdout.splitlines()
    assert shell == [f"export EASEL_URL={outputs['ApiUrl']}", f"export EASEL_KEY={asynchronous.api.key}"]
    assert asynchronous.api.call("GET", "/health").json["endpoint"]["status"] == "ready"


@pytest.mark.parametrize("sent", [{}, {"x-api-key": "wrong"}])
def test_a_stranger_is_refused_in_our_shape(asynchronous: Deployed, sent: dict[str, str]) -> None:
    api = asynchronous.api
    assert_problem(api.fetch("POST", f"{api.base}/generate", REQUEST, **sent), 401, "unauthorized")


def test_generate_draws_what_the_model_alone_draws(asynchronous: Deployed, stage: Stage) -> None:
    answer = asynchronous.api.call("POST", "/generate", REQUEST)
    assert answer.status == 200, answer.body
    assert pictures(answer.json) == stage.drawn_alone
    assert MARK not in answer.json["warnings"]


def test_a_job_is_drawn_listed_and_linked(asynchronous: Deployed, stage: Stage) -> None:
    api = asynchronous.api
    accepted = api.call("POST", "/jobs", REQUEST)
    assert accepted.status == 202, accepted.body
    job = api.finished(accepted.json["urls"]["get"])
    assert api.call("GET", "/jobs").json["jobs"][0]["id"] == job["id"]
    assert [follow(api, image["url"]).body for image in job["images"]] == stage.drawn_alone


def test_a_link_shows_one_object_and_no_other(asynchronous: Deployed) -> None:
    api = asynchronous.api
    newest = api.call("GET", "/jobs").json["jobs"][0]["images"][0]["url"]
    assert follow(api, newest).status == 200
    assert follow(api, newest.replace("image-0.png", "job.json")).status == 403


def test_one_id_leads_from_the_gateway_to_the_finalizer(asynchronous: Deployed) -> None:
    assert_one_id(asynchronous, "handlers.finalizer")


def test_a_job_can_be_cancelled(asynchronous: Deployed) -> None:
    api = asynchronous.api
    running = api.call("POST", "/jobs", {**REQUEST, "num_inference_steps": 20}).json
    waiting = api.call("POST", "/jobs", REQUEST).json
    assert api.call("DELETE", waiting["urls"]["cancel"]).json["status"] == "cancelled"
    assert api.finished(running["urls"]["get"])["status"] == "succeeded"
    assert api.call("GET", waiting["urls"]["get"]).json["status"] == "cancelled"


def test_a_container_that_dies_fails_the_job_and_comes_back(asynchronous: Deployed) -> None:
    api = asynchronous.api
    job = api.call("POST", "/jobs", {**REQUEST, "num_inference_steps": 40}).json
    kill_while_drawing(asynchronous)
    failed = api.finished(job["urls"]["get"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "container_died")
    again = api.call("POST", "/jobs", REQUEST).json
    assert api.finished(again["urls"]["get"], seconds=180)["status"] == "succeeded"


def test_the_command_line_draws(asynchronous: Deployed, stage: Stage, tmp_path: Path) -> None:
    api = asynchronous.api
    asked = ("generate", REQUEST["prompt"], "--seed", "7", "--steps", "4", "-o", str(tmp_path), "--json")
    done = subprocess.run(
        (sys.executable, "-c", RESOLVING, *map(str, asked), "--url", api.url, "--key", api.key), cwd=tools.ROOT,
        env=tools.plain_environment() | {"SSL_CERT_FILE": str(asynchronous.cloud.certificate)}, text=True,
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [Path(image["path"]).read_bytes() for image in json.loads(done.stdout)["images"]] == stage.drawn_alone


def test_the_site_shows_the_page_with_its_policy(asynchronous: Deployed) -> None:
    api = asynchronous.api
    for path in ("/", "/index.html"):
        entrance = api.through_site("GET", path)
        assert (entrance.status, entrance.headers["cache-control"]) == (200, "no-cache")
        assert entrance.body == (ROOT / "web/dist/index.html").read_bytes()
        assert "default-src 'none'" in entrance.headers["content-security-policy"]
        assert entrance.headers["strict-transport-security"].startswith("max-age=31536000")
    (script,) = set(re.findall(r'src="\./(assets/index-[^"]+)"', entrance.body.decode()))
    loaded = api.through_site("GET", f"/{script}")
    assert loaded.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in loaded.headers["cache-control"]


def test_the_page_is_read_through_the_site_alone(asynchronous: Deployed) -> None:
    buckets = asynchronous.cloud.client("s3").list_buckets()["Buckets"]
    (bucket,) = (one["Name"] for one in buckets if one["Name"].startswith("easelsite-"))
    direct = asynchronous.api.fetch("GET", f"/{bucket}/index.html", host=f"127.0.0.1:{asynchronous.cloud.port}")
    assert direct.status == 403


def test_the_site_is_the_api_too(asynchronous: Deployed, stage: Stage) -> None:
    api = asynchronous.api
    assert_problem(api.through_site("GET", "/models"), 401, "unauthorized")
    key = {"x-api-key": api.key}
    assert_problem(api.through_site("GET", "/nothing", **key), 404, "not_found")
    once = {**key, "idempotency-key": "site"}
    drawn = api.through_site("POST", "/generate", REQUEST, **once)
    assert pictures(drawn.json) == stage.drawn_alone
    jobs = [api.through_site("POST", "/jobs", REQUEST, **key, **{"idempotency-key": "twice"}).json for _ in range(2)]
    assert jobs[0]["id"] == jobs[1]["id"]
    assert api.finished(jobs[0]["urls"]["get"])["status"] == "succeeded"


def test_the_page_draws_on_the_site(asynchronous: Deployed, chromium: str) -> None:
    """In a browser: no file and no picture that the page's policy forbids, and the bytes that the API has."""
    api = asynchronous.api
    asked = (str(ROOT), f"https://{api.site}/", str(asynchronous.cloud.port), api.key, str(REQUEST["prompt"]))
    done = subprocess.run(
        ("node", tools.HERE / "site.mjs", *asked), env=os.environ | {"CHROMIUM": chromium}, text=True,
        capture_output=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    newest = api.call("GET", "/jobs").json["jobs"][0]["images"][0]["url"]
    assert base64.b64decode(shown["picture"]) == follow(api, newest).body
    refused = [said for said in shown["complaints"] if "401" not in said]  # before the key was there
    assert refused == []


@pytest.fixture(scope="module")
def updated(asynchronous: Deployed) -> Done:
    return asynchronous.deploy("changed")


def test_a_second_deploy_is_live(asynchronous: Deployed, updated: Done, stage: Stage) -> None:
    assert updated.returncode == 0, updated.stdout[-4000:]
    answer = asynchronous.api.call("POST", "/generate", REQUEST)
    assert MARK in answer.json["warnings"]
    assert pictures(answer.json) == stage.drawn_alone


@pytest.fixture(scope="module")
def damaged(asynchronous: Deployed, updated: Done) -> Done:
    """The hub sends something else than it has on record."""
    assert updated.returncode == 0
    asynchronous.hub.repository.damaged.add(WEIGHTS)
    done = asynchronous.deploy("imported", "EaselModel")
    asynchronous.hub.repository.damaged.clear()
    return done


def test_a_damaged_file_becomes_no_release(asynchronous: Deployed, damaged: Done) -> None:
    assert damaged.returncode != 0
    assert f"{WEIGHTS} has the sha256" in flat(damaged.stdout), damaged.stdout[-4000:]
    assert asynchronous.cloud.statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    assert MARK in asynchronous.api.call("POST", "/generate", REQUEST).json["warnings"]


@pytest.fixture(scope="module")
def imported(asynchronous: Deployed, damaged: Done) -> Done:
    """From the store that the hub redirects to, in spite of a connection that breaks in the middle."""
    assert damaged.returncode != 0
    asynchronous.hub.repository.dropped_connections[WEIGHTS] = 1
    return asynchronous.deploy("imported")


def test_another_model_comes_from_the_hub_to_the_same_address(
    asynchronous: Deployed, imported: Done, stage: Stage, address: str
) -> None:
    assert imported.returncode == 0, imported.stdout[-4000:] + asynchronous.cloud.tail()
    assert asynchronous.cloud.outputs()["ApiUrl"] == address
    assert [one["id"] for one in asynchronous.api.call("GET", "/models").json["models"]] == [OTHER]
    drawn = pictures(asynchronous.api.call("POST", "/generate", REQUEST).json)
    assert drawn == stage.drawn_otherwise != stage.drawn_alone
    assert asynchronous.hub.repository.dropped_connections[WEIGHTS] == 0
    (manifest,) = manifests(asynchronous)
    assert manifest["commits"] == {"org/model": asynchronous.hub.repository.commit}


def test_of_the_releases_the_one_that_nothing_points_at_expires(asynchronous: Deployed, imported: Done) -> None:
    """By the bucket's rule, which test_own.py plays. CloudFormation may have to go back to one of the newest."""
    assert imported.returncode == 0
    first, second, third = releases(asynchronous)
    assert (expiring(asynchronous, first), expiring(asynchronous, second), expiring(asynchronous, third)) == (
        {True}, {False}, {False},
    )  # fmt: skip


@pytest.fixture(scope="module")
def rolled_back(asynchronous: Deployed, imported: Done) -> Done:
    """Another line of code with the same model: its release needs no hub."""
    assert imported.returncode == 0
    asynchronous.hub.repository.removed = True
    return asynchronous.deploy("broken")


def test_a_deploy_that_fails_rolls_back(asynchronous: Deployed, rolled_back: Done) -> None:
    assert rolled_back.returncode != 0
    assert "did not pass the ping health check" in flat(rolled_back.stdout)
    assert asynchronous.cloud.statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    assert MARK in asynchronous.api.call("POST", "/generate", REQUEST).json["warnings"]


def test_the_doctor_says_why_and_leftovers_what_is_there(asynchronous: Deployed, rolled_back: Done) -> None:
    told = json.loads(asynchronous.cloud.easel("doctor", "--json").stdout)
    found = {check["code"]: check for check in told["checks"]}
    assert found["stacks"]["status"] == "failed"
    assert "EaselModel is UPDATE_ROLLBACK_COMPLETE: " in found["stacks"]["message"]
    assert "did not pass the ping health check" in found["stacks"]["message"]
    assert found["endpoint"]["status"] == "ok", found["endpoint"]
    there = asynchronous.cloud.easel("leftovers", "--json")
    left = json.loads(there.stdout)
    assert (there.returncode, left["errors"]) == (1, [])
    (endpoint,) = (one for one in left["leftovers"] if one["type"] == "AWS::SageMaker::Endpoint")
    assert endpoint["usd_per_month"] > 0


def test_other_code_is_released_by_copies_inside_s3(asynchronous: Deployed, rolled_back: Done) -> None:
    first, second = manifests(asynchronous)
    assert first["files"] == second["files"]
    assert first["code"] != second["code"]


@pytest.fixture(scope="module")
def asleep(asynchronous: Deployed, rolled_back: Done) -> str:
    """As autoscaling does when nobody calls."""
    assert rolled_back.returncode != 0
    scale(asynchronous, 0)
    until(lambda: asynchronous.endpoint()["EndpointStatus"] == "InService")
    return str(asynchronous.endpoint()["EndpointName"])


def test_an_endpoint_without_instances_is_asleep(asynchronous: Deployed, asleep: str) -> None:
    assert asynchronous.endpoint()["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    assert asynchronous.api.call("GET", "/health").json["endpoint"]["status"] == "asleep"


@pytest.fixture(scope="module")
def destroyed(asynchronous: Deployed, asleep: str) -> Done:
    """While the endpoint wakes, in a stack that was rolled back: it finds no instance, goes back, and is maintained."""
    cloud = asynchronous.cloud
    with contextlib.ExitStack() as later:
        with cloud.hold("Updating"):
            scale(asynchronous, 1)
            destroying = cloud.begin_destroy(asynchronous.assemblies / "changed")
            stands_by(asynchronous, destroying, "Updating")
            later.enter_context(cloud.hold("RollingBack"))
        stands_by(asynchronous, destroying, "RollingBack")
        later.enter_context(cloud.hold("SystemUpdating"))
        stands_by(asynchronous, destroying, "SystemUpdating")
        assert cloud.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="sagemaker"
        )["ScalableTargets"] == []  # fmt: skip
    return destroying.ended()


def test_destroy_waits_for_an_endpoint_that_changes_and_leaves_nothing(asynchronous: Deployed, destroyed: Done) -> None:
    assert destroyed.returncode == 0, destroyed.stdout[-4000:] + asynchronous.cloud.tail()
    assert "Custom::EaselWaitForEndpoint" in destroyed.stdout
    assert asynchronous.cloud.statuses() == {"CDKToolkit": "CREATE_COMPLETE"}
    assert inventory(asynchronous.cloud) == asynchronous.bare
    proof = asynchronous.cloud.easel("leftovers")
    assert proof.returncode == 0, proof.stdout + proof.stderr


@pytest.fixture(scope="module")
def hasty(asynchronous: Deployed, destroyed: Done) -> Done:
    """Ctrl-C while the endpoint of a release that cannot start is Creating, and a destroy at once; removal=retain."""
    assert destroyed.returncode == 0
    cloud, assembly = asynchronous.cloud, asynchronous.assemblies / "exiting"
    with cloud.hold("Creating"):
        deploying = cloud.begin_deploy(assembly, "EaselModel")
        until(lambda: asynchronous.endpoint().get("EndpointStatus") == "Creating" or not deploying.alive)
        deploying.interrupt()
        return cloud.destroy(assembly)


def test_an_endpoint_that_is_created_keeps_its_role_and_the_doctor_says_to_wait(
    asynchronous: Deployed, hasty: Done
) -> None:
    """SageMaker refuses, and whether CloudFormation tries again is not known: here it does not."""
    assert hasty.returncode != 0
    assert "Cannot update in-progress endpoint" in flat(hasty.stdout)
    assert asynchronous.cloud.statuses()["EaselModel"] == "DELETE_FAILED"
    sagemaker, iam = asynchronous.cloud.client("sagemaker"), asynchronous.cloud.client("iam")
    (model,) = sagemaker.list_models()["Models"]
    role = sagemaker.describe_model(ModelName=model["ModelName"])["ExecutionRoleArn"].rpartition("/")[2]
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] != []
    told = json.loads(asynchronous.cloud.easel("doctor", "--json").stdout)
    (stacks,) = (check for check in told["checks"] if check["code"] == "stacks")
    assert "EaselModel is DELETE_FAILED" in stacks["message"]
    assert "InService or Failed" in stacks["remedy"]


@pytest.fixture(scope="module")
def emptied(asynchronous: Deployed, hasty: Done) -> Done:
    assert hasty.returncode != 0
    until(lambda: asynchronous.endpoint()["EndpointStatus"] == "Failed")
    return asynchronous.cloud.destroy(asynchronous.assemblies / "exiting")


def test_destroying_again_takes_the_failed_endpoint_and_keeps_the_bucket_as_it_was_told(
    asynchronous: Deployed, emptied: Done
) -> None:
    assert emptied.returncode == 0, emptied.stdout[-4000:]
    assert asynchronous.cloud.statuses() == {"CDKToolkit": "CREATE_COMPLETE"}
    s3, bucket = store(asynchronous)
    assert inventory(asynchronous.cloud) - asynchronous.bare == {f"s3: {bucket}"}
    assert s3.list_objects_v2(Bucket=bucket, Prefix="releases/")["KeyCount"] > 0


@pytest.fixture(scope="module")
def stored(asynchronous: Deployed, emptied: Done) -> set[str]:
    """The account with the bucket alone."""
    assert emptied.returncode == 0
    assert asynchronous.deploy("async", "EaselStorage").returncode == 0
    return inventory(asynchronous.cloud)


@pytest.mark.parametrize("status", ["UpdateRollbackFailed", "OutOfService"])
def test_destroy_takes_an_endpoint_that_cannot_serve_at_once(
    asynchronous: Deployed, stored: set[str], status: str
) -> None:
    cloud = asynchronous.cloud
    deployed = asynchronous.deploy("async", "EaselModel")
    assert deployed.returncode == 0, deployed.stdout[-4000:]
    with cloud.hold(status):
        assert asynchronous.endpoint()["EndpointStatus"] == status
        done = cloud.destroy(asynchronous.assemblies / "async", "EaselModel")
    assert done.returncode == 0, done.stdout[-4000:]
    assert inventory(cloud) == stored


# --- realtime ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def realtime(stage: Stage) -> Deployed:
    return stage.realtime


def test_realtime_draws_what_the_model_alone_draws(realtime: Deployed, stage: Stage) -> None:
    answer = realtime.api.call("POST", "/generate", REQUEST)
    assert answer.status == 200, answer.body
    assert pictures(answer.json) == stage.drawn_alone


def test_one_id_leads_from_the_gateway_to_the_runner(realtime: Deployed) -> None:
    assert_one_id(realtime, "handlers.runner")


@pytest.fixture(scope="module")
def gone_back(realtime: Deployed) -> Done:
    """A release that starts and cannot draw, with `update=blue_green`, while somebody calls."""
    deploying = realtime.cloud.begin_deploy(realtime.assemblies / "refusing")
    while deploying.alive:
        realtime.api.call("POST", "/generate", {**REQUEST, "num_inference_steps": 1})
    return deploying.ended()


def test_an_alarm_brings_the_release_before_back(realtime: Deployed, gone_back: Done, stage: Stage) -> None:
    assert gone_back.returncode != 0
    assert re.search(r"rolled back, because of alarms in ALARM: \S*Refusing", flat(gone_back.stdout))
    assert realtime.cloud.statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    assert pictures(realtime.api.call("POST", "/generate", REQUEST).json) == stage.drawn_alone
    told = json.loads(realtime.cloud.easel("doctor", "--json").stdout)
    found = {check["code"]: check for check in told["checks"]}
    assert "because of alarms in ALARM" in found["stacks"]["message"]
    assert found["endpoint"]["status"] == "ok", found["endpoint"]


def test_a_realtime_container_that_dies_draws_the_job_again(realtime: Deployed) -> None:
    api = realtime.api
    job = api.call("POST", "/jobs", {**REQUEST, "num_inference_steps": 20}).json
    kill_while_drawing(realtime)
    assert api.finished(job["urls"]["get"], seconds=180)["status"] == "succeeded"


def test_a_paused_endpoint_says_so_refuses_another_release_and_comes_back(realtime: Deployed, stage: Stage) -> None:
    paused = realtime.cloud.easel("pause")
    assert (paused.returncode, "is paused." in paused.stdout) == (0, True), paused.stdout + paused.stderr
    assert "already paused" in realtime.cloud.easel("pause").stdout
    job = realtime.api.finished(realtime.api.call("POST", "/jobs", REQUEST).json["urls"]["get"])
    assert job["error"]["code"] == "endpoint_missing"
    assert "easel resume" in job["error"]["hint"]
    changed = realtime.deploy("refusing")
    assert (changed.returncode != 0, "Could not find endpoint" in flat(changed.stdout)) == (True, True)
    assert realtime.cloud.statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    resumed = realtime.cloud.easel("resume")
    assert (resumed.returncode, "is in service again" in resumed.stdout) == (0, True), resumed.stdout + resumed.stderr
    assert pictures(realtime.api.call("POST", "/generate", REQUEST).json) == stage.drawn_alone


def test_another_release_comes_where_there_is_room_for_one_instance(realtime: Deployed) -> None:
    """The old goes before the new comes; here out of a pause, in which an update finds no endpoint."""
    assert realtime.cloud.easel("pause").returncode == 0
    away = realtime.deploy("away", "EaselModel")
    assert away.returncode == 0, away.stdout[-4000:]
    assert realtime.cloud.client("sagemaker").list_endpoints()["Endpoints"] == []
    targets = realtime.cloud.client("application-autoscaling")
    assert targets.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert "fix   npx cdk deploy --all" in realtime.cloud.easel("resume").stderr
    job = realtime.api.finished(realtime.api.call("POST", "/jobs", REQUEST).json["urls"]["get"])
    assert job["error"]["code"] == "endpoint_missing"
    anew = realtime.deploy("anew")
    assert anew.returncode == 0, anew.stdout[-4000:]
    assert MARK in realtime.api.call("POST", "/generate", REQUEST).json["warnings"]
    assert len(targets.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]) == 1


@pytest.fixture(scope="module")
def forbidden(realtime: Deployed) -> Done:
    return realtime.deploy("forbidden")


def test_a_missing_permission_is_told_without_secrets(realtime: Deployed, forbidden: Done) -> None:
    assert forbidden.returncode == 0, forbidden.stdout[-4000:]
    answer = realtime.api.call("POST", "/generate", REQUEST)
    assert_problem(answer, 500, "config_error")
    assert not re.search(rf"{ACCOUNT}|arn:|EaselApi|EaselModel|easel-realtime|sagemaker", answer.body.decode(), re.I)


def test_the_doctor_sees_that_another_configuration_runs(realtime: Deployed, forbidden: Done) -> None:
    """As after an update that SageMaker took back without a word; here somebody made one by hand."""
    assert forbidden.returncode == 0
    sagemaker, endpoint = realtime.cloud.client("sagemaker"), realtime.endpoint()
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    sagemaker.create_endpoint_config(EndpointConfigName="by-hand", ProductionVariants=config["ProductionVariants"])
    sagemaker.update_endpoint(EndpointName=endpoint["EndpointName"], EndpointConfigName="by-hand")
    until(lambda: realtime.endpoint()["EndpointStatus"] == "InService")
    told = json.loads(realtime.cloud.easel("doctor", "--json").stdout)
    (found,) = (check for check in told["checks"] if check["code"] == "endpoint")
    assert found["status"] == "failed"
    assert "by-hand" in found["message"]
    assert endpoint["EndpointConfigName"] in found["message"]
    sagemaker.delete_endpoint_config(EndpointConfigName="by-hand")


@pytest.fixture(scope="module")
def half_way(realtime: Deployed, forbidden: Done) -> tuple[Done, Done]:
    """A destroy during a watched update to a release that cannot start, and the end of that update."""
    assert forbidden.returncode == 0
    cloud = realtime.cloud
    with cloud.hold("Updating"):
        deploying = cloud.begin_deploy(realtime.assemblies / "unhealthy", "EaselModel")
        until(lambda: realtime.endpoint()["EndpointStatus"] == "Updating" or not deploying.alive)
        refused = cloud.destroy(realtime.assemblies / "kept")
    return refused, deploying.ended()


def test_a_stack_that_is_updated_is_not_destroyed(half_way: tuple[Done, Done]) -> None:
    """Those that stand on it are gone by then."""
    refused, _ = half_way
    assert refused.returncode != 0
    assert "cannot be deleted while in status UPDATE_IN_PROGRESS" in flat(refused.stdout)
    assert "EaselApi: destroyed" in refused.stdout


def test_a_watched_update_that_does_not_start_goes_back(
    realtime: Deployed, half_way: tuple[Done, Done], stage: Stage
) -> None:
    _, ended = half_way
    assert ended.returncode != 0
    assert "did not pass the ping health check" in flat(ended.stdout)
    assert realtime.cloud.statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    drawn = realtime.cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=realtime.endpoint()["EndpointName"], ContentType="application/json", Body=json.dumps(REQUEST)
    )
    answer = json.loads(drawn["Body"].read())
    assert MARK in answer["warnings"]
    assert pictures(answer) == stage.drawn_alone


def test_a_full_bucket_fails_the_destroy_loudly_and_an_endpoint_that_the_guard_takes_does_not(
    realtime: Deployed, half_way: tuple[Done, Done]
) -> None:
    """The update has ended by now."""
    cloud = realtime.cloud
    with cloud.hold("Deleting"):
        assert guard(realtime) == "deleted"
        destroying = cloud.begin_destroy(realtime.assemblies / "kept")
        stands_by(realtime, destroying, "Deleting")
    destroyed = destroying.ended()
    assert destroyed.returncode != 0
    assert "The bucket you tried to delete is not empty" in flat(destroyed.stdout)
    assert realtime.cloud.statuses() == {"CDKToolkit": "CREATE_COMPLETE", "EaselStorage": "DELETE_FAILED"}


# --- what they share -----------------------------------------------------------------------------


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json
    assert problem.keys() >= PROBLEM
    assert (problem["status"], problem["code"], problem["error"]["code"]) == (status, code, code)


def assert_one_id(deployed: Deployed, ending: str) -> None:
    """From the `request_id` that the caller has, by the job's record, to the lines of the model and of what ended it.

    Nobody asks for the job meanwhile: the API would end it where it finds the answer first.
    """
    request = deployed.api.call("POST", "/jobs", REQUEST).headers["x-request-id"]
    accepted = logged(deployed, "handlers.api", message="accepted", request_id=request)
    folder = f"jobs/{accepted['owner']}/{accepted['job']}"
    until(lambda: f"{folder}/outcome.json" in keys(deployed, folder))
    s3, bucket = store(deployed)
    record = json.loads(s3.get_object(Bucket=bucket, Key=f"{folder}/job.json")["Body"].read())
    named = {"inference_id": f"{record['owner']}-{record['id']}"}
    assert accepted["inference_id"] == named["inference_id"]
    assert logged(deployed, ending, message="job", **named)["status"] == "succeeded"
    lines = parsed((deployed.cloud.folder / "emulator.log").read_text(errors="replace").splitlines())
    assert [line["images"] for line in lines if {"event": "generated", **named}.items() <= line.items()] == [1]


def logged(deployed: Deployed, handler: str, **facts: str) -> dict[str, Any]:
    """The one line of a function's log with these facts, once it is there."""
    functions, logs = deployed.cloud.client("lambda"), deployed.cloud.client("logs")
    (found,) = (one for one in functions.list_functions()["Functions"] if one["Handler"] == handler)
    lines: list[dict[str, Any]] = []

    def come() -> bool:
        """Of a line that was late the emulator hears at the next call."""
        functions.invoke(FunctionName=found["FunctionName"], Payload=b'{"Records": []}')
        told = logs.get_paginator("filter_log_events").paginate(logGroupName=found["LoggingConfig"]["LogGroup"])
        every = parsed(event["message"] for page in told for event in page["events"])
        lines[:] = [line for line in every if facts.items() <= line.items()]
        return lines != []

    until(come, seconds=60)
    (line,) = lines
    return line


def parsed(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Those that are JSON."""
    return [json.loads(line) for line in lines if line[:1] == "{"]


def follow(api: Caller, link: str) -> Answer:
    """What a signed link gives to somebody without a key."""
    url = urlsplit(link)
    return api.fetch("GET", f"{url.path}?{url.query}", host=url.netloc)


def kill_while_drawing(deployed: Deployed, seconds: float = 30) -> None:
    container = deployed.cloud.container()
    port = int(container.cmdline()[container.cmdline().index("--port") + 1])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/progress")
        step = json.loads(connection.getresponse().read())["step"]
        connection.close()
        if step:
            container.kill()
            return
        time.sleep(0.05)
    raise AssertionError("the container drew nothing")


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def scale(deployed: Deployed, instances: int) -> None:
    """What autoscaling asks of SageMaker."""
    endpoint = deployed.endpoint()
    variant = {
        "VariantName": endpoint["ProductionVariants"][0]["VariantName"],
        "DesiredInstanceCount": instances,
    }
    deployed.cloud.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=endpoint["EndpointName"], DesiredWeightsAndCapacities=[variant]
    )


def guard(deployed: Deployed, hours: float = 0.0001) -> str:
    """What the idle guard does where nobody called for so long."""
    functions = deployed.cloud.client("lambda")
    (found,) = (
        one
        for one in functions.list_functions()["Functions"]
        if one["Handler"] == "custom_resources.idle_guard.handler"
    )
    variables = {**found["Environment"]["Variables"], "EASEL_IDLE_HOURS": str(hours)}
    functions.update_function_configuration(FunctionName=found["FunctionName"], Environment={"Variables": variables})
    time.sleep(hours * 3600)
    return str(json.loads(functions.invoke(FunctionName=found["FunctionName"])["Payload"].read()))


def stands_by(deployed: Deployed, destroying: Running, status: str) -> None:
    """A destroy that has come to the endpoint looks at it, and goes no further."""

    def waiting() -> list[str]:
        return events(deployed.cloud).get("Custom::EaselWaitForEndpoint", [])

    until(lambda: deployed.endpoint().get("EndpointStatus") == status and "DELETE_IN_PROGRESS" in waiting())
    time.sleep(POLL_SECONDS + 1)
    assert deployed.endpoint().get("EndpointStatus") == status
    assert "DELETE_COMPLETE" not in waiting()
    assert destroying.alive


def events(cloud: Cloud) -> dict[str, list[str]]:
    """What happened to the resources of each type in EaselModel."""
    found: dict[str, list[str]] = {}
    for event in cloud.client("cloudformation").describe_stack_events(StackName="EaselModel")["StackEvents"]:
        found.setdefault(event["ResourceType"], []).append(event["ResourceStatus"])
    return found


def store(deployed: Deployed) -> tuple[Any, str]:
    """A client of S3, and the bucket."""
    s3 = deployed.cloud.client("s3")
    (bucket,) = (one["Name"] for one in s3.list_buckets()["Buckets"] if "store" in one["Name"])
    return s3, bucket


def keys(deployed: Deployed, prefix: str) -> set[str]:
    s3, bucket = store(deployed)
    return {item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())}


def releases(deployed: Deployed) -> list[str]:
    """Their prefixes, the oldest first."""
    s3, bucket = store(deployed)
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="releases/")["Contents"]
    entrances = [item for item in listed if item["Key"].endswith("/code/inference.py")]
    return [item["Key"].removesuffix("code/inference.py") for item in sorted(entrances, key=itemgetter("LastModified"))]


def expiring(deployed: Deployed, prefix: str) -> set[bool]:
    """Whether the objects of a release carry the mark that the bucket's rule deletes by."""
    s3, bucket = store(deployed)
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
    tags = (s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] for key in keys)
    return {UNREFERENCED_TAG.items() <= {tag["Key"]: tag["Value"] for tag in one}.items() for one in tags}


def manifests(deployed: Deployed) -> list[dict[str, Any]]:
    """What the imported releases say of themselves."""
    s3, bucket = store(deployed)
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="releases/")["Contents"]
    keys = [item["Key"] for item in listed if item["Key"].endswith("/release.json")]
    told = [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]
    return [manifest for manifest in told if manifest["source"]["kind"] == "hub"]


def flat(text: str) -> str:
    """The CLI breaks its lines."""
    return " ".join(text.split())
