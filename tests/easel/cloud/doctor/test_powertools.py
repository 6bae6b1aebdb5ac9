"""Check of the Powertools layer."""

from __future__ import annotations

import pytest

from easel.cloud.doctor.plan import read_plan
from easel.cloud.doctor.powertools import powertools
from stacks.config.powertools import PARAMETER
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import REGION, FakeAws, client_error
from tests.easel.running import ROOT

LAYER = f"arn:aws:lambda:{REGION}:123456789012:layer:mine:3"


def test_the_region_has_the_layers_parameter() -> None:
    requests: list[str] = []
    aws = FakeAws(**{"ssm.GetParameter": lambda request: requests.append(request["Name"]) or {"Parameter": {}}})
    assert_result(powertools.run(aws.account(), read_plan((), ROOT)), "ok", REGION)
    assert requests == [PARAMETER]


def test_a_missing_parameter_names_the_setting() -> None:
    """The API stack would fail after the endpoint has started."""
    aws = FakeAws(**{"ssm.GetParameter": client_error("ParameterNotFound", "not found")})
    result = powertools.run(aws.account(), read_plan((), ROOT))
    assert_result(result, "failed", PARAMETER, REGION, remedy="-c powertools_layer=")


@pytest.mark.parametrize("exists", [True, False])
def test_the_layer_of_the_setting_exists(exists: bool) -> None:
    missing = client_error("ResourceNotFoundException", "The resource you requested does not exist.")
    aws = FakeAws(**{"lambda.GetLayerVersionByArn": {"LayerArn": LAYER} if exists else missing})
    result = powertools.run(aws.account(), read_plan([f"powertools_layer={LAYER}"], ROOT))
    assert_result(result, "ok" if exists else "failed", *([] if exists else [LAYER]))
