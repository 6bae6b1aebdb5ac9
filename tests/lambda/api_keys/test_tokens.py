"""Access tokens of people who sign in: real signatures, keys from a server, and forged tokens."""

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import BadStatusLine, IncompleteRead
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes import TABLE, create_table
from issuer import SCOPE, Issuer, run_issuer
from jwt.algorithms import RSAAlgorithm
from moto import mock_aws

import authorizer
from api_keys.authorizer import Authorizer
from api_keys.keys import Key
from api_keys.rs256 import parse_jwk
from api_keys.tokens import MAX_CHARACTERS, InvalidTokenError, Tokens, is_token, owner_of_user
from api_keys.users import Users
from aws.ledger import AccountTable
from aws.signing_keys import CACHE_SECONDS, PAUSE_SECONDS, IssuerKeys
from contract import EaselError

NOW = 1_800_000_000.0
METHOD = "arn:aws:execute-api:us-east-1:123456789012:abc/v1/GET/jobs"


@pytest.fixture(scope="module")
def shared() -> Iterator[Issuer]:
    with run_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with run_issuer() as issuer:
        yield issuer


def tokens(issuer: Issuer) -> Tokens:
    return Tokens(issuer=issuer.url, scope=SCOPE, keys=IssuerKeys(issuer.url))


def reason(issuer: Issuer, token: str, now: float = NOW) -> str:
    with pytest.raises(InvalidTokenError) as caught:
        tokens(issuer).verify(token, now)
    return str(caught.value)


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_token_names_its_user_and_the_owner_of_the_jobs(shared: Issuer) -> None:
    user = tokens(shared).verify(shared.token(NOW), NOW)
    assert (user.name, user.owner) == ("alice", owner_of_user(shared.url, shared.claims(NOW)["sub"]))
    assert len(user.owner) == 16
    other = tokens(shared).verify(shared.token(NOW, sub="another"), NOW)
    assert other.owner != user.owner


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Other"}, "token of another issuer"),
        ({"iss": None}, "token of another issuer"),
        ({"token_use": "id", "aud": "page"}, "not an access token"),
        ({"token_use": None}, "not an access token"),
        ({"scope": "aws.cognito.signin.user.admin", "client_id": "other"}, "token of another client"),
        ({"scope": f"{SCOPE}2 not{SCOPE}"}, "token of another client"),
        ({"scope": None}, "token of another client"),
        ({"scope": [SCOPE]}, "token of another client"),
        ({"exp": int(NOW)}, "expired token"),
        ({"exp": None}, "expired token"),
        ({"exp": True}, "token with a wrong time"),
        ({"exp": "9999999999"}, "token with a wrong time"),
        ({"nbf": int(NOW) + 61}, "token of the future"),
        ({"iat": int(NOW) + 61}, "token of the future"),
        ({"sub": None}, "token without a user"),
        ({"sub": ""}, "token without a user"),
        ({"username": 7}, "token without a user"),
    ],
)  # fmt: skip
def test_a_token_with_wrong_claims_is_refused(shared: Issuer, changes: dict[str, Any], expected: str) -> None:
    head, body = part({"alg": "RS256", "kid": "first"}), part(shared.claims(NOW, **changes))
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(f"{head}.{body}".encode(), shared.keys["first"])
    assert reason(shared, f"{head}.{body}.{part(signature)}") == expected


def test_a_token_is_valid_until_the_second_of_its_end_and_for_clocks_a_minute_apart(shared: Issuer) -> None:
    for token in (
        shared.token(NOW, exp=int(NOW) + 1), shared.token(NOW, nbf=int(NOW) + 60), shared.token(NOW, iat=int(NOW) + 60),
    ):  # fmt: skip
        tokens(shared).verify(token, NOW)


def forge_with_public_key(issuer: Issuer) -> str:
    """HS256 with the public key as the secret: accepted by libraries that let the token choose."""
    pem = issuer.keys["first"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'kid': 'first', 'typ': 'JWT'})}.{part(issuer.claims(NOW))}"
    return f"{signed}.{part(hmac.digest(pem, signed.encode(), 'sha256'))}"


def forge_with_own_key(issuer: Issuer) -> str:
    """The forger's key in the header, by which some libraries verify."""
    own = Issuer("")
    key = own.add_key("first")
    headers = {"kid": "first", "jwk": RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)}
    return jwt.encode(issuer.claims(NOW), key, "RS256", headers)


