"""Subnets and security groups of the user's: who is in them, and what the roles may do there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stacks.assembly import Assembly
from tests.stacks.test_every_template import as_list

SUBNETS = ("subnet-0a1b2c3d", "subnet-1a2b3c4d")


def may(assembly: Assembly, role: str) -> dict[str, dict[str, Any]]:
    """Action of EC2 to its statement; the last one of an action that has several."""
    policies = assembly.resources("AWS::IAM::Policy", "EaselModel")
    (policy,) = (one["Properties"]["PolicyDocument"] for id, one in policies.items() if id.startswith(f"{role}Default"))
    return {
        action.removeprefix("ec2:"): statement
        for statement in policy["Statement"]
        for action in as_list(statement["Action"])
        if action.startswith("ec2:")
    }


@pytest.mark.parametrize(
    ("variant", "role"), [("hub", "EndpointRole"), ("hub", "ReleaseImportRole"), ("gov", "EndpointRole")]
)
def test_a_role_may_do_what_the_network_needs_in_these_subnets_alone(variant: str, role: str, assembly: Any) -> None:
    """The list is SageMaker's own, from its page on endpoints in a VPC."""
    found = may(assembly(variant), role)
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
    made = [json.dumps(one) for one in as_list(found["CreateNetworkInterface"]["Resource"])]
    for named in (*SUBNETS, "sg-0a1b2c3d"):
        assert len([one for one in made if named in one]) == 1
    for name, statement in found.items():
        if name.startswith(("Delete", "CreateNetworkInterfacePermission")):
            there = [json.dumps(one) for one in statement["Condition"]["ArnLike"]["ec2:Subnet"]]
            assert [any(subnet in one for one in there) for subnet in SUBNETS] == [True, True]
            assert len(there) == len(SUBNETS)


def test_the_model_stays_without_a_network_of_its_own(hub: Assembly) -> None:
    model = hub.only("AWS::SageMaker::Model")
    assert model["EnableNetworkIsolation"] is True
    assert model["VpcConfig"] == {"Subnets": list(SUBNETS), "SecurityGroupIds": ["sg-0a1b2c3d", "sg-1a2b3c4d"]}


def test_the_import_is_in_the_vpc_only_where_it_is_named(hub: Assembly, default: Assembly) -> None:
    project = hub.only("AWS::CodeBuild::Project")
    assert project["VpcConfig"] == {**hub.only("AWS::SageMaker::Model")["VpcConfig"], "VpcId": "vpc-0a1b2c3d"}
    assert "VpcConfig" not in default.only("AWS::SageMaker::Model")


def test_interfaces_go_before_the_right_to_delete_them(hub: Assembly) -> None:
    (endpoint,) = hub.resources("AWS::SageMaker::Endpoint").values()
    (project,) = hub.resources("AWS::CodeBuild::Project").values()
    for resource, role in ((endpoint, "EndpointRole"), (project, "ReleaseImportRole")):
        policies = [id for id in hub.resources("AWS::IAM::Policy") if id.startswith(f"{role}Default")]
        assert policies
        assert set(policies) & set(resource["DependsOn"])
