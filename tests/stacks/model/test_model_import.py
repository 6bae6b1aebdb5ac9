"""The import of a model: CodeBuild project, permissions and annotations."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Annotations, Match, Template
from aws_cdk.aws_s3 import Bucket

from stacks.config.catalogue import ExtraFile, ExtraLink, ExtraObject, Lora, UrlSource, read_model
from stacks.config.names import CUSTOM_RESOURCE_MINUTES, IMPORT_RESOURCE
from stacks.config.settings import Settings, SettingsError, parse_settings
from stacks.model.release.model_import import IMPORT_MINUTES, IMPORTER, QUEUE_MINUTES, ModelImport, _allow_secret
from tests.conftest import ROOT
from tests.stacks.assembly import HUB, Assembly

PROJECT = "AWS::CodeBuild::Project"


def test_codebuild_runs_the_importer_with_time_limits(hub: Assembly) -> None:
    project = hub.only(PROJECT)
    (command,) = json.loads(project["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    assert command == f"python3 -m {IMPORTER.name}"
    assert project["Artifacts"] == {"Type": "NO_ARTIFACTS"}
    assert project["Environment"]["Type"] == "LINUX_CONTAINER"
    assert "PrivilegedMode" not in project["Environment"]
    assert project["TimeoutInMinutes"] + project["QueuedTimeoutInMinutes"] == IMPORT_MINUTES + QUEUE_MINUTES
    assert IMPORT_MINUTES + QUEUE_MINUTES < CUSTOM_RESOURCE_MINUTES
    assert hub.only(IMPORT_RESOURCE)["ServiceTimeout"] == str(CUSTOM_RESOURCE_MINUTES * 60)


def test_the_importer_is_shipped_and_nothing_else(hub: Assembly) -> None:
    location = json.dumps(hub.only(PROJECT)["Source"]["Location"])
    (key,) = re.findall(r"([0-9a-f]{64})\.zip", location)
    folder = hub.folder / f"asset.{key}"
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    shipped = [*IMPORTER.rglob("*.py"), IMPORTER / "checkpoint" / "clip_merges.txt.gz"]
    assert files == {path.relative_to(IMPORTER.parent) for path in shipped}
    program = f"import sys; sys.path.insert(0, '.'); import {IMPORTER.name}.__main__"
    ran = subprocess.run([sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_the_request_has_the_source_and_the_name_of_the_secret(hub: Assembly) -> None:
    request = json.loads(hub.only(IMPORT_RESOURCE)["Request"])
    assert request["source"] == {**HUB, "parts": {}}
    assert (request["hub_url"], request["token_secret"]) == ("https://huggingface.co", "hub-token")
    assert len(json.dumps(request)) < 3000  # CodeBuild accepts about 5,500 characters for all variables


@pytest.mark.parametrize(
    ("gated", "secret", "warned"), [(True, "", True), (True, "hub-token", False), (False, "", False)]
)
def test_a_gated_model_without_a_token_is_a_warning(gated: bool, secret: str, warned: bool) -> None:
    stack = cdk.Stack()
    ModelImport(
        stack, "Import", settings=Settings(hub_token_secret=secret), bucket=Bucket(stack, "Store"),
        model=read_model("sd-1.5", ROOT).model_copy(update={"gated": gated}), code="0" * 16,
    )  # fmt: skip
    found = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp(r"\[ack: easel:gated\]"))
    assert bool(found) is warned


_LINK = UrlSource(url="https://models.example.org/x", sha256="0" * 64)


@pytest.mark.parametrize(
    ("source", "key", "secret"),
    [(_LINK, "model_token_secret", "model-token"), (None, "token_secret", "hub-token")],
)
def test_a_source_gets_its_own_token(source: UrlSource | None, key: str, secret: str) -> None:
    stack, model = cdk.Stack(), read_model("sd-1.5", ROOT)
    ModelImport(
        stack, "Import", bucket=Bucket(stack, "Store"), code="0" * 16,
        settings=Settings(hub_token_secret="hub-token", model_token_secret="model-token"),
        model=model.model_copy(update={"source": source}) if source else model,
    )  # fmt: skip
    template = Template.from_stack(stack)
    (imported,) = template.find_resources(IMPORT_RESOURCE).values()
    request = json.loads(imported["Properties"]["Request"])
    assert {name: value for name, value in request.items() if name.endswith("token_secret")} == {key: secret}
    policies = json.dumps(template.find_resources("AWS::IAM::Policy"))
    assert [name for name in ("hub-token", "model-token") if f":secret:{name}" in policies] == [secret]


@pytest.mark.parametrize(("sha256", "refused"), [(None, True), ("0" * 64, False)])
def test_a_link_without_a_hash_is_refused(sha256: str | None, refused: bool) -> None:
    """As an error of the assembly: `cdk deploy` stops at it, `cdk destroy` does not."""
    stack = cdk.Stack()
    model = read_model("sd-1.5", ROOT).model_copy(update={"source": _LINK.model_copy(update={"sha256": sha256})})
    ModelImport(stack, "Import", bucket=Bucket(stack, "Store"), code="0" * 16, settings=Settings(), model=model)
    errors = Annotations.from_stack(stack).find_error("*", Match.string_like_regexp("sd-1.5: .* no sha256 .*pull"))
    assert bool(errors) is refused


@pytest.mark.parametrize("base", [None, _LINK])
def test_extras_of_other_origins_may_be_read(base: UrlSource | None) -> None:
    stack, model = cdk.Stack(), read_model("sd-1.5", ROOT)
    link = ExtraLink(kind="url", url="https://a.test/1")
    stored = ExtraObject(kind="s3", uri="s3://mine/styles/a.safetensors")
    file = ExtraFile(repository="a/b", revision="main", file="a.safetensors")
    loras = tuple(Lora(id=source.kind, sha256="0" * 64, source=source) for source in (link, stored, file))
    ModelImport(
        stack, "Import", bucket=Bucket(stack, "Store"), code="0" * 16,
        settings=Settings(hub_token_secret="hub-token", model_token_secret="model-token"),
        model=model.model_copy(update={"loras": loras, "source": base or model.source}),
    )  # fmt: skip
    template = Template.from_stack(stack)
    (imported,) = template.find_resources(IMPORT_RESOURCE).values()
    request = json.loads(imported["Properties"]["Request"])
    assert (request["token_secret"], request["model_token_secret"]) == ("hub-token", "model-token")
    assert [lora["source"]["kind"] for lora in request["source"]["loras"]] == ["url", "s3", "hub"]
    policies = json.dumps(template.find_resources("AWS::IAM::Policy"))
    assert ":s3:::mine/styles/a.safetensors*" in policies
    assert all(f":secret:{name}" in policies for name in ("hub-token", "model-token"))


def test_the_release_waits_for_the_import(hub: Assembly) -> None:
    (imported,) = hub.resources(IMPORT_RESOURCE)
    release = hub.only("Custom::EaselRelease")
    assert release["Prefix"] == {"Fn::GetAtt": [imported, "Prefix"]}
    assert [part["Below"] for part in release["Parts"]] == ["code/"]


def test_a_secret_may_be_named_by_arn_with_or_without_its_random_suffix() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hub-token"
    role = iam.Role(cdk.Stack(), "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))
    _allow_secret(role, arn)
    (policy,) = Template.from_stack(cdk.Stack.of(role)).find_resources("AWS::IAM::Policy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Resource"] == [arn, f"{arn}-??????"]


def test_the_import_may_read_one_secret(hub: Assembly) -> None:
    (statement,) = (
        statement
        for policy in hub.resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "secretsmanager:GetSecretValue"
    )
    assert statement["Resource"]["Fn::Join"][1][-1] == ":secret:hub-token-??????"


def test_the_build_has_the_rights_that_aws_asks_for_to_read_its_source(hub: Assembly) -> None:
    """CodeBuild's guide: `GetObject`, `GetObjectVersion`, `GetBucketAcl` and `GetBucketLocation`."""
    allowed = {
        action: json.dumps(statement["Resource"])
        for id, policy in hub.resources("AWS::IAM::Policy").items()
        if id.startswith("ReleaseImportRole")
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in statement["Action"]
        if "cdk-hnb659fds-assets" in json.dumps(statement["Resource"])
    }
    assert set(allowed) == {
        f"s3:{verb}" for verb in ("GetObject", "GetObjectVersion", "GetBucketAcl", "GetBucketLocation")
    }
    for verb, resource in allowed.items():
        assert (".zip" in resource) is verb.startswith("s3:GetObject")


def test_the_log_group_has_a_fixed_name_that_synthesis_prints(hub: Assembly) -> None:
    names = [group["Properties"].get("LogGroupName") for group in hub.resources("AWS::Logs::LogGroup").values()]
    assert "/easel/EaselModel/import" in names
    files: list[Path] = [hub.folder / "manifest.json", *hub.folder.glob("*.metadata.json")]
    assert any("aws logs tail /easel/EaselModel/import --follow" in file.read_text() for file in files)


def test_a_local_folder_needs_no_build(default: Assembly) -> None:
    assert default.resources(PROJECT) == {}


@pytest.mark.parametrize("key", ["hub_token_secret", "model_token_secret"])
@pytest.mark.parametrize("secret", ["hf_abc", "a b", "arn:aws:s3:::x", "x" * 513])
def test_a_secret_is_a_name_and_never_the_token(secret: str, key: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_settings({key: secret})
    assert error.value.key == key


@pytest.mark.parametrize("url", ["http://hub", "https://", "https://hub?x", "hub"])
def test_a_token_is_sent_by_https_only(url: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_settings({"hub_url": url})
    assert (error.value.code, error.value.key) == ("wrong_form", "hub_url")
