"""A domain of the user's: at the gateway, and in the user's zone."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

from stacks.config.settings import Settings


class GatewayDomain(Construct):
    """The domain before the API, without the stage in the path. `record` says where it leads."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, api: apigateway.RestApi) -> None:
        super().__init__(scope, id)
        domain = apigateway.DomainName(
            self,
            "Domain",
            domain_name=settings.domain_name,
            certificate=certificate(self, settings),
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
            mapping=api,
        )
        self.record = point(
            self, settings, to=domain.domain_name_alias_domain_name, zone=domain.domain_name_alias_hosted_zone_id
        )


def certificate(scope: Construct, settings: Settings) -> acm.ICertificate:
    return acm.Certificate.from_certificate_arn(scope, "Certificate", settings.certificate_arn)


def point(scope: Construct, settings: Settings, *, to: str, zone: str, kinds: Sequence[str] = ("A",)) -> str:
    """Records in the user's zone that lead `to` AWS's own name, which is in `zone`; or which record is to be made."""
    name = settings.domain_name
    if not settings.hosted_zone_id:
        return f"to be made by you: {name} CNAME {to}"
    for kind in kinds:
        route53.CfnRecordSet(
            scope,
            f"Record{kind}",
            name=name,
            type=kind,
            hosted_zone_id=settings.hosted_zone_id,
            comment=f"Easel, {cdk.Aws.STACK_NAME}",
            alias_target=route53.CfnRecordSet.AliasTargetProperty(dns_name=to, hosted_zone_id=zone),
        )
    return f"{name} {' and '.join(kinds)} in {settings.hosted_zone_id}, to {to}"
