"""The web ACL in front of the API: what it counts, what it limits, and its price."""

from __future__ import annotations

import json
from typing import Any

from stacks.api.firewall import CALLERS_PER_ADDRESS, LIMIT
from tests.stacks.assembly import Assembly

ACL, ASSOCIATION = "AWS::WAFv2::WebACL", "AWS::WAFv2::WebACLAssociation"


def rules(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {rule["Name"]: rule for rule in assembly.only(ACL)["Rules"]}


def test_rules_that_would_block_init_images_and_programs_only_count(own: Assembly, gov: Assembly) -> None:
    for assembly in (own, gov):
        common = rules(assembly)["Common"]
        assert common["OverrideAction"] == {"None": {}}
        group = common["Statement"]["ManagedRuleGroupStatement"]
        assert (group["VendorName"], group["Name"]) == ("AWS", "AWSManagedRulesCommonRuleSet")
        overrides = group["RuleActionOverrides"]
        counted = {override["Name"] for override in overrides if override["ActionToUse"] == {"Count": {}}}
        assert counted == {"SizeRestrictions_BODY", "CrossSiteScripting_BODY", "NoUserAgent_HEADER"}


def test_behind_cloudfront_callers_and_addresses_have_limits(own: Assembly) -> None:
    """Callers are known by a header that they could forge, so the sending address has a limit too."""
    caller, address = (rules(own)[name]["Statement"]["RateBasedStatement"] for name in ("Caller", "Address"))
    assert caller["AggregateKeyType"] == "FORWARDED_IP"
    assert caller["ForwardedIPConfig"] == {"HeaderName": "X-Forwarded-For", "FallbackBehavior": "NO_MATCH"}
    assert (address["AggregateKeyType"], "ForwardedIPConfig" in address) == ("IP", False)
    assert (caller["Limit"], address["Limit"]) == (LIMIT, CALLERS_PER_ADDRESS * LIMIT)


def test_without_cloudfront_the_address_is_the_callers(gov: Assembly) -> None:
    assert set(rules(gov)) == {"Common", "Address"}
    address = rules(gov)["Address"]
    assert address["Action"] == {"Block": {}}
    assert address["Statement"]["RateBasedStatement"]["Limit"] == LIMIT


def test_priorities_differ_as_waf_requires(own: Assembly) -> None:
    assert [rule["Priority"] for rule in rules(own).values()] == [0, 1, 2]


def test_it_is_associated_with_the_stage(own: Assembly, china: Assembly) -> None:
    for assembly in (own, china):
        (stage,) = assembly.resources("AWS::ApiGateway::Stage")
        target = json.dumps(assembly.only(ASSOCIATION)["ResourceArn"])
        assert "/restapis/" in target
        assert f'{{"Ref": "{stage}"}}' in target


def test_the_users_own_web_acl_is_used_unchanged(china: Assembly) -> None:
    assert china.resources(ACL) == {}
    assert ":regional/webacl/mine/" in china.only(ASSOCIATION)["WebACLArn"]
    assert "FirewallCosts" not in china.outputs("EaselApi")


def test_no_request_is_sampled_because_its_headers_hold_the_key(own: Assembly) -> None:
    acl = own.only(ACL)
    configs = [rule["VisibilityConfig"] for rule in (acl, *acl["Rules"])]
    assert {config["SampledRequestsEnabled"] for config in configs} == {False}
    assert {config["CloudWatchMetricsEnabled"] for config in configs} == {True}


def test_an_output_has_the_price(own: Assembly, gov: Assembly) -> None:
    for assembly, usd in ((own, 8), (gov, 7)):
        assert assembly.outputs("EaselApi")["FirewallCosts"].startswith(f"about {usd} USD a month and 0.60 for ")


def test_there_is_none_by_default(default: Assembly) -> None:
    assert default.resources(ACL) == default.resources(ASSOCIATION) == {}
