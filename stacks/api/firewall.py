"""AWS WAF in front of the API: AWS's common rules, and rate limits by IP address."""

from __future__ import annotations

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from stacks.config.prices import PRICES_DATE, REGION, USD_PER_MONTH

Acl = wafv2.CfnWebACL

COUNTED = ("SizeRestrictions_BODY", "CrossSiteScripting_BODY", "NoUserAgent_HEADER")
"""Common rules that only count. They would block an init image (8 KB of base64 and more), a prompt with a tag, and
programs without a user agent. The API responds with JSON, which no browser executes."""
WINDOW_SECONDS = 300
LIMIT = 2_000
"""Requests of one caller in the window. Polling a job counts."""
CALLERS_PER_ADDRESS = 10
"""Callers that may share one address of CloudFront."""


class Firewall(Construct):
    """A web ACL at the API's stage, with `name` in its metrics. `cost` is its price, as a sentence.

    `behind_cloudfront`: most requests come from CloudFront, which writes the caller's address into X-Forwarded-For.
    A direct caller of the gateway can forge that header, so each sending address has a limit too.
    """

    def __init__(
        self, scope: Construct, id: str, *, stage: apigateway.Stage, name: str, behind_cloudfront: bool
    ) -> None:
        super().__init__(scope, id)
        rules = [_common_rules(0), *(_forwarded_limits() if behind_cloudfront else _direct_limits())]
        acl = Acl(
            self,
            "Acl",
            description=name,
            scope="REGIONAL",
            default_action=Acl.DefaultActionProperty(allow={}),
            visibility_config=_visibility(f"{name}Firewall"),
            rules=rules,
        )
        associate(self, acl.attr_arn, stage)
        usd = USD_PER_MONTH["web_acl"] + len(rules) * USD_PER_MONTH["web_acl_rule"]
        self.cost = f"about {usd:g} USD a month and 0.60 for a million requests ({REGION}, {PRICES_DATE})"


def associate(scope: Construct, arn: str, stage: apigateway.Stage) -> None:
    """Put a web ACL in front of a stage."""
    wafv2.CfnWebACLAssociation(scope, "Association", resource_arn=stage.stage_arn, web_acl_arn=arn)


def _common_rules(priority: int) -> Acl.RuleProperty:
    count = Acl.RuleActionProperty(count={})
    overrides = [Acl.RuleActionOverrideProperty(name=name, action_to_use=count) for name in COUNTED]
    return Acl.RuleProperty(
        name="Common",
        priority=priority,
        override_action=Acl.OverrideActionProperty(none={}),
        visibility_config=_visibility("EaselCommon"),
        statement=Acl.StatementProperty(
            managed_rule_group_statement=Acl.ManagedRuleGroupStatementProperty(
                vendor_name="AWS", name="AWSManagedRulesCommonRuleSet", rule_action_overrides=overrides
            )
        ),
    )


def _direct_limits() -> list[Acl.RuleProperty]:
    return [_rate_limit("Address", 1, LIMIT)]


def _forwarded_limits() -> list[Acl.RuleProperty]:
    forwarded = Acl.ForwardedIPConfigurationProperty(header_name="X-Forwarded-For", fallback_behavior="NO_MATCH")
    return [_rate_limit("Caller", 1, LIMIT, forwarded), _rate_limit("Address", 2, CALLERS_PER_ADDRESS * LIMIT)]


def _rate_limit(
    name: str, priority: int, limit: int, forwarded: Acl.ForwardedIPConfigurationProperty | None = None
) -> Acl.RuleProperty:
    return Acl.RuleProperty(
        name=name,
        priority=priority,
        action=Acl.RuleActionProperty(block={}),
        visibility_config=_visibility(f"Easel{name}"),
        statement=Acl.StatementProperty(
            rate_based_statement=Acl.RateBasedStatementProperty(
                aggregate_key_type="FORWARDED_IP" if forwarded else "IP",
                forwarded_ip_config=forwarded,
                limit=limit,
                evaluation_window_sec=WINDOW_SECONDS,
            )
        ),
    )


def _visibility(metric: str) -> Acl.VisibilityConfigProperty:
    """Return a configuration with metrics and without samples, whose headers would show API keys in the console."""
    return Acl.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=metric, sampled_requests_enabled=False
    )
