"""Makes `fakes`, `faults` and `issuer` importable in these tests."""

import functools
import sys
from pathlib import Path

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER / "api_keys")]

# Each test has an API of its own, with 180 routes.
compile_once = functools.cache(APIGatewayRestResolver._compile_regex)
APIGatewayRestResolver._compile_regex = staticmethod(compile_once)  # type: ignore[method-assign]
