"""Makes `fakes`, `faults` and `issuer` importable in these tests."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER / "api_keys")]
