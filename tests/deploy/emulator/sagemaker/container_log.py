"""The output of a container, in CloudWatch and in the emulator's own log."""

import sys
import threading
import time
import uuid
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

DRAIN_SECONDS = 30


class ContainerLog:
    """A log stream of the endpoint's group, which must exist. `logs` is a client with the execution role's rights."""

    def __init__(self, logs: Any, endpoint: str, variant: str) -> None:
        self.logs = logs
        names = (f"/aws/sagemaker/Endpoints/{endpoint}", f"{variant}/i-{uuid.uuid4().hex[:17]}")
        self.target = dict(zip(("logGroupName", "logStreamName"), names, strict=True))
        self._call(logs.create_log_stream)

    def follow(self, output: IO[str]) -> None:
        """Copy the lines of a running container, in the background."""
        self.thread = threading.Thread(target=self._copy, args=(output,), daemon=True)
        self.thread.start()

    def drain(self) -> None:
        """Wait for the last lines of a container that has ended."""
        self.thread.join(DRAIN_SECONDS)

    def _copy(self, output: IO[str]) -> None:
        with output:
            for line in output:
                sys.stdout.write(line)
                sys.stdout.flush()
                event = {"timestamp": int(time.time() * 1000), "message": line.rstrip("\n")}
                self._call(self.logs.put_log_events, logEvents=[event])

    def _call(self, operation: Any, **more: Any) -> None:
        """Call an operation. SageMaker drops lines that it cannot write."""
        try:
            operation(**self.target, **more)
        except (BotoCoreError, ClientError) as error:
            print(f"a line of a container is dropped: {error}", file=sys.stderr)
