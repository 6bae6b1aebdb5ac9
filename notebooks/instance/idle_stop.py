"""Stops the notebook instance that it runs on when nobody has used Jupyter for hours. A timer starts it, as root.

Runs by whatever Python of the instance has boto3, 3.9 or newer.
"""

from __future__ import annotations

import argparse
import json
import ssl
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3

BLIND_HOURS = 12.0
"""Where Jupyter cannot be asked, the instance stops so long after its start."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--jupyter", default="https://localhost:8443")
    parser.add_argument("--metadata", type=Path, default=Path("/opt/ml/metadata/resource-metadata.json"))
    told = parser.parse_args()
    started = Path(__file__).stat().st_mtime  # written at every start
    idle, patience, why = _idle(told.jupyter, started, told.hours)
    print(f"{why}: idle for {idle / 3600:.2f} of {patience:g} hours")
    if idle >= patience * 3600:
        _stop(json.loads(told.metadata.read_text()))


def _idle(jupyter: str, started: float, hours: float) -> tuple[float, float, str]:
    """Seconds without use, hours that are allowed, and what both were read from."""
    now = time.time()
    try:
        kernels, status = _ask(f"{jupyter}/api/kernels"), _ask(f"{jupyter}/api/status")
        computes = any(kernel["execution_state"] in ("busy", "starting") for kernel in kernels)
        used = datetime.fromisoformat(status["last_activity"].replace("Z", "+00:00")).timestamp()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return now - started, max(hours, BLIND_HOURS), f"Jupyter cannot be asked ({error!r})"
    if computes:
        return 0.0, hours, "A kernel computes"
    return now - max(used, started), hours, "Nobody computes"


def _ask(url: str) -> Any:
    """Without counting as use itself. The certificate is the instance's own, and so is the address."""
    own = ssl._create_unverified_context()  # noqa: S323
    with urllib.request.urlopen(f"{url}?no_track_activity=1", timeout=20, context=own) as answer:  # noqa: S310
        return json.load(answer)


def _stop(resource: dict[str, str]) -> None:
    region = resource["ResourceArn"].split(":")[3]
    boto3.client("sagemaker", region_name=region).stop_notebook_instance(NotebookInstanceName=resource["ResourceName"])
    print(f"{resource['ResourceName']} stops")


if __name__ == "__main__":
    main()
