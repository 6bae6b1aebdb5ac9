"""The user's own VPC: what is in it, and what the roles may do there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stacks.assembly import Assembly
from tests.stacks.test_every_template import as_list

SUBNETS = ("subnet-0a1b2c3d", "subnet-1a2b3c4d")


def ec2_statements(assembly: Assembly, role: str) -> dict[str, dict[str, Any]]:
    """Return EC2 action to its statement, or to the last of several statements."""
    policies = assembly.resources("AWS::IAM::Policy", "EaselModel")
    (policy,) = (
        policy["Properties"]["PolicyDocument"] for id, policy in policies.items() if id.startswith(f"{role}Default")
    )
    return {
        action.removeprefix("ec2:"): statement
        for statement in policy["Statement"]
        for action in as_list(statement["Action"])
        if action.startswith("ec2:")
    }


@pytest.mark.parametrize(
    ("variant", "role"), [("hub", "EndpointRole"), ("hub", "ReleaseImportRole"), ("gov", "EndpointRole")]
)
def test_a_role_may_use_network_interfaces_in_these_subnets_only(variant: str, role: str, assembly: Any) -> None:
    """The actions are those of SageMaker's guide to endpoints in a VPC."""
    found = ec2_statements(assembly(variant), role)
    assert set(found) == {
        "CreateNetworkInterface",
        "CreateNetworkInterfacePermission",
        "DeleteNetworkInterface",
        "DeleteNetworkInterfacePermission",
        "DescribeNetworkInterfaces",
        "DescribeVpcs",
        "DescribeDhcpOptions",
        "DescribeSubnets",
        "DescribeSecurityGroups",
    }
    resources = [json.dumps(resource) for resource in as_list(found["CreateNetworkInterface"]["Resource"])]
    for id in (*SUBNETS, "sg-0a1b2c3d"):
        assert len([resource for resource in resources if id in resource]) == 1
    for name, statement in found.items():
        if name.startswith(("Delete", "CreateNetworkInterfacePermission")):
            subnets = [json.dumps(subnet) for subnet in statement["Condition"]["ArnLike"]["ec2:Subnet"]]
            assert [any(id in subnet for subnet in subnets) for id in SUBNETS] == [True, True]
            assert len(subnets) == len(SUBNETS)


def test_the_container_has_no_network(hub: Assembly) -> None:
    model = hub.only("AWS::SageMaker::Model")
    assert model["EnableNetworkIsolation"] is True
    assert model["VpcConfig"] == {"Subnets": list(SUBNETS), "SecurityGroupIds": ["sg-0a1b2c3d", "sg-1a2b3c4d"]}


def test_the_import_runs_in_the_vpc_of_vpc_id(hub: Assembly, default: Assembly) -> None:
    project = hub.only("AWS::CodeBuild::Project")
    assert project["VpcConfig"] == {**hub.only("AWS::SageMaker::Model")["VpcConfig"], "VpcId": "vpc-0a1b2c3d"}
    assert "VpcConfig" not in default.only("AWS::SageMaker::Model")


def test_network_interfaces_are_deleted_before_the_right_to_delete_them(hub: Assembly) -> None:
    (endpoint,) = hub.resources("AWS::SageMaker::Endpoint").values()
    (project,) = hub.resources("AWS::CodeBuild::Project").values()
    for resource, role in ((endpoint, "EndpointRole"), (project, "ReleaseImportRole")):
        policies = [id for id in hub.resources("AWS::IAM::Policy") if id.startswith(f"{role}Default")]
        assert policies
        assert set(policies) & set(resource["DependsOn"])
