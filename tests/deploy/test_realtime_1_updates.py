"""Emulator test, mode realtime: calls, a used-up budget, a pause, updates. Not run on AWS.

test_prove.py has a rollback by an alarm, and a resume after a pause.
"""

import pytest

from tests.deploy.conftest import decode_images
from tests.deploy.harness.constants import MARK, REQUEST
from tests.deploy.harness.deployment import Deployment, join_lines, wait_until
from tests.deploy.harness.observation import assert_traceable, check_budget, kill_container_at_work, use_up_budget

pytestmark = [pytest.mark.xdist_group("realtime_account"), pytest.mark.timeout(1800)]


def scalable_targets(deployment: Deployment) -> list[dict[str, object]]:
    scaling = deployment.account.client("application-autoscaling")
    return list(scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"])


def test_generate_returns_the_models_images(realtime_account: Deployment, expected_images: list[list[bytes]]) -> None:
    response = realtime_account.api.call("POST", "/generate", REQUEST)
    assert response.status == 200, response.body
    assert decode_images(response.json) == expected_images[0]


def test_job_is_traceable_to_the_runner(realtime_account: Deployment) -> None:
    assert_traceable(realtime_account, "handlers.runner")


def test_container_death_runs_the_job_again(realtime_account: Deployment) -> None:
    api = realtime_account.api
    job = api.call("POST", "/jobs", {**REQUEST, "num_inference_steps": 20}).json
    kill_container_at_work(realtime_account)
    assert api.wait_for_job(job["urls"]["get"], seconds=180)["status"] == "succeeded"


def test_used_up_budget_deletes_the_endpoint_until_resume(
    realtime_account: Deployment, expected_images: list[list[bytes]]
) -> None:
    """An endpoint that somebody creates in the meantime is deleted again."""
    account, api = realtime_account.account, realtime_account.api
    endpoint = realtime_account.endpoint()
    use_up_budget(realtime_account)
    wait_until(lambda: realtime_account.endpoint() == {})
    names = {name: endpoint[name] for name in ("EndpointName", "EndpointConfigName")}
    account.client("sagemaker").create_endpoint(**names)
    wait_until(lambda: realtime_account.endpoint_status() == "InService")
    assert check_budget(realtime_account) == "deleted"
    wait_until(lambda: realtime_account.endpoint() == {})
    resumed = account.easel("resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    wait_until(lambda: api.call("GET", "/health").json["endpoint"]["status"] == "ready")
    assert decode_images(api.call("POST", "/generate", REQUEST).json) == expected_images[0]
    assert check_budget(realtime_account) == "not stopped"


def test_pause_and_update_with_room_for_one_instance(realtime_account: Deployment) -> None:
    """A paused endpoint fails jobs and deploys of another release. Another pause changes nothing.

    Out of a pause, a deploy without endpoint deletes the old fleet, and the next deploy creates the new.
    """
    account, api = realtime_account.account, realtime_account.api
    for _ in range(2):
        paused = account.easel("pause")
        assert paused.returncode == 0, paused.stdout + paused.stderr
        assert realtime_account.endpoint() == {}
    job = api.generate_job(REQUEST)
    assert job["error"]["code"] == "endpoint_missing"
    assert "easel resume" in job["error"]["hint"]
    deployed = realtime_account.deploy("failing", "EaselModel")
    assert deployed.returncode != 0
    assert "Could not find endpoint" in join_lines(deployed.stdout)
    assert account.stack_statuses()["EaselModel"] == "UPDATE_ROLLBACK_COMPLETE"
    for command in ("resume", "pause"):
        done = account.easel(command)
        assert done.returncode == 0, done.stdout + done.stderr
    removed = realtime_account.deploy("no-endpoint", "EaselModel")
    assert removed.returncode == 0, removed.stdout[-4000:]
    assert realtime_account.endpoint() == {}
    assert scalable_targets(realtime_account) == []
    resumed = account.easel("resume")
    assert resumed.returncode != 0
    assert "npx cdk deploy --all" in resumed.stderr
    assert api.generate_job(REQUEST)["error"]["code"] == "endpoint_missing"
    deployed = realtime_account.deploy("changed")
    assert deployed.returncode == 0, deployed.stdout[-4000:]
    assert MARK in api.call("POST", "/generate", REQUEST).json["warnings"]
    assert len(scalable_targets(realtime_account)) == 1
