"""Autoscaling of the endpoint: by queue length in async mode, by concurrent requests in realtime mode."""

from __future__ import annotations

from aws_cdk import Tags
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from stacks.config.names import INFORMATIONAL_TAG
from stacks.model.endpoint import VARIANT, Endpoint

Policy = autoscaling.CfnScalingPolicy
QUEUE_PER_INSTANCE = 5
REQUESTS_PER_INSTANCE = 1
"""The container runs one request at a time; a second request waits."""
COOLDOWN_SECONDS = 300
"""An instance takes minutes to start. With a shorter cooldown one burst would start two."""


class Scaling(Construct):
    """Scales the endpoint between `min_instances` and `max_instances` of its settings."""

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint) -> None:
        super().__init__(scope, id)
        settings = endpoint.settings
        self._endpoint = endpoint.name
        self._target = autoscaling.CfnScalableTarget(
            self,
            "Target",
            min_capacity=settings.min_instances,
            max_capacity=settings.max_instances,
            resource_id=f"endpoint/{endpoint.name}/variant/{VARIANT}",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            service_namespace="sagemaker",
        )
        if settings.mode == "async":
            self._track_queue()
            self._wake_from_zero()
        else:
            self._track_requests()

    def _track_queue(self) -> None:
        """Scale with the number of waiting jobs per instance, which has no value at zero instances."""
        self._track(
            QUEUE_PER_INSTANCE,
            customized_metric_specification=Policy.CustomizedMetricSpecificationProperty(
                metric_name="ApproximateBacklogSizePerInstance",
                namespace="AWS/SageMaker",
                statistic="Average",
                dimensions=[Policy.MetricDimensionProperty(name="EndpointName", value=self._endpoint)],
            ),
        )

    def _track_requests(self) -> None:
        self._track(
            REQUESTS_PER_INSTANCE,
            predefined_metric_specification=Policy.PredefinedMetricSpecificationProperty(
                predefined_metric_type="SageMakerVariantConcurrentRequestsPerModelHighResolution"
            ),
        )

    def _track(self, target: float, **metric: object) -> None:
        tracking = Policy.TargetTrackingScalingPolicyConfigurationProperty(
            target_value=target,
            scale_in_cooldown=COOLDOWN_SECONDS,
            scale_out_cooldown=COOLDOWN_SECONDS,
            **metric,  # type: ignore[arg-type]
        )
        self._policy("Tracking", "TargetTrackingScaling", target_tracking_scaling_policy_configuration=tracking)

    def _wake_from_zero(self) -> None:
        """Start the first instance when a job waits and no instance runs."""
        step = Policy.StepScalingPolicyConfigurationProperty(
            adjustment_type="ChangeInCapacity",
            metric_aggregation_type="Average",
            cooldown=COOLDOWN_SECONDS,
            step_adjustments=[Policy.StepAdjustmentProperty(metric_interval_lower_bound=0, scaling_adjustment=1)],
        )
        policy = self._policy("Wake", "StepScaling", step_scaling_policy_configuration=step)
        alarm = cloudwatch.CfnAlarm(
            self,
            "Waiting",
            alarm_description="A job waits and no instance runs: the endpoint starts one. Nothing to do.",
            namespace="AWS/SageMaker",
            metric_name="HasBacklogWithoutCapacity",
            dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name="EndpointName", value=self._endpoint)],
            statistic="Average",
            period=60,
            evaluation_periods=2,
            datapoints_to_alarm=2,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="missing",
            alarm_actions=[policy.ref],
        )
        Tags.of(alarm).add(INFORMATIONAL_TAG, "true")

    def _policy(self, id: str, policy_type: str, **configuration: object) -> autoscaling.CfnScalingPolicy:
        return Policy(
            self,
            id,
            policy_name=id,
            policy_type=policy_type,
            scaling_target_id=self._target.ref,
            **configuration,  # type: ignore[arg-type]
        )
