"""Shorten long sleeps of the functions in the emulated Lambda and of `easel`, which poll AWS.

Python imports this module at its start. The emulator, which has the same path, is left as it is.
"""

import os
import time

LONG_SECONDS = 5
FACTOR = 20

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ or "SHORT_WAITS" in os.environ:
    sleep = time.sleep

    def sleep_shorter(seconds: float) -> None:
        sleep(seconds / FACTOR if seconds >= LONG_SECONDS else seconds)

    time.sleep = sleep_shorter  # type: ignore[assignment]
