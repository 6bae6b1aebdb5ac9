"""How the serving image runs: its variables and the time limits of a start. No CDK: the notebook reads it, too."""

from __future__ import annotations

from collections.abc import Sequence

from stacks.config.catalogue import profile_parts
from stacks.config.forms import Mode
from stacks.config.instances import processors
from stacks.config.names import CALL_SECONDS

BODY_BYTES = 25 * 1024 * 1024
"""SageMaker's limit for a request or a response. The image's own limit is a quarter of it."""
CALLS_AT_ONCE = 1
"""Concurrent calls of an instance in async mode: one image fills the GPU."""
START_SECONDS = 900
DOWNLOAD_SECONDS = 1800
"""Limits for a start that fails. SageMaker's own are longer and cannot be interrupted."""


def environment(pool: Sequence[str], mode: Mode, profile: str) -> dict[str, str]:
    """Return the container's variables, valid on each of the instance types in `pool`."""
    return {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "MMS_MAX_REQUEST_SIZE": str(BODY_BYTES),
        "MMS_MAX_RESPONSE_SIZE": str(BODY_BYTES),
        # The limit also applies to loading the model.
        "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": str(max(CALL_SECONDS[mode], START_SECONDS)),
        # Further calls get 503 at once. In a longer queue their callers would be gone before their turn.
        "MMS_JOB_QUEUE_SIZE": "4",
        # The image's server sets 1 without it.
        "OMP_NUM_THREADS": str(min(map(processors, pool))),
        # Threads that spin would take CPU time from inference.
        "OMP_WAIT_POLICY": "PASSIVE",
        **profile_variables(profile),
    }


def profile_variables(profile: str) -> dict[str, str]:
    """Return the variables with the profile's parts: EASEL_MODEL_PROFILE, EASEL_MODEL_PROFILE_2 and so on."""
    parts = profile_parts(profile)
    return {f"EASEL_MODEL_PROFILE_{i}" if i > 1 else "EASEL_MODEL_PROFILE": part for i, part in enumerate(parts, 1)}
