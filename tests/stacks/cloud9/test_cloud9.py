"""The Cloud9 rule: optional, one port, one network."""

from __future__ import annotations

from tests.stacks.assembly import Assembly

INGRESS, GROUP = "AWS::EC2::SecurityGroupIngress", "Custom::EaselCloud9SecurityGroup"


def test_there_is_none_by_default(default: Assembly) -> None:
    assert "EaselCloud9" not in default.templates


def test_the_group_of_an_environment_is_looked_up(cloud9: Assembly) -> None:
    (group,) = cloud9.resources(GROUP)
    assert cloud9.only(GROUP)["EnvironmentId"] == "0123456789abcdef0123456789abcdef"
    assert cloud9.only(INGRESS) == {
        "CidrIp": "203.0.113.7/32",
        "Description": "Easel web app on Cloud9",
        "FromPort": 8080,
        "ToPort": 8080,
        "IpProtocol": "tcp",
        "GroupId": {"Fn::GetAtt": [group, "GroupId"]},
    }


def test_a_group_of_the_settings_is_used(china: Assembly) -> None:
    ingress = china.only(INGRESS)
    assert (ingress["GroupId"], ingress["CidrIpv6"]) == ("sg-0123456789abcdef0", "2001:db8::7/128")
    assert china.resources("AWS::Lambda::Function", "EaselCloud9") == {}
