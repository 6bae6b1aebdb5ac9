"""Emulated accounts with Easel in them: asynchronous, and realtime with a bucket that is not emptied.

In the second one updates of the endpoint are watched. A third has all that a user may bring: key, network, firewall.
"""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import tools
from tests.deploy.agreed import MODEL, REQUEST
from tests.deploy.client import Caller
from tests.deploy.cloud import Cloud
from tests.deploy.door import Door
from tests.deploy.inventory import inventory
from tests.model_importer.hub import HubServer, Repository

PROJECT = tools.plain_environment() | {
    "PYTHONPATH": f"{tools.ROOT}:{tools.ROOT / 'model_code'}",
    "OMP_WAIT_POLICY": "PASSIVE",  # as the container has it: threads that spin starve each other on shared cores
}


@dataclass
class Deployed:
    """An account after `cdk bootstrap` and the first `cdk deploy --all`."""

    cloud: Cloud
    bare: set[str]
    """What was there before the deploy."""
    assemblies: Path
    hub: HubServer

    @property
    def api(self) -> Caller:
        return Caller(self.cloud)

    def deploy(self, name: str, *stacks: str) -> subprocess.CompletedProcess[str]:
        return self.cloud.deploy(self.assemblies / name, *stacks)

    def endpoint(self) -> dict[str, Any]:
        """What SageMaker says of the one endpoint; empty where there is none."""
        sagemaker = self.cloud.client("sagemaker")
        names = [one["EndpointName"] for one in sagemaker.list_endpoints()["Endpoints"]]
        return dict(sagemaker.describe_endpoint(EndpointName=names[0])) if names else {}


@pytest.fixture(scope="session")
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.server.shutdown()
    made.server.server_close()


def run_module(*command: str, stdin: str = "") -> str:
    """Runs a module of ours with the project's own interpreter."""
    done = subprocess.run(
        (tools.project_python(), "-m", *command), cwd=tools.ROOT, env=PROJECT, input=stdin, text=True,
        capture_output=True, timeout=800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Stage:
    """`drawn_alone` by the catalogue's model, `drawn_otherwise` by the one on the hub."""

    asynchronous: Deployed
    realtime: Deployed
    drawn_alone: list[bytes]
    drawn_otherwise: list[bytes]


@dataclass
class Own(Deployed):
    """An account with a key that was there before."""

    key: str


def documented_policy() -> Any:
    """What docs/options.md says that a key's policy needs."""
    page = (tools.ROOT / "docs/options.md").read_text()
    return json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])


@pytest.fixture(scope="session")
def own_begun(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Own]]:
    """It is deployed while the tests of the other accounts run; not at all where no test asks for it."""
    folders = [tmp_path_factory.mktemp(name) for name in ("own-assemblies", "own-hub", "own")]
    asked = any("own" in getattr(item, "fixturenames", ()) for item in request.session.items)
    if asked:
        tools.set_up()
    with ExitStack() as running, ThreadPoolExecutor() as pool:
        yield pool.submit(deploy_own, running, pool, *folders) if asked else Future()


def deploy_own(running: ExitStack, pool: ThreadPoolExecutor, assemblies: Path, models: Path, folder: Path) -> Own:
    hub = running.enter_context(HubServer(Repository(other_model(models / "model"))))
    cloud = running.enter_context(Cloud(folder, hub.url))
    made = cloud.client("kms").create_key(Policy=json.dumps(documented_policy()))
    key = made["KeyMetadata"]["Arn"]
    synthesis = pool.submit(run_module, "tests.deploy.assemble", str(assemblies), key)
    return Own(**vars(first_deploy(cloud, synthesis, assemblies, "own", hub)), key=key)


@pytest.fixture(scope="session")
def stage(page: None, own_begun: Future[Own], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Everything that can be made side by side is."""
    tools.set_up()
    assemblies = tmp_path_factory.mktemp("assemblies")
    with ExitStack() as running, ThreadPoolExecutor() as pool:
        other = other_model(tmp_path_factory.mktemp("hub") / "model")
        hub = running.enter_context(HubServer(Repository(other)))
        synthesis = pool.submit(run_module, "tests.deploy.assemble", str(assemblies))
        alone = pool.submit(draw_alone, other)

        def deployed(name: str) -> Deployed:
            cloud = running.enter_context(Cloud(tmp_path_factory.mktemp(name), hub.url))
            return first_deploy(cloud, synthesis, assemblies, name, hub)

        accounts = [pool.submit(deployed, name) for name in ("async", "kept")]
        yield Stage(accounts[0].result(), accounts[1].result(), *alone.result())


def first_deploy(cloud: Cloud, synthesis: Future[str], assemblies: Path, name: str, hub: HubServer) -> Deployed:
    bootstrapped = cloud.bootstrap()
    assert bootstrapped.returncode == 0, bootstrapped.stdout
    bare = inventory(cloud)
    synthesis.result()
    done = cloud.deploy(assemblies / name)
    assert done.returncode == 0, done.stdout[-6000:] + cloud.tail()
    return Deployed(cloud, bare, assemblies, hub)


def other_model(folder: Path) -> Path:
    """The same model with its latents read too large, so that it draws too strongly."""
    shutil.copytree(tools.ROOT / "models" / MODEL, folder)
    settings = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(
        json.dumps({**settings, "scaling_factor": settings["scaling_factor"] / 2})
    )
    return folder


def draw_alone(other: Path) -> list[list[bytes]]:
    told = run_module("tests.deploy.alone", MODEL, str(other), stdin=json.dumps(REQUEST))
    return [pictures(json.loads(line)) for line in told.splitlines() if '"generated_images"' in line]


def pictures(answer: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(image) for image in answer["generated_images"]]
