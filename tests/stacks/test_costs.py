"""Budget, alerts and idle guard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from custom_resources import idle_guard
from stacks.model.idle_guard import DESCRIPTION
from tests.stacks.assembly import Assembly, flat

BUDGET, SUBSCRIPTION, FUNCTION = "AWS::Budgets::Budget", "AWS::SNS::Subscription", "AWS::Lambda::Function"


def alerts(assembly: Assembly) -> str:
    (topic,) = (id for id in assembly.resources("AWS::SNS::Topic", "EaselStorage") if id.startswith("AlertsTopic"))
    return topic


def imported_alerts(assembly: Assembly) -> dict[str, str]:
    """Return the reference of another stack to the topic."""
    exports = assembly.templates["EaselStorage"]["Outputs"].values()
    (name,) = (export["Export"]["Name"] for export in exports if export["Value"] == {"Ref": alerts(assembly)})
    return {"Fn::ImportValue": name}


def guard(assembly: Assembly) -> dict[str, Any]:
    functions = assembly.properties(FUNCTION, "EaselModel")
    (properties,) = (item for item in functions if item["Handler"] == "custom_resources.idle_guard.handler")
    return properties


def test_the_budget_warns_before_and_after(default: Assembly) -> None:
    budget = default.only(BUDGET)
    assert budget["Budget"] == {
        "BudgetName": {"Fn::Join": ["", ["EaselBudget-", {"Ref": "AWS::Region"}]]},
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": 50, "Unit": "USD"},
        "CostFilters": {"Service": ["Amazon SageMaker"]},
    }
    warnings = [
        (item["Notification"]["NotificationType"], item["Notification"]["Threshold"])
        for item in budget["NotificationsWithSubscribers"]
    ]
    assert warnings == [("ACTUAL", 50), ("ACTUAL", 100), ("FORECASTED", 100)]
    for item in budget["NotificationsWithSubscribers"]:
        assert item["Subscribers"] == [{"SubscriptionType": "SNS", "Address": imported_alerts(default)}]


def test_a_budget_with_other_notifications_has_another_name(assembly: Callable[[str], Assembly]) -> None:
    """CloudFormation creates the new budget before it deletes the former."""
    warned, stopped = (assembly(variant).only(BUDGET) for variant in ("default", "hub"))
    assert warned["NotificationsWithSubscribers"] != stopped["NotificationsWithSubscribers"]
    assert warned["Budget"]["BudgetName"] != stopped["Budget"]["BudgetName"]


def test_budgets_and_alarms_may_publish(each: Assembly) -> None:
    policies = each.resources("AWS::SNS::TopicPolicy", "EaselStorage")
    (policy,) = (resource["Properties"] for id, resource in policies.items() if id.startswith("AlertsTopic"))
    allowed = [item for item in policy["PolicyDocument"]["Statement"] if item["Effect"] == "Allow"]
    services = {service for statement in allowed for service in statement["Principal"]["Service"]}
    assert services == {"budgets.amazonaws.com", "cloudwatch.amazonaws.com"}
    for statement in allowed:
        account = statement["Condition"]["StringEquals"]["aws:SourceAccount"]
        assert account in ({"Ref": "AWS::AccountId"}, "123456789012")


def test_china_has_no_budget(china: Assembly) -> None:
    assert china.resources(BUDGET) == {}
    assert "EaselBudget" not in china.templates


def test_nothing_needs_the_budget_which_comes_last(each: Assembly) -> None:
    """An account of an organisation may refuse it, and the CDK deploys nothing after a stack that failed."""
    artifacts = json.loads((each.folder / "manifest.json").read_text())["artifacts"]
    stacks = {name: set(artifacts[name].get("dependencies", ())) & each.templates.keys() for name in each.templates}
    assert [name for name, needed in stacks.items() if "EaselBudget" in needed] == []
    if "EaselBudget" in stacks:
        assert stacks["EaselBudget"] == each.templates.keys() - {"EaselBudget", "EaselNotebook", "EaselCloud9"}


def test_outputs_name_the_recipient_and_the_budget(default: Assembly, realtime: Assembly) -> None:
    without_email, with_email = default.outputs("EaselModel"), realtime.outputs("EaselModel")
    command = flat(default.outputs("EaselStorage")["AlertsGoTo"])
    assert "aws sns subscribe --region AWS::Region --topic-arn " in command
    assert command.endswith("--protocol email --notification-endpoint you@example.com")
    assert "you@example.com" in realtime.outputs("EaselStorage")["AlertsGoTo"]
    for assembly in (default, realtime):
        assert re.findall(r"\d+", assembly.outputs("EaselBudget")["Budget"]) == ["50", "50", "100", "100"]
    assert "IdleGuardDoes" not in without_email
    assert "4 h" in with_email["IdleGuardDoes"] and "`easel resume`" in with_email["IdleGuardDoes"]


def test_mail_goes_to_alert_email(default: Assembly, realtime: Assembly) -> None:
    assert default.resources(SUBSCRIPTION, "EaselStorage") == {}
    mail = realtime.only(SUBSCRIPTION, "EaselStorage")
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "you@example.com")
    assert mail["TopicArn"] == {"Ref": alerts(realtime)}


def test_the_guard_runs_four_times_an_hour(realtime: Assembly) -> None:
    rule = realtime.only("AWS::Events::Rule")
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(15 minutes)", "ENABLED")
    (target,) = rule["Targets"]
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 600}


def test_a_failing_guard_sends_an_alarm(default: Assembly, realtime: Assembly) -> None:
    alarms = realtime.resources("AWS::CloudWatch::Alarm", "EaselModel")
    (alarm,) = (item["Properties"] for id, item in alarms.items() if id.startswith("IdleGuard"))
    (function,) = (id for id in realtime.resources(FUNCTION, "EaselModel") if id.startswith("IdleGuard"))
    assert (alarm["MetricName"], alarm["Dimensions"]) == (
        "Errors",
        [{"Name": "FunctionName", "Value": {"Ref": function}}],
    )
    assert (alarm["Statistic"], alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == ("Sum", 900, 2, 1)
    assert alarm["AlarmActions"] == [imported_alerts(realtime)]
    assert alarm["AlarmDescription"] == DESCRIPTION
    assert not [id for id in default.resources("AWS::CloudWatch::Alarm") if id.startswith("IdleGuard")]


def test_the_guard_has_the_variables_that_it_reads(realtime: Assembly) -> None:
    variables = guard(realtime)["Environment"]["Variables"]
    source = Path(idle_guard.__file__).read_text()
    assert set(variables) == {part.split('"')[1] for part in source.split("os.environ[")[1:]}
    assert (variables["EASEL_IDLE_HOURS"], variables["EASEL_VARIANT"]) == ("4", "AllTraffic")


def test_the_guard_may_delete_this_endpoint_only(realtime: Assembly) -> None:
    policies = realtime.resources("AWS::IAM::Policy", "EaselModel")
    (policy,) = (resource["Properties"] for id, resource in policies.items() if id.startswith("IdleGuard"))
    endpoint = realtime.only("AWS::SageMaker::Endpoint")["EndpointName"]
    statements = policy["PolicyDocument"]["Statement"]
    (delete,) = (item for item in statements if "sagemaker:DeleteEndpoint" in item["Action"])
    assert flat(delete["Resource"]).endswith(f":endpoint/{endpoint}")
    (deregister,) = (
        item for item in statements if "application-autoscaling:DeregisterScalableTarget" in item["Action"]
    )
    assert (deregister["Resource"], "Condition" in deregister) == ("*", False)  # SageMaker makes the call


def test_async_has_no_guard(default: Assembly) -> None:
    assert default.resources("AWS::Events::Rule") == {}
