"""AWS Budgets: keeps budgets and counts nothing."""

from ..aws_api.service import Parameters, ServiceError


class Budgets:
    def __init__(self) -> None:
        self.budgets: dict[str, Parameters] = {}

    def create_budget(self, parameters: Parameters) -> None:
        budget = parameters["Budget"]
        if budget["BudgetName"] in self.budgets:
            raise ServiceError("DuplicateRecordException", f"{budget['BudgetName']} already exists")
        self.budgets[budget["BudgetName"]] = budget

    def describe_budgets(self, _: Parameters) -> Parameters:
        return {"Budgets": list(self.budgets.values())}

    def delete_budget(self, parameters: Parameters) -> None:
        if self.budgets.pop(parameters["BudgetName"], None) is None:
            raise ServiceError("NotFoundException", f"Unable to get budget: {parameters['BudgetName']}")
