"""Run the notebook on this machine and write it with its output to docs/tutorials/notebook.md."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
IMAGES = DOCS / "images" / "notebook"
HEADER = "<!-- Generated from notebooks/stable_diffusion.ipynb by `python notebooks/render.py`. -->"
RELEASE_FOLDER = re.compile(r"/\S*/easel-release-\w+")


def main() -> None:
    notebook = nbformat.read(HERE / "stable_diffusion.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, coalesce_streams=True, resources={"metadata": {"path": str(HERE)}}).execute()
    for old in IMAGES.glob("*.webp"):
        old.unlink()
    IMAGES.mkdir(parents=True, exist_ok=True)
    page = "\n\n".join([HEADER, *(part for cell in notebook.cells for part in render_cell(cell))])
    (DOCS / "tutorials" / "notebook.md").write_text(page + "\n", "utf-8")


def render_cell(cell: Any) -> Iterator[str]:
    """Return the Markdown of a cell and its output."""
    if cell.cell_type == "markdown":
        yield cell.source
        return
    yield f"```python\n{cell.source}\n```"
    for number, output in enumerate(cell.outputs):
        yield from render_output(output, f"{cell.id}-{number}")


def render_output(output: Any, name: str) -> Iterator[str]:
    """Return the Markdown of an output. An image is written to `IMAGES` under `name`."""
    if output.output_type == "stream" and output.name == "stdout":
        yield fenced(output.text)
    data = output.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:  # a progress bar
        return
    if "image/png" in data:
        Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).save(IMAGES / f"{name}.webp", quality=80)
        yield f"![](../images/notebook/{name}.webp)"
    elif "text/plain" in data:
        yield fenced(data["text/plain"], "python" if "text/html" in data else "text")


def fenced(text: str, language: str = "text") -> str:
    return f"```{language}\n{RELEASE_FOLDER.sub('easel-release', text).rstrip()}\n```"


if __name__ == "__main__":
    main()