def changed_claims(issuer: Issuer) -> str:
    head, _, signature = issuer.token(NOW).split(".")
    return f"{head}.{part(issuer.claims(NOW, username='bob'))}.{signature}"


def short_signature(issuer: Issuer) -> str:
    return issuer.token(NOW)[:-4]


def large_signature(issuer: Issuer) -> str:
    """The signature plus the modulus: the same number modulo the key."""
    signed, _, signature = issuer.token(NOW).rpartition(".")
    number = int.from_bytes(base64.urlsafe_b64decode(signature + "=="), "big")
    modulus = issuer.keys["first"].public_key().public_numbers().n
    return f"{signed}.{part((number + modulus).to_bytes(257, 'big'))}"


FORGED: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "alg none": (lambda issuer: f"{part({'alg': 'none', 'kid': 'first'})}.{part(issuer.claims(NOW))}.", "RS256"),
    "alg None": (lambda issuer: f"{part({'alg': 'None', 'kid': 'first'})}.{part(issuer.claims(NOW))}.", "RS256"),
    "HS256": (forge_with_public_key, "RS256"),
    "own key": (forge_with_own_key, "signature"),
    "RS384": (lambda issuer: jwt.encode(issuer.claims(NOW), issuer.keys["first"], "RS384", {"kid": "first"}), "RS256"),
    "PS256": (lambda issuer: jwt.encode(issuer.claims(NOW), issuer.keys["first"], "PS256", {"kid": "first"}), "RS256"),
    "crit": (lambda issuer: jwt.encode(issuer.claims(NOW), issuer.keys["first"], "RS256",
                                       {"kid": "first", "crit": ["exp"]}), "RS256"),
    "no kid": (lambda issuer: jwt.encode(issuer.claims(NOW), issuer.keys["first"], "RS256"), "RS256"),
    "unknown kid": (lambda issuer: jwt.encode(issuer.claims(NOW), issuer.keys["first"], "RS256", {"kid": "x"}), "key"),
    "changed claims": (changed_claims, "signature"),
    "short signature": (short_signature, "signature"),
    "large signature": (large_signature, "signature"),
    "no signature": (lambda issuer: issuer.token(NOW).rpartition(".")[0] + ".", "signature"),
    "unpaired surrogate": (lambda issuer: issuer.token(NOW).replace(".", ".\ud800", 1), "signature"),
    "padding": (lambda issuer: issuer.token(NOW) + "==", "signature"),
    "too long": (lambda issuer: issuer.token(NOW, more="x" * MAX_CHARACTERS), "RS256"),
    "no JSON": (lambda issuer: f"eyJ.{part(issuer.claims(NOW))}.x", "not a token"),
    "deep JSON": (lambda issuer: f"{part(b'[' * 5000)}.x.x", "not a token"),
    "a list": (lambda issuer: f"{part([1])}.x.x", "not a token"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(shared: Issuer, name: str) -> None:
    forge, expected = FORGED[name]
    assert expected in reason(shared, forge(shared))


def test_a_small_exponent_or_a_short_or_foreign_key_verifies_nothing(shared: Issuer) -> None:
    (good,) = shared.document()["keys"]
    assert parse_jwk(good)
    short = Issuer("")
    short.add_key("short", 1024)
    for bad in ({**good, "e": "Aw"}, {**good, "kty": "EC"}, {**good, "use": "enc"}, {**good, "alg": "RS512"},
                {**good, "n": "*"}, {**good, "n": 7}, {"kty": "RSA"}, *short.document()["keys"]):  # fmt: skip
        assert parse_jwk(bad) is None


def test_only_texts_with_the_form_of_a_token_are_read(shared: Issuer) -> None:
    assert is_token(shared.token(NOW))
    for text in ("easel_0123456789abcdef_" + "0" * 40, "aBcD" * 10, "eyJ", "a.b.c"):
        assert not is_token(text)


# --- the issuer's keys ---------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_keys_are_read_once_and_again_for_a_new_one(issuer: Issuer) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, clock)
    assert [keys.find("first") is not None, keys.find("first") is not None, issuer.reads] == [True, True, 1]
    issuer.add_key("second")
    clock.time += PAUSE_SECONDS + 1
    assert keys.find("second")
    assert issuer.reads == 2


def test_unknown_ids_cannot_make_it_read_more_often(issuer: Issuer) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, clock)
    assert [keys.find(str(number)) for number in range(9)] == [None] * 9
    assert issuer.reads == 1
    clock.time += PAUSE_SECONDS
    keys.find("unknown")
    assert issuer.reads == 1
    clock.time += 1
    keys.find("unknown")
    assert issuer.reads == 2


