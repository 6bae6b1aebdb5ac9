"""Autoscaling in both modes."""

from __future__ import annotations

from tests.stacks.assembly import Assembly

TARGET, POLICY = (f"AWS::ApplicationAutoScaling::{kind}" for kind in ("ScalableTarget", "ScalingPolicy"))


def test_async_scales_by_queue_length_and_wakes_from_zero(default: Assembly) -> None:
    target = default.only(TARGET)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 1)
    policies = {p["Properties"]["PolicyType"]: p["Properties"] for p in default.resources(POLICY).values()}
    name = default.only("AWS::SageMaker::Endpoint")["EndpointName"]

    tracking = policies["TargetTrackingScaling"]["TargetTrackingScalingPolicyConfiguration"]
    metric = tracking["CustomizedMetricSpecification"]
    assert (metric["Namespace"], metric["MetricName"]) == ("AWS/SageMaker", "ApproximateBacklogSizePerInstance")
    assert metric["Dimensions"] == [{"Name": "EndpointName", "Value": name}]

    step = policies["StepScaling"]["StepScalingPolicyConfiguration"]
    assert step["AdjustmentType"] == "ChangeInCapacity"
    assert step["StepAdjustments"] == [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]
    alarms = default.resources("AWS::CloudWatch::Alarm", "EaselModel")
    (alarm,) = (item["Properties"] for id, item in alarms.items() if id.startswith("ScalingWaiting"))
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SageMaker", "HasBacklogWithoutCapacity")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": name}]
    assert alarm["AlarmActions"] == [{"Ref": next(id for id in default.resources(POLICY) if "Wake" in id)}]


def test_realtime_scales_by_concurrent_requests(realtime: Assembly) -> None:
    target = realtime.only(TARGET)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    tracking = realtime.only(POLICY)["TargetTrackingScalingPolicyConfiguration"]
    metric = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantConcurrentRequestsPerModelHighResolution"
