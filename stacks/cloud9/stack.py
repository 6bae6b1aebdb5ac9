"""Only when asked for: who may reach a web app on port 8080 of a Cloud9 environment."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from stacks.cloud9.security_group import Cloud9Group
from stacks.config.settings import Settings

PORT = 8080


class Cloud9Stack(cdk.Stack):
    """One rule for one CIDR, in a security group that is there already."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, **options: Any) -> None:
        super().__init__(scope, id, description="Easel: port 8080 of a Cloud9 environment", **options)
        group = (
            settings.cloud9_security_group_id
            or Cloud9Group(self, "Group", environment_id=settings.cloud9_environment_id, log_days=settings.log_days).id
        )
        cidr = settings.cloud9_cidr
        ec2.CfnSecurityGroupIngress(
            self,
            "Ingress",
            group_id=group,
            description="Easel web app on Cloud9",
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            cidr_ip=None if ":" in cidr else cidr,
            cidr_ipv6=cidr if ":" in cidr else None,
        )
