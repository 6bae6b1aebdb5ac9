"""Keys, and the authorizer that identifies callers by them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from api_keys.authorizer import Authorizer, UnauthorizedError, owner_of_operator
from api_keys.keys import Key, new_key, parse_text, rotated

NOW = 1_800_000_000.0
METHOD = "arn:aws:execute-api:us-east-1:123456789012:abc/v1/GET/jobs"


class Keys:
    def __init__(self, *keys: Key) -> None:
        self.keys = {key.id: key for key in keys}

    def find(self, id: str) -> Key | None:
        return self.keys.get(id)

    def all(self) -> Sequence[Key]:
        return list(self.keys.values())

    def put(self, key: Key) -> None:
        self.keys[key.id] = key


class StackKey:
    id = "stack-key"

    def __init__(self, text: str | None = "a text of the gateway's") -> None:
        self.text = text

    def value(self) -> str | None:
        return self.text


class Refused(list[tuple[str, str]]):
    def __call__(self, reason: str, id: str) -> None:
        self.append((reason, id))


def authorize(keys: Keys, key: str, path: str = "/jobs", operator: StackKey | None = None) -> tuple[Any, Refused]:
    refused = Refused()
    authorizer = Authorizer(
        keys=keys, operator=operator or StackKey(), usage_prefix="usage-", now=lambda: NOW, on_refused=refused
    )
    event = {"methodArn": METHOD, "path": path, "headers": {"X-Api-Key": key}, "multiValueHeaders": None}
    return authorizer(event), refused


def effect(response: Any) -> str:
    (statement,) = response["policyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("execute-api:Invoke", METHOD)
    return str(statement["Effect"])


def test_only_a_hash_of_the_secret_is_stored() -> None:
    text, key = new_key("alice", NOW, 8, [])
    parsed = parse_text(text)
    assert parsed
    assert parsed[0] == key.id
    assert parsed[1] not in json.dumps(asdict(key))
    assert key.matches(parsed[1], NOW)
    assert not key.matches("0" * 40, NOW)
    assert Key.from_dict({**asdict(key), "added later": 1}) == key


@pytest.mark.parametrize("text", ["", "easel_", "easel_0123456789abcdef_", "easel_0123456789ABCDEF_" + "0" * 40])
def test_any_other_text_is_no_key(text: str) -> None:
    assert parse_text(text) is None


def test_a_key_takes_the_slot_with_the_fewest_keys() -> None:
    keys: list[Key] = []
    for _ in range(7):
        keys.append(new_key("x", NOW, 3, keys)[1])
    assert [key.slot for key in keys] == [0, 1, 2, 0, 1, 2, 0]
    free = [replace(key, revoked_at=NOW) if key.slot == 1 else key for key in keys]
    assert new_key("x", NOW, 3, free)[1].slot == 1


def test_a_valid_key_is_allowed_and_names_owner_and_usage_key() -> None:
    text, key = new_key("alice", NOW, 8, [])
    response, refused = authorize(Keys(replace(key, slot=5)), text)
    assert effect(response) == "Allow"
    assert (response["context"], response["usageIdentifierKey"]) == ({"owner": key.id}, "usage-5")
    assert refused == []
    assert text not in json.dumps(response)


def test_the_stacks_key_counts_by_itself_and_keeps_its_owner() -> None:
    response, _ = authorize(Keys(), "a text of the gateway's")
    assert effect(response) == "Allow"
    assert response["usageIdentifierKey"] == "a text of the gateway's"
    assert response["context"] == {"owner": owner_of_operator("stack-key")}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"revoked_at": NOW - 1}, "revoked"), ({"expires_at": NOW}, "expired"), ({"hash": "0" * 64}, "unknown key")],
)
def test_an_invalid_key_is_denied_and_the_reason_is_logged(changes: dict[str, Any], reason: str) -> None:
    text, key = new_key("alice", NOW, 8, [])
    response, refused = authorize(Keys(replace(key, **changes)), text)
    assert (effect(response), response.keys()) == ("Deny", {"principalId", "policyDocument"})
    assert refused == [(reason, "" if reason == "unknown key" else key.id)]


def test_a_key_is_valid_until_the_second_of_its_expiry() -> None:
    text, key = new_key("alice", NOW, 8, [])
    assert effect(authorize(Keys(replace(key, expires_at=NOW + 1)), text)[0]) == "Allow"


@pytest.mark.parametrize("key", ["", "wrong", "easel_0123456789abcdef_" + "0" * 40, "\ud800"], ids=ascii)
def test_nobody_is_denied(key: str) -> None:
    response, refused = authorize(Keys(), key)
    assert effect(response) == "Deny"
    assert refused == [("unknown key" if key else "no key", "")]


def test_a_disabled_key_of_the_stack_is_denied() -> None:
    assert effect(authorize(Keys(), "", operator=StackKey(None))[0]) == "Deny"
    assert effect(authorize(Keys(), "a text of the gateway's", operator=StackKey(None))[0]) == "Deny"


@pytest.mark.parametrize("path", ["/sdapi/v1/txt2img", "/hf/text-to-image"])
def test_some_clients_get_a_challenge_for_a_password(path: str) -> None:
    """API Gateway responds UNAUTHORIZED if the exception has exactly this text."""
    with pytest.raises(UnauthorizedError, match=r"^Unauthorized$"):
        authorize(Keys(), "wrong", path=path)


def test_a_rotated_key_has_a_new_text_and_the_old_one_for_a_while() -> None:
    old, key = new_key("alice", NOW, 8, [])
    text, changed = rotated(key, NOW, 0)
    assert (changed.id, changed.name) == (key.id, key.name)
    assert effect(authorize(Keys(changed), text)[0]) == "Allow"
    assert effect(authorize(Keys(changed), old)[0]) == "Deny"
    text, changed = rotated(key, NOW, 1)
    assert [effect(authorize(Keys(changed), either)[0]) for either in (old, text)] == ["Allow", "Allow"]
    over = replace(changed, old_until=NOW)
    assert [effect(authorize(Keys(over), either)[0]) for either in (old, text)] == ["Deny", "Allow"]
