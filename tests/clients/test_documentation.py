"""The examples of the pages about compatible APIs run as they stand, with the clients that they are for."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from contract import image_size
from tests.clients import environments
from tests.clients.conftest import Target
from tests.conftest import ROOT

EXAMPLES = [
    ("automatic1111", "python", "automatic1111"),
    ("automatic1111", "sh", ""),
    ("hugging-face", "js", "huggingface-node"),
    ("hugging-face", "python", "huggingface-python"),
    ("hugging-face", "sh", ""),
    ("openai", "js", "openai-node"),
    ("openai", "python", "openai-python"),
    ("openai", "sh", ""),
    ("replicate", "js", "replicate-node"),
    ("replicate", "python", "replicate-python"),
    ("replicate", "sh", ""),
]
"""Page, language and client."""


@pytest.mark.parametrize(("page", "language", "client"), EXAMPLES)
def test_the_example_runs(laptop_target: Target, tmp_path: Path, page: str, language: str, client: str) -> None:
    text = (ROOT / f"docs/reference/{page}.md").read_text(encoding="utf-8")
    (example,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    program, *arguments = environments.command(client) if client else ["bash"]
    folder = Path(arguments[0]).parent if language == "js" else tmp_path  # Node looks for packages beside the program
    file = folder / f"example.{'mjs' if language == 'js' else language}"
    file.write_text(example, encoding="utf-8")
    variables = {**os.environ, "EASEL_URL": laptop_target.url, "EASEL_KEY": laptop_target.key}
    done = subprocess.run(
        [program, str(file)], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    images = [image_size(path.read_bytes()) for path in tmp_path.glob("apple.*")]
    assert images == [(64, 64)] if images else "Seed: 7" in done.stdout or "data:image/png" in done.stdout
