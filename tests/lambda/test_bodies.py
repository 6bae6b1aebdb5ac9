"""Bodies of requests: media types, gzip and byte order marks."""

import base64
import gzip
import json
import zlib
from typing import Any

import pytest
from fakes import World, event
from hypothesis import given
from hypothesis import strategies as st
from test_native import problem

import contract

APPLE = b'{"prompt": "a red apple", "seed": 7}'
LARGEST = contract.BODY_BYTES.maximum


def post(body: bytes, world: World | None = None, **headers: Any) -> dict[str, Any]:
    """Send bytes as the gateway does: in base64. Values of `headers` are lists of values, or None for no header."""
    sent = event("POST", "/jobs", "")
    sent["multiValueHeaders"] = {"content-type": ["application/json"]}
    for name, values in headers.items():
        sent["multiValueHeaders"][name.replace("_", "-")] = values or []
    sent["headers"] = {name: values[-1] for name, values in sent["multiValueHeaders"].items() if values}
    sent |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return (world or World()).send(sent)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (["application/vnd.api+json"], "application/vnd.api+json"),
        (["text/plain; charset=utf-8"], "text/plain"),
        (["application/x-www-form-urlencoded"], "application/x-www-form-urlencoded"),
        (["text/\x1b[31mred"], "red"),
        (None, "missing"),
        ([""], "missing"),
        ([" "], "missing"),
        (["application/json", "text/plain"], "different values"),
        (["application/json; charset=utf-16"], "utf-16"),
        (["application/json; charset=latin-1"], "latin-1"),
    ],
)
def test_a_refused_media_type_is_named(values: list[str] | None, named: str) -> None:
    body = problem(post(APPLE, content_type=values), 415, "unsupported_media_type")
    assert named in body["detail"]
    assert body["detail"].isascii()
    assert body["detail"].isprintable()


@pytest.mark.parametrize(
    "value",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json;charset=UTF-8",
        'application/json ; charset="utf-8"',
        "application/json; charset=utf8",
        "application/json; charset=us-ascii",
        "application/json;",
        "application/json; odata=verbose",
    ],
)
def test_spellings_of_the_media_type(value: str) -> None:
    assert post(APPLE, content_type=[value])["statusCode"] == 202
    assert post(APPLE, content_type=[value, value])["statusCode"] == 202


@pytest.mark.parametrize("values", [["gzip"], ["GZIP"], ["x-gzip"], ["identity, gzip"], ["identity", "gzip"]])
def test_a_gzip_body_is_the_same_request(values: list[str]) -> None:
    world = World()
    ids = {
        json.loads(post(body, world, idempotency_key=["click-1"], content_encoding=encoding)["body"])["id"]
        for body, encoding in ((APPLE, None), (gzip.compress(APPLE), values), (APPLE, ["identity"]))
    }
    assert len(ids) == 1
    assert len(world.endpoint.submitted) == 1


def test_a_body_that_the_gateway_has_decompressed_is_taken_as_it_is() -> None:
    assert post(APPLE, content_encoding=["gzip"])["statusCode"] == 202


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip, br", "\x1b[31m"])
def test_another_encoding_is_named(encoding: str) -> None:
    body = problem(post(APPLE, content_encoding=[encoding]), 415, "unsupported_media_type")
    assert encoding.strip("\x1b") in body["detail"]
    assert body["detail"].isprintable()


MUTILATED = gzip.compress(APPLE).decode(errors="replace").encode()


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(APPLE)[:-9],
        gzip.compress(APPLE)[:10],
        gzip.compress(APPLE) + b"x",
        gzip.compress(APPLE) + gzip.compress(APPLE),
        b"\x1f\x8b",
        b"\x1f",
        gzip.compress(APPLE)[:-8] + bytes(8),
        MUTILATED,
    ],
    ids=["cut", "header", "trailing", "twice", "magic", "byte", "checksum", "mutilated"],
)
def test_a_damaged_gzip_body(body: bytes) -> None:
    assert "gzip" in problem(post(body, content_encoding=["gzip"]), 400, "invalid_json")["detail"]


def test_a_gzip_body_is_bounded() -> None:
    padded = APPLE[:-1] + b" " * (LARGEST - len(APPLE)) + b"}"
    assert len(padded) == LARGEST
    assert post(gzip.compress(padded), content_encoding=["gzip"])["statusCode"] == 202
    for bomb in (gzip.compress(padded + b" "), gzip.compress(bytes(200 * 2**20), 1)):
        body = problem(post(bomb, content_encoding=["gzip"]), 413, "payload_too_large")
        assert str(LARGEST) in body["hint"]


def test_what_is_inside_a_gzip_body_is_not_decompressed_again() -> None:
    problem(post(gzip.compress(gzip.compress(APPLE)), content_encoding=["gzip"]), 400, "invalid_json")
    problem(post(zlib.compress(APPLE), content_encoding=["gzip"]), 400, "invalid_json")
    problem(post(gzip.compress(APPLE)), 400, "invalid_json")


@given(st.binary(max_size=200))
def test_any_gzip_body_gets_a_response(rest: bytes) -> None:
    response = post(b"\x1f\x8b\x08" + rest, content_encoding=["gzip"])
    assert response["statusCode"] in (202, 400, 413)


def test_a_byte_order_mark_is_named() -> None:
    body = b"\xef\xbb\xbf" + APPLE
    for response in (post(body), post(gzip.compress(body), content_encoding=["gzip"])):
        assert "byte order mark" in problem(response, 400, "invalid_json")["detail"]
