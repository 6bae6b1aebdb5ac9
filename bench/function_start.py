"""Start of the functions behind API Gateway: `python -m bench.function_start`, half a minute.

Seconds from the start of Python to the imported handler, less those of Python alone; what each package of that costs;
and the size of the code. Our own modules are compiled at each start, because Lambda cannot write bytecode beside them.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path

from bench.laptop import ROOT, machine, report

STARTS = 10
LAYER = (
    "aws-lambda-powertools",
    "pydantic",
    "pydantic-core",
    "annotated-types",
    "typing-extensions",
    "typing-inspection",
)
"""What the Powertools layer has of what the functions import. boto3 comes with the Lambda runtime."""
TARGETS = {"api_ms": 450.0, "authorizer_ms": 450.0, "code_mb": 15.0}


def start_ms(code: Path, statement: str) -> float:
    """Return the median milliseconds of a Python that runs the statement in the folder."""
    times = []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-B", "-c", statement], cwd=code, check=True)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def costs_us(code: Path, module: str) -> Counter[str]:
    """Return the microseconds of each top-level package, without those of the packages that it imports."""
    command = [sys.executable, "-B", "-X", "importtime", "-c", f"import {module}"]
    log = subprocess.run(command, cwd=code, check=True, capture_output=True, text=True).stderr
    own = {path.stem for path in code.iterdir()}
    found: Counter[str] = Counter()
    for microseconds, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", log):
        package = name.partition(".")[0]
        found["our own code" if package in own else package] += int(microseconds)
    return found


def megabytes(files: list[Path]) -> float:
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def main() -> None:
    this_machine = machine()
    with tempfile.TemporaryDirectory() as folder:
        code = Path(
            shutil.copytree(ROOT / "lambda", Path(folder) / "lambda", ignore=shutil.ignore_patterns("__py*", ".*"))
        )
        alone = start_ms(code, "pass")
        api, authorizer = (start_ms(code, f"import {name}") - alone for name in ("handlers", "authorizer"))
        for package, microseconds in costs_us(code, "handlers").most_common(12):
            print(f"{package:<28}{microseconds / 1000:>8.1f} ms (traced)")
        size = megabytes([*code.rglob("*")])
    layer = megabytes([Path(str(file.locate())) for name in LAYER for file in distribution(name).files or ()])
    figures = {"api_ms": api, "authorizer_ms": authorizer, "code_mb": size, "layer_mb": layer}
    sys.exit(not report("function_start", figures, TARGETS, this_machine))


if __name__ == "__main__":
    main()
