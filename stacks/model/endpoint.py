"""The SageMaker endpoint, asynchronous or realtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.common.grants import allow_on_any_resource
from stacks.common.kms_key import allow_volumes
from stacks.common.logs import Logs
from stacks.common.outputs import output
from stacks.common.vpc import allow_interfaces
from stacks.config import images, names, serving
from stacks.config.instances import has_ebs_volume
from stacks.config.settings import Settings
from stacks.model.async_output import AsyncOutput
from stacks.model.endpoint_role import EndpointRole, allow_shell
from stacks.model.served_model import ServedModel
from stacks.model.serving_image import ServingImage
from stacks.model.update_rollback import UpdateRollback
from stacks.storage.stack import StorageStack

Config = sagemaker.CfnEndpointConfig

VARIANT = "AllTraffic"
NAME_OUTPUT = "EndpointName"
PROVISION_SECONDS = 1800
"""Limit for SageMaker's search through all instance types of `instance_fallbacks`."""
_ALARMS_REASON = "SageMaker describes all alarms; with a right to single alarms it finds none"


class Endpoint(Construct):
    """The endpoint with its role, log group and configuration.

    `name`, its `arn` and the name of its `log_group` are texts, so a stack that uses them refers to no other stack.
    `model`: the model's id, which the name of the default's endpoint does not have. `async_output` is None in realtime
    mode. With the setting `endpoint=off` everything but the endpoint itself is created, and `exists` is False.
    """

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack, release: str, profile: str,
        model: str, is_default: bool,
    ) -> None:  # fmt: skip
        super().__init__(scope, id)
        bucket = storage.bucket
        self.settings, self.key, self.exists = settings, bucket.encryption_key, settings.endpoint == "on"
        self.async_output = AsyncOutput(bucket, storage.results) if settings.mode == "async" else None
        self.model = model
        self.name = settings.names.endpoint(settings.mode, settings.pool, "" if is_default else model)
        self.arn = Stack.of(self).format_arn(service="sagemaker", resource="endpoint", resource_name=self.name)
        # SageMaker writes to a group of this name. With the endpoint it would be created without a retention.
        self.log_group = names.endpoint_log_group(self.name)
        self.logs = Logs(self, "Logs", days=settings.log_days, name=self.log_group)
        self._volume_key = settings.kms_key_arn if all(map(has_ebs_volume, settings.pool)) else ""
        image = ServingImage(self, "Image", instance_type=settings.instance_type)
        role = self._role(bucket, image)
        rollback = self._update_rollback(role, "" if is_default else model)
        self.config = self._config(self._model(role, image, release, profile))
        if self.exists:
            endpoint = self._endpoint(rollback)
            endpoint.node.add_dependency(role, self.logs)  # SageMaker needs the role to delete the endpoint
        if is_default:
            output(self, NAME_OUTPUT, self.name)

    def _role(self, bucket: s3.IBucket, image: ServingImage) -> EndpointRole:
        role = EndpointRole(
            self,
            "Role",
            bucket=bucket,
            repository_arn=image.repository_arn,
            log_group=self.logs,
            async_output=self.async_output,
        )
        allow_volumes(role, self._volume_key)
        allow_interfaces(role, self.settings)
        if self.settings.shell == "on":
            allow_shell(role)
        return role

    def _model(self, role: EndpointRole, image: ServingImage, release: str, profile: str) -> ServedModel:
        settings = self.settings
        return ServedModel(
            self,
            "Model",
            isolated=settings.shell == "off",
            network=_network(settings),
            role=role,
            image=image.uri,
            release=release,
            environment=serving.environment(settings.pool, settings.mode, profile),
        )

    def _endpoint(self, rollback: sagemaker.CfnEndpoint.DeploymentConfigProperty | None) -> sagemaker.CfnEndpoint:
        id = self.name.removeprefix(f"{self.settings.name}-").capitalize()
        return sagemaker.CfnEndpoint(
            self,
            id,  # a scaling endpoint can change neither mode nor instance types: it must be replaced
            endpoint_name=self.name,
            endpoint_config_name=self.config.attr_endpoint_config_name,
            # In async mode each release starts one instance, which proves it; autoscaling then goes back to zero.
            retain_all_variant_properties=None if self.async_output else True,
            deployment_config=rollback,
        )

    def _update_rollback(self, role: EndpointRole, model: str) -> sagemaker.CfnEndpoint.DeploymentConfigProperty | None:
        if self.settings.update == "plain" or not self.exists:
            return None
        rollback = UpdateRollback(
            self, "Rollback", endpoint=self.name, variant=VARIANT, names=self.settings.names, model=model
        )
        allow_on_any_resource(role, ["cloudwatch:DescribeAlarms"], reason=_ALARMS_REASON)
        return rollback.config

    def _config(self, model: sagemaker.CfnModel) -> Config:
        settings = self.settings
        least_busy = Config.RoutingConfigProperty(routing_strategy="LEAST_OUTSTANDING_REQUESTS")
        variant = Config.ProductionVariantProperty(
            variant_name=VARIANT,
            model_name=model.attr_model_name,
            **_instances(settings.pool),
            initial_instance_count=max(1, settings.min_instances),
            initial_variant_weight=1,
            inference_ami_version=images.GPU_AMIS[settings.gpu_host]
            if images.has_gpu(settings.instance_type)
            else None,
            container_startup_health_check_timeout_in_seconds=serving.START_SECONDS,
            model_data_download_timeout_in_seconds=serving.DOWNLOAD_SECONDS,
            routing_config=None if self.async_output else least_busy,
            enable_ssm_access=True if settings.shell == "on" else None,
        )
        return Config(
            self,
            "Config",
            production_variants=[variant],
            async_inference_config=self.async_output.config() if self.async_output else None,
            kms_key_id=self._volume_key or None,
        )


def _network(settings: Settings) -> sagemaker.CfnModel.VpcConfigProperty | None:
    subnets, groups = list(settings.subnets), list(settings.security_groups)
    return sagemaker.CfnModel.VpcConfigProperty(subnets=subnets, security_group_ids=groups) if subnets else None


def _instances(pool: Sequence[str]) -> dict[str, Any]:
    """Return the arguments for the variant's instances: SageMaker accepts one type or a list of pools, not both."""
    if len(pool) == 1:
        return {"instance_type": pool[0]}
    pools = [Config.InstancePoolProperty(instance_type=name, priority=i) for i, name in enumerate(pool, 1)]
    return {"instance_pools": pools, "variant_instance_provision_timeout_in_seconds": PROVISION_SECONDS}
