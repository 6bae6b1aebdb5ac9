"""Known failures: the text by which AWS or the container reports each, what it means and the remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from easel.cloud.doc_pages import ERRORS, KMS_KEY

BUDGETS_DISABLED = "is a linked account"
"""In AWS's message for a member account whose payer account has not enabled budgets."""


@dataclass(frozen=True)
class KnownFailure:
    """One failure. `code` is stable. `pattern` is a regular expression; upper and lower case are the same."""

    code: str
    pattern: str
    explanation: str
    remedy: str

    @property
    def advice(self) -> str:
        """The explanation and the remedy, in one line."""
        return f"{self.explanation} {self.remedy}"


KNOWN_FAILURES = (
    KnownFailure(
        "endpoint_quota",
        r"ResourceLimitExceeded|account-level service limit",
        "The endpoint quota is too small.",
        "Request an increase: easel doctor --request",
    ),
    KnownFailure(
        "no_capacity",
        r"InsufficientInstanceCapacity|insufficient capacity|unable to provision requested ML compute capacity",
        "AWS has no free instance of this type.",
        "Try later, set -c instance_fallbacks=… or choose another region.",
    ),
    KnownFailure(
        "container_not_started",
        r"did not pass the ping health check|ping health check",
        "The container did not start.",
        "Read its last log lines: easel doctor shows them.",
    ),
    KnownFailure(
        "image_not_startable",
        r"CannotStartContainerError",
        "The serving image does not run on this instance type.",
        "Choose another -c instance_type.",
    ),
    KnownFailure(
        "host_image",
        r"InferenceAmiVersion|inference-gpu-\d",
        "SageMaker does not offer the host image of the GPU, or not with this instance type.",
        "Set -c gpu_host=al2023, or to al2 if it is al2023.",
    ),
    KnownFailure(
        "disk_full",
        r"No space left on device",
        "The model does not fit on the instance's disk.",
        "Choose an instance type with a larger disk, or a model with one variant of the weights.",
    ),
    KnownFailure(
        "gpu_memory",
        r'CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|"refused".*"gpu_out_of_memory"',
        "The GPU memory is full.",
        "Request a smaller size or fewer images, or choose a larger -c instance_type.",
    ),
    KnownFailure(
        "host_memory",
        r"\bSIGKILL\b|signal 9|exit code 137|Worker died|MemoryError|can(no|')t allocate memory",
        "The instance's main memory is full, usually while the model loads.",
        "Choose the next larger -c instance_type.",
    ),
    KnownFailure(
        "module_missing",
        r"No module named '?(?P<name>[\w.]+)",
        "The serving image has no such Python module, and the container starts without network access.",
        "Use only modules of the image in model_code/.",
    ),
    KnownFailure(
        "gpu_driver",
        r"NVIDIA driver|CUDA driver version is insufficient|forward compatibility was attempted",
        "The GPU driver of the host is too old for the image.",
        "Set -c gpu_host=al2023, or to al2 if it is al2023.",
    ),
    KnownFailure(
        "gpu_error",
        r'device-side assert|CUDA error|"refused".*"container_died"',
        "The GPU is in an error state that a process cannot leave.",
        "Wait: SageMaker replaces the container.",
    ),
    KnownFailure(
        "blank_output",
        r'"refused".*"(nan|blank)_output"',
        "The model generated NaN values or a black image.",
        f"Use the model's default size and guidance_scale, or another scheduler; see {ERRORS}.",
    ),
    KnownFailure(
        "hub_access",
        r"403 Client Error|401 Client Error|gated repo|GatedRepoError|RepositoryNotFoundError",
        "The hub denies access to the model's repository, or the repository does not exist.",
        "Run easel doctor and follow the remedy of its check `model`.",
    ),
    KnownFailure(
        "budget_denied",
        rf"{BUDGETS_DISABLED}|budgets:",
        "The account may not have a budget. Everything else is deployed.",
        "npx cdk destroy EaselBudget, and from now on deploy with -c budget_usd=0",
    ),
    KnownFailure(
        "kms_key",
        r"KMS|kms:|\bkey/[0-9a-f-]{36}",
        "The KMS key cannot be used.",
        f"Enable the key and add the statements in {KMS_KEY} to its policy.",
    ),
    KnownFailure(
        "access_denied",
        r"Access ?Denied|is not authorized to perform|not authorized to access",
        "The endpoint's role has no permission for a call.",
        "Restore the roles of the templates: npx cdk deploy --all --revert-drift",
    ),
    KnownFailure(
        "release_missing",
        r"(Could not|Failed to) (find|download) model data|NoSuchKey|No S3 objects found",
        "The release is not in the bucket.",
        "Write it again: npx cdk destroy EaselModel, then npx cdk deploy --all",
    ),
    KnownFailure(
        "endpoint_missing",
        r"Could not find endpoint",
        "The endpoint is paused, or was deleted outside CloudFormation.",
        "Create it again: easel resume",
    ),
    KnownFailure(
        "endpoint_busy",
        r"Cannot (create|update|delete) .*(in-progress|while|Creating|Updating)",
        "SageMaker is still changing the endpoint.",
        "Wait until it is InService or Failed, then try again.",
    ),
    KnownFailure(
        "name_taken",
        r"already exist(s|ing)",
        "A resource of this name is left from an earlier deploy.",
        "Find it: easel leftovers",
    ),
    KnownFailure(
        "vcpu_quota",
        r"VcpuLimitExceeded",
        "The EC2 quota of vCPUs is too small.",
        "Request an increase in Service Quotas, service ec2.",
    ),
    KnownFailure(
        "lambda_concurrency",
        r"ReservedConcurrentExecutions|UnreservedConcurrentExecution",
        "The account's Lambda concurrency is too small.",
        "Request an increase in Service Quotas, service lambda, 'Concurrent executions'.",
    ),
    KnownFailure(
        "bucket_not_empty",
        r"bucket you tried to delete is not empty|BucketNotEmpty",
        "The bucket still has objects.",
        "Empty it, then run npx cdk destroy --all again.",
    ),
    KnownFailure(
        "model_folder",
        r"config_error|is not safe to read|model_index\.json names|links to a file outside of the folder",
        "The container cannot load the model folder; the log line says why.",
        "Correct the folder. easel doctor checks it before a deploy.",
    ),
    KnownFailure(
        "call_timeout",
        r"timed out waiting|Worker .*timed? ?out|invocation timed out",
        "A call of the endpoint exceeded its time limit.",
        "Request fewer steps or a smaller size, or set -c mode=async.",
    ),
)  # fmt: skip
"""In the order of search: the more specific pattern first.

Sources: public reports of SageMaker and diffusers users, and the log lines of model_code/. Of those, only the event
`refused` reports a failed job.
"""


def find_known_failure(text: str) -> KnownFailure | None:
    """Return the first known failure that `text` reports."""
    return next((failure for failure in KNOWN_FAILURES if re.search(failure.pattern, text, re.IGNORECASE)), None)


def advice_for(text: str) -> str:
    """Return the advice for the failure that `text` reports; empty if it is not a known failure."""
    failure = find_known_failure(text)
    return failure.advice if failure else ""
