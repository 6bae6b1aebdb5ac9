"""IAM policy documents: statements, their size as IAM counts it, and how they are split into managed policies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Statement = dict[str, Any]
LIMIT = 6144
"""Characters of a managed policy without white space:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


def allow(
    actions: Iterable[str], resources: Iterable[str], conditions: Mapping[str, Mapping[str, Any]] | None = None
) -> Statement:
    """Return a statement. It is sorted, so that a small change of the templates makes a small one of the policy."""
    statement: Statement = {"Effect": "Allow", "Action": sorted(actions), "Resource": sorted(resources)}
    return {**statement, "Condition": conditions} if conditions else statement


def merge(statements: Iterable[Statement]) -> list[Statement]:
    """Return the same rights with as few statements as possible."""
    by_resource: dict[tuple[str, str], set[str]] = defaultdict(set)
    for statement in statements:
        conditions = json.dumps(statement.get("Condition", {}), sort_keys=True)
        for resource in statement["Resource"]:
            by_resource[resource, conditions] |= set(statement["Action"])
    by_actions: dict[tuple[frozenset[str], str], set[str]] = defaultdict(set)
    for (resource, conditions), actions in by_resource.items():
        by_actions[frozenset(actions), conditions].add(resource)
    merged = [allow(actions, found, json.loads(conditions)) for (actions, conditions), found in by_actions.items()]
    return sorted(merged, key=str)


def document(statements: Sequence[Statement]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def size(statements: Sequence[Statement]) -> int:
    """Return the characters that IAM counts."""
    return len(json.dumps(document(statements), separators=(",", ":")))


def split(statements: Iterable[Statement], limit: int = LIMIT) -> Iterator[list[Statement]]:
    """Yield as many policies as the statements need. A statement may be cut between two actions."""
    current: list[Statement] = []
    for statement in statements:
        for action in statement["Action"]:
            grown = _add(current, {**statement, "Action": [action]})
            if current and size(grown) > limit:
                yield current
                grown = _add([], {**statement, "Action": [action]})
            current = grown
    if current:
        yield current


def _add(statements: Sequence[Statement], added: Statement) -> list[Statement]:
    """Return the statements and one more, as a part of the last if only the actions differ."""
    if statements and {**statements[-1], "Action": 0} == {**added, "Action": 0}:
        return [*statements[:-1], {**added, "Action": [*statements[-1]["Action"], *added["Action"]]}]
    return [*statements, added]
