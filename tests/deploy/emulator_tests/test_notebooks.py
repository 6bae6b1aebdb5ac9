"""Emulated notebook instances, by botocore."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.deploy.emulator.aws_api.http_server import Router
from tests.deploy.emulator.aws_api.service import ACCOUNT, REGION, Service
from tests.deploy.emulator.sagemaker.endpoint import StateHold
from tests.deploy.emulator.sagemaker.notebooks import Notebooks
from tests.deploy.emulator_tests.server import ROLE, EmulatorServer, Roles

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
NAME = {"NotebookInstanceName": "Mine"}


class NotebookSetup:
    """The emulated notebook instances behind the server."""

    def __init__(self, server: EmulatorServer, folder: Path) -> None:
        keys = SimpleNamespace(access_key="ASIA", secret_key="secret", token="token")
        credentials = SimpleNamespace(get_frozen_credentials=lambda: keys)
        self.roles = Roles(SimpleNamespace(get_credentials=lambda: credentials))
        self.hold, self.disks = folder / "hold", folder / "instances"
        self.hold.mkdir()
        notebooks = Notebooks(self.roles.assume, self.roles.check, StateHold(self.hold), self.disks)
        runtime = Service("sagemaker-runtime")
        server.router = Router(runtime, [Service("sagemaker", notebooks)], lambda *_: None)
        self.server, self.sagemaker = server, server.clients["sagemaker"]

    def create(self, role: str = ROLE, **more: Any) -> str:
        """Create an instance and return its state once it is settled."""
        parameters = {"InstanceType": "ml.g4dn.xlarge", "RoleArn": role, **more}
        self.sagemaker.create_notebook_instance(**NAME, **parameters)
        return self.wait_until_settled()

    def wait_until_settled(self) -> str:
        while (status := self.describe()["NotebookInstanceStatus"]) in ("Pending", "Stopping"):
            time.sleep(0.02)
        return str(status)

    def describe(self) -> dict[str, Any]:
        return dict(self.sagemaker.describe_notebook_instance(**NAME))

    @contextmanager
    def held(self, status: str) -> Iterator[None]:
        """Keep instances in a state of transition."""
        (self.hold / status).touch()
        yield
        (self.hold / status).unlink()

    def error(self, operation: str, **parameters: Any) -> str:
        """Return the message of an error response."""
        return str(self.server.error("sagemaker", operation, **parameters)["Error"]["Message"])


@pytest.fixture
def setup(server: EmulatorServer, tmp_path: Path) -> NotebookSetup:
    return NotebookSetup(server, tmp_path)


def test_instance_stops_before_it_is_deleted(setup: NotebookSetup) -> None:
    assert setup.create() == "InService"
    error = setup.error("delete_notebook_instance", **NAME)
    assert error.startswith("Status (InService) not in ([Stopped, Failed]). Unable to transition to (Deleting) for")
    with setup.held("Stopping"):
        setup.sagemaker.stop_notebook_instance(**NAME)
        assert setup.describe()["NotebookInstanceStatus"] == "Stopping"
        assert "Stopping" in setup.error("stop_notebook_instance", **NAME)
    assert setup.wait_until_settled() == "Stopped"
    with setup.held("Deleting"):
        setup.sagemaker.delete_notebook_instance(**NAME)
        assert setup.describe()["NotebookInstanceStatus"] == "Deleting"
        assert setup.error("create_notebook_instance", **NAME, InstanceType="ml.t3.medium", RoleArn=ROLE)
    while setup.sagemaker.list_notebook_instances()["NotebookInstances"]:
        time.sleep(0.02)
    assert setup.error("describe_notebook_instance", **NAME)


def test_url_needs_a_running_instance(setup: NotebookSetup) -> None:
    with setup.held("Pending"):
        setup.sagemaker.create_notebook_instance(**NAME, InstanceType="ml.t3.medium", RoleArn=ROLE)
        assert "Pending" in setup.error("create_presigned_notebook_instance_url", **NAME)
    assert setup.wait_until_settled() == "InService"
    url = setup.sagemaker.create_presigned_notebook_instance_url(**NAME)["AuthorizedUrl"]
    assert url.startswith("https://mine.notebook.us-east-1.sagemaker.aws?authToken=")


def test_disk_has_the_scripts_and_the_roles_credentials(setup: NotebookSetup) -> None:
    config = {"NotebookInstanceLifecycleConfigName": "Scripts"}
    hooks = {name: [{"Content": base64.b64encode(name.encode()).decode()}] for name in ("OnCreate", "OnStart")}
    setup.sagemaker.create_notebook_instance_lifecycle_config(**config, **hooks)
    assert setup.create(LifecycleConfigName="Scripts") == "InService"
    disk = setup.disks / "Mine"
    assert [(disk / name).read_text() for name in ("OnCreate", "OnStart")] == ["OnCreate", "OnStart"]
    assert json.loads((disk / "resource-metadata.json").read_text())["ResourceName"] == "Mine"
    assert "aws_session_token = token" in (disk / "credentials").read_text()
    assert setup.describe()["NotebookInstanceLifecycleConfigName"] == "Scripts"
    assert "Mine" in setup.error("delete_notebook_instance_lifecycle_config", **config)


def test_script_has_at_most_16384_characters(setup: NotebookSetup) -> None:
    config = {"NotebookInstanceLifecycleConfigName": "Scripts", "OnStart": [{"Content": "A" * 16_388}]}
    assert "16384" in setup.error("create_notebook_instance_lifecycle_config", **config)


def test_instance_without_its_role_fails_and_can_be_started_again(setup: NotebookSetup) -> None:
    role = f"{ROLE}-that-does-not-exist"
    assert setup.create(role=role) == "Failed"
    assert role in setup.describe()["FailureReason"]
    assert "Failed" in setup.error("stop_notebook_instance", **NAME)
    with setup.held("Pending"):
        setup.sagemaker.start_notebook_instance(**NAME)
        assert setup.describe()["NotebookInstanceStatus"] == "Pending"
    assert setup.wait_until_settled() == "Failed"
    setup.sagemaker.delete_notebook_instance(**NAME)


@pytest.mark.parametrize("denied", ["kms:CreateGrant", "ec2:CreateNetworkInterface"])
def test_role_needs_permissions_for_the_disk_and_the_network(setup: NotebookSetup, denied: str) -> None:
    setup.roles.denied = denied
    assert setup.create(KmsKeyId=KEY, SubnetId="subnet-1", SecurityGroupIds=["sg-1"]) == "Failed"
    assert denied in setup.describe()["FailureReason"]
    setup.roles.denied = ""
    setup.sagemaker.start_notebook_instance(**NAME)
    assert setup.wait_until_settled() == "InService"
    resources = {resource for action, resource in setup.roles.checked if action == "ec2:CreateNetworkInterface"}
    assert resources == {"subnet/subnet-1", "security-group/sg-1", "network-interface/eni-0123456789abcdef0"}