def test_a_withdrawn_key_is_refused_after_an_hour(issuer: Issuer) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, clock)
    keys.find("first")
    del issuer.keys["first"]
    issuer.add_key("second")
    clock.time += CACHE_SECONDS
    assert keys.find("first")
    clock.time += 1
    assert keys.find("first") is None


def test_while_the_issuer_fails_known_keys_count_and_without_any_it_is_an_error(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, clock)
    issuer.status = 503
    with pytest.raises(EaselError) as caught:
        keys.find("first")
    assert caught.value.code == "upstream_unavailable"
    assert json.loads(capsys.readouterr().out)["level"] == "ERROR"
    issuer.status = 200
    clock.time += PAUSE_SECONDS + 1
    assert keys.find("first")
    issuer.status = 503
    clock.time += CACHE_SECONDS + 1
    assert keys.find("first")


@pytest.mark.parametrize("error", [IncompleteRead(b"{"), BadStatusLine("x"), TimeoutError(), RecursionError()])
def test_known_keys_count_while_the_answer_of_the_issuer_is_no_http(issuer: Issuer, error: Exception) -> None:
    clock = Clock()
    answers: list[Exception | bytes] = [error, json.dumps(issuer.document()).encode()]

    def read(_: str) -> bytes:
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = IssuerKeys("", clock, read)
    assert keys.find("first")
    clock.time += CACHE_SECONDS + 1
    assert keys.find("first")
    assert not answers


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [1, {"kty": "EC"}]}', b"\xff"])
def test_another_document_is_no_answer(body: bytes) -> None:
    with pytest.raises(EaselError):
        IssuerKeys("", read=lambda _: body).find("first")


# --- users ---------------------------------------------------------------------------------------


class Entries(dict[str, Key]):
    def find(self, id: str) -> Key | None:
        return self.get(id)

    def all(self) -> list[Key]:
        return list(self.values())

    def put(self, key: Key) -> None:
        self[key.id] = key

    def swap(self, old: Key | None, new: Key) -> bool:
        if self.get(new.id) != old:
            return False
        self[new.id] = new
        return True


class NoKey:
    id = "none"

    def value(self) -> str | None:
        return None


def users(issuer: Issuer, entries: Entries, images_a_day: int | None = 50) -> Users:
    return Users(tokens=tokens(issuer), store=entries, images_a_day=images_a_day, slots=8, now=lambda: NOW)


def authorize(issuer: Issuer, entries: Entries, token: str) -> tuple[Any, list[str]]:
    refused: list[str] = []
    handler = Authorizer(
        keys=entries, operator=NoKey(), usage_prefix="usage-", now=lambda: NOW, users=users(issuer, entries),
        on_refused=lambda reason, _: refused.append(reason),
    )  # fmt: skip
    event = {"methodArn": METHOD, "path": "/jobs", "headers": {"authorization": f"Bearer {token}"}}
    return handler(event), refused


def test_a_user_is_the_owner_and_gets_an_entry_with_the_quota(shared: Issuer) -> None:
    entries, token = Entries(), shared.token(NOW)
    response, refused = authorize(shared, entries, token)
    (entry,) = entries.values()
    assert (response["context"], refused) == ({"owner": entry.id}, [])
    assert (entry.name, entry.images_a_day, entry.id) == (
        "user:alice", 50, owner_of_user(shared.url, shared.claims(NOW)["sub"]),
    )  # fmt: skip
    assert response["usageIdentifierKey"] == f"usage-{int(entry.id, 16) % 8}"
    assert token not in json.dumps(response)


def test_a_changed_quota_counts_at_once(shared: Issuer) -> None:
    entries, token = Entries(), shared.token(NOW)
    assert users(shared, entries, 50).identify(token).images_a_day == 50
    assert users(shared, entries, None).identify(token).images_a_day is None
    assert [entry.images_a_day for entry in entries.values()] == [None]


