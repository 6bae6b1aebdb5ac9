"""Emulator test of an account with its own KMS key, network and firewall: firewall and notebook. Not run on AWS."""

import json
import os
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import jmespath
import pytest
from botocore import xform_name

from tests.deploy.conftest import KeyDeployment
from tests.deploy.emulator.aws_api.service import REGION
from tests.deploy.harness.deployment import Completed, wait_until
from tests.deploy.harness.environment import PYTHON, ROOT
from tests.notebooks import sagemaker_sdk
from tests.notebooks.execution import run_cells

pytestmark = [pytest.mark.xdist_group("own_account"), pytest.mark.timeout(1800)]

IDLE_HOURS = 13
"""More than idle_stop.py allows without a response of Jupyter."""
AWS_COMMAND = f"""#!/bin/sh
exec {shlex.quote(PYTHON)} -c '
import sys, urllib.parse, boto3
source = urllib.parse.urlsplit(sys.argv[-2])
boto3.client("s3").download_file(source.netloc, source.path[1:], sys.argv[-1])
' "$@"
"""
"""`aws s3 cp`, which the instance has."""
FOLDERS = {"home": "/home/ec2-user/SageMaker", "easel": "/opt/easel"}
"""Folders of the instance."""


def test_web_acl_protects_the_stage(own_account: KeyDeployment) -> None:
    waf, gateway = own_account.account.client("wafv2"), own_account.account.client("apigateway")
    (api,) = gateway.get_rest_apis()["items"]
    stage = f"arn:aws:apigateway:{REGION}::/restapis/{api['id']}/stages/v1"
    (acl,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    assert waf.get_web_acl_for_resource(ResourceArn=stage)["WebACL"]["ARN"] == acl["ARN"]


def test_leftovers_lists_notebook_and_web_acl_but_not_the_key(own_account: KeyDeployment) -> None:
    scan = json.loads(own_account.account.easel("leftovers", "--json").stdout)
    assert scan["errors"] == []
    leftovers = {leftover["type"]: leftover for leftover in scan["leftovers"]}
    for fact in ("InService", "ml.g4dn.xlarge", "20 GB"):
        assert fact in leftovers["AWS::SageMaker::NotebookInstance"]["note"]
    assert leftovers["AWS::SageMaker::NotebookInstance"]["usd_per_month"] > 500
    assert leftovers["AWS::WAFv2::WebACL"]["usd_per_month"] > 5
    assert "AWS::KMS::Key" not in leftovers


def notebook_name(deployment: KeyDeployment) -> str:
    return deployment.account.outputs()["NotebookName"]


def notebook_status(deployment: KeyDeployment) -> str:
    sagemaker = deployment.account.client("sagemaker")
    instance = sagemaker.describe_notebook_instance(NotebookInstanceName=notebook_name(deployment))
    return str(instance["NotebookInstanceStatus"])


def run_aws_command(deployment: KeyDeployment, command: str) -> str:
    """Return the output of an `aws` command: its operation and options are named as in botocore."""
    _, service, operation, *options = shlex.split(command)
    values = dict(zip(options[::2], options[1::2], strict=True))
    query, output = values.pop("--query"), values.pop("--output")
    client = deployment.account.client(service)
    assert (output, values.pop("--region")) == ("text", client.meta.region_name)
    name = operation.replace("-", "_")
    members = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[name]).input_shape.members
    parameters = {f"--{xform_name(member, '-')}": member for member in members}
    response = getattr(client, name)(**{parameters[option]: value for option, value in values.items()})
    return str(jmespath.search(query, response))


def test_notebook_url_command(own_account: KeyDeployment) -> None:
    url = run_aws_command(own_account, own_account.account.outputs()["NotebookUrlCommand"])
    assert re.fullmatch(r"https://[\w-]+\.notebook\.us-east-1\.sagemaker\.aws\?authToken=\w+", url)


