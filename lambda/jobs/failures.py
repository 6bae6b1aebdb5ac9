"""Error codes for failures that SageMaker and its serving toolkits report as text without a code."""

from __future__ import annotations

import json
import re

from contract import EaselError, parse_response

_PATTERNS = (
    (r"out of memory", "gpu_out_of_memory", "Request fewer images or a smaller size."),
    (r"download|NoSuchKey|input.{0,40}(missing|not found|denied|does not exist)", "input_missing", ""),
    (r"timed? ?out", "model_timeout", "Request fewer steps or fewer images."),
    (r"expired|time.to.live|\bTTL\b", "job_expired", ""),
    (r"could not load the entire response|upload", "model_bad_response", ""),
    (
        r"worker died|worker process|connection (reset|refused|closed)|container.{0,40}(died|exited)",
        "container_died",
        "",
    ),
    (r"queue (is )?full|\(50[37]\)", "model_busy", ""),
)
"""Pattern, code and hint. The first match wins."""


def parse_failure(text: str) -> EaselError:
    """Return the container's own error if the text contains one, else the error whose pattern matches."""
    start = text.find('{"error"')
    if start >= 0 and (error := _container_error(text[start:])):
        return error
    for pattern, code, hint in _PATTERNS:
        if re.search(pattern, text, re.IGNORECASE):
            return EaselError(code, "the endpoint could not run the job", hint=hint)
    return EaselError("model_error", "the model failed", hint="Read the container's log.")


def _container_error(text: str) -> EaselError | None:
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
        parse_response(json.dumps(value))
    except (ValueError, RecursionError):
        return None
    except EaselError as error:
        return error if error.code != "model_bad_response" else None
    return None
