"""Conditions of templates that contain Fn::Join. MiniStack 1.5.33 compares the function instead of its text.

The CDK's bootstrap template has some: its role gets AdministratorAccess if the person who bootstraps names no policies.
"""

from typing import Any

from ministack.services.cloudformation import changesets, engine, handlers, stacks


def install() -> None:
    evaluate = engine._evaluate_conditions

    def evaluate_joined(template: dict[str, Any], parameters: dict[str, Any]) -> Any:
        conditions = join(template.get("Conditions", {}), parameters)
        return evaluate({**template, "Conditions": conditions}, parameters)

    for module in (changesets, engine, handlers, stacks):
        module._evaluate_conditions = evaluate_joined


def join(value: Any, parameters: dict[str, Any]) -> Any:
    """Return `value` with the text of each Fn::Join. `parameters`: name to a record whose Value is a text."""
    if isinstance(value, list):
        return [join(item, parameters) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Join" not in value:
        return {key: join(item, parameters) for key, item in value.items()}
    separator, items = value["Fn::Join"]
    resolved = [resolve(item, parameters) for item in items] if isinstance(items, list) else resolve(items, parameters)
    return separator.join(resolved.split(",") if isinstance(resolved, str) else resolved)


def resolve(value: Any, parameters: dict[str, Any]) -> str:
    """Return the text of a literal or of a reference to a parameter. A list is comma-separated."""
    return str(parameters[value["Ref"]]["Value"] if isinstance(value, dict) else value)
