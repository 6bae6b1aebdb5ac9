"""The notebook from top to bottom: on this machine, and against the emulated AWS."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from PIL import Image

from notebooks.render import render_output
from tests.deploy.harness.account import Account
from tests.deploy.harness.environment import ROOT, set_up
from tests.deploy.harness.forks.project import project_forks
from tests.notebooks import sagemaker_sdk
from tests.notebooks.execution import NOTEBOOK, printed_text, run, run_cells, shown_images


@pytest.fixture(scope="module", autouse=True)
def forks() -> Iterator[None]:
    with project_forks():
        yield


def check(notebook: Any) -> None:
    text = "".join(printed_text(cell) for cell in notebook.cells if cell.cell_type == "code")
    assert "TqdmWarning" not in text
    native = json.loads((ROOT / "models/emoji.json").read_text())["sizes"][0][0]
    images = list(shown_images(notebook))
    assert all(len(image.resize((32, 32)).getcolors(1024) or ()) > 8 for image in images)
    local, article, sheets = images[:2], images[2:4], images[4:]
    assert [image.size for image in local] == [(native, native)] * 2
    assert [image.size for image in article] == [(512, 512)] * 2
    assert article[0].tobytes() != article[1].tobytes()
    assert [image.width for image in sheets] == [4 * native, 3 * native]
    assert "the same bytes: True" in text
    left = printed_text(notebook.cells[-1]).splitlines()
    assert left
    assert all(line.endswith("left: none") for line in left)


@pytest.mark.timeout(1800)
def test_laptop() -> None:
    """A proxy variable has no effect on requests to this machine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    check(run(environment | {"ALL_PROXY": "http://127.0.0.1:1"}, AsyncKernelManager))


@pytest.mark.timeout(900)
def test_cells_run_twice_and_the_clean_up_at_any_time(tmp_path: Path) -> None:
    """The clean-up before anything was created, after the release, and twice after the running endpoint."""
    twice = ("02", "04", "06", "08", "08", "12", "12", "16", "16", "18", "20", "20", "31", "31")
    notebook = run_cells({**os.environ, "TMPDIR": str(tmp_path)}, "31", "04", "12", "31", *twice)
    for cell in notebook.cells:
        assert [output.evalue for output in cell.outputs if output.output_type == "error"] == []
    nothing, after_release, *_ = (printed_text(cell) for cell in notebook.cells if cell.id == "cell-31")
    assert nothing == "Nothing was created, so nothing is left.\n"
    assert after_release == "folders left: none\n"
    assert list(tmp_path.glob("easel-release-*")) == []


