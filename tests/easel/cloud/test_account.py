"""Clients, regions and pages of an AWS account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from easel.cloud.account import aws_errors, open_account, validate_region
from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from tests.easel.cloud.fake_aws import REGION, FakeAws
from tests.easel.running import EASEL, ROOT
from tests.easel.tls import write_certificate


def test_an_account_creates_each_client_once() -> None:
    account = FakeAws().account()
    assert account.client("sagemaker") is account.client("sagemaker", REGION)
    assert account.client("sagemaker", "us-east-1").meta.region_name == "us-east-1"


def test_pages_without_a_paginator_in_boto3_are_read() -> None:
    def page(request: dict[str, str]) -> dict[str, Any]:
        is_last = request.get("NextMarker") == "m"
        return {"WebACLs": [{"Name": "b" if is_last else "a"}], "NextMarker": "m"}

    aws = FakeAws(**{"wafv2.ListWebACLs": page})
    acls = aws.account().items("wafv2", "list_web_acls", "WebACLs", Scope="REGIONAL")
    assert [acl["Name"] for acl in acls] == ["a", "b"]


def test_without_boto3_the_error_names_its_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(CommandError, match="boto3") as caught:
        open_account(REGION)
    assert caught.value.code == ENVIRONMENT
    assert "requirements.txt" in caught.value.fix


def test_the_region_is_the_one_that_the_cdk_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_REGION has precedence. boto3 alone does not read it."""
    with pytest.raises(CommandError) as caught:
        open_account(None)
    assert (caught.value.code, caught.value.where) == (ENVIRONMENT, "AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert open_account(None).region == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert open_account(None).region == "eu-west-3"
    assert open_account("cn-north-1", default_region="us-east-1").partition == "aws-cn"
    assert open_account(None, default_region="us-east-1").region == "eu-west-3"


def test_the_profile_is_the_one_that_the_cdk_would_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_PROFILE has precedence over AWS_DEFAULT_PROFILE, and keys in variables over both. boto3 alone differs."""
    keys = "aws_access_key_id = {0}\naws_secret_access_key = x\nregion = {1}\n"
    config = tmp_path / "config"
    config.write_text(f"[profile a]\n{keys.format('A', 'us-west-1')}[profile b]\n{keys.format('B', 'us-west-2')}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    def found(**variables: str) -> tuple[str, str]:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            account = open_account(None)
            return account._session.get_credentials().access_key, account.region

    assert found(AWS_PROFILE="a", AWS_DEFAULT_PROFILE="b") == ("A", "us-west-1")
    assert found(AWS_PROFILE="", AWS_DEFAULT_PROFILE="b") == ("B", "us-west-2")
    assert found(AWS_PROFILE="b") == ("B", "us-west-2")
    static = {"AWS_ACCESS_KEY_ID": "C", "AWS_SECRET_ACCESS_KEY": "x"}
    assert found(AWS_PROFILE="a", AWS_DEFAULT_PROFILE="b", **static) == ("C", "us-west-1")


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no PEM"])
def test_a_file_without_certificates_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv(variable, str(file))
    with pytest.raises(CommandError) as caught:
        open_account(REGION)
    assert (caught.value.code, caught.value.where) == (ENVIRONMENT, f"{variable}={file}")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle in ~/.aws/config"])
@pytest.mark.parametrize("create", [os.mkfifo, os.mkdir])
def test_certificates_that_are_no_file_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, create: Callable[[Path], None]
) -> None:
    path, config = tmp_path / "ca.pem", tmp_path / "config"
    create(path)
    config.write_text(f"[default]\nca_bundle = {path}\n")
    if "config" in variable:
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    else:
        monkeypatch.setenv(variable, str(path))
    with pytest.raises(CommandError) as caught:
        open_account(REGION)
    assert (caught.value.code, caught.value.where) == (ENVIRONMENT, f"{variable}={path}")


def test_a_certificate_of_an_unknown_authority_is_no_network_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = write_certificate(tmp_path / "ca.pem").wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        with pytest.raises(CommandError) as caught, aws_errors():
            open_account(REGION).client("sts").get_caller_identity()
        server.shutdown()
    assert (caught.value.code, caught.value.where) == (ENVIRONMENT, "AWS_CA_BUNDLE")
    assert "AWS_CA_BUNDLE" in caught.value.fix


def test_an_mfa_role_without_a_terminal_is_a_failed_check(tmp_path: Path) -> None:
    """The doctor still lists the other checks."""
    config = tmp_path / "config"
    arn = "arn:aws:iam::123456789012"
    config.write_text(
        f"[profile mine]\nrole_arn = {arn}:role/r\nmfa_serial = {arn}:mfa/m\nsource_profile = base\n"
        "[profile base]\naws_access_key_id = x\naws_secret_access_key = x\n"
    )
    variables = {**os.environ, "AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "mine", "PYTHONPATH": str(ROOT)}
    command = [*EASEL, "doctor", "--json", "--region", REGION]
    no_terminal: Any = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, **no_terminal)
    checks = {check["code"]: check for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, checks["account"]["status"], checks["stacks"]["status"]) == (1, "failed", "unknown")
    assert "MFA" in checks["account"]["message"]
    assert checks["account"]["remedy"]


@pytest.mark.parametrize("name", ["Frankfurt", "us-east", "us-east-1a", ""])
def test_a_malformed_region_is_a_usage_error(name: str) -> None:
    with pytest.raises(CommandError) as caught:
        validate_region(name)
    assert caught.value.code == USAGE
