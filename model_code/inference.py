"""The four functions that the serving toolkit calls. Errors are returned: an exception would become status 400."""

import gc
import time
from pathlib import Path
from typing import Any

from container_log import log, log_exception, set_inference_id
from contract import EaselError, GenerationResult, render_error, render_result
from generation.generate import Model
from loading.load_errors import NotLoadedError, load_or_error
from response import ReceivedRequest, respond


def model_fn(model_dir: str, context: Any = None) -> Model | NotLoadedError:
    """Return the model in `model_dir`, or why it did not load."""
    return load_or_error(Path(model_dir))


def input_fn(body: str | bytes | bytearray, content_type: str, context: Any = None) -> ReceivedRequest | EaselError:
    """Return the request. Only JSON is accepted: the toolkit's own decoder unpickles `application/x-npy`."""
    headers = _request_headers(context)
    set_inference_id(headers.get("x-amzn-sagemaker-inference-id", ""))
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        return EaselError("unsupported_media_type", "the body is not JSON", hint="Send application/json.")
    attributes = headers.get("x-amzn-sagemaker-custom-attributes", "")
    return ReceivedRequest(body if isinstance(body, str) else bytes(body), time.monotonic(), attributes)


def _request_headers(context: Any) -> dict[str, str]:
    """Return the headers of a request, by lower-case name, from the serving toolkit's context."""
    try:
        headers = context.request_processor[0].get_request_properties()
        return {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
    except (AttributeError, LookupError, TypeError):
        return {}


def predict_fn(data: ReceivedRequest | EaselError, model: Model | EaselError) -> GenerationResult | EaselError:
    """Return the images, or the error."""
    if isinstance(model, NotLoadedError):
        model = model.retry_if_due()
    if isinstance(model, EaselError):
        return model
    if isinstance(data, EaselError):
        return data
    try:
        return respond(data, model)
    except EaselError as error:
        log("refused", code=error.code)
        error.__context__ = None  # its frames, and those of the traceback, keep the tensors of the failed request alive
        failure = error.with_traceback(None)
        if failure.code == "gpu_out_of_memory":
            gc.collect()  # on Python 3.12 the frames are in a cycle
        return failure
    except Exception as error:
        log_exception(error)
        message = f"the model failed ({type(error).__name__})"
        return EaselError("model_error", message, hint="Read the container's log.")


def output_fn(prediction: GenerationResult | EaselError, accept: str) -> str:
    """Return JSON, whatever `accept` says: only the API calls the endpoint."""
    return render_error(prediction) if isinstance(prediction, EaselError) else render_result(prediction)
