"""The log: one JSON object a line on standard output, with the length of a prompt and never its words."""

import json
from typing import Any


def log(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, **facts}, default=str), flush=True)
