"""Known failures: which log lines and reasons are recognised."""

from __future__ import annotations

import json
import re

import pytest

from easel.cloud.known_failures import KNOWN_FAILURES, advice_for, find_known_failure


def load_error(error: str, cause: str) -> str:
    """Return the container's log line for a model folder that did not load (model_code/loading/load_errors.py)."""
    return json.dumps({"event": "refused", "code": "config_error", "cause": cause, "error": error})


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ResourceLimitExceeded: … is 0 Instances", "endpoint_quota"),
        ("InsufficientInstanceCapacity", "no_capacity"),
        ("The primary container for production variant AllTraffic did not pass the ping health check.",
         "container_not_started"),
        ("CannotStartContainerError. Please ensure …", "image_not_startable"),
        ("OSError: [Errno 28] No space left on device", "disk_full"),
        ("RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", "gpu_memory"),
        ("[INFO] W-9000-model org.pytorch - Worker died.", "host_memory"),
        (load_error("RuntimeError", "DefaultCPUAllocator: can't allocate memory: you tried …"), "host_memory"),
        (load_error("OutOfMemoryError", "CUDA out of memory. Tried …"), "gpu_memory"),
        (load_error("ModuleNotFoundError", "No module named 'diffusers'"), "module_missing"),
        (load_error("SafetensorError", "Error while deserializing header"), "model_folder"),
        ('{"code":400,"type":"InternalServerException","message":"No module named \'diffusers\'"}', "module_missing"),
        ("The NVIDIA driver on your system is too old (found version 11040)", "gpu_driver"),
        ("Invalid InferenceAmiVersion al2-ami-sagemaker-inference-gpu-3-1", "host_image"),
        ("CUDA error: an illegal memory access was encountered", "gpu_error"),
        ("huggingface_hub.errors.GatedRepoError: 403 Client Error", "hub_access"),
        ("User: arn:… is not authorized to perform: s3:GetObject", "access_denied"),
        ("Could not find model data at s3://…/releases/0/", "release_missing"),
        ('Could not find endpoint "arn:…"', "endpoint_missing"),
        ("Cannot update in-progress endpoint", "endpoint_busy"),
        ("Cannot create already existing endpoint configuration", "name_taken"),
        ("The bucket you tried to delete is not empty", "bucket_not_empty"),
        ("EaselError config_error: unet/x.bin is not safe to read", "model_folder"),
        ("Your invocation timed out while waiting for a response", "call_timeout"),
    ],
)  # fmt: skip
def test_a_known_failure_is_recognised(line: str, code: str) -> None:
    failure = find_known_failure(line)
    assert failure is not None
    assert failure.code == code


@pytest.mark.parametrize(
    "line",
    [
        "Default response timeout: 960",
        '{"level": "INFO", "message": "loaded", "pipeline": "StableDiffusionPipeline", "device": "cuda"}',
        "W-9000-model-stdout Model server started.",
        '"GET /ping HTTP/1.1" 200 0',
    ],
)
def test_an_ordinary_line_is_no_failure(line: str) -> None:
    assert find_known_failure(line) is None
    assert advice_for(line) == ""


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("endpoint_quota", "easel doctor --request"),
        ("access_denied", "npx cdk deploy --all --revert-drift"),
        ("release_missing", "npx cdk destroy EaselModel, then npx cdk deploy --all"),
        ("endpoint_missing", "easel resume"),
        ("name_taken", "easel leftovers"),
        ("call_timeout", "mode=async"),
    ],
)
def test_the_remedy_names_the_command(code: str, command: str) -> None:
    (failure,) = (failure for failure in KNOWN_FAILURES if failure.code == code)
    assert command in failure.remedy


def test_advice_is_one_line_of_explanation_and_remedy() -> None:
    codes = [failure.code for failure in KNOWN_FAILURES]
    assert len(set(codes)) == len(codes)
    for failure in KNOWN_FAILURES:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", failure.code)
        assert failure.explanation.endswith(".")
        assert failure.remedy
        assert len(failure.advice) < 160
