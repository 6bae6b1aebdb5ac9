"""The function that stops the endpoint at 100 % of the budget."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from custom_resources import budget_stop
from stacks.config.names import STOP_MARKER
from stacks.model.budget_stop import DESCRIPTIONS
from tests.stacks.assembly import Assembly, flat

FUNCTION, ALARM, SUBSCRIPTION = "AWS::Lambda::Function", "AWS::CloudWatch::Alarm", "AWS::SNS::Subscription"
HANDLER = "custom_resources.budget_stop.handler"


@pytest.fixture(params=["hub", "own"])
def stopping(request: pytest.FixtureRequest) -> Assembly:
    """Mode async, then realtime, with `budget_action=stop`."""
    assembly: Assembly = request.getfixturevalue(request.param)
    return assembly


def function(assembly: Assembly) -> tuple[str, dict[str, Any]]:
    """Return the function's logical id and properties."""
    resources = assembly.resources(FUNCTION, "EaselModel").items()
    ((id, resource),) = ((id, item) for id, item in resources if item["Properties"]["Handler"] == HANDLER)
    return id, resource["Properties"]


def statements(assembly: Assembly) -> dict[str, Any]:
    """Return action to statement of the function's policy."""
    policies = assembly.resources("AWS::IAM::Policy", "EaselModel")
    (policy,) = (resource["Properties"] for id, resource in policies.items() if id.startswith("BudgetStop"))
    found = {}
    for statement in policy["PolicyDocument"]["Statement"]:
        for action in statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]:
            found[action] = statement
    return found


def test_a_used_up_budget_notifies_the_function_and_nobody_else(stopping: Assembly) -> None:
    notifications = stopping.only("AWS::Budgets::Budget")["NotificationsWithSubscribers"]
    topics = {
        (item["Notification"]["NotificationType"], item["Notification"]["Threshold"]): item["Subscribers"][0]["Address"]
        for item in notifications
    }
    stop = topics.pop(("ACTUAL", 100))
    assert "BudgetUsedUp" in flat(stop)
    assert all("AlertsTopic" in flat(topic) for topic in topics.values())
    (id, _), subscription = function(stopping), stopping.only(SUBSCRIPTION, "EaselModel")
    assert (subscription["TopicArn"], subscription["Endpoint"]) == (stop, {"Fn::GetAtt": [id, "Arn"]})


def test_only_aws_budgets_may_publish_to_its_topic(stopping: Assembly) -> None:
    policies = stopping.resources("AWS::SNS::TopicPolicy", "EaselStorage")
    (policy,) = (item["Properties"] for id, item in policies.items() if id.startswith("AlertsBudgetUsedUp"))
    allowed = [item for item in policy["PolicyDocument"]["Statement"] if item["Effect"] == "Allow"]
    assert [statement["Principal"]["Service"] for statement in allowed] == ["budgets.amazonaws.com"]
    assert "aws:SourceAccount" in allowed[0]["Condition"]["StringEquals"]


def test_a_failed_stop_is_tried_again_kept_and_mailed(stopping: Assembly) -> None:
    id, _ = function(stopping)
    (queue,) = stopping.resources("AWS::SQS::Queue", "EaselModel")
    target = {"Fn::GetAtt": [queue, "Arn"]}
    assert stopping.only(SUBSCRIPTION, "EaselModel")["RedrivePolicy"] == {"deadLetterTargetArn": target}
    invoke = stopping.only("AWS::Lambda::EventInvokeConfig", "EaselModel")
    assert (invoke["MaximumRetryAttempts"], invoke["DestinationConfig"]["OnFailure"]) == (2, {"Destination": target})
    alarms = stopping.resources(ALARM, "EaselModel")
    found = {item["Properties"]["MetricName"]: item["Properties"] for id, item in alarms.items() if "BudgetStop" in id}
    assert found["Errors"]["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": id}}]
    lost = {"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}
    assert found["ApproximateNumberOfMessagesVisible"]["Dimensions"] == [lost]
    assert {alarm["AlarmDescription"] for alarm in found.values()} == set(DESCRIPTIONS.values())
    assert all("AlertsTopic" in flat(alarm["AlarmActions"][0]) for alarm in found.values())


def test_it_is_checked_every_five_minutes(stopping: Assembly) -> None:
    rules = [rule["ScheduleExpression"] for rule in stopping.properties("AWS::Events::Rule", "EaselModel")]
    assert "rate(5 minutes)" in rules


def test_it_has_the_variables_that_it_reads(stopping: Assembly) -> None:
    variables = function(stopping)[1]["Environment"]["Variables"]
    source = Path(budget_stop.__file__).read_text()
    assert set(variables) == set(re.findall(r"""os\.environ\[["'](\w+)""", source))
    mode = "async" if "AsyncInferenceConfig" in stopping.only("AWS::SageMaker::EndpointConfig") else "realtime"
    assert (variables["EASEL_MODE"], variables["EASEL_BUDGET_USD"]) == (mode, "50")


def test_it_may_stop_this_endpoint_only(hub: Assembly, own: Assembly) -> None:
    for assembly in (hub, own):
        endpoint = assembly.only("AWS::SageMaker::Endpoint")["EndpointName"]
        granted = statements(assembly)
        stops = {action for action in granted if action.startswith("sagemaker:")} - {"sagemaker:DescribeEndpoint"}
        assert len(stops) == 1
        for action in (*stops, "sagemaker:DescribeEndpoint"):
            assert flat(granted[action]["Resource"]).endswith(f":endpoint/{endpoint}")
        assert flat(granted["s3:PutObject"]["Resource"]).endswith(f"/{STOP_MARKER}")
    assert "sagemaker:UpdateEndpointWeightsAndCapacities" in statements(hub)
    assert "sagemaker:DeleteEndpoint" in statements(own)
    register = statements(hub)["application-autoscaling:RegisterScalableTarget"]
    assert flat(register["Resource"]).endswith(":scalable-target/*")
    assert register["Condition"] == {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}


def test_the_api_may_read_the_marker_that_refuses_jobs(stopping: Assembly) -> None:
    functions = stopping.properties(FUNCTION, "EaselApi")
    (api,) = (item for item in functions if item["Handler"] == "handlers.api")
    assert api["Environment"]["Variables"]["EASEL_STOP_MARKER"] == STOP_MARKER
    policies = stopping.resources("AWS::IAM::Policy", "EaselApi")
    (policy,) = (resource for id, resource in policies.items() if id.startswith("FunctionsApiRole"))
    assert f"/{STOP_MARKER}" in str(policy)


def test_an_output_says_what_it_does(stopping: Assembly, default: Assembly) -> None:
    assert "`easel resume`" in stopping.outputs("EaselModel")["BudgetStopDoes"]
    assert "BudgetStopDoes" not in default.outputs("EaselModel")


def test_without_the_setting_there_is_no_function_and_no_right(default: Assembly) -> None:
    handlers = {item["Handler"] for item in default.properties(FUNCTION, "EaselModel")}
    assert HANDLER not in handlers
    assert STOP_MARKER not in str({name: default.templates[name] for name in ("EaselModel", "EaselApi")})
