"""The laptop: the `easel` command, the local gateway, and what stands in for AWS behind the ports of lambda/."""

import sys
from pathlib import Path

__version__ = "0.1.0"

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: lambda/, model_code/ and models/ are beside this package."""

sys.path[:0] = [str(ROOT / "lambda"), str(ROOT / "model_code")]
