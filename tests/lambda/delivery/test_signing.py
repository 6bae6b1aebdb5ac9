"""Signatures, verified by the library that receivers use."""

import base64
import json
from typing import Any

import pytest
from fakes import FakeClock, MemoryStore
from standardwebhooks import Webhook, WebhookVerificationError

from contract import EaselError
from webhooks import signing
from webhooks.signing import OVERLAP_SECONDS, SECRET_BYTES, SigningSecrets

OWNER, OTHER = "0123456789abcdef", "f" * 16
BODY = '{"type":"job.completed","data":{"prompt":["ein rötlicher Apfel 🍎"]}}'


class World:
    """Secrets in memory. The clock starts at the real time, which the library compares with."""

    def __init__(self) -> None:
        import time

        self.store, self.clock = MemoryStore(), FakeClock()
        self.clock.time = time.time()
        self.secrets = SigningSecrets(self.store, self.clock.now)

    def headers(self, owner: str = OWNER) -> dict[str, str]:
        return self.secrets.headers(owner, "msg_1", BODY.encode())


@pytest.fixture
def world() -> World:
    return World()


def verify(secret: str, headers: dict[str, str], body: str = BODY) -> Any:
    return Webhook(secret).verify(body, headers)


def test_the_library_accepts_a_signature_and_no_change(world: World) -> None:
    headers, secret = world.headers(), world.secrets.current(OWNER)
    assert verify(secret, headers) == json.loads(BODY)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == SECRET_BYTES
    later = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}
    for changed, body in ((headers, f"{BODY} "), ({**headers, "webhook-id": "msg_2"}, BODY), (later, BODY)):
        with pytest.raises(WebhookVerificationError):
            verify(secret, changed, body)


def test_each_owner_has_a_secret_that_stays(world: World) -> None:
    assert world.secrets.current(OWNER) == world.secrets.current(OWNER)
    assert world.secrets.current(OWNER) != world.secrets.current(OTHER)
    with pytest.raises(WebhookVerificationError):
        verify(world.secrets.current(OTHER), world.headers())
    assert SigningSecrets(world.store, world.clock.now).current(OWNER) == world.secrets.current(OWNER)


def test_after_a_rotation_both_secrets_verify_for_a_day(world: World) -> None:
    old = world.secrets.current(OWNER)
    new = world.secrets.rotate(OWNER)
    assert new == world.secrets.current(OWNER) != old
    headers = world.headers()
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert verify(old, headers) == verify(new, headers)
    world.clock.time += OVERLAP_SECONDS - 1
    assert len(world.headers()["webhook-signature"].split(" ")) == 2
    world.clock.time += 1
    assert len(world.headers()["webhook-signature"].split(" ")) == 1


def test_two_first_calls_agree(world: World) -> None:
    create = world.store.create

    def create_later(key: str, body: bytes) -> bool:
        world.store.create = create  # type: ignore[method-assign]
        SigningSecrets(world.store, world.clock.now).current(OWNER)
        return create(key, body)

    world.store.create = create_later  # type: ignore[method-assign]
    assert world.secrets.current(OWNER) == world.secrets.current(OWNER)


def test_a_damaged_secret_is_an_error_that_a_rotation_repairs(world: World) -> None:
    world.secrets.current(OWNER)
    world.store.objects[f"webhooks/{OWNER}.json"] = b'{"key": "whsec_short"}'
    with pytest.raises(EaselError) as error:
        world.headers()
    assert error.value.code == "record_damaged"
    assert "whsec_short" not in repr(error.value)
    assert world.secrets.rotate(OWNER) == world.secrets.current(OWNER)


def test_no_secret_is_in_a_representation(world: World) -> None:
    secret = world.secrets.current(OWNER)
    assert secret not in repr(signing._SECRETS.validate_json(world.store.objects[f"webhooks/{OWNER}.json"]))
