"""Fixtures that several rooms share, and what each test needs: markers, and the worker that runs it."""

import functools
import gc
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.client
import botocore.hooks
import botocore.session
import pytest
from _pytest.logging import catching_logs
from _pytest.nodeid import NodeId
from filelock import FileLock

from tests.deploy.emulator.ports import free_port
from tests.measurement import measured_imports

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
READY_SECONDS = 300
"""Longest start of Easel on a busy machine."""

CHROMIUM = ("chromium-headless-shell", "chromium")
"""Names of Chromium, as a command and as Debian's package. Without windows it opens a page in a third of the time."""

MARKERS = {
    "chromium": "browser",
    "easel": "laptop",
    "laptop": "laptop",
    "real": "laptop",
    "assembly": "cdk",
}
"""Fixture to the marker of the tests that use it."""
FOLDERS = {
    "clients": "clients",
    "deploy": "deploy",
    "notebooks": "notebook",
    "model_importer": "slow",
    "models": "slow",
    "parity": "slow",
    "easel/test_fuzz.py": "laptop",
    **{f"stacks/{name}": "cdk" for name in ("api", "cloud9", "common", "model", "notebook", "site", "storage")},
    **{f"stacks/test_{name}.py": "cdk" for name in ("costs", "deployer_policies", "every_template", "names", "pairs")},
}
"""Folder or file of tests/ to the marker of its tests."""
UNMEASURED = (
    "deploy", "easel/test_fuzz.py", "lambda/apis/test_odd_values.py", "lambda/test_fuzz.py",
    "model_code/generation/test_every_scheduler.py", "model_code/loading/test_every_folder.py", "models", "notebooks",
    "parity", "stacks/test_every_template.py", "stacks/test_pairs.py", "web",
)  # fmt: skip
"""Folders and files of tests/ whose tests go many times through code that the tests of its room measure.

The measurement doubles the time of Python code; their fixtures are measured. Processes that tests start are not.
"""
MEASURED_CASES = 2
"""Parameter sets of a test whose coverage is measured. Others, and Hypothesis' examples, take mostly the same lines."""
GROUPS = {"browser": "browser", "cdk": "cdk", "laptop": "laptop"}
"""Marker to the group of tests that one worker runs, so that their session fixtures are built once."""
LONGEST_FIRST = (
    "async_account", "prove_account", "realtime_account", "browser", "cdk", "laptop", "own_account",
    "tests/notebooks/test_notebook.py", "tests/model_code/loading/test_every_folder.py",
    "tests/model_code/generation/test_every_scheduler.py", "tests/model_code/generation/extras/test_control.py",
    "tests/model_code/generation/extras/test_lora.py", "tests/lambda/apis/test_odd_values.py",
    "tests/model_code/images/test_edit_images.py", "tests/lambda/test_handlers.py",
)  # fmt: skip
"""Order of the groups: a long one that starts last would keep one worker busy alone."""

# Torch's threads spin while they wait: in two workers on two cores they would take the processor from each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Each test of AWS has a session and clients of botocore of its own. Each would read the services' descriptions again,
# inspect the signatures of 150 handlers of events, look for old names in their names, and define the same methods.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
_accepts_kwargs = functools.lru_cache(1000)(botocore.hooks.accepts_kwargs)
botocore.hooks.accepts_kwargs = lambda handler: _accepts_kwargs(getattr(handler, "__func__", handler))
_event_name = botocore.hooks.EventAliaser(botocore.hooks.HierarchicalEmitter())._alias_event_name
botocore.hooks.EventAliaser._alias_event_name = lambda self, name: _event_name(name)
_create_methods, _methods = botocore.client.ClientCreator._create_methods, dict[tuple[str, str], dict[str, Any]]()


def _shared_methods(creator: Any, model: Any) -> dict[str, Any]:
    key = model.service_name, model.api_version
    _methods[key] = _methods.get(key) or _create_methods(creator, model)
    return dict(_methods[key])


botocore.client.ClientCreator._create_methods = _shared_methods


def _attach_to_root(self: Any) -> logging.Handler:
    """pytest's method, without its search for loggers that do not propagate: Torch has 55 among 800.

    They would get and lose two handlers three times a test.
    """
    handler: logging.Handler = self.handler
    root, self.orig_level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    self.attached_loggers.append(root)
    if self.level is not None:
        handler.setLevel(self.level)
        root.setLevel(min(root.level, self.level))
    return handler


catching_logs.__enter__ = _attach_to_root  # type: ignore[assignment, method-assign]

