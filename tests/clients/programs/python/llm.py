"""The command `llm` with the plugin llm-openai-images."""

import base64
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from serve import serve


def run(call: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(sys.executable).parent / "llm")
        command = [program, "-m", "openai/gpt-image-1.5", "--no-stream", call["prompt"]]
        variables = {"OPENAI_BASE_URL": f"{call['url']}/v1", "OPENAI_API_KEY": call["key"], "LLM_USER_PATH": folder}
        done = subprocess.run(
            command,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        files = [base64.b64encode(path.read_bytes()).decode() for path in Path(folder).glob("*.png")]
    return {"images": files, "output": done.stdout} if files else {"error": done.stderr + done.stdout}


serve(run)
