"""Modes of staged assets: a checkout made with umask 077 ships what Lambda can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stacks.common import function_backed_resource
from tests.stacks.assembly import VARIANTS, Assembly, synthesise, write_model


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of everything in the staged assets."""
    paths = [path for asset in folder.glob("asset.*") for path in (asset, *asset.rglob("*"))]
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in paths}


def test_modes_of_a_checkout_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assemblies: list[dict[str, int]] = []
    for umask in (0o077, 0o000):
        before = os.umask(umask)
        try:
            root = tmp_path / f"{umask:o}"
            (root / "custom_resources").mkdir(parents=True)
            for module in ("release", "page", "wait_for_endpoint"):
                (root / "custom_resources" / f"{module}.py").write_text("handler = print")
            monkeypatch.setattr(function_backed_resource, "CUSTOM_RESOURCES", root / "custom_resources")
            settings, env = VARIANTS["default"]
            assemblies.append(modes(synthesise(root / "out", write_model(root), settings, env).folder))
        finally:
            os.umask(before)
    assert assemblies[0] == assemblies[1], "the same names, so the same hashes"
    assert sum("custom_resources/" in name for name in assemblies[0]) == 3


def test_everybody_may_read_every_asset(each: Assembly) -> None:
    found = modes(each.folder)
    assert found
    assert {mode for name, mode in found.items() if (each.folder / name).is_file()} == {0o644}
    assert {mode for name, mode in found.items() if (each.folder / name).is_dir()} == {0o755}
