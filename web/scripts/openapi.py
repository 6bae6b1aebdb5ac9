"""Print the native API's OpenAPI document. `npm run schema` generates `src/api/schema.d.ts` from it."""

import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "lambda"))

import contract  # noqa: E402
from routes import openapi  # noqa: E402
from routes.native import NativeApi  # noqa: E402

profile = contract.parse_profile((ROOT / "examples/profile.json").read_text("utf-8"))
any_model = replace(profile, schedulers=contract.SCHEDULERS)
sys.stdout.write(contract.dumps(openapi.document((any_model,), apis=(NativeApi,))))
