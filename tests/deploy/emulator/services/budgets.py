"""AWS Budgets: keeps budgets, and notifies of a cost that a test sets."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..aws_api.service import ACCOUNT, Parameters, ServiceError

POLL_SECONDS = 0.5
TEXT = (
    "You requested that we alert you when the {type} Cost associated with your {name} budget is greater than {limit}."
)
Publish = Callable[[str, str], None]
"""Publishes a text to the topic of an ARN, as AWS Budgets."""


class Budgets:
    """While the file `denied` exists, the account belongs to an organisation that has not enabled budgets for it.

    The file `spent` has the actual cost of the month in USD. A budget notifies once of each share of it that is passed.
    """

    def __init__(self, denied: Path, spent: Path, publish: Publish) -> None:
        self.denied, self.spent, self.publish = denied, spent, publish
        self.budgets: dict[str, Parameters] = {}
        self.notifications: dict[str, list[Parameters]] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            if text := self.spent.read_text() if self.spent.exists() else "":
                for name in list(self.budgets):
                    self._notify(name, float(text))

    def _notify(self, name: str, usd: float) -> None:
        limit = float(self.budgets[name]["BudgetLimit"]["Amount"])
        for item in list(self.notifications.get(name, ())):
            kind, share = item["Notification"]["NotificationType"], item["Notification"]["Threshold"] / 100
            if kind == "ACTUAL" and usd > share * limit:
                self.notifications[name].remove(item)
                text = TEXT.format(type=kind, name=name, limit=f"${share * limit:.2f}")
                for subscriber in item["Subscribers"]:
                    self.publish(subscriber["Address"], text)

    def _authorize(self) -> None:
        if self.denied.exists():
            message = f"Account {ACCOUNT} is a linked account. To enable budgets, ask the owner of the payer account"
            raise ServiceError("AccessDeniedException", message)

    def create_budget(self, parameters: Parameters) -> None:
        self._authorize()
        budget = parameters["Budget"]
        if budget["BudgetName"] in self.budgets:
            raise ServiceError("DuplicateRecordException", f"{budget['BudgetName']} already exists")
        self.budgets[budget["BudgetName"]] = budget
        self.notifications[budget["BudgetName"]] = list(parameters.get("NotificationsWithSubscribers", ()))

    def describe_budgets(self, _: Parameters) -> Parameters:
        self._authorize()
        return {"Budgets": list(self.budgets.values())}

    def delete_budget(self, parameters: Parameters) -> None:
        if self.budgets.pop(parameters["BudgetName"], None) is None:
            raise ServiceError("NotFoundException", f"Unable to get budget: {parameters['BudgetName']}")
