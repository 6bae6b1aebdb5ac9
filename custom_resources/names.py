"""Names and numbers that several parts of Easel share.

Standard library only. `make mirror` copies this file to custom_resources/, which ships to AWS without stacks/.
"""

from __future__ import annotations

# --- CloudFormation ------------------------------------------------------------------------------

STORAGE_STACK = "EaselStorage"
MODEL_STACK = "EaselModel"
API_STACK = "EaselApi"
SITE_STACK = "EaselSite"
CLOUD9_STACK = "EaselCloud9"
NOTEBOOK_STACK = "EaselNotebook"
STACKS = (STORAGE_STACK, MODEL_STACK, API_STACK, SITE_STACK, CLOUD9_STACK, NOTEBOOK_STACK)
STANDALONE_STACKS = frozenset({CLOUD9_STACK, NOTEBOOK_STACK})
"""Stacks that need no other stack."""

IMPORT_RESOURCE = "Custom::EaselImport"
"""Resource type of the model import."""
CUSTOM_RESOURCE_MINUTES = 60
"""CloudFormation's longest wait for a custom resource."""
FUNCTION_SECONDS = 900
"""Lambda's longest timeout."""

# --- tags ----------------------------------------------------------------------------------------

APP_TAG, APP = "easel:app", "easel"
"""On every resource. `easel leftovers` finds resources by it."""
MODE_TAG = "easel:mode"
INFORMATIONAL_TAG = "easel:informational"
"""On alarms that need no action, such as the alarm that starts an instance. `easel doctor` ignores them."""

# --- log groups ----------------------------------------------------------------------------------


def endpoint_log_group(endpoint: str) -> str:
    """Return the log group of an endpoint's containers. SageMaker decides the name."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def import_log_group(stack: str = MODEL_STACK) -> str:
    """Return the log group of the model import."""
    return f"/easel/{stack}/import"


# --- the endpoint --------------------------------------------------------------------------------

ENDPOINT_PREFIX = {"async": "easel-async", "realtime": "easel-realtime"}
"""Mode to the start of an endpoint's name. After it comes a hash of the instance types, then the stack's id."""
IN_SERVICE = "InService"
MOVING_STATES = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
"""States of an endpoint that end by themselves. SageMaker refuses to delete or update an endpoint in them."""
ENDPOINT_WAIT_SECONDS = 50 * 60
"""A destroy waits this long for an endpoint in a moving state; less than `CUSTOM_RESOURCE_MINUTES`."""

# --- time limits of a request --------------------------------------------------------------------

WAIT_SECONDS = 25
"""`POST /generate` waits this long for the images, then responds 202 with the job."""
API_FUNCTION_SECONDS = 28
"""Timeout of the API function; more than `WAIT_SECONDS`."""
GATEWAY_SECONDS = 29
"""API Gateway's timeout without a raised quota; more than `API_FUNCTION_SECONDS`."""
DEADLINE_SECONDS = {"async": 600, "realtime": 55}
"""Mode to the deadline of a request that sets none."""
CALL_SECONDS = {"async": 960, "realtime": 60}
"""Mode to the longest call of the endpoint.

async: the longest deadline of the contract and a minute to write the images. realtime: SageMaker's limit.
"""
JOB_MARGIN_SECONDS = 240
"""Time for the finalizer after the endpoint's response, with one retry."""


def job_ttl_seconds(mode: str, queue_minutes: int) -> int:
    """Return the age after which a job without an outcome has expired."""
    return 60 * queue_minutes + CALL_SECONDS[mode] + JOB_MARGIN_SECONDS
