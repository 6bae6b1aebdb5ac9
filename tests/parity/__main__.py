"""`python -m tests.parity`: compare the serving image's software with the laptop's on one release. See README.md."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from typing import Any

from bench.laptop import machine
from bench.synth import unshare_command
from tests.deploy.harness.environment import ROOT, MissingToolError
from tests.parity import checks, environment, folders, messages, release, sandbox
from tests.parity.servers import ImageServer, Response, Server, laptop_server

RECORD = ROOT / "bench" / "results" / "serving_parity.json"
SCRATCH = ROOT / ".cache" / "parity"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", metavar="MOUNTS", help=argparse.SUPPRESS)
    outer_mounts = parser.parse_args().inside
    if outer_mounts:
        sys.exit(not run(outer_mounts))
    try:
        environment.set_up()
    except MissingToolError as error:
        sys.exit(str(error))
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    variables = release.create(SCRATCH / "release", SCRATCH)
    (SCRATCH / "variables.json").write_text(json.dumps(variables))
    unshare = unshare_command(*environment.NAMESPACES)
    command = [*unshare, sys.executable, "-m", "tests.parity", "--inside", sandbox.mount_namespace()]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)


def run(outer_mounts: str) -> bool:
    """Compare inside the sandbox and write the record. Return whether everything is equal and all checks passed."""
    sandbox.prepare(SCRATCH, outer_mounts)
    folder = SCRATCH / "release"
    sandbox.mount_release(folder)
    variables: dict[str, str] = json.loads((SCRATCH / "variables.json").read_text())
    sent = messages.all_messages()
    with laptop_server(folder, variables, SCRATCH / "laptop") as server:
        server.wait()
        laptop = [_send(server, message) for message in sent]
    with ImageServer(variables, SCRATCH / "image") as image:
        results = [checks.start(image)]
        lines = [messages.compare(m, response, _send(image, m)) for m, response in zip(sent, laptop, strict=True)]
        results += checks.run_all(image, variables)
    results.append(checks.large_response_of_a_larger_model(SCRATCH / "large", variables))
    for damage in (checks.rename_weights, checks.remove_unet_weights):
        results.append(checks.damaged_release(folder, SCRATCH / damage.__name__, variables, damage))
    results.append(checks.no_noise_left())
    results.append(checks.container_tests())
    results += folders.checks(SCRATCH)
    _write(variables, lines, results)
    return all(not line["difference"] for line in lines) and all(result["passed"] for result in results)


def _send(server: Server, message: messages.Message) -> Response:
    return server.request(message.body, message.content_type)


def _write(variables: dict[str, str], lines: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
    for result in results:
        print(f"{'passed' if result['passed'] else 'FAILED'}  {result['check']}\n        {result['observed']}")
    for line in lines:
        verdict = "DIFFERS" if line["difference"] else "equal  "
        print(f"{verdict}  {line['message']}: {line['result']} {line['difference']}")
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "versions": environment.versions(),
        "weights": release.weight_hashes(SCRATCH / "release"),
        "machine": machine(),
        "tolerance": {"largest": messages.LARGEST, "mean": messages.MEAN},
        "variables": variables,
        "checks": results,
        "messages": lines,
    }
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
