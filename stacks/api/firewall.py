"""AWS WAF before the API: AWS's common rules, and so many requests of one address."""

from __future__ import annotations

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from stacks.config.prices import REGION, SEEN, USD_PER_MONTH

Acl = wafv2.CfnWebACL

COUNTED = ("SizeRestrictions_BODY", "CrossSiteScripting_BODY", "NoUserAgent_HEADER")
"""Of the common rules, those that would refuse a start picture (8 KB and more, base64), a prompt with a tag in it and
plain programs. They are counted; the API answers JSON and nothing that a browser would run."""
WINDOW_SECONDS = 300
LIMIT = 2_000
"""Requests of one caller in the window; polling a job counts."""
CROWD = 10
"""So many callers may share an address of CloudFront."""


class Firewall(Construct):
    """A web ACL of ours at the API's stage. `cost` is a sentence.

    `behind_cloudfront`: most requests come from CloudFront, which writes the caller's address into X-Forwarded-For.
    Whoever calls the gateway directly can forge that, so addresses have a limit of their own, too.
    """

    def __init__(self, scope: Construct, id: str, *, stage: apigateway.Stage, behind_cloudfront: bool) -> None:
        super().__init__(scope, id)
        rules = [_common(0), *(_forwarded() if behind_cloudfront else _direct())]
        acl = Acl(
            self,
            "Acl",
            description="Easel",
            scope="REGIONAL",
            default_action=Acl.DefaultActionProperty(allow={}),
            visibility_config=_seen("EaselFirewall"),
            rules=rules,
        )
        attach(self, acl.attr_arn, stage)
        usd = USD_PER_MONTH["web_acl"] + len(rules) * USD_PER_MONTH["web_acl_rule"]
        self.cost = f"about {usd:g} USD a month and 0.60 for a million requests ({REGION}, {SEEN})"


def attach(scope: Construct, arn: str, stage: apigateway.Stage) -> None:
    """Puts a web ACL before a stage."""
    wafv2.CfnWebACLAssociation(scope, "Attached", resource_arn=stage.stage_arn, web_acl_arn=arn)


def _common(priority: int) -> Acl.RuleProperty:
    count = Acl.RuleActionProperty(count={})
    overrides = [Acl.RuleActionOverrideProperty(name=name, action_to_use=count) for name in COUNTED]
    return Acl.RuleProperty(
        name="Common",
        priority=priority,
        override_action=Acl.OverrideActionProperty(none={}),
        visibility_config=_seen("EaselCommon"),
        statement=Acl.StatementProperty(
            managed_rule_group_statement=Acl.ManagedRuleGroupStatementProperty(
                vendor_name="AWS", name="AWSManagedRulesCommonRuleSet", rule_action_overrides=overrides
            )
        ),
    )


def _direct() -> list[Acl.RuleProperty]:
    return [_rate("Address", 1, LIMIT)]


def _forwarded() -> list[Acl.RuleProperty]:
    forwarded = Acl.ForwardedIPConfigurationProperty(header_name="X-Forwarded-For", fallback_behavior="NO_MATCH")
    return [_rate("Caller", 1, LIMIT, forwarded), _rate("Address", 2, CROWD * LIMIT)]


def _rate(
    name: str, priority: int, limit: int, forwarded: Acl.ForwardedIPConfigurationProperty | None = None
) -> Acl.RuleProperty:
    return Acl.RuleProperty(
        name=name,
        priority=priority,
        action=Acl.RuleActionProperty(block={}),
        visibility_config=_seen(f"Easel{name}"),
        statement=Acl.StatementProperty(
            rate_based_statement=Acl.RateBasedStatementProperty(
                aggregate_key_type="FORWARDED_IP" if forwarded else "IP",
                forwarded_ip_config=forwarded,
                limit=limit,
                evaluation_window_sec=WINDOW_SECONDS,
            )
        ),
    )


def _seen(metric: str) -> Acl.VisibilityConfigProperty:
    """Without samples, which would show keys in their headers to whoever looks into WAF's console."""
    return Acl.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=metric, sampled_requests_enabled=False
    )
