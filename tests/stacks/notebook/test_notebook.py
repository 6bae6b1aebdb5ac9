"""The notebook instance: optional, with our notebook, stopped when idle, and with few permissions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from stacks.config.catalogue import read_model
from stacks.config.prices import monthly, price
from stacks.notebook.lifecycle import CONTENT_CHARACTERS
from stacks.notebook.stack import ROOT
from tests.easel.cloud.fake_aws import FakeAws
from tests.stacks.assembly import Assembly, flat

NOTEBOOK = ROOT / "notebooks" / "stable_diffusion.ipynb"
INSTANCE, LIFECYCLE = "AWS::SageMaker::NotebookInstance", "AWS::SageMaker::NotebookInstanceLifecycleConfig"
ROLE, SESSION = "arn:aws:iam::123456789012:role/team/Mine", "arn:aws:sts::123456789012:assumed-role"


def scripts(assembly: Assembly) -> dict[str, str]:
    hooks = assembly.only(LIFECYCLE)
    return {name: flat(hooks[name][0]["Content"]["Fn::Base64"]) for name in ("OnCreate", "OnStart")}


def shipped(assembly: Assembly) -> Path:
    """Return the folder that goes onto the instance, found by the hash in the script that fetches it."""
    key = scripts(assembly)["OnCreate"].partition(".zip")[0].rpartition("/")[2]
    return assembly.folder / f"asset.{key}"


def test_there_is_none_by_default(default: Assembly) -> None:
    assert "EaselNotebook" not in default.templates


def test_the_default_is_the_articles_instance_on_a_current_platform(own: Assembly) -> None:
    instance = own.only(INSTANCE)
    assert (instance["InstanceType"], instance["VolumeSizeInGB"]) == ("ml.g4dn.xlarge", 20)
    assert instance["PlatformIdentifier"] == "notebook-al2023-v1"
    assert instance["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": "2"}
    assert (instance["RootAccess"], instance["DirectInternetAccess"]) == ("Disabled", "Enabled")


def test_in_the_users_subnets_it_has_no_direct_internet_access(gov: Assembly) -> None:
    instance = gov.only(INSTANCE)
    assert instance["DirectInternetAccess"] == "Disabled"
    assert (instance["SubnetId"], instance["SecurityGroupIds"]) == ("subnet-0a1b2c3d", ["sg-0a1b2c3d"])
    assert instance["KmsKeyId"].startswith("arn:aws-us-gov:kms:")


def test_the_outputs_have_the_prices_and_the_idle_stop(own: Assembly) -> None:
    outputs = own.outputs("EaselNotebook")
    assert outputs["NotebookPrice"] == price(["ml.g4dn.xlarge"], 1)
    assert outputs["NotebookPriceStopped"] == monthly("notebook_gb", 20, "GB")
    idle_stop = flat(outputs["NotebookIdleStop"])
    assert "1 h" in idle_stop
    assert "aws sagemaker start-notebook-instance --region " in idle_stop
    assert outputs["NotebookName"] == {"Fn::GetAtt": ["Notebook", "NotebookInstanceName"]}


def test_everything_that_the_notebook_reads_is_shipped_and_nothing_of_the_machine(own: Assembly) -> None:
    folder = shipped(own)
    for name in ("notebooks/stable_diffusion.ipynb", "notebooks/requirements.txt", "requirements-laptop.txt"):
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes()
    assert {path.name for path in folder.iterdir()} >= {"model_code", "model_importer", "models", "stacks", "easel"}
    assert (folder / "models/emoji/model_index.json").is_file()
    names = {path.name for path in folder.rglob("*")}
    assert names.isdisjoint({".venv", "node_modules", "__pycache__", ".git", "cdk.out", "tests", "web"})


def test_the_notebooks_imports_work_with_what_is_shipped(own: Assembly) -> None:
    imports = sorted(set(re.findall(r"^from (?:stacks|easel)\S* import .+$", "\n".join(sources()), re.MULTILINE)))
    assert imports
    program = (
        "import sys; sys.path[:0] = ['model_code', '.']\n"
        + "\n".join(imports)
        + "\nimport contract; print(contract.__file__, sys.modules['stacks'].__file__)"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", program], cwd=shipped(own), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert str(ROOT) not in ran.stdout


def test_the_scripts_have_all_values_and_fit_sagemakers_limit(own: Assembly) -> None:
    for name, script in scripts(own).items():
        assert "@" not in script.replace("@dataclass", ""), f"{name} has a placeholder without a value"
        assert len(script.encode()) * 4 / 3 < CONTENT_CHARACTERS
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_it_may_stop_itself_and_no_other_instance(own: Assembly) -> None:
    policies = own.resources("AWS::IAM::Policy", "EaselNotebook")
    (stop,) = (policy["Properties"] for id, policy in policies.items() if id.startswith("Stop"))
    assert stop["PolicyDocument"]["Statement"] == [
        {"Action": "sagemaker:StopNotebookInstance", "Effect": "Allow", "Resource": {"Ref": "Notebook"}}
    ]
    documents = [json.dumps(policy["Properties"]["PolicyDocument"]) for policy in policies.values()]
    assert ['NotebookInstance"' in document for document in documents].count(True) == 1


def test_its_permissions_exist_before_its_first_script_runs(own: Assembly) -> None:
    (instance,) = own.resources(INSTANCE).values()
    policies = own.resources("AWS::IAM::Policy", "EaselNotebook")
    assert [id for id in policies if id in instance["DependsOn"]] == [id for id in policies if id.startswith("Role")]


def test_its_permissions_are_limited_to_the_notebooks_names(own: Assembly) -> None:
    policies = own.resources("AWS::IAM::Policy", "EaselNotebook").values()
    statements = [item for policy in policies for item in policy["Properties"]["PolicyDocument"]["Statement"]]
    for statement in statements:
        resource = json.dumps(statement["Resource"])
        if "*" in resource and resource != '"*"':
            assert "easel-notebook-*" in resource or "/aws/sagemaker/NotebookInstances:*" in resource
        if "iam:PassRole" in statement["Action"]:
            assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
            assert '"Role' in resource


# --- the notebook beside the stacks --------------------------------------------------------------


def sources() -> list[str]:
    """Return the sources of the notebook's cells."""
    return ["".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"]]


def cell(part: str) -> str:
    """Return the source of the only cell that contains `part`."""
    (source,) = (source for source in sources() if part in source)
    return source


def serve_requests(**settings: Any) -> dict[str, Any]:
    """Run the notebook's cell, and return its requests by operation. AWS's own models validate them."""
    source = cell("def serve_on_aws()")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:x/y"
    created = {f"sagemaker.Create{kind}": {f"{kind}Arn": arn} for kind in ("Model", "EndpointConfig", "Endpoint")}
    deleted: dict[str, Any] = {f"sagemaker.Delete{kind}": {} for kind in ("Model", "EndpointConfig")}
    aws = FakeAws(**created, **deleted)
    names = {"NAME": "easel-notebook-0a1b2c3d", "BUCKET": "b", "PREFIX": "releases/0/", "SHELL": False}
    variables = {**names, "role": "arn:aws:iam::123456789012:role/mine", "region": "us-east-1", **settings}
    variables |= {"release": "release", "suppress": suppress, "ClientError": ClientError}
    variables["SDK"] = "boto3"
    variables["sagemaker"] = aws.account("us-east-1").client("sagemaker")
    exec(re.split(r"\ndef serve_on_laptop", source)[0] + "\nserve_on_aws()", variables)
    return {name.removeprefix("sagemaker.Create"): request for name, request in aws.requests}


@pytest.mark.parametrize(("mode", "instance_type"), [("async", "ml.g4dn.xlarge"), ("realtime", "ml.m5.large")])
def test_its_endpoint_is_configured_like_that_of_the_stacks(
    mode: str, instance_type: str, default: Assembly, realtime: Assembly, catalogue: Path
) -> None:
    """Variables, timeouts, queue and driver are the same. `default` and `realtime` have these instance types."""
    profile = read_model("tiny", catalogue).container_profile
    requests = serve_requests(MODE=mode, INSTANCE_TYPE=instance_type, PROFILE=profile)
    stack = default if mode == "async" else realtime
    model, config = stack.only("AWS::SageMaker::Model"), stack.only("AWS::SageMaker::EndpointConfig")
    assert requests["Model"]["PrimaryContainer"]["Environment"] == model["PrimaryContainer"]["Environment"]
    assert requests["Model"]["EnableNetworkIsolation"] is model["EnableNetworkIsolation"]
    ignored = dict.fromkeys(("ModelName", "InitialVariantWeight", "RoutingConfig"))
    (notebook,), (deployed,) = (each["ProductionVariants"] for each in (requests["EndpointConfig"], config))
    assert notebook | ignored == deployed | ignored
    notebook, deployed = (each.get("AsyncInferenceConfig", {}) for each in (requests["EndpointConfig"], config))
    assert notebook.get("ClientConfig") == deployed.get("ClientConfig")


def own_role(arn: str, trusted: str) -> str:
    """Return the endpoint's role that the notebook chooses for the caller `arn`."""
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}]}
    about = {"Path": "/team/", "RoleId": "AROA0123456789ABCDEF", "CreateDate": 0}
    role = {"Arn": ROLE, "RoleName": "Mine", "AssumeRolePolicyDocument": quote(json.dumps(trust)), **about}
    variables: dict[str, Any] = {"boto3": FakeAws(**{"iam.GetRole": {"Role": role}}).account(), "json": json}
    variables |= {"TARGET": "aws", "NAME": "easel-notebook-0a1b2c3d"}
    exec(cell("def own_role(").partition("\nif TARGET")[0], variables)
    return str(variables["own_role"](arn))


