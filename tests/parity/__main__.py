"""`python -m tests.parity`: the serving image's software against the laptop's, on one release. See README.md."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from typing import Any

from bench.laptop import machine
from bench.synth import apart
from tests.deploy.harness.environment import ROOT, MissingToolError
from tests.parity import behaviour, environment, messages, release, room
from tests.parity.servers import Image, Server, laptop

RECORD = ROOT / "bench" / "results" / "serving_parity.json"
SCRATCH = ROOT / ".cache" / "parity"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", metavar="MOUNTS", help=argparse.SUPPRESS)
    outside = parser.parse_args().inside
    if outside:
        sys.exit(not run(outside))
    try:
        environment.set_up()
    except MissingToolError as error:
        sys.exit(str(error))
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    variables = release.make(SCRATCH / "release", SCRATCH)
    (SCRATCH / "variables.json").write_text(json.dumps(variables))
    command = [*apart(*environment.ROOM), sys.executable, "-m", "tests.parity", "--inside", room.identity()]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)


def run(outside: str) -> bool:
    """In the room. Writes the record; True: nothing differs and every check holds."""
    room.furnish(SCRATCH, outside)
    folder = SCRATCH / "release"
    room.lay(folder)
    variables: dict[str, str] = json.loads((SCRATCH / "variables.json").read_text())
    asked = messages.golden() + messages.others()
    with laptop(folder, variables, SCRATCH / "laptop") as server:
        server.wait()
        ours = [_ask(server, message) for message in asked]
    with Image(variables, SCRATCH / "image") as image:
        checks = [behaviour.start(image)]
        lines = [messages.compare(one, own, _ask(image, one)) for one, own in zip(asked, ours, strict=True)]
        checks += behaviour.check(image, variables)
    checks.append(behaviour.large(SCRATCH / "large", variables))
    for spoil in (behaviour.lose_names, behaviour.lose_a_part):
        checks.append(behaviour.broken(folder, SCRATCH / spoil.__name__, variables, room.lay, spoil))
    _write(variables, lines, checks)
    return all(not line["differs"] for line in lines) and all(check["holds"] for check in checks)


def _ask(server: Server, message: messages.Message) -> Any:
    return server.call(message.body, message.kind)


def _write(variables: dict[str, str], lines: list[dict[str, Any]], checks: list[dict[str, Any]]) -> None:
    for check in checks:
        print(f"{'holds  ' if check['holds'] else 'DIFFERS'}  {check['check']}\n         {check['seen']}")
    for line in lines:
        print(f"{'DIFFERS' if line['differs'] else 'same   '}  {line['message']}: {line['answer']} {line['differs']}")
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "versions": environment.versions(),
        "weights": release.weights(SCRATCH / "release"),
        "machine": machine(),
        "tolerance": {"largest": messages.LARGEST, "mean": messages.MEAN},
        "variables": variables,
        "checks": checks,
        "messages": lines,
    }
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
