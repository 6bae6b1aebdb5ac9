"""Stop the notebook instance if Jupyter has not been used for some hours. A timer runs it as root.

It runs with any Python of the instance that has boto3, 3.9 or newer.
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

UNREACHABLE_HOURS = 12.0
"""Hours from the start to the stop of an instance whose Jupyter does not respond."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--jupyter", default="https://localhost:8443")
    parser.add_argument("--metadata", type=Path, default=Path("/opt/ml/metadata/resource-metadata.json"))
    arguments = parser.parse_args()
    started = Path(__file__).stat().st_mtime  # the file is written at every start
    idle, limit, reason = _idle(arguments.jupyter, started, arguments.hours)
    print(f"{reason}: idle for {idle / 3600:.2f} of {limit:g} hours")
    if idle >= limit * 3600:
        _stop(json.loads(arguments.metadata.read_text()))


def _idle(jupyter: str, started: float, hours: float) -> tuple[float, float, str]:
    """Return the seconds without use, the hours that are allowed, and the reason."""
    now = time.time()
    try:
        kernels, status = _get(f"{jupyter}/api/kernels"), _get(f"{jupyter}/api/status")
        is_busy = any(kernel["execution_state"] in ("busy", "starting") for kernel in kernels)
        last_used = datetime.fromisoformat(status["last_activity"].replace("Z", "+00:00")).timestamp()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return now - started, max(hours, UNREACHABLE_HOURS), f"Jupyter does not respond ({error!r})"
    if is_busy:
        return 0.0, hours, "A kernel is busy"
    return now - max(last_used, started), hours, "No kernel is busy"


def _get(url: str) -> Any:
    """Return JSON of Jupyter. The request does not count as use. The certificate is self-signed, on this machine."""
    context = ssl._create_unverified_context()  # noqa: S323
    with urllib.request.urlopen(f"{url}?no_track_activity=1", timeout=20, context=context) as response:  # noqa: S310
        return json.load(response)


def _stop(resource: dict[str, str]) -> None:
    region = resource["ResourceArn"].split(":")[3]
    boto3.client("sagemaker", region_name=region).stop_notebook_instance(NotebookInstanceName=resource["ResourceName"])
    print(f"Stopping {resource['ResourceName']}")


if __name__ == "__main__":
    main()
