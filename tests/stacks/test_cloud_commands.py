"""The templates have what `easel doctor`, `easel resume` and `easel leftovers` read from them."""

from __future__ import annotations

import json

import pytest

from easel.cloud.doctor.account import BOOTSTRAP_VERSION
from easel.cloud.leftovers.resource_types import is_covered
from easel.cloud.leftovers.scan import patterns
from easel.cloud.pause import SCALABLE_TARGET, SCALING_POLICY, TARGET_PROPERTIES
from stacks.config.names import DEFAULT, IMPORT_RESOURCE
from tests.stacks.assembly import Assembly

NAME, _ = patterns(DEFAULT)


def test_resume_can_restore_the_scaling_of_realtime_from_the_template(realtime: Assembly) -> None:
    kinds = (SCALABLE_TARGET, SCALING_POLICY)
    (target,), (policy,) = (realtime.resources(kind, DEFAULT.model).values() for kind in kinds)
    assert {type(target["Properties"][name]) for name in ("MinCapacity", "MaxCapacity")} == {int}
    restored = {name: value for name, value in policy["Properties"].items() if name not in TARGET_PROPERTIES}
    assert set(restored) == {"PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration"}
    assert '"Ref"' not in json.dumps(restored)
    assert '"Fn::' not in json.dumps(restored)


def test_resume_finds_the_endpoints_tags_on_its_configuration(realtime: Assembly) -> None:
    endpoint, config = (realtime.only(f"AWS::SageMaker::{kind}") for kind in ("Endpoint", "EndpointConfig"))
    assert endpoint["Tags"] == config["Tags"] != []


def test_the_doctor_requires_the_bootstrap_version_of_the_templates(default: Assembly) -> None:
    artifacts = json.loads((default.folder / "manifest.json").read_text())["artifacts"].values()
    properties = [artifact["properties"] for artifact in artifacts if "properties" in artifact]
    assert max(item.get("requiresBootstrapStackVersion", 0) for item in properties) == BOOTSTRAP_VERSION


def test_the_doctor_knows_the_log_group_of_the_import(hub: Assembly) -> None:
    assert len(hub.resources(IMPORT_RESOURCE, DEFAULT.model)) == 1
    groups = hub.resources("AWS::Logs::LogGroup", DEFAULT.model).values()
    assert DEFAULT.import_log_group in [group["Properties"].get("LogGroupName") for group in groups]


def test_leftovers_knows_every_type_that_is_deployed(each: Assembly) -> None:
    types = {resource["Type"] for template in each.templates.values() for resource in template["Resources"].values()}
    assert [type for type in sorted(types) if not is_covered(type)] == [], (
        "add it to RESOURCE_TYPES or PARTS of easel/cloud/leftovers/resource_types.py"
    )


def test_leftovers_knows_names_that_cloudformation_derives_from_stack_names(each: Assembly) -> None:
    for stack in each.templates:
        assert NAME.search(stack)
        assert NAME.search(f"{stack}-Thing1A2B-xyz")
        assert NAME.search(f"/easel/{stack}/import")
        assert NAME.search(f"{stack.lower()}-store1d2a845b-xyz"), (
            f"add {stack} to STACK_PARTS of stacks/config/names.py"
        )


@pytest.mark.parametrize(
    "name",
    [
        "easel-notebook-0a1b2c3d",
        "sagemaker-easel-notebook-0a1b2c3d-123456789012",
        "/aws/sagemaker/Endpoints/easel-notebook-0a1b2c3d",
    ],
)
def test_leftovers_knows_the_notebooks_names(name: str) -> None:
    assert NAME.search(name)


@pytest.mark.parametrize("name", ["easel", "easel-photos", "weaselmodel-x", "Easels-x", "/aws/lambda/myeasel-x"])
def test_leftovers_ignores_names_of_others(name: str) -> None:
    assert not NAME.search(name)
