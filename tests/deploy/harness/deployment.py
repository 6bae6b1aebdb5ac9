"""An emulated account with Easel in it, and what the tests read of it."""

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.harness.account import Account
from tests.deploy.harness.api_client import ApiClient
from tests.deploy.harness.deployer import become_deployer, create_policies
from tests.deploy.harness.environment import PYTHON, ROOT, user_environment
from tests.deploy.harness.inventory import inventory
from tests.model_importer.hub import HubServer

Completed = subprocess.CompletedProcess[str]
PROJECT_VARIABLES = user_environment() | {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'model_code'}",
    "OMP_WAIT_POLICY": "PASSIVE",  # as in the container: spinning threads starve each other on shared cores
}


@dataclass
class Deployment:
    """An account after `cdk bootstrap` and the first `cdk deploy --all`."""

    account: Account
    baseline: set[str]
    """Inventory before the deploy."""
    assemblies: Path
    hub: HubServer

    @property
    def api(self) -> ApiClient:
        return ApiClient(self.account)

    def deploy(self, assembly: str, *stacks: str) -> Completed:
        return self.account.deploy(self.assemblies / assembly, *stacks)

    def endpoint(self) -> dict[str, Any]:
        """Return SageMaker's description of the only endpoint; empty if there is none."""
        sagemaker = self.account.client("sagemaker")
        names = [endpoint["EndpointName"] for endpoint in sagemaker.list_endpoints()["Endpoints"]]
        return dict(sagemaker.describe_endpoint(EndpointName=names[0])) if names else {}

    def endpoint_status(self) -> str:
        """Return the endpoint's status; empty if there is none."""
        return str(self.endpoint().get("EndpointStatus", ""))

    def scale(self, instances: int) -> None:
        """Set the number of instances, as autoscaling does."""
        endpoint = self.endpoint()
        variant = {
            "VariantName": endpoint["ProductionVariants"][0]["VariantName"], "DesiredInstanceCount": instances,
        }  # fmt: skip
        self.account.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=endpoint["EndpointName"], DesiredWeightsAndCapacities=[variant]
        )

    def function(self, handler: str) -> dict[str, Any]:
        """Return the configuration of the only function with this handler."""
        functions = self.account.client("lambda").list_functions()["Functions"]
        (function,) = (function for function in functions if function["Handler"] == handler)
        return dict(function)

    def doctor(self) -> dict[str, Any]:
        """Return the checks of `easel doctor` by code."""
        checks = json.loads(self.account.easel("doctor", "--json").stdout)["checks"]
        return {check["code"]: check for check in checks}

    def leftovers(self) -> Any:
        """Return the output of `easel leftovers --json`."""
        return json.loads(self.account.easel("leftovers", "--json").stdout)


def deploy_first(account: Account, assemblies: Path, hub: HubServer, *synthesis: str) -> Deployment:
    """Synthesise the assemblies and bootstrap the account for them; deploy `first` as a user with only their rights."""
    finish_module(start_module("tests.deploy.harness.assemblies", str(assemblies), *synthesis))
    policies = create_policies(account, assemblies)
    bootstrapped = account.bootstrap(*(arn for end, arn in policies.items() if end.startswith("execution")))
    assert bootstrapped.returncode == 0, bootstrapped.stdout
    become_deployer(account, policies["deployer"])
    baseline = inventory(account)
    deployed = account.deploy(assemblies / "first")
    assert deployed.returncode == 0, deployed.stdout[-6000:] + account.log_tail()
    return Deployment(account, baseline, assemblies, hub)


def start_module(*command: str, python: tuple[str, ...] = (PYTHON,)) -> subprocess.Popen[str]:
    """Start a module of the project."""
    return subprocess.Popen(
        (*python, "-m", *command), cwd=ROOT, env=PROJECT_VARIABLES, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish_module(process: subprocess.Popen[str], stdin: str = "", seconds: int = 800) -> str:
    """Wait for a module and return its output."""
    stdout, stderr = process.communicate(stdin, timeout=seconds)
    assert process.returncode == 0, stdout + stderr
    return stdout


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def stack_events(account: Account, stack: str = "EaselModel") -> dict[str, list[str]]:
    """Return the statuses of a stack's resources by resource type, the newest first."""
    statuses: dict[str, list[str]] = {}
    for event in account.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]:
        statuses.setdefault(event["ResourceType"], []).append(event["ResourceStatus"])
    return statuses


def join_lines(text: str) -> str:
    """Undo the line breaks of the CDK command line."""
    return " ".join(text.split())


def parse_json_lines(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Return the lines that are JSON objects."""
    return [json.loads(line) for line in lines if line[:1] == "{"]
