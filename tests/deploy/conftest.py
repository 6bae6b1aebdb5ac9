"""Emulated accounts with Easel in them: `async_account`, `realtime_account` and `own_account`.

Each is deployed once a session. The tests of one account share an xdist group, so that a single worker runs them.
"""

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.deploy.harness.account import Account
from tests.deploy.harness.constants import MODEL, REQUEST
from tests.deploy.harness.deployment import Deployment, deploy_first, finish_module, start_module
from tests.deploy.harness.environment import ROOT, set_up
from tests.deploy.harness.forks.project import forked, project_forks
from tests.model_importer.hub import HubServer, Repository


@dataclass
class KeyDeployment(Deployment):
    """A deployment in an account that had a KMS key before."""

    key: str


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model that scales its latents wrongly, so that it generates other images."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    shutil.copytree(ROOT / "models" / MODEL, folder)
    settings = json.loads((folder / "vae" / "config.json").read_text())
    settings["scaling_factor"] /= 2
    (folder / "vae" / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def expected_images(other_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    """Images of the four handler functions alone for `REQUEST`: by the catalogue's model, by `other_model`.

    The first worker of a run generates them.
    """
    folder = tmp_path_factory.getbasetemp()
    generated = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "generated.txt"
    with FileLock(f"{generated}.lock"):
        if not generated.exists():
            module = ("tests.deploy.harness.generate_locally", MODEL, str(other_model))
            with project_forks():
                generated.write_text(finish_module(start_module(*module, python=forked()), json.dumps(REQUEST)))
    return [
        decode_images(json.loads(line)) for line in generated.read_text().splitlines() if '"generated_images"' in line
    ]


def decode_images(result: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(image) for image in result["generated_images"]]


@pytest.fixture(scope="session")
def async_account(page: None, other_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Mode async with the site. The bucket is emptied on destroy."""
    set_up()
    with ExitStack() as running:
        hub = running.enter_context(HubServer(Repository(other_model)))
        account = running.enter_context(Account(tmp_path_factory.mktemp("async"), hub.url))
        yield deploy_first(account, tmp_path_factory.mktemp("async-assemblies"), hub, "async")


@pytest.fixture(scope="session")
def realtime_account(page: None, other_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Mode realtime, without the site, with watched updates. The bucket is not emptied on destroy."""
    set_up()
    with ExitStack() as running:
        hub = running.enter_context(HubServer(Repository(other_model)))
        account = running.enter_context(Account(tmp_path_factory.mktemp("realtime"), hub.url))
        yield deploy_first(account, tmp_path_factory.mktemp("realtime-assemblies"), hub, "realtime")


@pytest.fixture(scope="session")
def own_account(page: None, other_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyDeployment]:
    """Mode async with a KMS key, a network and a firewall of the customer, and the notebook."""
    set_up()
    with ExitStack() as running:
        hub = running.enter_context(HubServer(Repository(other_model)))
        account = running.enter_context(Account(tmp_path_factory.mktemp("own"), hub.url))
        created = account.client("kms").create_key(Policy=json.dumps(documented_key_policy()))
        key = created["KeyMetadata"]["Arn"]
        deployment = deploy_first(account, tmp_path_factory.mktemp("own-assemblies"), hub, "own", key)
        yield KeyDeployment(**vars(deployment), key=key)


def documented_key_policy() -> Any:
    """Return the policy that docs/how-to/kms-key.md requires of a key."""
    page = (ROOT / "docs/how-to/kms-key.md").read_text()
    return json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