# A shell that runs the tests in the background makes them ignore Ctrl-C, and with them every program they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: ignored here, but not in the programs that tests start
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector: it would go through every imported module again and again."""
    gc.disable()
    try:
        with measured_imports(ROOT):
            return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)  # most objects of a test are freed without the collector
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """After a file with many objects keep what its tests imported out of later collections."""
    result = yield
    if (not nextitem or nextitem.path != item.path) and any(gc.get_count()[1:]):
        gc.collect()
        gc.freeze()
    return result


def skip_waits(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let code of the packages and of boto3 sleep for no time. Other threads of the process sleep, and do not spin."""
    sleep, skipped = time.sleep, (*packages, "botocore", "urllib3")

    def wait(seconds: float) -> None:
        if str(sys._getframe(1).f_globals.get("__name__")).partition(".")[0] not in skipped:
            sleep(seconds)

    monkeypatch.setattr("time.sleep", wait)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, and so do not import, what `-m "not …"` excludes as a whole."""
    excluded = re.fullmatch(r"not \w+( and not \w+)*", config.getoption("markexpr"))
    return True if excluded and _folder_markers(collection_path) & set(excluded[0].split()) else None


@functools.cache
def _folder_markers(path: Path) -> frozenset[str]:
    """Return the markers of the tests of a file because of its place."""
    return frozenset(marker for folder, marker in FOLDERS.items() if path.is_relative_to(ROOT / "tests" / folder))


@functools.cache
def _coverage_markers(path: Path) -> frozenset[str]:
    unmeasured = any(path.is_relative_to(ROOT / "tests" / folder) for folder in UNMEASURED)
    return frozenset(["no_cover"] if unmeasured else [])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add markers and groups, and sort the groups. Tests without a group go by file."""
    cases = Counter[str]()
    for item in items:
        test = item.nodeid.partition("[")[0]
        cases[test] += 1
        if cases[test] > MEASURED_CASES or getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("no_cover")
        shared = [marker for fixture, marker in MARKERS.items() if fixture in getattr(item, "fixturenames", ())]
        for name in {*shared, *_folder_markers(item.path), *_coverage_markers(item.path)}:
            item.add_marker(name)
        if not item.get_closest_marker("xdist_group"):
            group = next((GROUPS[name] for name in shared if name in GROUPS), item.nodeid.partition("::")[0])
            item.add_marker(pytest.mark.xdist_group(group))
    order = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(_group(item), len(order)))
    if config.getoption("loadgroup", False):
        for item in items:
            _append_group_to_id(item)


def _append_group_to_id(item: pytest.Item) -> None:
    """Add the group to the id, by which xdist assigns tests. xdist 3.8 does it in a way that pytest 9.2 ignores."""
    item._id = NodeId.parse(f"{item.nodeid}@{_group(item)}")


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    assert marker
    return str(marker.args[0] if marker.args else marker.kwargs["name"])


@contextmanager
def alone() -> Iterator[None]:
    """Keep the other workers out: what follows installs or builds in the checkout."""
    folder = ROOT / ".cache"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "tests.lock"):
        yield


def npm(*arguments: str, seconds: int, **variables: str) -> None:
    """Run npm in web/. Fails the test with npm's output."""
    done = subprocess.run(
        ["npm", *arguments], cwd=WEB, env={**os.environ, **variables}, capture_output=True, text=True, timeout=seconds
    )
    if done.returncode:
        pytest.fail(f"npm {' '.join(arguments)}\n{done.stdout}\n{done.stderr}", pytrace=False)


@pytest.fixture
def lazy_schemas(request: pytest.FixtureRequest) -> None:
    """Let a schema of schemathesis come from a fixture: 4.32 reads an attribute that pytest 9.2 no longer has."""
    request.node._nodeid = request.node.nodeid


@pytest.fixture(scope="session")
def packages() -> None:
    """web/node_modules, as in the lock."""
    mark = WEB / "node_modules/.package-lock.json"
    with alone():
        if not mark.exists() or mark.stat().st_mtime < (WEB / "package-lock.json").stat().st_mtime:
            npm("install", "--no-save", "--no-audit", "--no-fund", seconds=600)


@pytest.fixture(scope="session")
def page(packages: None) -> None:
    """web/dist, built from the sources in web/."""
    built = WEB / "dist/index.html"
    sources = [path for folder in ("src", "public") for path in (WEB / folder).rglob("*")]
    newest = max(path.stat().st_mtime for path in [*sources, WEB / "index.html", WEB / "vite.config.ts"])
    with alone():
        if not built.exists() or built.stat().st_mtime < newest:
            npm("exec", "--", "vite", "build", "--logLevel", "warn", seconds=600)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Chromium, installed where root can install Debian's package."""
    with alone():
        found = _find_chromium()
        if not found and shutil.which("apt-get") and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-qq"], check=True, timeout=900)
            install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "fonts-noto-cjk"]
            for name in CHROMIUM:
                if not subprocess.run([*install, name], timeout=900).returncode:
                    break
            found = _find_chromium()
    if not found:
        pytest.fail(
            f"The tests in a browser need Chromium: install it, for instance `sudo apt-get install {CHROMIUM[0]}`."
        )
    os.environ["CHROMIUM"] = found
    return found


def _find_chromium() -> str | None:
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def easel(page: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an Easel with the embedded model."""
    port, data = free_port(), tmp_path_factory.mktemp("easel")
    log = data / "up.log"
    command = [sys.executable, "-m", "easel", "up", "--port", str(port), "--data", str(data / "jobs")]
    with log.open("w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process:
        try:
            wait_until_ready(process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(READY_SECONDS * 5):
        if "Ready in" in log.read_text():
            return
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"Easel did not become ready:\n{log.read_text()}", pytrace=False)
