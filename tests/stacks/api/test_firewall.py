"""The web ACL before the API: what it refuses, what it must let through, and whom it counts."""

from __future__ import annotations

import json
from typing import Any

from stacks.api.firewall import CROWD, LIMIT
from tests.stacks.assembly import Assembly

ACL, ATTACHED = "AWS::WAFv2::WebACL", "AWS::WAFv2::WebACLAssociation"


def rules(assembly: Assembly) -> dict[str, dict[str, Any]]:
    return {rule["Name"]: rule for rule in assembly.only(ACL)["Rules"]}


def test_start_pictures_and_plain_programs_are_counted_and_not_refused(own: Assembly, gov: Assembly) -> None:
    for assembly in (own, gov):
        common = rules(assembly)["Common"]
        assert common["OverrideAction"] == {"None": {}}
        group = common["Statement"]["ManagedRuleGroupStatement"]
        assert (group["VendorName"], group["Name"]) == ("AWS", "AWSManagedRulesCommonRuleSet")
        counted = {one["Name"] for one in group["RuleActionOverrides"] if one["ActionToUse"] == {"Count": {}}}
        assert counted == {"SizeRestrictions_BODY", "CrossSiteScripting_BODY", "NoUserAgent_HEADER"}


def test_callers_are_told_apart_behind_cloudfront(own: Assembly) -> None:
    """By an address that they could forge, so that there is a bound for the address that they come from, too."""
    caller, address = (rules(own)[name]["Statement"]["RateBasedStatement"] for name in ("Caller", "Address"))
    assert caller["AggregateKeyType"] == "FORWARDED_IP"
    assert caller["ForwardedIPConfig"] == {"HeaderName": "X-Forwarded-For", "FallbackBehavior": "NO_MATCH"}
    assert (address["AggregateKeyType"], "ForwardedIPConfig" in address) == ("IP", False)
    assert (caller["Limit"], address["Limit"]) == (LIMIT, CROWD * LIMIT)


def test_without_cloudfront_the_address_is_the_callers(gov: Assembly) -> None:
    assert set(rules(gov)) == {"Common", "Address"}
    address = rules(gov)["Address"]
    assert address["Action"] == {"Block": {}}
    assert address["Statement"]["RateBasedStatement"]["Limit"] == LIMIT


def test_priorities_differ_as_waf_wants_them(own: Assembly) -> None:
    assert [rule["Priority"] for rule in rules(own).values()] == [0, 1, 2]


def test_it_stands_before_the_stage(own: Assembly, china: Assembly) -> None:
    for assembly in (own, china):
        (stage,) = assembly.resources("AWS::ApiGateway::Stage")
        target = json.dumps(assembly.only(ATTACHED)["ResourceArn"])
        assert "/restapis/" in target
        assert f'{{"Ref": "{stage}"}}' in target


def test_ones_own_is_taken_as_it_is(china: Assembly) -> None:
    assert china.resources(ACL) == {}
    assert ":regional/webacl/mine/" in china.only(ATTACHED)["WebACLArn"]
    assert "FirewallCosts" not in china.outputs("EaselApi")


def test_no_key_of_a_caller_is_kept_as_a_sample(own: Assembly) -> None:
    acl = own.only(ACL)
    shown = [one["VisibilityConfig"] for one in (acl, *acl["Rules"])]
    assert {one["SampledRequestsEnabled"] for one in shown} == {False}
    assert {one["CloudWatchMetricsEnabled"] for one in shown} == {True}


def test_its_price_is_told(own: Assembly, gov: Assembly) -> None:
    for assembly, usd in ((own, 8), (gov, 7)):
        assert assembly.outputs("EaselApi")["FirewallCosts"] == (
            f"about {usd} USD a month and 0.60 for a million requests (us-east-1, 2026-11)"
        )


def test_nobody_pays_for_it_unasked(default: Assembly) -> None:
    assert default.resources(ACL) == default.resources(ATTACHED) == {}
