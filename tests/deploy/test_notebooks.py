"""The stand-in of notebook instances, asked by botocore."""

import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.deploy.door import Door
from tests.deploy.emulator.fleet import Hold
from tests.deploy.emulator.notebooks import Notebooks
from tests.deploy.emulator.rights import Right
from tests.deploy.emulator.service import ACCOUNT, REGION, Service, ServiceError
from tests.deploy.emulator.wire import Gateway
from tests.deploy.test_stand_ins import ROLE, refused

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"


class World:
    """`denied`: an action that the role must not do."""

    def __init__(self, door: Door, folder: Path) -> None:
        self.denied, self.asked = "", list[tuple[str, str]]()
        (folder / "hold").mkdir()
        self.hold, self.disks = folder / "hold", folder / "instances"
        notebooks = Notebooks(self.act_as, self.permit, Hold(self.hold), self.disks)
        runtime = Service("sagemaker-runtime")
        door.gateway = Gateway(runtime, [Service("sagemaker", notebooks)], lambda *_: None)
        self.clients, self.sagemaker = door.clients, door.clients["sagemaker"]

    def act_as(self, role: str) -> Any:
        if role != ROLE:
            raise ServiceError("ValidationException", f"Could not assume role {role}.")
        keys = SimpleNamespace(access_key="ASIA", secret_key="secret", token="token")
        return SimpleNamespace(get_credentials=lambda: SimpleNamespace(get_frozen_credentials=lambda: keys))

    def permit(self, role: str, rights: Sequence[Right]) -> None:
        self.asked += [(action, resource.rpartition(":")[2]) for action, resource, _ in rights]
        if self.denied in {action for action, *_ in rights}:
            raise ServiceError("ValidationException", f"{role} may not {self.denied}")

    def make(self, role: str = ROLE, **more: Any) -> str:
        """The state in which a new instance comes to rest."""
        told = {"InstanceType": "ml.g4dn.xlarge", "RoleArn": role, **more}
        self.sagemaker.create_notebook_instance(NotebookInstanceName="Mine", **told)
        return self.rest()

    def rest(self) -> str:
        while (status := self.found()["NotebookInstanceStatus"]) in ("Pending", "Stopping"):
            time.sleep(0.02)
        return str(status)

    def found(self) -> dict[str, Any]:
        return dict(self.sagemaker.describe_notebook_instance(NotebookInstanceName="Mine"))

    def refused(self, operation: str, **more: Any) -> str:
        answer = refused(self, "sagemaker", operation, NotebookInstanceName="Mine", **more)  # type: ignore[arg-type]
        return str(answer["Error"]["Message"])


@pytest.fixture
def world(door: Door, tmp_path: Path) -> World:
    return World(door, tmp_path)


def test_it_stops_before_it_is_deleted(world: World) -> None:
    assert world.make() == "InService"
    told = world.refused("delete_notebook_instance")
    assert told.startswith("Status (InService) not in ([Stopped, Failed]). Unable to transition to (Deleting) for")
    world.sagemaker.stop_notebook_instance(NotebookInstanceName="Mine")
    assert world.found()["NotebookInstanceStatus"] == "Stopping"
    assert "Status (Stopping) not in ([InService])" in world.refused("stop_notebook_instance")
    assert world.rest() == "Stopped"
    world.sagemaker.delete_notebook_instance(NotebookInstanceName="Mine")
    assert world.found()["NotebookInstanceStatus"] == "Deleting"
    assert "Cannot create already existing" in world.refused(
        "create_notebook_instance", InstanceType="ml.t3.medium", RoleArn=ROLE
    )
    while world.sagemaker.list_notebook_instances()["NotebookInstances"]:
        time.sleep(0.02)
    assert "Could not find" in world.refused("describe_notebook_instance")


def test_it_is_opened_only_in_service(world: World) -> None:
    (world.hold / "Pending").touch()
    world.sagemaker.create_notebook_instance(NotebookInstanceName="Mine", InstanceType="ml.t3.medium", RoleArn=ROLE)
    assert "it is Pending" in world.refused("create_presigned_notebook_instance_url")
    (world.hold / "Pending").unlink()
    assert world.rest() == "InService"
    url = world.sagemaker.create_presigned_notebook_instance_url(NotebookInstanceName="Mine")["AuthorizedUrl"]
    assert url.startswith("https://mine.notebook.us-east-1.sagemaker.aws?authToken=")


def test_what_lies_on_it_comes_from_the_configuration_and_the_role(world: World) -> None:
    hooks = {name: [{"Content": base64.b64encode(name.encode()).decode()}] for name in ("OnCreate", "OnStart")}
    world.sagemaker.create_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName="Scripts", **hooks)
    assert world.make(LifecycleConfigName="Scripts") == "InService"
    disk = world.disks / "Mine"
    assert [(disk / name).read_text() for name in ("OnCreate", "OnStart")] == ["OnCreate", "OnStart"]
    assert json.loads((disk / "resource-metadata.json").read_text())["ResourceName"] == "Mine"
    assert "aws_session_token = token" in (disk / "credentials").read_text()
    assert world.found()["NotebookInstanceLifecycleConfigName"] == "Scripts"
    asked = {"NotebookInstanceLifecycleConfigName": "Scripts"}
    answer = refused(world, "sagemaker", "delete_notebook_instance_lifecycle_config", **asked)  # type: ignore[arg-type]
    assert "Mine" in answer["Error"]["Message"]


def test_a_script_that_is_too_long_is_refused(world: World) -> None:
    long = [{"Content": "A" * 16_388}]
    asked = {"NotebookInstanceLifecycleConfigName": "Scripts", "OnStart": long}
    answer = refused(world, "sagemaker", "create_notebook_instance_lifecycle_config", **asked)  # type: ignore[arg-type]
    assert "16384" in answer["Error"]["Message"]


def test_without_its_role_it_fails_and_is_started_again(world: World) -> None:
    assert world.make(role=f"{ROLE}-of-nobody") == "Failed"
    assert "Could not assume role" in world.found()["FailureReason"]
    assert "Status (Failed) not in ([InService])" in world.refused("stop_notebook_instance")
    world.sagemaker.start_notebook_instance(NotebookInstanceName="Mine")
    assert world.found()["NotebookInstanceStatus"] == "Pending"
    assert world.rest() == "Failed"
    world.sagemaker.delete_notebook_instance(NotebookInstanceName="Mine")


@pytest.mark.parametrize("denied", ["kms:CreateGrant", "ec2:CreateNetworkInterface"])
def test_its_role_must_be_allowed_the_disk_and_the_network(world: World, denied: str) -> None:
    world.denied = denied
    assert world.make(KmsKeyId=KEY, SubnetId="subnet-1", SecurityGroupIds=["sg-1"]) == "Failed"
    assert denied in world.found()["FailureReason"]
    world.denied = ""
    world.sagemaker.start_notebook_instance(NotebookInstanceName="Mine")
    assert world.rest() == "InService"
    touched = {resource for action, resource in world.asked if action == "ec2:CreateNetworkInterface"}
    assert touched == {"subnet/subnet-1", "security-group/sg-1", "network-interface/eni-0123456789abcdef0"}
