"""The owner of a job is the caller that the gateway verified, and nobody else."""

from typing import Any

import pytest
from fakes import World, event
from test_native import problem

APPLE = {"prompt": "a red apple", "seed": 7}
ROLE = "arn:aws:sts::123456789012:assumed-role/Caller"
USER = "arn:aws:iam::123456789012:user/somebody"


def sent_by(identity: Any, path: str = "/jobs", method: str = "POST") -> dict[str, Any]:
    """Return an event with what the gateway says of the caller, who also sends a header x-api-key."""
    sent = event(method, path, APPLE, headers={"x-api-key": "chosen"})
    sent["requestContext"] |= {"authorizer": identity, "identity": identity}
    return sent


def owners(auth: str, *identities: Any) -> list[str]:
    world = World(auth=auth)
    for identity in identities:
        assert world.send(sent_by(identity))["statusCode"] == 202
    return [ticket.owner for ticket in world.endpoint.submitted]


def test_with_keys_each_key_is_an_owner() -> None:
    found = owners(
        "key",
        {"owner": "a" * 16, "apiKeyId": "x"},
        {"owner": "b" * 16, "apiKeyId": "x"},
        {"owner": "a" * 16, "apiKeyId": "y", "userArn": USER},
    )
    assert found == ["a" * 16, "b" * 16, "a" * 16]


def test_with_iam_each_user_and_role_is_an_owner_in_every_session() -> None:
    first, again, user, role, partition = owners(
        "iam",
        {"userArn": f"{ROLE}/a"},
        {"userArn": f"{ROLE}/b"},
        {"userArn": USER},
        {"userArn": "arn:aws:sts::210987654321:assumed-role/Caller/a"},
        {"userArn": "arn:aws-cn:sts::123456789012:assumed-role/Caller/a"},
    )
    assert first == again
    assert len({first, user, role, partition}) == 4


def test_with_iam_a_caller_cannot_choose_the_owner_by_a_key() -> None:
    signed = {"userArn": f"{ROLE}/a"}
    plain, with_key, with_id = owners("iam", signed, {**signed, "apiKey": "victim"}, {**signed, "apiKeyId": "victim"})
    assert plain == with_key == with_id


def test_without_authentication_all_callers_are_one_owner() -> None:
    found = owners("none", {}, None, {"apiKey": "x"}, {"apiKeyId": "x"}, {"userArn": USER})
    assert len(set(found)) == 1


UNVERIFIED = [
    *(("key", identity) for identity in ({}, None, {"apiKeyId": "x", "apiKey": "x"}, {"owner": ""}, {"owner": None},
                                         {"owner": 7}, {"owner": ["a" * 16]}, {"owner": "a" * 17},
                                         {"owner": "A" * 16}, {"owner": "../jobs/aaaaaaa"}, {"userArn": USER})),
    *(("iam", identity) for identity in ({}, None, {"apiKeyId": "x", "owner": "a" * 16}, {"userArn": ""},
                                         {"userArn": None}, {"userArn": 7}, {"userArn": "somebody"},
                                         {"userArn": "anonymous"}, {"userArn": f"{USER} x"},
                                         {"userArn": "arn:aws:iam::1:user/x"}, {"user": "x", "caller": "x"})),
]  # fmt: skip


@pytest.mark.parametrize(("auth", "identity"), UNVERIFIED, ids=str)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/jobs"), ("GET", "/jobs"), ("GET", "/health"), ("HEAD", "/health")]
)
def test_an_event_without_a_verified_caller_is_refused(auth: str, identity: Any, method: str, path: str) -> None:
    world = World(auth=auth)
    response = world.send(sent_by(identity, path, method))
    if method == "HEAD":
        assert (response["statusCode"], response["body"]) == (401, "")
    else:
        problem(response, 401, "unauthorized")
    assert world.store.objects == {}


def test_a_preflight_needs_no_caller() -> None:
    for auth in ("key", "iam", "none"):
        assert World(auth=auth).send(sent_by(None, method="OPTIONS"))["statusCode"] == 204
