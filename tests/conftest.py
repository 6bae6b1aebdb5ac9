"""What several rooms' tests stand on: the page's packages and Chromium."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"

# A shell that runs the tests in the background has them ignore Ctrl-C, and so every program that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def npm(*words: str, seconds: int, **variables: str) -> None:
    """Fails the test with all that npm said."""
    done = subprocess.run(
        ["npm", *words], cwd=WEB, env={**os.environ, **variables}, capture_output=True, text=True, timeout=seconds
    )
    if done.returncode:
        pytest.fail(f"npm {' '.join(words)}\n{done.stdout}\n{done.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def packages() -> None:
    mark = WEB / "node_modules/.package-lock.json"
    if not mark.exists() or mark.stat().st_mtime < (WEB / "package-lock.json").stat().st_mtime:
        npm("install", "--no-save", "--no-audit", "--no-fund", seconds=600)


@pytest.fixture(scope="session")
def page(packages: None) -> None:
    """web/dist, built from what lies in web/."""
    built = WEB / "dist/index.html"
    sources = [path for folder in ("src", "public") for path in (WEB / folder).rglob("*")]
    newest = max(path.stat().st_mtime for path in [*sources, WEB / "index.html", WEB / "vite.config.ts"])
    if not built.exists() or built.stat().st_mtime < newest:
        npm("run", "build", seconds=600)


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium")
    if not found and shutil.which("apt-get") and os.geteuid() == 0:
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-noto-cjk"]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, check=True, timeout=900)
        found = shutil.which("chromium")
    if not found:
        pytest.fail("The tests in a browser need Chromium: install it, for instance `sudo apt-get install chromium`.")
    os.environ["CHROMIUM"] = found
    return found
