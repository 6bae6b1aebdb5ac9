"""The optional notebook stack: a SageMaker notebook instance with our notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.common.kms_key import allow_volumes
from stacks.common.nag_suppressions import suppress
from stacks.common.outputs import output
from stacks.common.vpc import allow_interfaces
from stacks.config.prices import monthly, price
from stacks.config.settings import Settings
from stacks.model.endpoint_role import allow_shell
from stacks.notebook.lifecycle import Lifecycle
from stacks.notebook.role import NotebookRole

Instance = sagemaker.CfnNotebookInstance

ROOT = Path(__file__).parents[2]
SHIPPED = (
    "notebooks", "models", "model_code", "model_importer", "stacks", "easel", "lambda", "requirements-laptop.txt",
)  # fmt: skip
"""The notebook, and everything that it reads and imports."""
PLATFORM = "notebook-al2023-v1"
"""Amazon Linux 2023. Instances on Amazon Linux 2 no longer start since 2026-07-01."""

_REASONS = {
    "AwsSolutions-SM1": "Without the setting vpc_subnet_ids there is no VPC to put it into; nobody connects to it",
    "AwsSolutions-SM2": "Its volume holds public code and the user's own files; kms_key_arn sets a key for it",
    "AwsSolutions-SM3": "The notebook installs packages from the index; without a VPC it needs direct internet access",
}


class NotebookStack(cdk.Stack):
    """Billed by the hour while the instance runs; its volume is billed by the month while it exists."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, **options: Any) -> None:
        super().__init__(scope, id, description="Easel: a notebook instance with our notebook", **options)
        code = _shipped(self)
        instance_type, names = settings.notebook_instance_type, settings.names
        role = NotebookRole(self, "Role", code=code, instance_type=instance_type, names=names)
        allow_interfaces(role, settings)
        allow_volumes(role, settings.kms_key_arn)
        if settings.shell == "on":  # for the endpoint that the notebook creates with this role
            allow_shell(role)
        notebook = self._instance(settings, code, role)
        _allow_stop(role, notebook)
        self._add_outputs(settings, notebook.attr_notebook_instance_name)

    def _instance(self, settings: Settings, code: assets.Asset, role: NotebookRole) -> Instance:
        hours = settings.notebook_idle_hours
        lifecycle = Lifecycle(self, "Lifecycle", code=code, idle_hours=hours, name=settings.name)
        notebook = Instance(
            self,
            "Notebook",
            instance_type=settings.notebook_instance_type,
            volume_size_in_gb=settings.notebook_gb,
            platform_identifier=PLATFORM,
            role_arn=role.role_arn,
            lifecycle_config_name=lifecycle.attr_notebook_instance_lifecycle_config_name,
            instance_metadata_service_configuration=Instance.InstanceMetadataServiceConfigurationProperty(
                minimum_instance_metadata_service_version="2"
            ),
            root_access="Disabled",
            direct_internet_access="Disabled" if settings.subnets else "Enabled",
            subnet_id=settings.subnets[0] if settings.subnets else None,
            security_group_ids=list(settings.security_groups) or None,
            kms_key_id=settings.kms_key_arn or None,
        )
        notebook.node.add_dependency(role)
        suppress(notebook, _REASONS)
        return notebook

    def _add_outputs(self, settings: Settings, name: str) -> None:
        command = f"aws sagemaker create-presigned-notebook-instance-url --region {self.region}"
        query = "--query AuthorizedUrl --output text"
        output(self, "NotebookName", name)
        output(self, "NotebookUrlCommand", f"{command} --notebook-instance-name {name} {query}")
        output(self, "NotebookPrice", price([settings.notebook_instance_type], 1))
        output(self, "NotebookPriceStopped", monthly("notebook_gb", settings.notebook_gb, "GB"))
        if hours := settings.notebook_idle_hours:
            start = f"aws sagemaker start-notebook-instance --region {self.region} --notebook-instance-name {name}"
            action = f"after {hours} h without use the instance stops. To start it again: {start}"
            output(self, "NotebookIdleStop", action)


def _allow_stop(role: NotebookRole, notebook: Instance) -> None:
    """Let the instance stop itself. A separate policy: in the role's default policy it would be a cycle."""
    policy = iam.Policy(cdk.Stack.of(role), "Stop", roles=[role])
    policy.add_statements(iam.PolicyStatement(actions=["sagemaker:StopNotebookInstance"], resources=[notebook.ref]))


def _shipped(scope: Construct) -> assets.Asset:
    exclude = ["/*", *(f"!/{name}" for name in SHIPPED), "__pycache__", ".*"]
    return assets.Asset(scope, "Code", path=str(ROOT), exclude=exclude, ignore_mode=cdk.IgnoreMode.GIT)
