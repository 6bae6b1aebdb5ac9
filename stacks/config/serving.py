"""How the serving image is run: its variables, and how long a call and a start may take. No CDK: the notebook reads it,
too."""

from __future__ import annotations

from collections.abc import Sequence

from stacks.config.instances import processors
from stacks.config.settings import Mode

BODY_BYTES = 25 * 1024 * 1024
"""What SageMaker carries in one call; the image's own limit is a quarter of it."""
CALL_SECONDS: dict[Mode, int] = {"async": 960, "realtime": 60}
"""The longest that one call may take: in async mode what `lambda/aws/adapters.py` asks for, else SageMaker's limit."""
CALLS_AT_ONCE = 1
"""Of an instance in async mode: the model fills the card."""
START_SECONDS = 900
DOWNLOAD_SECONDS = 1800
"""Bounds for a start that does not succeed; SageMaker's own are longer and cannot be cut short."""


def environment(pool: Sequence[str], mode: Mode, profile: str) -> dict[str, str]:
    """The container's variables on whichever of the instance types it starts."""
    return {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "MMS_MAX_REQUEST_SIZE": str(BODY_BYTES),
        "MMS_MAX_RESPONSE_SIZE": str(BODY_BYTES),
        "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": str(max(CALL_SECONDS[mode], START_SECONDS)),  # it measures loads, too
        "MMS_JOB_QUEUE_SIZE": "4",  # beyond: 503 at once, rather than drawn after its caller has left
        "OMP_NUM_THREADS": str(min(map(processors, pool))),  # without it the image's server allows one
        "OMP_WAIT_POLICY": "PASSIVE",  # on a CPU, threads that spin take the cores from the drawing
        "EASEL_MODEL_PROFILE": profile,
    }
