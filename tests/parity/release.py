"""A release folder and its variables as SageMaker would provide them. Both come from the stacks."""

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
DUMMY_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def create(folder: Path, scratch: Path) -> dict[str, str]:
    """Synthesize the app, publish the release with its own function, and copy it to `folder` as SageMaker does.

    Return the variables of the SageMaker model.
    """
    template = _synthesize(scratch / "cdk.out")
    properties = _only(template, "Custom::EaselRelease")
    with mock.patch.dict(os.environ, DUMMY_CREDENTIALS), mock_aws():
        s3 = boto3.client("s3")
        for bucket in ("assets", "store"):
            s3.create_bucket(Bucket=bucket)
        parts = [{**part, "Bucket": "assets", "Key": _upload(s3, part["Key"], scratch)} for part in properties["Parts"]]
        event = {"ResourceProperties": {**properties, "Bucket": "store", "Parts": parts}}
        publish(event, lambda: math.inf)
        source = {
            "S3DataType": "S3Prefix",
            "CompressionType": "None",
            "S3Uri": f"s3://store/{properties['Prefix']}",
        }
        download_model(s3, source, folder)
    variables: dict[str, str] = _only(template, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    return variables


def weight_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each weight file by its path below `folder`."""
    files = sorted(folder.rglob("*.safetensors"))
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _synthesize(output: Path) -> dict[str, Any]:
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    root = cdk.App(outdir=str(output), context=flags | SETTINGS)
    app.create_stacks(root, env=cdk.Environment(account="123456789012", region="us-east-1"))
    root.synth()
    template: dict[str, Any] = json.loads((output / "EaselModel.template.json").read_text())
    return template


def _only(template: Mapping[str, Any], resource_type: str) -> Any:
    """Return the properties of the only resource of a type."""
    resources = template["Resources"].values()
    (properties,) = (resource["Properties"] for resource in resources if resource["Type"] == resource_type)
    return properties


def _upload(s3: Any, key: str, scratch: Path) -> str:
    """Upload an asset as the CDK's command line does: the staged folder as a zip. Return its key."""
    staged = scratch / "cdk.out" / f"asset.{Path(key).stem}"
    archive = shutil.make_archive(str(scratch / staged.name), "zip", staged)
    s3.upload_file(archive, "assets", key)
    return key
