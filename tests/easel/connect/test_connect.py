"""`easel connect`: settings that their languages can read, without the key unless it is requested."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from easel.cli import app
from easel.cloud import account
from easel.connect.clients import CLIENTS
from easel.connect.settings import Settings
from tests.easel.cloud.test_outputs import KEY, STACKS, aws_with, stack
from tests.easel.running import EASEL, ROOT, Laptop, free_port

Connect = Callable[..., Result]
NAMES = sorted(CLIENTS)
TRICKY = "k\"e'y $(touch canary) `x` \\"
"""A key that HTTP can carry."""


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Connect:
    """Run `easel connect` with arguments. No service is at the default address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["easel"])
    for variable in ("EASEL_URL", "EASEL_KEY", "EASEL_NAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("easel.connect.command.SECONDS", 0.5)

    def run(*arguments: str, **variables: str) -> Result:
        url = () if "--url" in arguments or "--stack" in arguments else ("--url", f"http://127.0.0.1:{free_port()}")
        result = CliRunner().invoke(app, ["connect", *arguments, *url], env=variables)
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    return run


def check_syntax(language: str, text: str, folder: Path) -> None:
    if language == "python":
        ast.parse(text)
    elif language == "json":
        json.loads(text)
    elif language == "yaml":
        assert isinstance(yaml.safe_load(text), dict)
    elif language == "sh":
        subprocess.run(["sh", "-n", "-c", text], check=True)
    elif language == "js":
        (folder / "a.mjs").write_text(text, encoding="utf-8")
        subprocess.run(["node", "--check", "a.mjs"], cwd=folder, check=True)
    elif language == "env":
        assert all("=" in word for word in shlex.split(text))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shown", [True, False])
def test_the_settings_are_of_their_language(name: str, shown: bool, tmp_path: Path) -> None:
    root = "https://easel.example/a'b"
    for needs_key in (True, False):
        settings = Settings(root, TRICKY, shown, needs_key, 'mo"del', ("/home/a user/easel",))
        text = settings.render(CLIENTS[name])
        assert "{{" not in text
        check_syntax(CLIENTS[name].language, text, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_the_key_is_printed_on_request_only(connect: Connect, name: str) -> None:
    for arguments in (["--model", "m"], ["--model", "m", "--json"]):
        done = connect(name, *arguments, EASEL_KEY="s3cret-key")
        assert (done.exit_code, "s3cret-key" in done.output, "EASEL_KEY" in done.output) == (0, False, True)
    assert "s3cret-key" in connect(name, "--model", "m", "--show-key", "--key", "s3cret-key").stdout


def test_a_tricky_key_is_the_same_in_every_language() -> None:
    settings = Settings("https://easel.example", TRICKY, True, True)
    tree = ast.parse(settings.render(CLIENTS["openai-python"]))
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert {TRICKY, "https://easel.example/v1"} <= set(constants)
    assert json.loads(settings.render(CLIENTS["cursor"]))["mcpServers"]["easel"]["env"]["EASEL_KEY"] == TRICKY
    assert (
        yaml.safe_load(settings.render(CLIENTS["litellm-proxy"]))["model_list"][0]["litellm_params"]["api_key"]
        == TRICKY
    )
    assert f"IMAGE_GEN_OAI_API_KEY={TRICKY}" in shlex.split(settings.render(CLIENTS["librechat"]))
    assert f"x-api-key:{TRICKY}" in shlex.split(settings.render(CLIENTS["curl"]))


def test_a_laptop_takes_any_key(connect: Connect) -> None:
    text = connect("openai-python").stdout
    assert ('api_key="local"' in text, "import os" in text) == (True, False)
    assert "EASEL_KEY" not in connect("openai-python").stderr
    refused = connect("openai-python", "--show-key")
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_standard_output_is_a_program_that_runs(laptop: Laptop, tmp_path: Path) -> None:
    program = subprocess.run(
        [*EASEL, "connect", "python", "--url", laptop.url], cwd=ROOT, capture_output=True, text=True
    )
    command = [sys.executable, "-c", program.stdout]
    subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True)
    assert (tmp_path / "apple.png").read_bytes().startswith(b"\x89PNG")


def test_the_model_is_the_services_first(connect: Connect, laptop: Laptop) -> None:
    done = connect("openai-js", "--url", laptop.url)
    assert ('model: "emoji"' in done.stdout, "tried" in done.stderr) == (True, False)
    done = connect("openai-js")
    assert ('model: "easel"' in done.stdout, "does not respond" in done.stderr) == (True, True)
    assert 'model: "mine"' in connect("openai-js", "--model", "mine").stdout


def test_the_deployed_service(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = aws_with(*STACKS)
    monkeypatch.setattr(account, "open_account", lambda *_, **__: aws.account())
    text = connect("openai-python", "--stack", "--model", "m").stdout
    assert 'base_url="https://d111.cloudfront.net/v1", api_key=os.environ["EASEL_KEY"]' in text
    done = connect("sillytavern", "--stack", "--model", "m", "--show-key")
    assert f"easel:{KEY}" in done.stdout
    assert "root of a domain" not in done.stderr
    aws = aws_with(stack("EaselApi", ApiUrl="https://x.execute-api.eu-west-1.amazonaws.com/v1/"))
    assert "root of a domain" in connect("sillytavern", "--stack", "--model", "m").stderr


def test_all_clients_are_listed(connect: Connect) -> None:
    lines = connect().stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(CLIENTS)
    listed: list[dict[str, Any]] = json.loads(connect("--json").stdout)
    assert [item["client"] for item in listed] == list(CLIENTS)


@pytest.mark.parametrize(
    ("name", "near"), [("openai-pyton", "openai-python"), ("OPENAI", "openai-js"), ("claude", "claude-desktop")]
)
def test_an_unknown_client_names_those_that_are_near(connect: Connect, name: str, near: str) -> None:
    done = connect(name)
    assert (done.exit_code, done.stdout, near in done.stderr) == (2, "", True)


@pytest.mark.parametrize("url", ["127.0.0.1", "http://me:hunter2@127.0.0.1", "http://[::1"])
def test_an_invalid_url(connect: Connect, url: str) -> None:
    done = connect("curl", "--url", url)
    assert (done.exit_code, done.stdout, "hunter2" in done.output) == (2, "", False)


def test_assistants_start_the_program_by_its_path(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/easel"])
    server = json.loads(connect("claude-desktop").stdout)["mcpServers"]["easel"]
    assert (server["command"], server["args"]) == (str(Path(".venv/bin/easel").absolute()), ["mcp"])
    monkeypatch.setattr(sys, "argv", ["__main__.py"])
    server = json.loads(connect("claude-desktop").stdout)["mcpServers"]["easel"]
    assert (server["command"], server["args"]) == (sys.executable, ["-m", "easel", "mcp"])
