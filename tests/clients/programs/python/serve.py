"""The loop of a client's program: a call a line on standard input, its result a line on standard output."""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any


def serve(run: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    output, sys.stdout = sys.stdout, sys.stderr  # what the client itself prints
    print("{}", file=output, flush=True)
    for line in sys.stdin:
        try:
            result = run(json.loads(line))
        except Exception as error:  # clients raise exceptions of every kind
            traceback.print_exc()
            result = {"error": str(error), "type": type(error).__name__, "code": getattr(error, "code", None)}
            result |= {"request_id": getattr(error, "request_id", None), "param": getattr(error, "param", None)}
        print(json.dumps(result), file=output, flush=True)
