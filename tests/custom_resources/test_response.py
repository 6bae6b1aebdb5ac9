"""The response to CloudFormation: where it is sent, and what its reason contains."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_resources.response import make_handler
from tests.custom_resources.cloudformation import CloudFormation, Context


@pytest.mark.parametrize(
    "url",
    [
        "file://{file}", "file:{file}", "FILE://localhost{file}", "data:text/plain,x", "ftp://127.0.0.1/x",
        "http://169.254.169.254/x", "http://easel.example/x", "http://127.0.0.1.easel.example/x", "{file}", "",
    ],
)  # fmt: skip
def test_a_response_goes_to_https_only(cloudformation: CloudFormation, tmp_path: Path, url: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("unchanged")
    event = cloudformation.event("Create", {}) | {"ResponseURL": url.format(file=canary)}
    with pytest.raises(ValueError, match="ResponseURL"):
        make_handler(lambda _: ("id", {}))(event, Context())
    assert canary.read_text() == "unchanged"


def test_a_reason_has_no_control_characters(cloudformation: CloudFormation) -> None:
    """It may name a file of a hub, and the CDK prints it on a terminal."""

    def fail(event: object) -> None:
        raise ValueError("unet/\x1b]0;title\x07\u202egpj.bin 熊猫\nline")

    make_handler(fail)(cloudformation.event("Create", {}), Context())
    reason = cloudformation.responses[0]["Reason"]
    assert reason.startswith("ValueError: unet/\\x1b]0;title\\x07\\u202egpj.bin 熊猫\nline")
