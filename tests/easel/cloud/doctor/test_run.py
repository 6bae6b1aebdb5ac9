"""All checks together: the order, the report, JSON and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from easel.cloud.doctor.check import Result
from easel.cloud.doctor.plan import read_plan
from easel.cloud.doctor.run import ACCOUNT_CHECKS, CHECKS, print_results
from tests.easel.cloud.doctor.conftest import RunDoctor
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import REGION, client_error
from tests.easel.cloud.fake_deployment import (
    CONFIG,
    NAME,
    QUOTA,
    concurrency,
    endpoint_response,
    healthy_deployment,
    log_events,
    price_list,
    stack,
)
from tests.easel.running import EASEL, ROOT

MACHINE_CHECKS = {"node", "cdk"}
"""Their results depend on this machine."""


def test_a_healthy_deployment(doctor: RunDoctor) -> None:
    results = doctor(healthy_deployment())
    assert list(results) == [
        "node", "cdk", "model", "model_folder", "disk", "account", "region", "endpoint_quota", "update_quota",
        "concurrency", "powertools", "budget", "bootstrap", "stacks", "endpoint", "alarms", "container_log",
    ]  # fmt: skip
    assert {result.status for code, result in results.items() if code not in MACHINE_CHECKS} == {"ok"}
    assert {result.remedy for code, result in results.items() if code not in MACHINE_CHECKS} == {""}
    assert_result(results["endpoint"], "ok", NAME, CONFIG, "0 instances")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("pricing.GetProducts", "region"),
        ("service-quotas.ListServiceQuotas", "endpoint_quota"),
        ("lambda.GetAccountSettings", "concurrency"),
        ("ssm.GetParameter", "bootstrap"),
        ("sagemaker.DescribeEndpoint", "endpoint"),
        ("cloudwatch.DescribeAlarms", "alarms"),
        ("logs.DescribeLogStreams", "container_log"),
    ],
)
def test_a_refused_call_makes_only_its_check_unknown(doctor: RunDoctor, call: str, code: str) -> None:
    aws = healthy_deployment()
    aws.responses[call] = client_error("AccessDeniedException", "no")
    results = doctor(aws)
    assert_result(results[code], "unknown")
    same_call = {"endpoint_quota": {"update_quota"}, "bootstrap": {"powertools"}}.get(code, set())
    unknown = {other for other, result in results.items() if result.status != "ok"} - MACHINE_CHECKS
    assert unknown == {code} | same_call


@pytest.mark.parametrize(
    ("call", "response", "code"),
    [
        ("pricing.GetProducts", price_list("EU-Host:ml.m5.large"), "region"),
        ("service-quotas.ListServiceQuotas", {"Quotas": [{**QUOTA, "Value": 0.0}]}, "endpoint_quota"),
        ("lambda.GetAccountSettings", concurrency(9), "concurrency"),
        ("ssm.GetParameter", {"Parameter": {"Value": "5"}}, "bootstrap"),
        ("cloudformation.DescribeStacks", {"Stacks": [stack("ROLLBACK_COMPLETE")]}, "stacks"),
        ("sagemaker.DescribeEndpoint", endpoint_response("Old", "InService"), "endpoint"),
        ("cloudwatch.DescribeAlarms", {"MetricAlarms": [{"AlarmName": "EaselApi-Errors", "AlarmArn": "a"}]}, "alarms"),
        ("logs.GetLogEvents", log_events("CUDA out of memory."), "container_log"),
    ],
)
def test_a_failure_is_reported_by_one_check(doctor: RunDoctor, call: str, response: Any, code: str) -> None:
    aws = healthy_deployment()
    aws.responses[call] = response
    aws.responses["cloudformation.DescribeStackEvents"] = {"StackEvents": []}
    aws.responses["cloudwatch.ListTagsForResource"] = {"Tags": []}
    results = doctor(aws)
    assert_result(results[code], "failed")
    assert {other for other, result in results.items() if result.status != "ok"} - MACHINE_CHECKS == {code}


def test_each_check_is_documented() -> None:
    for code, check in CHECKS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
        assert check.code == code
        assert check.summary.endswith(".")
        assert check.remedy
    assert set(ACCOUNT_CHECKS) < set(CHECKS)


def test_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        Result("ok", "Fine.", code="node"),
        Result("failed", "Wrong.", "Run easel pause.", ("line",), code="cdk"),
        Result("unknown", "Maybe.", code="disk"),
    ]
    assert print_results(iter(results), as_json=False) == 1
    assert capsys.readouterr().out.splitlines() == [
        "✓ node            Fine.",
        "✗ cdk             Wrong.",
        "                  → Run easel pause.",
        "                  │ line",
        "? disk            Maybe.",
        "1 ok, 1 failed, 1 unknown.",
    ]
    assert print_results(iter(results), as_json=True) == 1
    output = json.loads(capsys.readouterr().out)
    assert output["ok"] is False
    assert output["checks"][1] == {
        "code": "cdk",
        "status": "failed",
        "message": "Wrong.",
        "remedy": "Run easel pause.",
        "log_lines": ["line"],
    }
    assert print_results(iter(results[:1]), as_json=True) == 0
    assert print_results(iter([results[2]]), as_json=True) == 1


def test_the_report_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    """A log line of the container, a stack's reason or a role's name could control the terminal."""
    escape = "\x1b]0;title\x07\u202e"
    for as_json in (False, True):
        print_results(iter([Result("failed", escape, escape, (escape,), code="cdk")]), as_json)
        output = capsys.readouterr().out
        assert (output.count("title"), output.replace("\n", "").isprintable()) == (3, True)


def test_the_command_without_network_and_credentials(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    process = subprocess.run(
        [*EASEL, "doctor", "--region", REGION, "--json"],
        cwd=ROOT, env={**variables, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (1, "")
    statuses = {check["code"]: check["status"] for check in json.loads(process.stdout)["checks"]}
    assert statuses["account"] == "failed"
    assert {statuses[code] for code in ACCOUNT_CHECKS} == {"unknown"}


@pytest.mark.parametrize(
    ("pairs", "command"),
    [
        ([], "npx cdk deploy --all"),
        (["model=my models/a", "waf=on"], "npx cdk deploy -c 'model=my models/a' -c waf=on --all"),
        (["name=two", "waf=on"], "npx cdk deploy -c name=two -c waf=on --all"),
    ],
)
def test_commands_have_the_settings_of_the_plan(pairs: list[str], command: str) -> None:
    """Without them a remedy would deploy another model."""
    assert read_plan(pairs, ROOT).in_commands("npx cdk deploy --all") == command
