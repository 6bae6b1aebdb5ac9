"""Failures that others have met before: the words by which AWS or the container tells of them, and the way out."""

from __future__ import annotations

import re

HINTS: tuple[tuple[str, str], ...] = (
    (
        r"ResourceLimitExceeded|account-level service limit",
        "The endpoint quota is too small: easel doctor --request asks for more.",
    ),
    (
        r"InsufficientInstanceCapacity|insufficient capacity|unable to provision requested ML compute capacity",
        "AWS has no such instance free now: try later, -c instance_fallbacks=…, or another region.",
    ),
    (
        r"did not pass the ping health check|ping health check",
        "The container did not start: its last log lines say why (easel doctor shows them).",
    ),
    (
        r"CannotStartContainerError",
        "The image does not run on this instance type: take another -c instance_type.",
    ),
    (
        r"No space left on device",
        "The disk is too small for the model: take an instance type with a larger one, or one variant of the weights.",
    ),
    (
        r'CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|"refused".*"gpu_out_of_memory"',
        "The card's memory is full: ask for a smaller size or fewer pictures, or take a larger -c instance_type.",
    ),
    (
        r"\bSIGKILL\b|signal 9|exit code 137|Worker died|MemoryError|can(no|')t allocate memory",
        "The machine's own memory ran out, usually while loading: take the next larger -c instance_type.",
    ),
    (
        r"No module named '?(?P<name>[\w.]+)",
        "The image lacks a module: model_code/ must do with what the image has, since it starts without a network.",
    ),
    (
        r"NVIDIA driver|CUDA driver version is insufficient|forward compatibility was attempted",
        "The host's driver is too old for the image: InferenceAmiVersion in stacks/config/images.py must fit its CUDA.",
    ),
    (
        r'device-side assert|CUDA error|"refused".*"container_died"',
        "The card is in an error from which no process recovers: SageMaker has to start a new container.",
    ),
    (
        r'"refused".*"(nan|blank)_output"',
        "The model drew NaN or black: take its own size and guidance_scale, or another scheduler; see docs/errors.md.",
    ),
    (
        r"403 Client Error|401 Client Error|gated repo|GatedRepoError|RepositoryNotFoundError",
        "The model's repository wants a token with its licence accepted, or is gone: see `easel doctor`, model.",
    ),
    (
        r"KMS|kms:|\bkey/[0-9a-f-]{36}",
        "The KMS key may not be used: its policy needs the statements of docs/options.md, and it must be enabled.",
    ),
    (
        r"Access ?Denied|is not authorized to perform|not authorized to access",
        "The endpoint's role lacks a right: npx cdk deploy --all --revert-drift puts it as the templates have it.",
    ),
    (
        r"(Could not|Failed to) (find|download) model data|NoSuchKey|No S3 objects found",
        "The release is not in the bucket: npx cdk destroy EaselModel, then npx cdk deploy --all writes it again.",
    ),
    (
        r"Could not find endpoint",
        "The endpoint is paused or was deleted by hand: easel resume brings it back.",
    ),
    (
        r"Cannot (create|update|delete) .*(in-progress|while|Creating|Updating)",
        "SageMaker is still at work on the endpoint: wait until it is InService or Failed, then try again.",
    ),
    (
        r"already exist(s|ing)",
        "Something of the same name is left of an earlier deploy: easel leftovers shows it.",
    ),
    (
        r"VcpuLimitExceeded",
        "The quota of EC2 vCPUs is too small: ask for more in Service Quotas, service ec2.",
    ),
    (
        r"ReservedConcurrentExecutions|UnreservedConcurrentExecution",
        "The account's Lambda concurrency is too small: ask for more, service lambda, 'Concurrent executions'.",
    ),
    (
        r"bucket you tried to delete is not empty|BucketNotEmpty",
        "The bucket still holds objects: empty it, then npx cdk destroy --all again.",
    ),
    (
        r"config_error|is not safe to read|model_index\.json names|links to a file outside of the folder",
        "The container refuses the model folder: the line says why; easel doctor checks a folder before a deploy.",
    ),
    (
        r"timed out waiting|Worker .*timed? ?out|invocation timed out",
        "A call took longer than allowed: ask for fewer steps or a smaller size, or take -c mode=async.",
    ),
)  # fmt: skip
"""Pattern to way out, the more telling first. Sources: what users of SageMaker and diffusers reported publicly, and the
lines of model_code/, of which only `refused` is the end of a job."""


def hint_for(text: str) -> str:
    """The way out of a known failure; empty where none is known."""
    return next((hint for pattern, hint in HINTS if re.search(pattern, text, re.IGNORECASE)), "")
