"""The API stack: the gateway, the functions behind it, and what watches and protects them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.api.alarms import Alarms
from stacks.api.dashboard import Dashboard
from stacks.api.firewall import Firewall, associate
from stacks.api.functions import ApiFunctions
from stacks.api.gateway import Gateway
from stacks.api.models_layer import ServedModel
from stacks.common.custom_domain import GatewayDomain
from stacks.common.failures import LostEvents
from stacks.common.nag_suppressions import suppress
from stacks.common.outputs import output
from stacks.config.settings import Settings
from stacks.model.endpoint import Endpoint
from stacks.users.stack import UsersStack

_NO_FIREWALL_REASON = (
    "A firewall is billed by the month; the throttle, the quota and max_instances limit what an attacker can spend. "
    "waf=on creates one, and CloudFront may have the user's own"
)


class ApiStack(cdk.Stack):
    """Costs nothing without requests, but for alarms and a dashboard beyond CloudWatch's free tier.

    It refers to no resource of the model stack, so each of the two can be deleted and deployed again without the other.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        served: Sequence[ServedModel],
        bucket: s3.IBucket,
        accounts: dynamodb.ITable,
        alerts: sns.ITopic,
        users: UsersStack | None,
        site: bool,
        **options: Any,
    ) -> None:
        super().__init__(scope, id, description="Easel: the API", **options)
        lost_events = LostEvents(self, "LostEvents")
        functions = ApiFunctions(
            self,
            "Functions",
            settings=settings,
            served=served,
            bucket=bucket,
            accounts=accounts,
            lost_events=lost_events,
        )
        gateway = Gateway(
            self, "Gateway", settings=settings, function=functions.api.function, accounts=accounts, users=users
        )
        self.api = gateway.api
        self.export_value(self.api.rest_api_id)  # for the site; with `site=off` the export stays, as its stack does
        self._protect(settings, behind_cloudfront=site)
        if settings.domain_name and not site:
            self._add_domain(settings)
        self._watch(functions, [each.endpoint for each in served], alerts, lost_events)
        self._add_outputs(gateway)

    def _protect(self, settings: Settings, *, behind_cloudfront: bool) -> None:
        waf, stage = settings.regional_waf, self.api.deployment_stage
        if waf == "on":
            name = settings.names.prefix
            firewall = Firewall(self, "Firewall", stage=stage, name=name, behind_cloudfront=behind_cloudfront)
            output(self, "FirewallCosts", firewall.cost)
        elif waf:
            associate(self, waf, stage)
        else:
            suppress(self.api, {"AwsSolutions-APIG3": _NO_FIREWALL_REASON})

    def _add_domain(self, settings: Settings) -> None:
        domain = GatewayDomain(self, "Domain", settings=settings, api=self.api)
        output(self, "DomainUrl", f"https://{settings.domain_name}/")
        output(self, "DomainRecord", domain.record)

    def _watch(
        self, functions: ApiFunctions, endpoints: Sequence[Endpoint], alerts: sns.ITopic, lost_events: sqs.IQueue
    ) -> None:
        endpoint, *others = endpoints
        alarms = Alarms(self, "Alarms", endpoint=endpoint, topic=alerts)
        alarms.watch_api(self.api, functions, lost_events)
        more = [
            alarm
            for other in others
            for alarm in Alarms(self, f"Alarms-{other.model}", endpoint=other, topic=alerts, of_service=False).all
        ]
        webhooks = [functions.webhooks.delivery] if functions.webhooks else []
        own_logs = [function.logs.log_group_name for function in (functions.api, functions.helper, *webhooks)]
        dashboard = Dashboard(
            self,
            "Dashboard",
            endpoints=endpoints,
            api=self.api,
            alarms=[*alarms.all, *more],
            log_groups=[*own_logs, *(each.log_group for each in endpoints)],
        )
        output(self, "DashboardName", dashboard.dashboard_name)

    def _add_outputs(self, gateway: Gateway) -> None:
        output(self, "ApiUrl", gateway.api.url)
        if gateway.key:
            command = f"aws apigateway get-api-key --api-key {gateway.key.key_id} --region {self.region}"
            output(self, "ApiKeyCommand", f"{command} --include-value --query value --output text")
