"""Emulated AWS Budgets."""

import time
from pathlib import Path

import pytest

from tests.deploy.emulator.services import budgets


def notification(kind: str, percent: int, topic: str) -> dict[str, object]:
    over = {"NotificationType": kind, "ComparisonOperator": "GREATER_THAN", "Threshold": percent}
    return {"Notification": over, "Subscribers": [{"SubscriptionType": "SNS", "Address": topic}]}


def test_each_share_that_the_cost_passes_is_notified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "POLL_SECONDS", 0.02)
    published: list[str] = []
    service = budgets.Budgets(tmp_path / "none", tmp_path / "spent", lambda topic, _: published.append(topic))
    budget = {"BudgetName": "b", "BudgetLimit": {"Amount": "50", "Unit": "USD"}}
    shares = [
        notification("ACTUAL", 50, "half"),
        notification("ACTUAL", 100, "all"),
        notification("FORECASTED", 1, "no"),
    ]
    service.create_budget({"Budget": budget, "NotificationsWithSubscribers": shares})
    for usd, expected in {"25": [], "50": ["half"], "51": ["half", "all"]}.items():
        (tmp_path / "spent").write_text(usd)
        end = time.monotonic() + 20
        while published != expected and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.2)
        assert published == expected
