"""The API stack: the gateway, the functions behind it, and what watches and protects them."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.api.alarms import Alarms
from stacks.api.dashboard import Dashboard
from stacks.api.firewall import Firewall, associate
from stacks.api.functions import ApiFunctions
from stacks.api.gateway import Gateway
from stacks.common.custom_domain import GatewayDomain
from stacks.common.nag_suppressions import suppress
from stacks.common.outputs import output
from stacks.config.catalogue import Model
from stacks.config.settings import Settings
from stacks.model.endpoint import Endpoint

_NO_FIREWALL_REASON = (
    "A firewall is billed by the month; the throttle, the quota and max_instances limit what an attacker can spend. "
    "waf=on creates one, and CloudFront may have the user's own"
)
_SQS3_REASON = "This queue is itself the dead-letter queue of the functions"


class ApiStack(cdk.Stack):
    """Costs nothing without requests, but for alarms and a dashboard beyond CloudWatch's free tier."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        model: Model,
        bucket: s3.IBucket,
        endpoint: Endpoint,
        alerts: sns.ITopic,
        site: bool,
        **options: Any,
    ) -> None:
        super().__init__(scope, id, description="Easel: the API", **options)
        lost_events = sqs.Queue(self, "LostEvents", enforce_ssl=True, retention_period=cdk.Duration.days(14))
        suppress(lost_events, {"AwsSolutions-SQS3": _SQS3_REASON})
        functions = ApiFunctions(
            self,
            "Functions",
            settings=settings,
            model=model,
            bucket=bucket,
            endpoint=endpoint,
            lost_events=lost_events,
        )
        gateway = Gateway(self, "Gateway", settings=settings, function=functions.api.function)
        self.api = gateway.api
        self._protect(settings, behind_cloudfront=site)
        if settings.domain_name and not site:
            self._add_domain(settings)
        self._watch(functions, endpoint, alerts, lost_events)
        self._add_outputs(gateway)

    def _protect(self, settings: Settings, *, behind_cloudfront: bool) -> None:
        waf, stage = settings.regional_waf, self.api.deployment_stage
        if waf == "on":
            firewall = Firewall(self, "Firewall", stage=stage, behind_cloudfront=behind_cloudfront)
            output(self, "FirewallCosts", firewall.cost)
        elif waf:
            associate(self, waf, stage)
        else:
            suppress(self.api, {"AwsSolutions-APIG3": _NO_FIREWALL_REASON})

    def _add_domain(self, settings: Settings) -> None:
        domain = GatewayDomain(self, "Domain", settings=settings, api=self.api)
        output(self, "DomainUrl", f"https://{settings.domain_name}/")
        output(self, "DomainRecord", domain.record)

    def _watch(self, functions: ApiFunctions, endpoint: Endpoint, alerts: sns.ITopic, lost_events: sqs.IQueue) -> None:
        alarms = Alarms(self, "Alarms", endpoint=endpoint, topic=alerts)
        alarms.watch_api(self.api, functions.api.function, lost_events)
        log_groups = [functions.api.logs, functions.helper.logs, endpoint.logs]
        dashboard = Dashboard(
            self, "Dashboard", endpoint=endpoint, api=self.api, alarms=alarms.all, log_groups=log_groups
        )
        output(self, "DashboardName", dashboard.dashboard_name)

    def _add_outputs(self, gateway: Gateway) -> None:
        output(self, "ApiUrl", gateway.api.url)
        if gateway.key:
            command = f"aws apigateway get-api-key --api-key {gateway.key.key_id} --region {self.region}"
            output(self, "ApiKeyCommand", f"{command} --include-value --query value --output text")
