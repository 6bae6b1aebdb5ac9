"""A release folder and its variables, both made by the stacks: what SageMaker would give to the container."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import aws_cdk as cdk
import boto3
from moto import mock_aws

import app
from custom_resources.release import publish
from tests.deploy.emulator.sagemaker.container import download_model
from tests.deploy.harness.environment import ROOT

SETTINGS = {"model": "emoji", "instance_type": "ml.m5.large", "site": "off"}
NOBODY = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}


def make(folder: Path, scratch: Path) -> dict[str, str]:
    """Synthesises the app, has the release's own function write its parts, and copies the prefix as SageMaker does.

    Returns the variables of the SageMaker model.
    """
    template = _synthesise(scratch / "cdk.out")
    asked = _only(template, "Custom::EaselRelease")
    with mock.patch.dict(os.environ, NOBODY), mock_aws():
        s3 = boto3.client("s3")
        for bucket in ("assets", "store"):
            s3.create_bucket(Bucket=bucket)
        parts = [{**part, "Bucket": "assets", "Key": _upload(s3, part["Key"], scratch)} for part in asked["Parts"]]
        publish({"ResourceProperties": {**asked, "Bucket": "store", "Parts": parts}}, lambda: math.inf)
        source = {"S3DataType": "S3Prefix", "CompressionType": "None", "S3Uri": f"s3://store/{asked['Prefix']}"}
        download_model(s3, source, folder)
    environment: dict[str, str] = _only(template, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    return environment


def weights(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of weights below a folder, by its path there."""
    files = sorted(folder.rglob("*.safetensors"))
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _synthesise(out: Path) -> dict[str, Any]:
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    root = cdk.App(outdir=str(out), context=flags | SETTINGS)
    app.create_stacks(root, env=cdk.Environment(account="123456789012", region="us-east-1"))
    root.synth()
    template: dict[str, Any] = json.loads((out / "EaselModel.template.json").read_text())
    return template


def _only(template: Mapping[str, Any], kind: str) -> Any:
    (found,) = (one["Properties"] for one in template["Resources"].values() if one["Type"] == kind)
    return found


def _upload(s3: Any, key: str, scratch: Path) -> str:
    """The asset as the CDK's command line sends it: the staged folder as a zip."""
    staged = scratch / "cdk.out" / f"asset.{Path(key).stem}"
    archive = shutil.make_archive(str(scratch / staged.name), "zip", staged)
    s3.upload_file(archive, "assets", key)
    return key
