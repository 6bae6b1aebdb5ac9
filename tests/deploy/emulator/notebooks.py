"""SageMaker's notebook instances: their states, and what lies on one. Nothing computes on them.

The scripts of the lifecycle configuration are for root of a machine of their own. They are not run here but laid, with
the role's keys, into the folder `instances/<name>`, where a test finds and runs them.
"""

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import boto3

from .fleet import Hold
from .rights import Permit, disk, interfaces
from .sagemaker import Shelf
from .service import REGION, Parameters, ServiceError

SECONDS = 0.3
"""So long an instance is at least on its way to another state."""


class Notebooks:
    """`act_as` gives the session of a role; `folder` is where the disks of the instances are."""

    def __init__(self, act_as: Callable[[str], boto3.Session], permit: Permit, hold: Hold, folder: Path) -> None:
        self.act_as, self.permit, self.hold, self.folder = act_as, permit, hold, folder
        self.shelf = Shelf("NotebookInstance", "notebook-instance", "notebook instance")
        self.configs = Shelf(
            "NotebookInstanceLifecycleConfig", "notebook-instance-lifecycle-config", "notebook lifecycle config"
        )
        self.create_notebook_instance_lifecycle_config = self.configs.create
        self.describe_notebook_instance_lifecycle_config = self.configs.describe
        self.list_notebook_instance_lifecycle_configs = self.configs.summaries

    def delete_notebook_instance_lifecycle_config(self, parameters: Parameters) -> None:
        """Whether SageMaker minds that an instance has it is not known: here it does."""
        name = parameters["NotebookInstanceLifecycleConfigName"]
        if users := [one for one, told in self.shelf.records.items() if told.get("LifecycleConfigName") == name]:
            raise ServiceError("ValidationException", f"{name} is the lifecycle configuration of {users}")
        self.configs.delete(parameters)

    def create_notebook_instance(self, parameters: Parameters) -> Parameters:
        if config := parameters.get("LifecycleConfigName"):
            self.configs.find(config)
        arn = self.shelf.create(parameters)
        self._start(parameters["NotebookInstanceName"], "OnCreate", "OnStart")
        return arn

    def start_notebook_instance(self, parameters: Parameters) -> None:
        self._leave(parameters, "Pending", "Stopped", "Failed")
        self._start(parameters["NotebookInstanceName"], "OnStart")

    def stop_notebook_instance(self, parameters: Parameters) -> None:
        self._leave(parameters, "Stopping", "InService")
        self._go(parameters["NotebookInstanceName"], "Stopping", lambda: "Stopped")

    def delete_notebook_instance(self, parameters: Parameters) -> None:
        name = parameters["NotebookInstanceName"]
        self._leave(parameters, "Deleting", "Stopped", "Failed")
        self._go(name, "Deleting", lambda: "")

    def create_presigned_notebook_instance_url(self, parameters: Parameters) -> Parameters:
        name = parameters["NotebookInstanceName"]
        if (status := self.shelf.find(name)["NotebookInstanceStatus"]) != "InService":
            raise ServiceError("ValidationException", f"Notebook Instance is not InService, it is {status}.")
        return {"AuthorizedUrl": f"https://{_address(name)}?authToken={uuid.uuid4().hex}"}

    def describe_notebook_instance(self, parameters: Parameters) -> Parameters:
        told = dict(self.shelf.find(parameters["NotebookInstanceName"]))
        told.pop("Tags", None)
        for api, described in {"LifecycleConfigName": "NotebookInstanceLifecycleConfigName",
                               "SecurityGroupIds": "SecurityGroups"}.items():  # fmt: skip
            if api in told:
                told[described] = told.pop(api)
        return told

    def list_notebook_instances(self, _: Parameters) -> Parameters:
        told = ("NotebookInstanceName", "NotebookInstanceArn", "NotebookInstanceStatus", "InstanceType", "CreationTime")
        return {"NotebookInstances": [{key: one[key] for key in told} for one in list(self.shelf.records.values())]}

    def _leave(self, parameters: Parameters, status: str, *statuses: str) -> None:
        """Raises ServiceError where the instance is in none of `statuses`, from which it could come into `status`."""
        found = self.shelf.find(parameters["NotebookInstanceName"])
        if (now := found["NotebookInstanceStatus"]) not in statuses:
            raise ServiceError(
                "ValidationException",
                f"Status ({now}) not in ([{', '.join(statuses)}]). Unable to transition to ({status}) for Notebook "
                f"Instance ({found['NotebookInstanceArn']}).",
            )

    def _start(self, name: str, *hooks: str) -> None:
        def boot() -> str:
            record = self.shelf.records[name]
            try:
                self._check_rights(record)
                self._lay_out(record, hooks)
            except ServiceError as error:
                record["FailureReason"] = error.message
                return "Failed"
            return "InService"

        self._go(name, "Pending", boot)

    def _go(self, name: str, status: str, work: Callable[[], str]) -> None:
        """`work` gives the state after `status`; empty: the instance is gone."""
        record = self.shelf.records[name]
        record["NotebookInstanceStatus"] = status
        record.pop("FailureReason", None)

        def walk() -> None:
            time.sleep(SECONDS)
            self.hold.wait(status)
            record["NotebookInstanceStatus"] = end = work()
            if not end:
                del self.shelf.records[name]

        threading.Thread(target=walk, daemon=True).start()

    def _check_rights(self, record: Parameters) -> None:
        subnets, groups = [record["SubnetId"]] if "SubnetId" in record else [], record.get("SecurityGroupIds", [])
        self.permit(record["RoleArn"], [*disk(record.get("KmsKeyId")), *interfaces(subnets, groups)])

    def _lay_out(self, record: Parameters, hooks: tuple[str, ...]) -> None:
        disk = self.folder / record["NotebookInstanceName"]
        disk.mkdir(parents=True, exist_ok=True)
        keys = self.act_as(record["RoleArn"]).get_credentials().get_frozen_credentials()
        (disk / "credentials").write_text(
            f"[default]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n"
            f"aws_session_token = {keys.token}\n"
        )
        told = {"ResourceArn": record["NotebookInstanceArn"], "ResourceName": record["NotebookInstanceName"]}
        (disk / "resource-metadata.json").write_text(json.dumps(told))
        config = self.configs.find(record["LifecycleConfigName"]) if "LifecycleConfigName" in record else {}
        for hook in hooks:
            for one in config.get(hook, []):
                (disk / hook).write_bytes(base64.b64decode(one["Content"], validate=True))


def _address(name: str) -> str:
    return f"{name.lower()}.notebook.{REGION}.sagemaker.aws"