def test_a_revoked_user_is_denied_also_if_that_happens_meanwhile(shared: Issuer) -> None:
    entries, token = Entries(), shared.token(NOW)
    authorize(shared, entries, token)
    (entry,) = entries.values()
    entries[entry.id] = replace(entry, revoked_at=NOW - 1)
    response, refused = authorize(shared, entries, token)
    assert (response["policyDocument"]["Statement"][0]["Effect"], refused) == ("Deny", ["revoked"])

    class Late(Entries):
        def swap(self, old: Key | None, new: Key) -> bool:
            self[new.id] = replace(new, revoked_at=NOW)
            return super().swap(old, new)

    _, refused = authorize(shared, Late(), token)
    assert refused == ["revoked"]


def test_an_invalid_token_is_denied_and_only_the_reason_is_reported(shared: Issuer) -> None:
    entries, token = Entries(), shared.token(NOW, exp=int(NOW) - 1)
    response, refused = authorize(shared, entries, token)
    assert (response["policyDocument"]["Statement"][0]["Effect"], refused) == ("Deny", ["expired token"])
    assert "context" not in response
    assert entries == {}


def test_no_text_of_a_key_opens_the_entry_of_a_user(shared: Issuer) -> None:
    entries = Entries()
    entry = users(shared, entries).identify(shared.token(NOW))
    for secret in ("0" * 40, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4"):
        _, refused = authorize(shared, entries, f"easel_{entry.id}_{secret}")
        assert refused == ["unknown key"]


def test_without_sign_in_a_token_is_an_unknown_key(shared: Issuer) -> None:
    refused: list[str] = []
    handler = Authorizer(keys=Entries(), operator=NoKey(), usage_prefix="", now=lambda: NOW,
                         on_refused=lambda reason, _: refused.append(reason))  # fmt: skip
    assert handler.identify(shared.token(NOW)) is None
    assert refused == ["unknown key"]


# --- the handler, with the table -----------------------------------------------------------------


@pytest.fixture
def deployed(shared: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccountTable]:
    variables = {
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        "EASEL_ACCOUNTS": TABLE, "EASEL_OPERATOR_KEY": "abc123", "EASEL_USAGE_PREFIX": "easel-usage-",
        "EASEL_SIGN_IN_ISSUER": shared.url, "EASEL_SIGN_IN_SCOPE": SCOPE, "EASEL_USER_IMAGES_A_DAY": "0",
        "EASEL_USAGE_SLOTS": "8",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        create_table()
        authorizer._authorizer.cache_clear()
        yield AccountTable(TABLE)
        authorizer._authorizer.cache_clear()


def test_the_handler_identifies_users_and_logs_refusals_without_tokens(
    shared: Issuer, deployed: AccountTable, capsys: pytest.CaptureFixture[str]
) -> None:
    import time

    token, old = shared.token(time.time()), shared.token(NOW - 10**9)
    responses = [
        authorizer.handler({"methodArn": METHOD, "headers": {"Authorization": f"Bearer {text}"}}, None)
        for text in (token, token, old)
    ]
    (entry,) = deployed.all()
    assert [response.get("context") for response in responses] == [{"owner": entry.id}] * 2 + [None]
    assert (entry.name, entry.images_a_day) == ("user:alice", None)
    line = json.loads(capsys.readouterr().out)
    assert line["reason"] == "expired token"
    assert not any(piece in json.dumps(line) for piece in old.split("."))


def test_the_table_stores_an_entry_only_in_place_of_the_expected(deployed: AccountTable) -> None:
    first = Key(id="0123456789abcdef", name="user:alice", hash="", created_at=NOW)
    second = replace(first, images_a_day=5)
    assert deployed.swap(None, first)
    assert not deployed.swap(None, second)
    assert not deployed.swap(second, first)
    assert deployed.find(first.id) == first
    assert deployed.swap(first, second)
    assert deployed.find(first.id) == second


def test_keys_of_another_implementation_are_read(shared: Issuer) -> None:
    """PyJWT writes the number of its key."""
    key = shared.keys["first"]
    assert isinstance(key, RSAPrivateKey)
    parsed = parse_jwk(shared.document()["keys"][0])
    assert parsed
    assert parsed.modulus == key.public_key().public_numbers().n
