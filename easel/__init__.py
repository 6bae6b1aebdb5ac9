"""The `easel` command: laptop service, client, and checks of a deployment on AWS."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""Root of the checkout, which contains lambda/, model_code/, models/ and stacks/."""

sys.path[:0] = [str(ROOT / "lambda"), str(ROOT / "model_code")]
sys.path.append(str(ROOT))