def code_cells() -> list[Any]:
    return [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.timeout(900)
def test_a_step_left_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each cell alone in a namespace without the others, and with the two cells at the top."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    head, imports, *cells = (cell.source for cell in code_cells())
    for top in ("", f"{head}\n{imports}\n"):
        for cell in cells:
            try:
                exec(compile(top + cell, "cell", "exec"), {"__name__": "notebook", "display": lambda *_, **__: None})
            except RuntimeError as error:
                assert re.match(r"Run |There is no endpoint|Step 9 removed", str(error))


def test_the_client_generates_with_a_running_easel(monkeypatch: pytest.MonkeyPatch) -> None:
    """With EASEL_URL: against a service with a prepared response."""
    shown: list[Any] = []
    monkeypatch.setattr(sys, "path", [*sys.path])
    image = Image.new("RGB", (8, 8))
    found = SimpleNamespace(seeds=(7,), images=(image,))
    monkeypatch.setattr("easel.client.Easel.generate", lambda *_, **__: found)
    monkeypatch.setenv("EASEL_URL", "http://127.0.0.1:9")

    def display(*values: Any, **_: Any) -> Any:
        shown.extend(values)
        return SimpleNamespace(update=lambda *_, **__: None)

    monkeypatch.setattr("IPython.display.display", display)
    head, imports, *cells = (cell.source for cell in code_cells())
    (cell,) = (cell for cell in cells if "easel.client" in cell)
    exec(compile(f"{head}\n{imports}\n{cell}", "cell", "exec"), {"__name__": "notebook"})
    assert image in shown


@pytest.mark.timeout(1800)
def test_sagemaker_sdk_on_the_laptop(tmp_path: Path) -> None:
    """The proxy of the environment has no effect, and no process or folder is left."""
    environment = sagemaker_sdk.variables() | {"TMPDIR": str(tmp_path), "HTTP_PROXY": "http://127.0.0.1:1"}
    sagemaker_sdk.check(run_cells(environment, *sagemaker_sdk.CELLS, **sagemaker_sdk.SETTINGS))
    assert list(tmp_path.glob("easel-release-*")) == []


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sagemaker.core.resources", None)
    variables = {"SDK": "sagemaker", "TARGET": "laptop", "NAME": "easel-notebook-0", "ROOT": ROOT}
    (source,) = (cell.source for cell in code_cells() if cell.id == "cell-sdk")
    with pytest.raises(RuntimeError, match=r"notebooks/requirements-sagemaker\.txt"):
        exec(source, variables)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    set_up()
    with Account(tmp_path_factory.mktemp("account")) as account:
        yield account


@pytest.fixture(scope="module")
def role(account: Account) -> str:
    """A role with exactly the permissions that the notebook requires of the endpoint's role."""
    iam = account.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    bucket = "arn:aws:s3:::sagemaker-easel-notebook-*"
    permissions: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{bucket}/*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket},
    ]
    created = iam.create_role(RoleName="notebook", AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName="notebook", PolicyName="bucket", PolicyDocument=policy(*permissions))
    return str(created["Role"]["Arn"])


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.mark.timeout(1800)
def test_emulated_aws(account: Account, role: str) -> None:
    variables = account.variables | account.sagemaker_variables | {"AWS_DEFAULT_REGION": ""}  # AWS_REGION is enough
    check(run(variables, TARGET="aws", MODE="async", ROLE_ARN=role))
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert account.client("sagemaker").list_models()["Models"] == []


@pytest.mark.timeout(1800)
def test_realtime_on_emulated_aws(account: Account, role: str) -> None:
    """Without the cells that generate on this machine, and without the grid: the mode has no effect on them."""
    variables = account.variables | account.sagemaker_variables | {"AWS_DEFAULT_REGION": ""}
    settings = {"TARGET": "aws", "MODE": "realtime", "ROLE_ARN": role, "PROFILE": sagemaker_sdk.SETTINGS["PROFILE"]}
    notebook = run_cells(variables, "04", "12", "14", "16", "18", "20", "21", "23", "31", **settings)
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert [output.evalue for output in outputs if output.output_type == "error"] == []
    *article, sheet = shown_images(notebook)
    assert [image.size for image in article] == [(512, 512)] * 2
    assert article[0].tobytes() != article[1].tobytes()
    assert len(sheet.resize((32, 32)).getcolors(1024) or ()) > 8
    assert "the same bytes: True" in "".join(map(printed_text, notebook.cells))
    left = printed_text(notebook.cells[-1]).splitlines()
    assert left
    assert all(line.endswith("left: none") for line in left)
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert account.client("sagemaker").list_models()["Models"] == []


@pytest.mark.timeout(1800)
def test_sagemaker_sdk_on_emulated_aws(account: Account, role: str) -> None:
    variables = account.variables | account.sagemaker_variables | sagemaker_sdk.variables(account.variables)
    settings = sagemaker_sdk.SETTINGS | {"TARGET": "aws", "MODE": "async", "ROLE_ARN": role}
    sagemaker_sdk.check(run_cells(variables, *sagemaker_sdk.CELLS, **settings))
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_root_user_without_a_role_creates_nothing(account: Account) -> None:
    *_, upload, clean_up = run_cells(account.variables, "14", "31", TARGET="aws").cells
    assert "ROLE_ARN" in upload.outputs[0].evalue
    assert printed_text(clean_up) == "Nothing was created, so nothing is left.\n"
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_outputs_are_stripped() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert set(cell.metadata) <= {"tags"}


def test_the_rendered_copy_has_no_progress_bars() -> None:
    data = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "Loading: 0%"}
    assert not list(render_output(nbformat.from_dict({"output_type": "display_data", "data": data}), "x"))


def test_rendered_copy_is_current() -> None:
    page = (ROOT / "docs/tutorials/notebook.md").read_text()
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.source in page
    assert (ROOT / "model_code/inference.py").read_text() in page, "run `make notebook`"
    assert sum(path.stat().st_size for path in (ROOT / "docs/images/notebook").iterdir()) < 1_500_000
