"""Executes the notebook, or some of its cells, in a fork of a process that has its libraries, or in a new process."""

import base64
import copy
import io
from collections.abc import Iterator, Mapping
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from PIL import Image

from tests.deploy.harness.environment import ROOT
from tests.deploy.harness.forks.project import forked, forked_children

NOTEBOOK = ROOT / "notebooks/stable_diffusion.ipynb"
GRID = "(4, 10, 20)"


class ForkedKernel(AsyncKernelManager):
    """Runs the kernel in a fork, inside of `project_forks`: its imports take 5 s of a processor."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        return list(forked(*command[command.index("-m") :]))


def run(environment: Mapping[str, str], kernel: type[AsyncKernelManager] = ForkedKernel, **settings: str) -> Any:
    """Execute a copy with `settings` in its first code cell and fewer steps in the largest grid."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    (cell,) = (cell for cell in notebook.cells if GRID in cell.source)
    cell.source = cell.source.replace(GRID, "(2, 4)")
    return execute(notebook, environment, kernel)


def run_cells(environment: Mapping[str, str], *ids: str, **settings: str) -> Any:
    """Execute the settings, the imports and some cells, and go on after an error. The container is a fork, too."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    notebook.cells = [copy.deepcopy(cells[f"cell-{id}"]) for id in ("01", "02", *ids)]
    notebook.cells[0].source += "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    return execute(notebook, {**environment, **forked_children()}, ForkedKernel, allow_errors=True)


def execute(
    notebook: Any, environment: Mapping[str, str], kernel: type[AsyncKernelManager], allow_errors: bool = False
) -> Any:
    client = NotebookClient(
        notebook, timeout=600, startup_timeout=600, kernel_manager_class=kernel, allow_errors=allow_errors,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )  # fmt: skip
    client.execute(env=environment)
    return notebook


def shown_images(notebook: Any) -> Iterator[Image.Image]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")


def printed_text(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")
