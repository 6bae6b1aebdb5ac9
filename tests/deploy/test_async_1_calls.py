"""Emulator test, mode async: the first deploy, calls by API, command line and page. Not run on AWS.

docs/explanation/not-yet-shown-on-aws.md has what the emulator cannot show.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import decode_images
from tests.deploy.harness.constants import MARK, REQUEST
from tests.deploy.harness.deployment import Deployment, wait_until
from tests.deploy.harness.environment import ROOT
from tests.deploy.harness.observation import (
    assert_problem,
    assert_traceable,
    check_budget,
    kill_container_at_work,
    use_up_budget,
)

pytestmark = [pytest.mark.xdist_group("async_account"), pytest.mark.timeout(1800)]


def test_outputs(async_account: Deployment) -> None:
    outputs = async_account.account.outputs()
    expected = {"ApiUrl", "ApiKeyCommand", "Model", "PriceWarm", "PriceIdle", "Budget", "AlertsGoTo"}
    assert expected <= outputs.keys()
    shell = async_account.account.easel("outputs", "--export").stdout.splitlines()
    assert shell == [f"export EASEL_URL={outputs['ApiUrl']}", f"export EASEL_KEY={async_account.api.key}"]
    assert async_account.api.call("GET", "/health").json["endpoint"]["status"] == "ready"


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}])
def test_request_without_a_valid_key_is_a_problem_document(async_account: Deployment, headers: dict[str, str]) -> None:
    api = async_account.api
    assert_problem(api.fetch("POST", f"{api.base}/generate", REQUEST, **headers), 401, "unauthorized")


def test_generate_returns_the_models_images(async_account: Deployment, expected_images: list[list[bytes]]) -> None:
    response = async_account.api.call("POST", "/generate", REQUEST)
    assert response.status == 200, response.body
    assert decode_images(response.json) == expected_images[0]
    assert MARK not in response.json["warnings"]


def test_job_has_links_to_its_images(async_account: Deployment, expected_images: list[list[bytes]]) -> None:
    api = async_account.api
    job = api.generate_job(REQUEST)
    assert api.call("GET", "/jobs").json["jobs"][0]["id"] == job["id"]
    assert [api.follow(image["url"]).body for image in job["images"]] == expected_images[0]


def test_link_opens_one_object_only(async_account: Deployment) -> None:
    api = async_account.api
    link = api.generate_job(REQUEST)["images"][0]["url"]
    assert api.follow(link).status == 200
    assert api.follow(link.replace("image-0.png", "job.json")).status == 403


def test_job_is_traceable_to_the_finalizer(async_account: Deployment) -> None:
    assert_traceable(async_account, "handlers.finalizer")


def test_cancel_a_waiting_job(async_account: Deployment) -> None:
    """On a busy machine, the jobs may end before the second is cancelled."""
    api, jobs = async_account.api, list[Any]()

    def cancelled() -> bool:
        bodies = ({**REQUEST, "num_inference_steps": 20}, REQUEST)
        jobs[:] = [api.call("POST", "/jobs", body).json for body in bodies]
        response = api.call("DELETE", jobs[1]["urls"]["cancel"])
        if response.status != 200:
            assert_problem(response, 409, "job_finished")
        return response.status == 200

    wait_until(cancelled)
    running, waiting = jobs
    assert api.wait_for_job(running["urls"]["get"])["status"] == "succeeded"
    assert api.call("GET", waiting["urls"]["get"]).json["status"] == "cancelled"


def test_container_death_fails_the_job_and_the_container_restarts(async_account: Deployment) -> None:
    api = async_account.api
    job = api.call("POST", "/jobs", {**REQUEST, "num_inference_steps": 40}).json
    kill_container_at_work(async_account)
    failed = api.wait_for_job(job["urls"]["get"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "container_died")
    next_job = api.call("POST", "/jobs", REQUEST).json
    assert api.wait_for_job(next_job["urls"]["get"], seconds=180)["status"] == "succeeded"


def test_command_line_generates(async_account: Deployment, expected_images: list[list[bytes]], tmp_path: Path) -> None:
    account, outputs = async_account.account, async_account.account.outputs()
    options = ("--seed", "7", "--steps", "4", "-o", str(tmp_path), "--json")
    address = ("--url", outputs["ApiUrl"], "--key", async_account.api.key)
    result = account.easel("generate", str(REQUEST["prompt"]), *options, *address)
    assert result.returncode == 0, result.stdout + result.stderr
    images = json.loads(result.stdout)["images"]
    assert [Path(image["path"]).read_bytes() for image in images] == expected_images[0]


def test_site_serves_the_page_with_its_security_headers(async_account: Deployment) -> None:
    api = async_account.api
    for path in ("/", "/index.html"):
        index = api.call_site("GET", path)
        assert (index.status, index.headers["cache-control"]) == (200, "no-cache")
        page, configured = re.subn(rb'<meta name="easel-sign-in" content="[^"]*" />', b"", index.body)
        assert (page, configured) == ((ROOT / "web/dist/index.html").read_bytes(), 1)
        assert "default-src 'none'" in index.headers["content-security-policy"]
        assert index.headers["strict-transport-security"].startswith("max-age=31536000")
    (script,) = set(re.findall(r'src="\./(assets/index-[^"]+)"', index.body.decode()))
    loaded = api.call_site("GET", f"/{script}")
    assert loaded.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in loaded.headers["cache-control"]


def test_page_bucket_is_readable_through_the_site_only(async_account: Deployment) -> None:
    account = async_account.account
    buckets = account.client("s3").list_buckets()["Buckets"]
    (name,) = (bucket["Name"] for bucket in buckets if bucket["Name"].startswith("easelsite-"))
    direct = async_account.api.fetch("GET", f"/{name}/index.html", host=f"127.0.0.1:{account.port}")
    assert direct.status == 403


def test_site_forwards_to_the_api(async_account: Deployment, expected_images: list[list[bytes]]) -> None:
    api = async_account.api
    assert_problem(api.call_site("GET", "/models"), 401, "unauthorized")
    key = {"x-api-key": api.key}
    assert_problem(api.call_site("GET", "/nothing", **key), 404, "not_found")
    generated = api.call_site("POST", "/generate", REQUEST, **key, **{"idempotency-key": "site"})
    assert decode_images(generated.json) == expected_images[0]
    jobs = [api.call_site("POST", "/jobs", REQUEST, **key, **{"idempotency-key": "twice"}).json for _ in range(2)]
    assert jobs[0]["id"] == jobs[1]["id"]
    assert api.wait_for_job(jobs[0]["urls"]["get"])["status"] == "succeeded"


def instances(deployment: Deployment) -> int:
    """Return the number of instances; -1 while the endpoint is changing."""
    endpoint = deployment.endpoint()
    in_service = endpoint["EndpointStatus"] == "InService"
    return int(endpoint["ProductionVariants"][0]["CurrentInstanceCount"]) if in_service else -1


def test_used_up_budget_stops_the_endpoint_until_resume(
    async_account: Deployment, expected_images: list[list[bytes]]
) -> None:
    """Neither a waiting job nor a deploy, which starts an instance, ends the stop."""
    account, api = async_account.account, async_account.api
    wait_until(lambda: instances(async_account) == 1)
    use_up_budget(async_account)
    wait_until(lambda: instances(async_account) == 0)
    async_account.scale(1)
    wait_until(lambda: instances(async_account) == 1)
    assert check_budget(async_account) == "stopped"
    wait_until(lambda: instances(async_account) == 0)
    with account.hold("Scaling"):
        resumed = account.easel("resume")
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        wait_until(lambda: api.call("GET", "/health").json["endpoint"]["status"] != "broken")
        accepted = api.call("POST", "/jobs", REQUEST).json
        job = api.wait_for_job(accepted["urls"]["get"], seconds=180)
        assert [api.follow(image["url"]).body for image in job["images"]] == expected_images[0]
    assert check_budget(async_account) == "not stopped"
    assert async_account.doctor()["budget_stop"]["status"] == "ok"
    wait_until(lambda: instances(async_account) >= 0)
    if not instances(async_account):
        async_account.scale(1)
    wait_until(lambda: instances(async_account) == 1)
