"""The endpoint: a model on instances, asynchronous or realtime."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import aws_cdk as cdk
from aws_cdk import Aws, Fn, Stack
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.common.grants import allow_anywhere
from stacks.common.logs import Logs
from stacks.common.own_key import allow_volumes
from stacks.common.own_network import allow_interfaces
from stacks.config import images, serving
from stacks.config.instances import has_ebs_volume
from stacks.config.settings import Settings
from stacks.model.async_output import Answers
from stacks.model.endpoint_role import EndpointRole, allow_shell
from stacks.model.served_model import ServedModel
from stacks.model.serving_image import ServingImage
from stacks.model.update_rollback import Rollback

Config = sagemaker.CfnEndpointConfig

VARIANT = "AllTraffic"
NAME = "EndpointName"
"""The output that has it."""
_READING = "Who asks for alarms by name asks for all of them: a right to single ones does not let SageMaker see them"
POOL_SECONDS = 1800
"""For the search through all fallbacks."""


class Endpoint(Construct):
    """`name` for callers, `arn` for policies, `logs` of the container. `answers` is there in async mode, and `key`
    where the bucket has one. With `endpoint=off` there is all but the endpoint itself, and `up` is False; `name` and
    `arn` then serve other stacks only."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, bucket: s3.IBucket, release: str, profile: str
    ) -> None:
        super().__init__(scope, id)
        self.settings, self.key, self.up = settings, bucket.encryption_key, settings.endpoint == "on"
        self.answers = Answers(self, "Answers", bucket=bucket) if settings.mode == "async" else None
        # Unique to the stack, and known before the endpoint is, so that its log group can be ours.
        kind = settings.mode + sha256(",".join(settings.pool).encode()).hexdigest()[:6]
        name = Fn.join("-", ["easel", kind, Fn.select(2, Fn.split("/", Aws.STACK_ID))])
        self.logs = logs = Logs(self, "Logs", days=settings.log_days, name=f"/aws/sagemaker/Endpoints/{name}")
        image = ServingImage(self, "Image", instance_type=settings.instance_type)
        role = EndpointRole(
            self, "Role", bucket=bucket, repository_arn=image.repository_arn, log_group=logs, answers=self.answers
        )
        self._volume_key = settings.kms_key_arn if all(map(has_ebs_volume, settings.pool)) else ""
        allow_volumes(role, self._volume_key)
        allow_interfaces(role, settings)
        watched = self._watch_updates(name, role)
        if settings.shell == "on":
            allow_shell(role)
        model = ServedModel(
            self,
            "Model",
            isolated=settings.shell == "off",
            network=_network(settings),
            role=role,
            image=image.uri,
            release=release,
            environment=serving.environment(settings.pool, settings.mode, profile),
        )
        config = self._config(model)
        if self.up:
            endpoint = self._endpoint(kind, name, config, watched)
            endpoint.node.add_dependency(role, logs)  # without its role SageMaker cannot delete an endpoint
            self.name, self.arn, told = endpoint.attr_endpoint_name, endpoint.ref, endpoint.attr_endpoint_name
        else:  # others may take what a stack tells, but not put it together
            self.name, told = Fn.get_stack_output(Stack.of(self).stack_name, NAME), name
            self.arn = Stack.of(self).format_arn(service="sagemaker", resource="endpoint", resource_name=self.name)
        cdk.CfnOutput(Stack.of(self), NAME, value=told)

    def _endpoint(
        self, kind: str, name: str, config: Config, watched: sagemaker.CfnEndpoint.DeploymentConfigProperty | None
    ) -> sagemaker.CfnEndpoint:
        return sagemaker.CfnEndpoint(
            self,
            kind.capitalize(),  # one that scales can change neither mode nor instance types: then it is another
            endpoint_name=name,
            endpoint_config_name=config.attr_endpoint_config_name,
            # In async mode each release starts once, which proves it, and autoscaling takes it to zero again.
            retain_all_variant_properties=None if self.answers else True,
            deployment_config=watched,
        )

    def _watch_updates(self, name: str, role: EndpointRole) -> sagemaker.CfnEndpoint.DeploymentConfigProperty | None:
        if self.settings.update == "plain" or not self.up:
            return None
        rollback = Rollback(self, "Rollback", endpoint=name, variant=VARIANT)
        allow_anywhere(role, ["cloudwatch:DescribeAlarms"], _READING)
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
            inference_ami_version=images.GPU_AMI if images.has_gpu(settings.instance_type) else None,
            container_startup_health_check_timeout_in_seconds=serving.START_SECONDS,
            model_data_download_timeout_in_seconds=serving.DOWNLOAD_SECONDS,
            routing_config=None if self.answers else least_busy,
            enable_ssm_access=True if settings.shell == "on" else None,
        )
        return Config(
            self,
            "Config",
            production_variants=[variant],
            async_inference_config=self.answers.config() if self.answers else None,
            kms_key_id=self._volume_key or None,
        )


def _network(settings: Settings) -> sagemaker.CfnModel.VpcConfigProperty | None:
    subnets, groups = list(settings.subnets), list(settings.security_groups)
    return sagemaker.CfnModel.VpcConfigProperty(subnets=subnets, security_group_ids=groups) if subnets else None


def _instances(pool: Sequence[str]) -> dict[str, Any]:
    """SageMaker takes either one type or a list of pools, and refuses both."""
    if len(pool) == 1:
        return {"instance_type": pool[0]}
    pools = [Config.InstancePoolProperty(instance_type=name, priority=i) for i, name in enumerate(pool, 1)]
    return {"instance_pools": pools, "variant_instance_provision_timeout_in_seconds": POOL_SECONDS}
