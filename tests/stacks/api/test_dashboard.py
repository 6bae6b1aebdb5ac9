"""The dashboard's metrics and log query."""

from __future__ import annotations

import json

from tests.stacks.assembly import Assembly

DASHBOARD = "AWS::CloudWatch::Dashboard"


def body(assembly: Assembly) -> str:
    """Return the dashboard's JSON, with "token" in place of values that only AWS knows."""
    text = assembly.only(DASHBOARD)["DashboardBody"]
    parts = [text] if isinstance(text, str) else text["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else "token" for part in parts)


def test_the_dashboard_has_requests_times_queue_gpu_cost_and_log(default: Assembly) -> None:
    text = body(default)
    widgets = json.loads(text)["widgets"]
    assert widgets[0]["type"] == "alarm"
    for metric in ("Count", "5XXError", "JobSeconds", "Latency", "ApproximateBacklogSize", "GPUUtilization",
                   "GPUMemoryUtilization", "CPUUtilization", "MemoryUtilization", "DiskUtilization"):  # fmt: skip
        assert f'"{metric}"' in text, metric
    for search in ("Errors", "JobErrors"):
        assert f'MetricName=\\\\\\"{search}\\\\\\"' in text or f'MetricName=\\"{search}\\"' in text, search
    for statistic in ("p50", "p95", "p99"):
        assert f'"stat":"{statistic}"' in text
    assert "0.7364" in text
    (log,) = (widget for widget in widgets if widget["type"] == "log")
    assert log["properties"]["query"].count("SOURCE") == 3
    assert "inference_id" in log["properties"]["query"]


def test_realtime_has_invocations_in_place_of_the_queue(realtime: Assembly) -> None:
    assert '"Invocations"' in body(realtime)
    assert "ApproximateBacklogSize" not in body(realtime)


def test_an_output_has_the_dashboards_name(default: Assembly) -> None:
    (id,) = default.resources(DASHBOARD)
    assert default.outputs("EaselApi")["DashboardName"] == {"Ref": id}
