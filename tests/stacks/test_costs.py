"""Budget, alerts and idle guard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from custom_resources import idle_guard
from tests.stacks.assembly import Assembly

BUDGET, SUBSCRIPTION, FUNCTION = "AWS::Budgets::Budget", "AWS::SNS::Subscription", "AWS::Lambda::Function"


def alerts(assembly: Assembly) -> str:
    (topic,) = (id for id in assembly.resources("AWS::SNS::Topic") if id.startswith("Alerts"))
    return topic


def guard(assembly: Assembly) -> dict[str, Any]:
    found: list[dict[str, Any]] = [one["Properties"] for one in assembly.resources(FUNCTION, "EaselModel").values()]
    (properties,) = (one for one in found if one["Handler"] == "custom_resources.idle_guard.handler")
    return properties


def test_the_budget_warns_before_and_after(default: Assembly) -> None:
    budget = default.only(BUDGET)
    assert budget["Budget"] == {
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": 50, "Unit": "USD"},
        "CostFilters": {"Service": ["Amazon SageMaker"]},
    }
    warnings = [
        (one["Notification"]["NotificationType"], one["Notification"]["Threshold"])
        for one in budget["NotificationsWithSubscribers"]
    ]
    assert warnings == [("ACTUAL", 50), ("ACTUAL", 100), ("FORECASTED", 100)]
    for one in budget["NotificationsWithSubscribers"]:
        assert one["Subscribers"] == [{"SubscriptionType": "SNS", "Address": {"Ref": alerts(default)}}]
    (resource,) = default.resources(BUDGET).values()
    assert alerts(default) in resource["DependsOn"]
    assert any("Policy" in id for id in resource["DependsOn"])


def test_budgets_and_alarms_may_publish(each: Assembly) -> None:
    policies = each.resources("AWS::SNS::TopicPolicy", "EaselModel")
    (policy,) = (one["Properties"] for id, one in policies.items() if id.startswith("Alerts"))
    allowed = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]
    services = {service for one in allowed for service in one["Principal"]["Service"]}
    assert services == {"budgets.amazonaws.com", "cloudwatch.amazonaws.com"}
    for one in allowed:
        account = one["Condition"]["StringEquals"]["aws:SourceAccount"]
        assert account in ({"Ref": "AWS::AccountId"}, "123456789012")


def test_china_has_no_budgets_that_tell(china: Assembly) -> None:
    assert china.resources(BUDGET) == {}
    assert china.outputs("EaselModel")["Budget"] == "none"


def test_the_outputs_say_who_is_told_and_of_what(default: Assembly, realtime: Assembly) -> None:
    nobody, somebody = default.outputs("EaselModel"), realtime.outputs("EaselModel")
    first, region, to, _, last = nobody["AlertsGoTo"]["Fn::Join"][1]
    assert first == "nobody yet: set -c alert_email=you@example.com, or: aws sns subscribe --region "
    assert (region, to) == ({"Ref": "AWS::Region"}, " --topic-arn ")
    assert last == " --protocol email --notification-endpoint you@example.com"
    assert somebody["AlertsGoTo"] == "you@example.com, once the link in AWS's mail is followed"
    told = "50 USD a month of Amazon SageMaker in this account; alerts at 50, 100, forecast 100 %"
    assert nobody["Budget"] == somebody["Budget"] == told
    assert "IdleGuardDoes" not in nobody
    assert somebody["IdleGuardDoes"].startswith("after 4 h without a call the endpoint is deleted; `easel resume`")


def test_mail_goes_to_who_was_named(default: Assembly, realtime: Assembly) -> None:
    mails = [
        [one["Properties"] for one in each.resources(SUBSCRIPTION, "EaselModel").values()]
        for each in (default, realtime)
    ]
    assert mails[0] == []
    (mail,) = mails[1]
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "you@example.com")
    assert mail["TopicArn"] == {"Ref": alerts(realtime)}


def test_the_guard_looks_four_times_an_hour(realtime: Assembly) -> None:
    rule = realtime.only("AWS::Events::Rule")
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(15 minutes)", "ENABLED")
    (target,) = rule["Targets"]
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 0}


def test_the_guard_is_told_what_it_reads(realtime: Assembly) -> None:
    told = guard(realtime)["Environment"]["Variables"]
    source = Path(idle_guard.__file__).read_text()
    assert set(told) == {part.split('"')[1] for part in source.split("os.environ[")[1:]}
    assert (told["EASEL_IDLE_HOURS"], told["EASEL_VARIANT"]) == ("4", "AllTraffic")


def test_the_guard_may_delete_this_endpoint_alone(realtime: Assembly) -> None:
    policies = realtime.resources("AWS::IAM::Policy", "EaselModel")
    (policy,) = (one["Properties"] for id, one in policies.items() if id.startswith("IdleGuard"))
    (endpoint,) = realtime.resources("AWS::SageMaker::Endpoint")
    statements = policy["PolicyDocument"]["Statement"]
    (deletes,) = (one for one in statements if "sagemaker:DeleteEndpoint" in one["Action"])
    assert deletes["Resource"] == {"Ref": endpoint}
    (forgets,) = (one for one in statements if one["Action"] == "application-autoscaling:DeregisterScalableTarget")
    assert forgets["Condition"] == {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}


def test_async_needs_no_guard(default: Assembly) -> None:
    assert default.resources("AWS::Events::Rule") == {}
