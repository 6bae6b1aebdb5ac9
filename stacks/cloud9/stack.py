"""The optional stack that opens port 8080 of a Cloud9 environment to one network."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from stacks.cloud9.security_group import Cloud9SecurityGroup
from stacks.config.settings import Settings

PORT = 8080


class Cloud9Stack(cdk.Stack):
    """One ingress rule for one CIDR, in a security group that exists already."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, **options: Any) -> None:
        super().__init__(scope, id, description="Easel: port 8080 of a Cloud9 environment", **options)
        cidr = settings.cloud9_cidr
        ec2.CfnSecurityGroupIngress(
            self,
            "Ingress",
            group_id=settings.cloud9_security_group_id or self._find_group(settings),
            description="Easel web app on Cloud9",
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            cidr_ip=None if ":" in cidr else cidr,
            cidr_ipv6=cidr if ":" in cidr else None,
        )

    def _find_group(self, settings: Settings) -> str:
        environment_id, log_days = settings.cloud9_environment_id, settings.log_days
        return Cloud9SecurityGroup(self, "SecurityGroup", environment_id=environment_id, log_days=log_days).group_id
