"""The user's own domain: the gateway's domain name, and DNS records in the user's hosted zone."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_route53 as route53
from constructs import Construct

from stacks.config.settings import Settings


class GatewayDomain(Construct):
    """The domain in front of the API. Its URL has no stage. `record` describes the DNS record."""

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
        self.record = create_records(
            self,
            settings,
            target=domain.domain_name_alias_domain_name,
            target_zone=domain.domain_name_alias_hosted_zone_id,
        )


def certificate(scope: Construct, settings: Settings) -> acm.ICertificate:
    """Return the certificate of `certificate_arn`."""
    return acm.Certificate.from_certificate_arn(scope, "Certificate", settings.certificate_arn)


def create_records(
    scope: Construct, settings: Settings, *, target: str, target_zone: str, types: Sequence[str] = ("A",)
) -> str:
    """Create alias records for the domain in the user's hosted zone, and describe them in a sentence.

    Without `hosted_zone_id` it creates none, and the sentence says which record the user has to create. `target` is
    AWS's own domain name, `target_zone` the hosted zone of that name.
    """
    name = settings.domain_name
    if not settings.hosted_zone_id:
        return f"Create this record yourself: {name} CNAME {target}"
    for type in types:
        route53.CfnRecordSet(
            scope,
            f"Record{type}",
            name=name,
            type=type,
            hosted_zone_id=settings.hosted_zone_id,
            comment=f"Easel, {cdk.Aws.STACK_NAME}",
            alias_target=route53.CfnRecordSet.AliasTargetProperty(dns_name=target, hosted_zone_id=target_zone),
        )
    return f"{name} {' and '.join(types)} in {settings.hosted_zone_id}, to {target}"
