"""The notebook instance: only when asked for, with our notebook, stopped when idle, and with few rights."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stacks.config.catalogue import read_model
from stacks.notebook.lifecycle import CONTENT_CHARACTERS
from stacks.notebook.stack import ROOT
from tests.easel.cloud.fake_aws import FakeAws
from tests.stacks.assembly import Assembly, flat

NOTEBOOK = ROOT / "notebooks" / "stable_diffusion.ipynb"
INSTANCE, LIFECYCLE = "AWS::SageMaker::NotebookInstance", "AWS::SageMaker::NotebookInstanceLifecycleConfig"


def text(content: Any) -> str:
    """A script as the template has it."""
    return flat(content["Fn::Base64"])


def scripts(assembly: Assembly) -> dict[str, str]:
    hooks = assembly.only(LIFECYCLE)
    return {name: text(hooks[name][0]["Content"]) for name in ("OnCreate", "OnStart")}


def shipped(assembly: Assembly) -> Path:
    """The folder that goes onto the instance, found by its hash in the script that fetches it."""
    key = scripts(assembly)["OnCreate"].partition(".zip")[0].rpartition("/")[2]
    return assembly.folder / f"asset.{key}"


def test_nobody_gets_it_unasked(default: Assembly) -> None:
    assert "EaselNotebook" not in default.templates


def test_it_is_the_articles_on_a_platform_that_starts(own: Assembly) -> None:
    one = own.only(INSTANCE)
    assert (one["InstanceType"], one["VolumeSizeInGB"]) == ("ml.g4dn.xlarge", 20)
    assert one["PlatformIdentifier"] == "notebook-al2023-v1"
    assert one["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": "2"}
    assert (one["RootAccess"], one["DirectInternetAccess"]) == ("Disabled", "Enabled")


def test_in_subnets_of_the_users_it_has_no_other_way_out(gov: Assembly) -> None:
    one = gov.only(INSTANCE)
    assert one["DirectInternetAccess"] == "Disabled"
    assert (one["SubnetId"], one["SecurityGroupIds"]) == ("subnet-0a1b2c3d", ["sg-0a1b2c3d"])
    assert one["KmsKeyId"].startswith("arn:aws-us-gov:kms:")


def test_the_outputs_say_what_it_costs_while_it_runs_and_after(own: Assembly) -> None:
    outputs = own.outputs("EaselNotebook")
    where = "(us-east-1, 2026-11; see https://aws.amazon.com/sagemaker/ai/pricing/)"
    assert outputs["NotebookPrice"] == f"about 0.7364 USD per hour for 1 x ml.g4dn.xlarge {where}"
    assert outputs["NotebookPriceStopped"] == f"about 2.8 USD per month for 20 GB {where}"
    assert flat(outputs["NotebookIdleStop"]).startswith("after 1 h without use the instance stops")
    assert outputs["NotebookName"] == {"Fn::GetAtt": ["Notebook", "NotebookInstanceName"]}


def test_what_is_shipped_is_all_that_the_notebook_reads_and_nothing_of_the_machine(own: Assembly) -> None:
    folder = shipped(own)
    for name in ("notebooks/stable_diffusion.ipynb", "notebooks/requirements.txt", "requirements-laptop.txt"):
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes()
    assert {path.name for path in folder.iterdir()} >= {"model_code", "models", "stacks", "easel"}
    assert (folder / "models/emoji/model_index.json").is_file()
    names = {path.name for path in folder.rglob("*")}
    assert names.isdisjoint({".venv", "node_modules", "__pycache__", ".git", "cdk.out", "tests", "web"})


def test_the_notebooks_first_cells_import_from_what_is_shipped(own: Assembly) -> None:
    program = (
        "import sys; sys.path[:0] = ['model_code', '.']; from stacks import images; import contract\n"
        "print(images.tag('ml.m5.large'), contract.ModelProfile.__name__, images.__file__)"
    )
    ran = subprocess.run(["python3", "-P", "-c", program], cwd=shipped(own), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert str(ROOT) not in ran.stdout


def test_the_scripts_are_whole_and_of_a_size_that_sagemaker_takes(own: Assembly) -> None:
    for name, script in scripts(own).items():
        assert "@" not in script.replace("@dataclass", ""), f"{name} has a value that nobody set"
        assert len(script.encode()) * 4 / 3 < CONTENT_CHARACTERS
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_it_may_stop_itself_and_no_other(own: Assembly) -> None:
    policies = own.resources("AWS::IAM::Policy", "EaselNotebook")
    (stop,) = (one["Properties"] for id, one in policies.items() if id.startswith("Stop"))
    assert stop["PolicyDocument"]["Statement"] == [
        {"Action": "sagemaker:StopNotebookInstance", "Effect": "Allow", "Resource": {"Ref": "Notebook"}}
    ]
    documents = [json.dumps(one["Properties"]["PolicyDocument"]) for one in policies.values()]
    assert ['NotebookInstance"' in document for document in documents].count(True) == 1


def test_its_rights_are_there_before_its_first_script_runs(own: Assembly) -> None:
    (one,) = own.resources(INSTANCE).values()
    policies = own.resources("AWS::IAM::Policy", "EaselNotebook")
    assert [id for id in policies if id in one["DependsOn"]] == [id for id in policies if id.startswith("Role")]


def test_it_touches_nothing_but_what_the_notebook_names(own: Assembly) -> None:
    policies = own.resources("AWS::IAM::Policy", "EaselNotebook").values()
    for statement in (one for policy in policies for one in policy["Properties"]["PolicyDocument"]["Statement"]):
        resource = json.dumps(statement["Resource"])
        if "*" in resource and resource != '"*"':
            assert "easel-notebook-*" in resource or "/aws/sagemaker/NotebookInstances:*" in resource
        if "iam:PassRole" in statement["Action"]:
            assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
            assert '"Role' in resource


def cell(part: str) -> str:
    """The source of the one cell that has this in it."""
    (source,) = (s for s in ("".join(c["source"]) for c in json.loads(NOTEBOOK.read_text())["cells"]) if part in s)
    return source


def made(**settings: Any) -> dict[str, Any]:
    """What the notebook's cell asks of SageMaker, by operation; AWS's own models say that it may be asked so."""
    source = cell("def serve_on_aws()")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:x/y"
    aws = FakeAws(
        **{f"sagemaker.Create{kind}": {f"{kind}Arn": arn} for kind in ("Model", "EndpointConfig", "Endpoint")}
    )
    names = {"NAME": "easel-notebook-0a1b2c3d", "BUCKET": "b", "PREFIX": "releases/0/", "SHELL": False}
    told = {**names, "role": "arn:aws:iam::123456789012:role/mine", "region": "us-east-1", **settings}
    told["sagemaker"] = aws.account("us-east-1").client("sagemaker")
    exec(re.split(r"\ndef serve_on_laptop", source)[0] + "\nserve_on_aws()", told)
    return {name.removeprefix("sagemaker.Create"): asked for name, asked in aws.requests}


@pytest.mark.parametrize(("mode", "kind"), [("async", "ml.g4dn.xlarge"), ("realtime", "ml.m5.large")])
def test_its_endpoint_is_run_as_that_of_the_stacks(
    mode: str, kind: str, default: Assembly, realtime: Assembly, catalogue: Path
) -> None:
    """The same variables, time-outs, queue and driver; `default` and `realtime` have these types."""
    profile = read_model("tiny", catalogue).container_profile
    asked = made(MODE=mode, INSTANCE_TYPE=kind, PROFILE=profile)
    stack = default if mode == "async" else realtime
    model, config = stack.only("AWS::SageMaker::Model"), stack.only("AWS::SageMaker::EndpointConfig")
    assert asked["Model"]["PrimaryContainer"]["Environment"] == model["PrimaryContainer"]["Environment"]
    assert asked["Model"]["EnableNetworkIsolation"] is model["EnableNetworkIsolation"]
    own = {"ModelName", "InitialVariantWeight", "RoutingConfig"}
    (mine,), (theirs,) = (one["ProductionVariants"] for one in (asked["EndpointConfig"], config))
    assert {**mine, **dict.fromkeys(own)} == {**theirs, **dict.fromkeys(own)}
    mine, theirs = (one.get("AsyncInferenceConfig", {}) for one in (asked["EndpointConfig"], config))
    assert mine.get("ClientConfig") == theirs.get("ClientConfig")


def own_role(arn: str, trusted: str) -> str:
    """What the notebook takes for the endpoint's role, where this caller runs it."""
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}]}
    about = {"Path": "/team/", "RoleId": "AROA0123456789ABCDEF", "CreateDate": 0}
    role = {"Arn": ROLE, "RoleName": "Mine", "AssumeRolePolicyDocument": quote(json.dumps(trust)), **about}
    told: dict[str, Any] = {"boto3": FakeAws(**{"iam.GetRole": {"Role": role}}).account(), "json": json}
    exec(cell("def own_role(").partition("\nif TARGET")[0], told)
    return str(told["own_role"](arn))


