"""The page: unit tests, and end-to-end tests in Chromium against `easel up` with the embedded model."""

import contextlib
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WEB, npm

FIRST_LOAD_BYTES = 160_000
BROWSER_TESTS = sorted({path.name.removesuffix(".e2e.ts") for path in WEB.glob("e2e/*.e2e.ts")} - {"proxy"})


@pytest.mark.slow
def test_units(packages: None) -> None:
    npm("test", seconds=500)


def test_first_load_is_small(page: None) -> None:
    """The scripts and styles that the index names, and itself."""
    index = (WEB / "dist/index.html").read_text("utf-8")
    names = ["index.html", *re.findall(r'(?:src|href)="\./([^"]+)"', index)]
    assert sum(len(gzip.compress((WEB / "dist" / name).read_bytes())) for name in names) <= FIRST_LOAD_BYTES


@pytest.fixture(scope="session")
def results(
    request: pytest.FixtureRequest, easel: str, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Vitest's results by file. One run has the files of all selected tests: each start takes seconds."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    names = [item.callspec.params["name"] for item in items if item.originalname == test_in_chromium.__name__]
    report = tmp_path_factory.mktemp("vitest") / "results.json"
    options = ("--reporter=json", f"--outputFile={report}")
    variables = {"EASEL_URL": easel, "CHROMIUM": chromium, "PYTHON": sys.executable}
    with contextlib.suppress(pytest.fail.Exception):  # each test reports its own file
        npm("run", "e2e", "--", *(f"{name}.e2e.ts" for name in names), *options, seconds=1800, **variables)
    return {Path(result["name"]).name: result for result in json.loads(report.read_text("utf-8"))["testResults"]}


@pytest.mark.timeout(1860)
@pytest.mark.parametrize("name", BROWSER_TESTS)
def test_in_chromium(results: dict[str, Any], name: str) -> None:
    result = results[f"{name}.e2e.ts"]
    messages = [message for test in result["assertionResults"] for message in test["failureMessages"]]
    assert result["status"] == "passed", "\n".join([result["message"], *messages])


def test_schema_is_that_of_the_api(packages: None, tmp_path: Path) -> None:
    """`npm run schema` writes the file."""
    document, types = tmp_path / "openapi.json", tmp_path / "schema.d.ts"
    process = subprocess.run([sys.executable, "scripts/openapi.py"], cwd=WEB, capture_output=True, check=True)
    document.write_bytes(process.stdout)
    npm("exec", "--", "openapi-typescript", str(document), "--output", str(types), seconds=120)
    assert types.read_text("utf-8") == (WEB / "src/api/schema.d.ts").read_text("utf-8")


def test_lock_file_has_no_registry_urls() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text("utf-8")
