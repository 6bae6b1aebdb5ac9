"""Context of the user's own ~/.cdk.json, which the CDK merges into every project's context.

The CDK's order of priority: `-c`, the project's cdk.json, cdk.context.json, ~/.cdk.json.
Source: `loadConfigFiles` in `lib/index.js` of the npm package aws-cdk 2.1148.1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_user_context(project: Path, home: Path) -> dict[str, Any]:
    """Return the context that `home`/.cdk.json has and the files of the folder `project` do not override."""
    overridden = {*_object(project / "cdk.json", "context"), *_object(project / "cdk.context.json")}
    user_context = _object(home / ".cdk.json", "context")
    return {key: value for key, value in user_context.items() if key not in overridden}


def _object(file: Path, *keys: str) -> dict[str, Any]:
    """Return an object of a JSON file, or {} without it. The CDK has already reported a file that it cannot read."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        for key in keys:
            value = value[key]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
