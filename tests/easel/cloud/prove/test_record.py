"""The record of `easel prove` identifies nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from easel.cloud.prove.record import mask, write
from easel.cloud.prove.state import FAILED, Outcome
from easel.console.errors import CommandError
from tests.easel.cloud.prove.fake_run import CODES, new_state

ACCOUNT, KEY = "123456789012", "Ab3" + "d" * 37
SECRETS = {
    "an ARN": (f"User: arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice is not", ("alice", ACCOUNT, "Admin")),
    "an account in a bucket's name": (f"cdk-hnb659fds-assets-{ACCOUNT}-us-east-1", (ACCOUNT,)),
    "a short account": ("Account 1234…9012 as", ("1234…9012",)),
    "an access key": ("AKIAIOSFODNN7EXAMPLE and ASIAIOSFODNN7EXAMPLE", ("IOSFODNN7",)),
    "an API key": (f"x-api-key {KEY}", (KEY,)),
    "a link": (
        "see https://0a1b.execute-api.eu-west-1.amazonaws.com/v1/jobs?X-Amz-Signature=1f",
        ("0a1b", "Signature"),
    ),
    "a host": ("connect to d111.cloudfront.net failed", ("d111",)),
    "an address of mail": ("mail to alice@example.com", ("alice", "example.com")),
    "an id": ("stack 0e6dfbd9-4568-11ef-9262-0242ac120002", ("0e6dfbd9", "0242ac120002")),
    "a job": (f"GET /jobs/{'0123456789a' * 4}", ("0123456789a",)),
    "a network address": ("from 203.0.113.7 refused", ("203.0.113.7",)),
    "the prompt": ("the prompt is 'red apple'", ("red apple",)),
    "a folder": (f"{Path.home()}/.aws/config", (str(Path.home()),)),
}


@pytest.mark.parametrize("name", SECRETS)
def test_what_identifies_somebody_is_masked(name: str) -> None:
    text, hidden = SECRETS[name]
    masked = mask(text)
    assert "<" in masked or "~" in masked
    assert [part for part in hidden if part in masked] == []


def test_words_of_aws_stay_readable() -> None:
    text = (
        f"User: arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform: sagemaker:CreateEndpoint on resource: "
        f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:endpoint/easel-prove-abcd-async (Service: SageMaker, Status Code: 400)"
    )
    assert mask(text) == (
        "User: <arn of iam> is not authorized to perform: sagemaker:CreateEndpoint on resource: <arn of sagemaker> "
        "(Service: SageMaker, Status Code: 400)"
    )
    for text in ("diffusers 0.38.0, torch 2.6.0", "1234 USD", "EaselProveAbcdModel is ROLLBACK_COMPLETE", "42.5 s"):
        assert mask(text) == text


def test_a_record_that_cannot_be_written_is_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="record cannot be written"):
        write(new_state(), tmp_path / "missing")


def test_record_has_each_step_and_the_words_of_a_failure(tmp_path: Path) -> None:
    state = new_state(context=["model=emoji", "domain_name=images.example.com"])
    facts = {"a|b": "c"}
    state.outcomes = [
        Outcome(
            "deploy", FAILED, "2026-11-29 03:00:00", 61.4, 0.12, error=["Error: no", "  why   ResourceLimitExceeded"]
        ),
        Outcome("deploy", "passed", "2026-11-29 04:00:00", 600.0, 0.2, facts),
    ]
    text = write(state, tmp_path, ["images.example.com"]).read_text(encoding="utf-8")
    assert [code for code in CODES if f"\n| {code} |" not in text] == []
    assert "| deploy | passed | 2026-11-29 04:00:00 | 600 | 0.20 | a\\|b: c |" in text
    assert "      why   ResourceLimitExceeded" in text
    assert "images.example.com" not in text
