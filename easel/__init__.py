"""The laptop: the `easel` command, the local gateway and container, and what looks after the cloud (`easel/cloud/`)."""

import sys
from pathlib import Path

__version__ = "0.1.0"

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: lambda/, model_code/, models/ and stacks/ are beside this package."""

sys.path[:0] = [str(ROOT / "lambda"), str(ROOT / "model_code")]
sys.path.append(str(ROOT))
