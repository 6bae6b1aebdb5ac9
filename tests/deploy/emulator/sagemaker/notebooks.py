"""SageMaker's notebook instances: their states and their files. Nothing runs on them.

The lifecycle scripts are written for root on their own machine. They are not run here: they are put, with the role's
credentials, into the folder `instances/<name>`, where a test finds and runs them.
"""

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import boto3

from ..aws_api.role_permissions import CheckPermissions, for_disk, for_network
from ..aws_api.service import REGION, Parameters, ServiceError
from .endpoint import StateHold
from .records import RecordTable

TRANSITION_SECONDS = 0.3
"""Least time that an instance stays in a state such as Pending."""


class Notebooks:
    """Notebook instances and lifecycle configurations. `folder` holds the disks of the instances."""

    def __init__(
        self,
        assume_role: Callable[[str], boto3.Session],
        check_permissions: CheckPermissions,
        hold: StateHold,
        folder: Path,
    ) -> None:
        self.assume_role, self.check_permissions = assume_role, check_permissions
        self.hold, self.folder = hold, folder
        self.instances = RecordTable("NotebookInstance", "notebook-instance", "notebook instance")
        self.configs = RecordTable(
            "NotebookInstanceLifecycleConfig", "notebook-instance-lifecycle-config", "notebook lifecycle config"
        )
        self.create_notebook_instance_lifecycle_config = self.configs.create
        self.describe_notebook_instance_lifecycle_config = self.configs.describe
        self.list_notebook_instance_lifecycle_configs = self.configs.summaries

    def delete_notebook_instance_lifecycle_config(self, parameters: Parameters) -> None:
        """Delete a configuration. Refused while an instance uses it; whether SageMaker refuses it is not known."""
        name = parameters["NotebookInstanceLifecycleConfigName"]
        records = self.instances.records.items()
        if users := [instance for instance, record in records if record.get("LifecycleConfigName") == name]:
            raise ServiceError("ValidationException", f"{name} is the lifecycle configuration of {users}")
        self.configs.delete(parameters)

    def create_notebook_instance(self, parameters: Parameters) -> Parameters:
        if config := parameters.get("LifecycleConfigName"):
            self.configs.find(config)
        arn = self.instances.create(parameters)
        self._start(parameters["NotebookInstanceName"], "OnCreate", "OnStart")
        return arn

    def start_notebook_instance(self, parameters: Parameters) -> None:
        self._check_status(parameters, "Pending", "Stopped", "Failed")
        self._start(parameters["NotebookInstanceName"], "OnStart")

    def stop_notebook_instance(self, parameters: Parameters) -> None:
        self._check_status(parameters, "Stopping", "InService")
        self._start_transition(parameters["NotebookInstanceName"], "Stopping", lambda: "Stopped")

    def delete_notebook_instance(self, parameters: Parameters) -> None:
        self._check_status(parameters, "Deleting", "Stopped", "Failed")
        self._start_transition(parameters["NotebookInstanceName"], "Deleting", lambda: "")

    def create_presigned_notebook_instance_url(self, parameters: Parameters) -> Parameters:
        name = parameters["NotebookInstanceName"]
        if (status := self.instances.find(name)["NotebookInstanceStatus"]) != "InService":
            raise ServiceError("ValidationException", f"Notebook Instance is not InService, it is {status}.")
        return {"AuthorizedUrl": f"https://{_host(name)}?authToken={uuid.uuid4().hex}"}

    def describe_notebook_instance(self, parameters: Parameters) -> Parameters:
        record = dict(self.instances.find(parameters["NotebookInstanceName"]))
        record.pop("Tags", None)
        for requested, described in {"LifecycleConfigName": "NotebookInstanceLifecycleConfigName",
                                     "SecurityGroupIds": "SecurityGroups"}.items():  # fmt: skip
            if requested in record:
                record[described] = record.pop(requested)
        return record

    def list_notebook_instances(self, parameters: Parameters) -> Parameters:
        keys = ("NotebookInstanceName", "NotebookInstanceArn", "NotebookInstanceStatus", "InstanceType", "CreationTime")
        records = self.instances.matching(parameters)
        return {"NotebookInstances": [{key: record[key] for key in keys} for record in records]}

    def _check_status(self, parameters: Parameters, target: str, *allowed: str) -> None:
        """Raise ServiceError if the instance is in no state of `allowed`, from which it can go to `target`."""
        record = self.instances.find(parameters["NotebookInstanceName"])
        if (status := record["NotebookInstanceStatus"]) not in allowed:
            raise ServiceError(
                "ValidationException",
                f"Status ({status}) not in ([{', '.join(allowed)}]). Unable to transition to ({target}) for Notebook "
                f"Instance ({record['NotebookInstanceArn']}).",
            )

    def _start(self, name: str, *hooks: str) -> None:
        def boot() -> str:
            record = self.instances.records[name]
            try:
                self._check_role(record)
                self._write_disk(record, hooks)
            except ServiceError as error:
                record["FailureReason"] = error.message
                return "Failed"
            return "InService"

        self._start_transition(name, "Pending", boot)

    def _start_transition(self, name: str, status: str, action: Callable[[], str]) -> None:
        """Set `status`, then in the background the state that `action` returns. Empty: the instance is deleted."""
        record = self.instances.records[name]
        record["NotebookInstanceStatus"] = status
        record.pop("FailureReason", None)

        def run() -> None:
            time.sleep(TRANSITION_SECONDS)
            self.hold.wait(status)
            record["NotebookInstanceStatus"] = final_status = action()
            if not final_status:
                del self.instances.records[name]

        threading.Thread(target=run, daemon=True).start()

    def _check_role(self, record: Parameters) -> None:
        subnets, groups = [record["SubnetId"]] if "SubnetId" in record else [], record.get("SecurityGroupIds", [])
        self.check_permissions(record["RoleArn"], [*for_disk(record.get("KmsKeyId")), *for_network(subnets, groups)])

    def _write_disk(self, record: Parameters, hooks: tuple[str, ...]) -> None:
        disk = self.folder / record["NotebookInstanceName"]
        disk.mkdir(parents=True, exist_ok=True)
        keys = self.assume_role(record["RoleArn"]).get_credentials().get_frozen_credentials()
        (disk / "credentials").write_text(
            f"[default]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n"
            f"aws_session_token = {keys.token}\n"
        )
        metadata = {"ResourceArn": record["NotebookInstanceArn"], "ResourceName": record["NotebookInstanceName"]}
        (disk / "resource-metadata.json").write_text(json.dumps(metadata))
        config = self.configs.find(record["LifecycleConfigName"]) if "LifecycleConfigName" in record else {}
        for hook in hooks:
            for script in config.get(hook, []):
                (disk / hook).write_bytes(base64.b64decode(script["Content"], validate=True))


def _host(name: str) -> str:
    return f"{name.lower()}.notebook.{REGION}.sagemaker.aws"