ROLE, SESSION = "arn:aws:iam::123456789012:role/team/Mine", "arn:aws:sts::123456789012:assumed-role"


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
def test_whoever_sagemaker_cannot_act_as_is_asked_for_a_role(arn: str, trusted: str) -> None:
    with pytest.raises(ValueError, match=f"cannot act as {arn}. Set ROLE_ARN to a role that SageMaker may assume"):
        own_role(arn, trusted)


def test_the_notebook_names_what_the_stacks_give_an_endpoints_role(default: Assembly) -> None:
    (id,) = (id for id in default.resources("AWS::IAM::Role", "EaselModel") if "EndpointRole" in id)
    policies = [one["Properties"] for one in default.resources("AWS::IAM::Policy", "EaselModel").values()]
    statements = [s for one in policies if {"Ref": id} in one["Roles"] for s in one["PolicyDocument"]["Statement"]]
    named = (one["Action"] for one in statements)
    actions = {action for one in named for action in ([one] if isinstance(one, str) else one)}
    ours = {action for action in actions if not action.startswith("sns:")}  # the notebook has no topics
    assert "s3:PutObject" in ours
    english, chinese = (line for line in cell("# Stable Diffusion").splitlines() if "`ROLE_ARN`" in line)
    for told in (english, chinese):
        assert ours <= set(re.findall(r"`(\w+:\w+)`", told))
        assert "`sagemaker.amazonaws.com`" in told
