"""Run the tests that failed in `make test` or `make test-clients` again, without others beside them.

Other programs on the machine can hold up a test with a time limit. A test that passes here is named as unsteady, and
the exit status is 0. The first test that fails again ends the run. The argument is the folder of pytest's cache.
"""

import json
import sys
from pathlib import Path

import pytest


def without_group(test: str) -> str:
    """Return the id of a test without the `@group` that it has beside other workers."""
    return test if test.endswith("]") else test.rpartition("@")[0] or test


def main() -> int:
    failed = Path(sys.argv[1]) / "v/cache/lastfailed"
    tests = [without_group(test) for test in json.loads(failed.read_text())]
    print(f"{len(tests)} tests failed. They run again, alone:", flush=True)
    status = pytest.main(["-n", "0", "-p", "no:cacheprovider", "--maxfail", "1", *tests])
    if status == pytest.ExitCode.OK:
        print("Unsteady, failed beside other tests and passed alone:", *tests, sep="\n  ")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