def test_on_a_notebook_instance_the_endpoint_gets_the_notebooks_role() -> None:
    assert own_role(f"{SESSION}/Mine/SageMaker", "sagemaker.amazonaws.com") == ROLE


@pytest.mark.parametrize(
    ("arn", "trusted"),
    [
        ("arn:aws:iam::123456789012:user/team/ann", "sagemaker.amazonaws.com"),
        ("arn:aws:iam::123456789012:root", "sagemaker.amazonaws.com"),
        ("arn:aws:sts::123456789012:federated-user/ann", "sagemaker.amazonaws.com"),
        (f"{SESSION}/AWSReservedSSO_Admin_0123456789abcdef/ann", "sagemaker.amazonaws.com"),
        (f"{SESSION}/Mine/i-0123456789abcdef0", "ec2.amazonaws.com"),
    ],
)
def test_a_caller_that_sagemaker_cannot_act_as_must_set_a_role(arn: str, trusted: str) -> None:
    with pytest.raises(ValueError, match="ROLE_ARN") as error:
        own_role(arn, trusted)
    assert arn in str(error.value)


def test_the_notebook_lists_the_permissions_of_the_stacks_endpoint_role(default: Assembly) -> None:
    (id,) = (id for id in default.resources("AWS::IAM::Role", "EaselModel") if "EndpointRole" in id)
    policies = [policy["Properties"] for policy in default.resources("AWS::IAM::Policy", "EaselModel").values()]
    statements = [
        s for policy in policies if {"Ref": id} in policy["Roles"] for s in policy["PolicyDocument"]["Statement"]
    ]
    listed = (statement["Action"] for statement in statements)
    actions = {action for item in listed for action in ([item] if isinstance(item, str) else item)}
    needed = {action for action in actions if not action.startswith("sns:")}  # the notebook has no topics
    assert "s3:PutObject" in needed
    english, chinese = (line for line in cell("# Stable Diffusion").splitlines() if "`ROLE_ARN`" in line)
    for text in (english, chinese):
        assert needed <= set(re.findall(r"`(\w+:\w+)`", text))
        assert "`sagemaker.amazonaws.com`" in text
