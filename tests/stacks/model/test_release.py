"""Releases: named by content, written within a time limit, and expired after the endpoint's update."""

from __future__ import annotations

import json
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from custom_resources import release_expiry
from stacks.config.catalogue import CatalogueError, read_model
from stacks.config.settings import Settings
from stacks.model.release.release import Release
from tests.stacks.assembly import ENTRY, FOLDER, Assembly, write_files


def release_prefix(folder: Path, files: dict[str, str]) -> str:
    """Write `files`, and return the prefix of a release of `folder/weights` and `folder/code`."""
    write_files(folder, files)
    app = cdk.App(outdir=str(folder / "out"))
    stack = cdk.Stack(app, "S")
    bucket = s3.Bucket(stack, "B")
    (folder / "weights.json").write_text(
        json.dumps({**ENTRY, "id": "weights", "source": {"kind": "folder", "path": "weights"}})
    )
    model = read_model(str(folder / "weights"), folder)
    Release(stack, "R", settings=Settings(), bucket=bucket, model=model, code=folder / "code")
    template = app.synth().get_stack_by_name("S").template
    (resource,) = (r for r in template["Resources"].values() if r["Type"] == "Custom::EaselRelease")
    return str(resource["Properties"]["Prefix"])


def test_a_release_is_named_by_its_content(tmp_path: Path) -> None:
    files = {**{f"weights/{name}": text for name, text in FOLDER.items()}, "code/inference.py": "a = 1"}
    ignored = {
        "weights/README.md": "x",
        "weights/unet/diffusion_pytorch_model.bin": "x",
        "weights/unet/evil.py": "x",
        "code/__pycache__/inference.cpython-312.pyc": "x",
        "code/.mypy_cache/x.json": "x",
    }
    first = release_prefix(tmp_path / "first", files)
    assert release_prefix(tmp_path / "ignored", {**files, **ignored}) == first
    (staged,) = (path.parent for path in (tmp_path / "ignored/out").rglob("model_index.json"))
    assert {path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()} == {*FOLDER}
    code = release_prefix(tmp_path / "code", {**files, "code/inference.py": "a = 2"})
    weights = release_prefix(tmp_path / "weights", {**files, "weights/unet/config.json": "{ }"})
    special = release_prefix(tmp_path / "special", {**files, "weights/unet/*[a] !.json": "{}"})
    assert len({first, code, weights, special}) == 4


def test_a_symbolic_link_in_the_model_folder_is_refused(tmp_path: Path) -> None:
    files = {**{f"weights/{name}": text for name, text in FOLDER.items()}, "code/inference.py": "a = 1"}
    write_files(tmp_path, files)
    (tmp_path / "weights/unet/link.json").symlink_to("config.json")
    with pytest.raises(CatalogueError, match=r"unet/link\.json"):
        release_prefix(tmp_path, {})


def test_a_release_has_a_time_limit(default: Assembly) -> None:
    release = default.only("Custom::EaselRelease")
    assert release["ServiceTimeout"] == "960"
    assert release["Prefix"].startswith("releases/")
    assert release["Prefix"].endswith("/")
    assert [part["Below"] for part in release["Parts"]] == ["", "code/"]


def test_the_lifecycle_rule_has_the_tag_of_the_expiry(default: Assembly) -> None:
    rules = default.only("AWS::S3::Bucket", "EaselStorage")["LifecycleConfiguration"]["Rules"]
    (rule,) = (rule for rule in rules if rule.get("TagFilters"))
    assert (rule["Prefix"], rule["TagFilters"], rule["Status"]) == ("releases/", [release_expiry.TAG], "Enabled")


def test_releases_expire_after_the_endpoint_runs_the_new_one(default: Assembly) -> None:
    (endpoint,) = default.resources("AWS::SageMaker::Endpoint")
    (expiry,) = default.resources("Custom::EaselReleaseExpiry").values()
    (release,) = default.resources("Custom::EaselRelease")
    assert endpoint in expiry["DependsOn"]
    assert expiry["Properties"]["Uris"] == [{"Fn::GetAtt": [release, "Uri"]}]
