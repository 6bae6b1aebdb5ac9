"""Executes the notebook, or some of its cells."""

import base64
import copy
import io
from collections.abc import Iterator, Mapping
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

from tests.deploy.harness.environment import ROOT

NOTEBOOK = ROOT / "notebooks/stable_diffusion.ipynb"
GRID = "(4, 10, 20)"


def run(environment: Mapping[str, str], **settings: str) -> Any:
    """Execute a copy with `settings` in its first code cell and fewer steps in the largest grid."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    (cell,) = (cell for cell in notebook.cells if GRID in cell.source)
    cell.source = cell.source.replace(GRID, "(2, 4)")
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    client.execute(env=environment)
    return notebook


def run_cells(environment: Mapping[str, str], *ids: str, **settings: str) -> Any:
    """Execute the settings, the imports and some cells, and go on after an error."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    notebook.cells = [copy.deepcopy(cells[f"cell-{id}"]) for id in ("01", "02", *ids)]
    notebook.cells[0].source += "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    options = {"timeout": 300, "allow_errors": True, "resources": {"metadata": {"path": str(NOTEBOOK.parent)}}}
    NotebookClient(notebook, **options).execute(env=environment)
    return notebook


def shown_images(notebook: Any) -> Iterator[Image.Image]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")


def printed_text(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")
