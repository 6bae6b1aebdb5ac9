"""The Cloud9 rule: only when asked for, one port, one network."""

from __future__ import annotations

from tests.stacks.assembly import Assembly

INGRESS = "AWS::EC2::SecurityGroupIngress"


def test_nobody_gets_it_unasked(default: Assembly) -> None:
    assert "EaselCloud9" not in default.templates


def test_the_group_of_an_environment_is_looked_up(cloud9: Assembly) -> None:
    (group,) = cloud9.resources("Custom::EaselCloud9Group")
    assert cloud9.only("Custom::EaselCloud9Group")["EnvironmentId"] == "0123456789abcdef0123456789abcdef"
    assert cloud9.only(INGRESS) == {
        "CidrIp": "203.0.113.7/32",
        "Description": "Easel web app on Cloud9",
        "FromPort": 8080,
        "ToPort": 8080,
        "IpProtocol": "tcp",
        "GroupId": {"Fn::GetAtt": [group, "GroupId"]},
    }


def test_a_group_can_be_given(china: Assembly) -> None:
    ingress = china.only(INGRESS)
    assert (ingress["GroupId"], ingress["CidrIpv6"]) == ("sg-0123456789abcdef0", "2001:db8::7/128")
    assert china.resources("AWS::Lambda::Function", "EaselCloud9") == {}
