"""What the serving toolkit calls. Every failure is an answer: the toolkit would make an exception a status 400."""

import time
from pathlib import Path
from typing import Any

import response
from container_log import log, log_failure, name_call
from contract import EaselError, GenerationResult, render_error, render_result
from generation.generate import Model
from loading import load_errors
from response import Received


def model_fn(model_dir: str, context: Any = None) -> Model | EaselError:
    """The pipeline in `model_dir`, ready to draw, or why the folder is refused."""
    return load_errors.load(Path(model_dir))


def input_fn(body: str | bytes | bytearray, content_type: str, context: Any = None) -> Received | EaselError:
    """JSON only: the toolkit's own reader would unpickle a caller's `application/x-npy`."""
    name_call(context)
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        return EaselError("unsupported_media_type", "the body is not JSON", hint="Send application/json.")
    return Received(body if isinstance(body, str) else bytes(body), time.monotonic())


def predict_fn(data: Received | EaselError, model: Model | EaselError) -> GenerationResult | EaselError:
    """The pictures, or the reason why there are none."""
    if isinstance(model, load_errors.NotLoadedError):
        model = model.now()
    if isinstance(model, EaselError):
        return model
    if isinstance(data, EaselError):
        return data
    try:
        return response.answer(data, model)
    except EaselError as error:
        log("refused", code=error.code)
        return error.with_traceback(None)  # its frames hold the tensors of the failed drawing
    except Exception as error:
        log_failure(error)
        return EaselError("model_error", f"the model failed ({type(error).__name__})", hint="See its log.")


def output_fn(prediction: GenerationResult | EaselError, accept: str) -> str:
    """JSON, whatever `accept` says: the caller of the endpoint is the API."""
    return render_error(prediction) if isinstance(prediction, EaselError) else render_result(prediction)
