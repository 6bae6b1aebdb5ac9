"""Each variant of the stacks is synthesised once."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.stacks.assembly import ENTRY, SOURCES, VARIANTS, Assembly, synthesise, write_model


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_model(tmp_path_factory.mktemp("catalogue"))
    for id, source in SOURCES.items():
        (root / "models" / f"{id}.json").write_text(json.dumps({**ENTRY, "id": id, "source": source}))
    return root


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Callable[[str], Assembly]:
    @cache
    def make(name: str) -> Assembly:
        settings, env = VARIANTS[name]
        return synthesise(tmp_path_factory.mktemp(name), catalogue, settings, env)

    return make


@pytest.fixture(params=list(VARIANTS))
def each(request: pytest.FixtureRequest, assembly: Callable[[str], Assembly]) -> Assembly:
    """Each variant in turn."""
    return assembly(request.param)


@pytest.fixture
def default(assembly: Callable[[str], Assembly]) -> Assembly:
    return assembly("default")


@pytest.fixture
def realtime(assembly: Callable[[str], Assembly]) -> Assembly:
    return assembly("realtime")


@pytest.fixture
def cloud9(assembly: Callable[[str], Assembly]) -> Assembly:
    return assembly("cloud9")


@pytest.fixture
def hub(assembly: Callable[[str], Assembly]) -> Assembly:
    return assembly("hub")


@pytest.fixture
def china(assembly: Callable[[str], Assembly]) -> Assembly:
    return assembly("china")


@pytest.fixture
def own(assembly: Callable[[str], Assembly]) -> Assembly:
    """Own domain, key and firewall, with a watched update, tracing and a budget that stops."""
    return assembly("own")


@pytest.fixture
def gov(assembly: Callable[[str], Assembly]) -> Assembly:
    return assembly("gov")
