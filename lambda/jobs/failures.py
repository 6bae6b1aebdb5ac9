"""What an endpoint tells in words, as a code. First match wins; the words are those of SageMaker and its toolkits."""

from __future__ import annotations

import json
import re

from contract import EaselError, parse_answer

_WORDS = (
    (r"out of memory", "gpu_out_of_memory", "Ask for fewer images or a smaller size."),
    (r"download|NoSuchKey|input.{0,40}(missing|not found|denied|does not exist)", "input_missing", ""),
    (r"timed? ?out", "model_timeout", "Ask for fewer steps or fewer images."),
    (r"expired|time.to.live|\bTTL\b", "job_expired", ""),
    (r"could not load the entire response|upload", "model_bad_response", ""),
    (
        r"worker died|worker process|connection (reset|refused|closed)|container.{0,40}(died|exited)",
        "container_died",
        "",
    ),
    (r"queue (is )?full|\(50[37]\)", "model_busy", ""),
)


def read_failure(text: str) -> EaselError:
    """The error behind a failure's text: the container's own where the text holds one, else by its words."""
    start = text.find('{"error"')
    if start >= 0 and (own := _own(text[start:])):
        return own
    for words, code, hint in _WORDS:
        if re.search(words, text, re.IGNORECASE):
            return EaselError(code, "the endpoint gave up on the picture", hint=hint)
    return EaselError("model_error", "the model failed", hint="Look into the container's log.")


def _own(text: str) -> EaselError | None:
    try:
        sent, _ = json.JSONDecoder().raw_decode(text)
        parse_answer(json.dumps(sent))
    except (ValueError, RecursionError):
        return None
    except EaselError as error:
        return error if error.code != "model_bad_response" else None
    return None
