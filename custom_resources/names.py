"""Names and numbers that several parts of Easel share.

Standard library only. `make mirror` copies this file to custom_resources/, which ships to AWS without stacks/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

# --- the name of an Easel ------------------------------------------------------------------------

DEFAULT_NAME = "easel"
STACK_PARTS = ("Storage", "Model", "Api", "Site", "Cloud9", "Notebook", "Budget", "Users")
STACK_CHARACTERS = 24
"""Longest name of a stack. CloudFormation shortens a longer one in names of 64 characters, such as those of roles."""
NAME_CHARACTERS = STACK_CHARACTERS - max(map(len, STACK_PARTS))
ENDPOINT_CHARACTERS = 63
"""SageMaker's limit."""
NAME_FORM = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"

_CDK = r"\bnpx cdk (?:deploy|destroy|rollback)\b(?! -c name=)"
_EASEL = r"(?<![\w/.-])easel (?:doctor|outputs|leftovers|pause|resume|keys [a-z]+)\b(?! --name)"


@dataclass(frozen=True)
class Names:
    """The names of one Easel. Several, each with its own name, can be in one account and region."""

    name: str = DEFAULT_NAME

    @property
    def prefix(self) -> str:
        """The start of the stacks' names: `EaselDev` for easel-dev. No two names have the same."""
        return re.sub("(^|-)([a-z])", lambda match: match[2].upper(), self.name)

    @property
    def stacks(self) -> tuple[str, ...]:
        return tuple(self.prefix + part for part in STACK_PARTS)

    @property
    def storage(self) -> str:
        return f"{self.prefix}Storage"

    @property
    def model(self) -> str:
        return f"{self.prefix}Model"

    @property
    def api(self) -> str:
        return f"{self.prefix}Api"

    @property
    def site(self) -> str:
        return f"{self.prefix}Site"

    @property
    def cloud9(self) -> str:
        return f"{self.prefix}Cloud9"

    @property
    def notebook(self) -> str:
        return f"{self.prefix}Notebook"

    @property
    def budget(self) -> str:
        return f"{self.prefix}Budget"

    @property
    def users(self) -> str:
        return f"{self.prefix}Users"

    @property
    def import_log_group(self) -> str:
        """Log group of the import of the first model."""
        return f"/easel/{self.model}/import"

    @property
    def notebook_resources(self) -> str:
        """Start of the names of what the notebook creates; with `sagemaker-` in front, of its bucket."""
        return f"{self.name}-notebook-"

    def endpoint_prefix(self, mode: str) -> str:
        """Return the start of the name of an endpoint; a hash of the instance types follows."""
        return f"{self.name}-{mode}"

    def endpoint(self, mode: str, pool: Sequence[str], model: str = "") -> str:
        """Return the name of the endpoint with these instance types. Another mode or type is another endpoint.

        `model`: id of the model, unless it is the first.
        """
        name = self.endpoint_prefix(mode) + sha256(",".join((*pool, model) if model else pool).encode()).hexdigest()[:6]
        return f"{name}-{_slug(model)}"[:ENDPOINT_CHARACTERS].rstrip("-") if model else name

    def import_log_group_of(self, model: str) -> str:
        """Return the log group of a model's import. `model`: its id, unless it is the first."""
        return f"{self.import_log_group}/{model}" if model else self.import_log_group

    def in_commands(self, text: str) -> str:
        """Return a text written for the default name with this name in its commands and stack names."""
        if self == DEFAULT:
            return text
        text = re.sub(rf"\bEasel(?=({'|'.join(STACK_PARTS)})\b)", self.prefix, text)
        text = re.sub(_CDK, lambda match: f"{match[0]} -c name={self.name}", text)
        return re.sub(_EASEL, lambda match: f"{match[0]} --name {self.name}", text)


def _slug(model: str) -> str:
    """Return a model's id with the characters that SageMaker allows in names."""
    return re.sub("[^a-z0-9]+", "-", model).strip("-")


DEFAULT = Names()

# --- CloudFormation ------------------------------------------------------------------------------

IMPORT_RESOURCE = "Custom::EaselImport"
"""Resource type of the model import."""
CUSTOM_RESOURCE_MINUTES = 60
"""CloudFormation's longest wait for a custom resource."""
FUNCTION_SECONDS = 900
"""Lambda's longest timeout."""

# --- tags ----------------------------------------------------------------------------------------

APP_TAG, APP = "easel:app", "easel"
NAME_TAG = "easel:name"
"""Both are on every resource. `easel leftovers` finds resources by them."""
MODE_TAG = "easel:mode"
INFORMATIONAL_TAG = "easel:informational"
"""On alarms that need no action, such as the alarm that starts an instance. `easel doctor` ignores them."""

# --- log groups ----------------------------------------------------------------------------------


def endpoint_log_group(endpoint: str) -> str:
    """Return the log group of an endpoint's containers. SageMaker decides the name."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


# --- the endpoint --------------------------------------------------------------------------------

IN_SERVICE = "InService"
MOVING_STATES = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
"""States of an endpoint that end by themselves. SageMaker refuses to delete or update an endpoint in them."""
ENDPOINT_WAIT_SECONDS = 50 * 60
"""Longest wait of a custom resource for an endpoint in a moving state; less than `CUSTOM_RESOURCE_MINUTES`."""

FAILED_STARTS = "failed-starts/"
"""Prefix in the bucket of the last log lines of endpoints that did not start."""


def failed_start_key(endpoint: str) -> str:
    """Return the key of the last log lines of an endpoint that did not start."""
    return f"{FAILED_STARTS}{endpoint}.txt"


STOP_MARKER = "stopped.json"
"""Object in the bucket: the budget has stopped the endpoint. `easel resume` deletes it."""

# --- API keys -------------------------------------------------------------------------------------

USAGE_SLOT = "UsageSlot"
"""Part of the logical ids of the gateway's API keys that count others. The stack's own key has no such part."""
USAGE_SLOTS = 8
"""API Gateway counts and throttles requests by slot. Up to this many keys have a slot each; more share them."""

# --- sign-in --------------------------------------------------------------------------------------

SIGN_IN_RESOURCE, SIGN_IN_RIGHT = "easel", "generate"
SIGN_IN_SCOPE = f"{SIGN_IN_RESOURCE}/{SIGN_IN_RIGHT}"
"""OAuth scope of the access tokens that the API accepts."""

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