class Instance:
    """The notebook instance's disk, and a shell with the role's credentials and the instance's programs."""

    def __init__(self, deployment: KeyDeployment, folder: Path) -> None:
        self.account, self.folder = deployment.account, folder
        self.disk = deployment.account.folder / "instances" / notebook_name(deployment)
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name, program in {"aws": AWS_COMMAND, "chown": "#!/bin/sh\n",
                              "systemd-run": f"#!/bin/sh\necho \"$@\" >> {folder}/timers\n"}.items():  # fmt: skip
            (self.programs / name).write_text(program)
            (self.programs / name).chmod(0o755)

    @property
    def variables(self) -> dict[str, str]:
        root_keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return {name: value for name, value in self.account.variables.items() if name not in root_keys} | {
            "AWS_SHARED_CREDENTIALS_FILE": str(self.disk / "credentials"),
            "AWS_ENDPOINT_URL_SAGEMAKER": self.account.sagemaker_url,
            "PATH": f"{self.programs}:{Path(PYTHON).parent}:{os.environ['PATH']}",
        }

    def run(self, *command: str, stdin: str = "") -> Completed:
        return subprocess.run(command, env=self.variables, input=stdin, text=True, capture_output=True, timeout=180)

    def run_hook(self, hook: str, **folders: Path) -> None:
        """Run a script of the lifecycle configuration, with other folders in place of the instance's."""
        text = (self.disk / hook).read_text()
        for name, folder in folders.items():
            assert FOLDERS[name] in text
            text = text.replace(FOLDERS[name], str(folder))
        result = self.run("bash", stdin=text)
        assert result.returncode == 0, result.stderr

    def run_idle_stop(self, name: str) -> Completed:
        """Run the timer's command as on an instance of this name that has long been idle."""
        script = self.folder / "easel/idle_stop.py"
        started = time.time() - IDLE_HOURS * 3600
        os.utime(script, (started, started))
        metadata = self.folder / "metadata.json"
        resource = json.loads((self.disk / "resource-metadata.json").read_text())
        metadata.write_text(json.dumps({**resource, "ResourceName": name}))
        timer = next(line for line in (self.folder / "timers").read_text().splitlines() if "easel-idle" in line)
        command = [word for word in timer.split() if not word.startswith(("--unit", "--on-"))]
        return self.run(*command, "--jupyter", "https://127.0.0.1:1", "--metadata", str(metadata))


@pytest.fixture(scope="module")
def instance(own_account: KeyDeployment, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return Instance(own_account, tmp_path_factory.mktemp("instance"))


def test_notebook_role_downloads_the_notebook(instance: Instance) -> None:
    instance.run_hook("OnCreate", home=instance.folder / "home")
    downloaded = instance.folder / "home/easel/notebooks/stable_diffusion.ipynb"
    assert downloaded.read_bytes() == (ROOT / "notebooks/stable_diffusion.ipynb").read_bytes()


def test_notebook_role_suffices_for_the_sagemaker_sdk(instance: Instance) -> None:
    """The SDK describes what it creates. The endpoint gets the role of the instance."""
    variables = sagemaker_sdk.variables(instance.variables | instance.account.sagemaker_variables)
    settings = sagemaker_sdk.SETTINGS | {"TARGET": "aws", "MODE": "realtime"}
    sagemaker_sdk.check(run_cells(variables, *sagemaker_sdk.CELLS, **settings))


def test_idle_notebook_stops_itself_only(own_account: KeyDeployment, instance: Instance) -> None:
    instance.run_hook("OnStart", easel=instance.folder / "easel")
    denied = instance.run_idle_stop("another")
    assert denied.returncode != 0
    assert "AccessDeniedException" in denied.stderr
    assert notebook_status(own_account) == "InService"
    result = instance.run_idle_stop(notebook_name(own_account))
    assert result.returncode == 0, result.stderr
    wait_until(lambda: notebook_status(own_account) == "Stopped")


def test_destroy_stops_and_deletes_a_running_notebook(own_account: KeyDeployment, instance: Instance) -> None:
    account, name = own_account.account, notebook_name(own_account)
    sagemaker = account.client("sagemaker")
    if notebook_status(own_account) == "Stopped":
        sagemaker.start_notebook_instance(NotebookInstanceName=name)
        wait_until(lambda: notebook_status(own_account) == "InService")
    with account.hold("Stopping"):
        command = account.start_destroy(own_account.assemblies / "first", "EaselNotebook")
        wait_until(lambda: notebook_status(own_account) == "Stopping")
    destroyed = command.wait()
    assert destroyed.returncode == 0, destroyed.stdout[-4000:] + account.log_tail()
    assert sagemaker.list_notebook_instances()["NotebookInstances"] == []
    assert sagemaker.list_notebook_instance_lifecycle_configs()["NotebookInstanceLifecycleConfigs"] == []
    leftovers: list[dict[str, Any]] = json.loads(account.easel("leftovers", "--json").stdout)["leftovers"]
    assert [item["name"] for item in leftovers if "otebook" in item["type"] + item["name"]] == []
