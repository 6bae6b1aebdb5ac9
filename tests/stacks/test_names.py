"""Several Easels in one account: the name in everything that is unique to an account and region."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from easel.cloud.leftovers.scan import patterns
from stacks.config.names import DEFAULT, NAME_CHARACTERS, STACK_CHARACTERS, STACK_PARTS, Names
from stacks.config.settings import SettingsError, parse_settings
from tests.stacks.assembly import Assembly, flat, synthesise

LONGEST = "a-b-" + "c" * (NAME_CHARACTERS - 4)
EVERYTHING = {
    "sign_in": "cognito",
    "notebook": "on",
    "waf": "on",
    "cloud9_cidr": "203.0.113.7/32",
    "cloud9_security_group_id": "sg-0123456789abcdef0",
}
"""Settings that add each optional stack and firewall."""
STACK_ID = "0123456789abcdef0123456789abcdef0123"
LIMITS = {"EndpointName": 63, "DashboardName": 255, "BudgetName": 100, "DisplayName": 100, "MetricName": 128}
"""AWS's longest values of properties that hold the name."""


@pytest.fixture(scope="module", params=["async", "realtime"])
def longest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Assembly:
    settings = {"name": LONGEST, "mode": request.param, "update": "blue_green", "model": "hub", **EVERYTHING}
    env = ("123456789012", "ap-southeast-2")
    return synthesise(tmp_path_factory.mktemp("longest"), catalogue, settings, env)


def test_the_longest_name_synthesises_every_stack(longest: Assembly) -> None:
    assert set(longest.templates) == set(Names(LONGEST).stacks)
    assert max(map(len, longest.templates)) <= STACK_CHARACTERS
    assert longest.lint() == []


def test_a_longer_name_is_refused() -> None:
    assert parse_settings({"name": LONGEST}).names == Names(LONGEST)
    with pytest.raises(SettingsError) as refused:
        parse_settings({"name": f"{LONGEST}c"})
    assert (refused.value.code, refused.value.key) == ("wrong_form", "name")


@pytest.mark.parametrize("name", ["", "Easel", "1easel", "-easel", "easel-", "easel--dev", "easel_dev", "easel\n", "é"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_settings({"name": name})
    assert refused.value.code == "wrong_form"


def test_values_fit_aws_limits(longest: Assembly) -> None:
    found: dict[str, int] = {}
    for template in longest.templates.values():
        for key, value in _pairs(template["Resources"]):
            if key in LIMITS and isinstance(value, str | dict):
                text = flat(value).replace("Fn::Select", STACK_ID[:8]).replace("AWS::Region", "ap-southeast-2")
                found[key] = max(found.get(key, 0), len(text))
    assert found.keys() >= {"EndpointName", "DashboardName", "DisplayName", "BudgetName"}
    assert [key for key, length in found.items() if length > LIMITS[key]] == []


def test_commands_and_texts_have_the_name(longest: Assembly) -> None:
    """A text with a command, a stack or a resource of the default name would address another Easel."""
    pairs = [pair for template in longest.templates.values() for pair in _pairs(template)]
    texts = [value for key, value in pairs if type(value) is str and key != "Description"]
    commands = (
        r"npx cdk (deploy|destroy)(?! -c name=)|(?<![/\w])easel (doctor|outputs|leftovers|pause|resume)(?! --name)"
    )
    default = rf"{commands}|\bEasel({'|'.join(STACK_PARTS)})\b|\beasel-(async|realtime|notebook)"
    assert sorted({text for text in texts if re.search(default, text)}) == []
    assert any(f"easel doctor --name {LONGEST}" in text for text in texts)


def _pairs(value: Any, key: str = "") -> list[tuple[str, Any]]:
    """Return key and value of everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else [(key, item) for item in value] if type(value) is list else []
    return [(key, value), *itertools.chain.from_iterable(_pairs(item, name) for name, item in items)]


@pytest.mark.parametrize("name", ["easel-dev", "easeldev", "easel-2", "easel2", "easel", LONGEST])
def test_stack_names_are_unique_and_identify_the_easel(name: str) -> None:
    others = {"easel-dev", "easeldev", "easel-2", "easel2", "easel", LONGEST} - {name}
    assert not {stack for other in others for stack in Names(other).stacks} & set(Names(name).stacks)
    pattern, _ = patterns(Names(name))
    for other in map(Names, others):
        for found in (f"{other.model}-Role-x", f"{other.endpoint_prefix('async')}012345-0", other.import_log_group):
            assert not pattern.search(found)


def test_the_default_name_changes_no_text() -> None:
    text = "Run easel doctor, then npx cdk deploy EaselModel -c endpoint=off"
    assert DEFAULT.in_commands(text) == text
    changed = Names("easel-dev").in_commands(text)
    assert changed == (
        "Run easel doctor --name easel-dev, then npx cdk deploy -c name=easel-dev EaselDevModel -c endpoint=off"
    )
    assert Names("easel-dev").in_commands(changed) == changed


def test_every_stack_has_a_name() -> None:
    names = Names("easel-dev")
    properties = (
        names.storage,
        names.model,
        names.api,
        names.site,
        names.cloud9,
        names.notebook,
        names.budget,
        names.users,
    )
    assert set(properties) == set(names.stacks) == {f"EaselDev{part}" for part in STACK_PARTS}
