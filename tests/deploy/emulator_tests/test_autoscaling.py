"""Emulated Application Auto Scaling, by botocore."""

import time

from tests.deploy.emulator.services.autoscaling import DIMENSION
from tests.deploy.emulator_tests.sagemaker_setup import SageMakerSetup

SERVICE = "application-autoscaling"
TARGET = {
    "ServiceNamespace": "sagemaker", "ResourceId": "endpoint/Endpoint/variant/AllTraffic",
    "ScalableDimension": DIMENSION,
}  # fmt: skip


def test_target_needs_an_endpoint_that_may_scale_to_its_minimum(setup: SageMakerSetup) -> None:
    sizes = {"MinCapacity": 0, "MaxCapacity": 1}
    error = setup.error(SERVICE, "register_scalable_target", **TARGET, **sizes)
    assert TARGET["ResourceId"] in error["Error"]["Message"]
    setup.create_endpoint()
    error = setup.error(SERVICE, "register_scalable_target", **TARGET, **sizes)
    assert "Minimum capacity" in error["Error"]["Message"]


def test_target_keeps_policies_until_it_is_deregistered(setup: SageMakerSetup) -> None:
    setup.create_endpoint(asynchronous=True)
    policy = {**TARGET, "PolicyName": "Wake", "PolicyType": "StepScaling"}
    assert setup.error(SERVICE, "put_scaling_policy", **policy)["Error"]["Code"] == "ObjectNotFoundException"
    setup.scaling.register_scalable_target(**TARGET, MinCapacity=0, MaxCapacity=1)
    assert setup.scaling.put_scaling_policy(**policy)["PolicyARN"].endswith("policyName/Wake")
    setup.scaling.deregister_scalable_target(**TARGET)
    assert setup.scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []


def test_an_update_of_a_target_leaves_what_it_does_not_name(setup: SageMakerSetup) -> None:
    """A deploy that changes the limits does not end a suspension."""
    setup.create_endpoint(asynchronous=True)
    suspended = {"DynamicScalingOutSuspended": True}
    setup.scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=1)
    setup.scaling.register_scalable_target(**TARGET, MinCapacity=0, SuspendedState=suspended)
    setup.scaling.register_scalable_target(**TARGET, MinCapacity=0, MaxCapacity=3)
    (target,) = setup.scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"], target["SuspendedState"]) == (0, 3, suspended)


def test_an_endpoint_scales_to_zero_and_wakes_while_a_test_lets_it(setup: SageMakerSetup) -> None:
    setup.create_endpoint(asynchronous=True)
    setup.scaling.register_scalable_target(**TARGET, MinCapacity=0, MaxCapacity=1)

    def instances() -> int:
        return int(setup.wait_until_settled()["ProductionVariants"][0]["CurrentInstanceCount"])

    with setup.hold("Scaling"):
        while instances():
            time.sleep(0.05)
        setup.scaling.register_scalable_target(**TARGET, SuspendedState={"DynamicScalingInSuspended": True})
        setup.invoke_async(b"in")
        assert setup.notification()[0] == "SuccessTopic"
    assert instances() == 1


def test_an_endpoint_stays_awake_for_the_quiet_time_of_the_switch(setup: SageMakerSetup) -> None:
    setup.create_endpoint(asynchronous=True)
    setup.scaling.register_scalable_target(**TARGET, MinCapacity=0, MaxCapacity=1)

    def instances() -> int:
        return int(setup.wait_until_settled()["ProductionVariants"][0]["CurrentInstanceCount"])

    began = time.monotonic()
    with setup.hold("Scaling", "3"):
        while instances():
            time.sleep(0.05)
    assert time.monotonic() - began >= 3
