"""The `easel` command and the Python client: laptop service, client, and checks of a deployment on AWS."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""Root of the checkout, which contains lambda/, model_code/, models/ and stacks/."""
IN_CHECKOUT = (ROOT / "model_code" / "contract.py").is_file()
"""Whether this is a checkout. An installed package has the client only."""


def use_checkout() -> None:
    """Make lambda/, model_code/ and the folders beside easel/ importable. The client does without."""
    if IN_CHECKOUT and str(ROOT / "lambda") not in sys.path:
        sys.path[:0] = [str(ROOT / "lambda"), str(ROOT / "model_code")]
        sys.path.append(str(ROOT))
