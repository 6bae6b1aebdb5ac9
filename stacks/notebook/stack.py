"""Only when asked for: the notebook instance of the article, with our notebook on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.common.nag_suppressions import acknowledge
from stacks.common.own_key import allow_volumes
from stacks.common.own_network import allow_interfaces
from stacks.config.prices import monthly, price
from stacks.config.settings import Settings
from stacks.model.endpoint_role import allow_shell
from stacks.notebook.lifecycle import Lifecycle
from stacks.notebook.role import NotebookRole

Instance = sagemaker.CfnNotebookInstance

ROOT = Path(__file__).parents[2]
SHIPPED = ("notebooks", "models", "model_code", "stacks", "easel", "lambda", "requirements-laptop.txt")
"""The notebook, and what it reads and imports."""
PLATFORM = "notebook-al2023-v1"
"""Amazon Linux 2023. Those of Amazon Linux 2 start no more since 2026-07-01."""

_FINDINGS = {
    "AwsSolutions-SM1": "Without a VPC of yours (vpc_subnet_ids) there is none to put it into; nobody connects to it",
    "AwsSolutions-SM2": "Its volume holds a copy of public code and what you write; kms_key_arn names a key for it",
    "AwsSolutions-SM3": "The notebook installs its packages from the index; without a VPC there is no other way out",
}


class NotebookStack(cdk.Stack):
    """Costs by the hour while it runs, and its volume by the month while it exists."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, **options: Any) -> None:
        super().__init__(scope, id, description="Easel: a notebook instance with our notebook", **options)
        code = _shipped(self)
        role = NotebookRole(self, "Role", code=code, instance_type=settings.notebook_instance_type)
        allow_interfaces(role, settings)
        allow_volumes(role, settings.kms_key_arn)
        if settings.shell == "on":  # the endpoint that the notebook makes has its role
            allow_shell(role)
        lifecycle = Lifecycle(self, "Lifecycle", code=code, idle_hours=settings.notebook_idle_hours)
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
        acknowledge(notebook, _FINDINGS)
        stop = iam.Policy(self, "Stop", roles=[role])  # its own, or the instance would wait for itself
        stop.add_statements(iam.PolicyStatement(actions=["sagemaker:StopNotebookInstance"], resources=[notebook.ref]))
        self._tell(settings, notebook.attr_notebook_instance_name)

    def _tell(self, settings: Settings, name: str) -> None:
        command = f"aws sagemaker create-presigned-notebook-instance-url --region {self.region}"
        query = "--query AuthorizedUrl --output text"
        cdk.CfnOutput(self, "NotebookName", value=name)
        cdk.CfnOutput(self, "NotebookUrlCommand", value=f"{command} --notebook-instance-name {name} {query}")
        cdk.CfnOutput(self, "NotebookPrice", value=price([settings.notebook_instance_type], 1))
        cdk.CfnOutput(self, "NotebookPriceStopped", value=monthly("notebook_gb", settings.notebook_gb, "GB"))
        if hours := settings.notebook_idle_hours:
            start = f"aws sagemaker start-notebook-instance --region {self.region} --notebook-instance-name {name}"
            told = f"after {hours} h without use the instance stops; this starts it again: {start}"
            cdk.CfnOutput(self, "NotebookIdleStop", value=told)


def _shipped(scope: Construct) -> assets.Asset:
    chosen = ["/*", *(f"!/{name}" for name in SHIPPED), "__pycache__", ".*"]
    return assets.Asset(scope, "Code", path=str(ROOT), exclude=chosen, ignore_mode=cdk.IgnoreMode.GIT)
