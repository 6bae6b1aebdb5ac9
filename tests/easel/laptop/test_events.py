"""Conversion of HTTP to events and of a function's output to HTTP: nothing is lost or changed."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from easel.laptop.gateway.events import to_event, to_response
from easel.laptop.public_url import PublicUrl
from gateway.events import read_request

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
OWNER = "0" * 16
HEADER = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12).map(str.strip)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=5)


def request(
    path: str = "/generate",
    query: list[tuple[str, str]] | None = None,
    headers: list[tuple[str, str]] | None = None,
    method: str = "POST",
) -> Request:
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": urlencode(query or []).encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers or []],
        "client": ("127.0.0.1", 5),
    }
    return Request(scope)


@settings(deadline=None)
@given(body=st.binary() | TEXT.map(str.encode), query=PAIRS, values=st.lists(HEADER, max_size=4))
def test_lambda_reads_the_request_that_was_sent(body: bytes, query: list[tuple[str, str]], values: list[str]) -> None:
    event = to_event(request(query=query, headers=[("x-some", value) for value in values]), body, OWNER)
    received = read_request(event, "key", 0, 1)
    assert received.body == body
    assert received.headers.get("x-some", ()) == tuple(values)
    assert received.query == {name: tuple(v for n, v in query if n == name) for name, _ in query}


@pytest.mark.parametrize(
    ("public", "url"),
    [
        (None, "http://127.0.0.1:7860"),
        (PublicUrl.parse("https://127.0.0.1:7860"), "https://127.0.0.1:7860"),
        (PublicUrl.parse("http://127.0.0.1:7860/easel/"), "http://127.0.0.1:7860/easel"),
    ],
)
def test_lambda_knows_the_url_of_the_api(public: PublicUrl | None, url: str) -> None:
    event = to_event(
        request(headers=[("host", "127.0.0.1:7860"), ("x-forwarded-proto", "ftp")]), b"", OWNER, public=public
    )
    assert read_request(event, "key", 0, 1).base_url == url


def test_binary_bodies_are_base64_and_text_is_not() -> None:
    assert to_event(request(), "熊猫".encode(), OWNER)["body"] == "熊猫"
    binary = to_event(request(), b"\xff\x00", OWNER)
    assert (binary["body"], binary["isBase64Encoded"]) == ("/wA=", True)
    assert to_event(request(), b"", OWNER)["body"] is None


def test_single_value_members_hold_the_last_value() -> None:
    event = to_event(request(query=[("a", "1"), ("a", "2")], headers=[("x-a", "3"), ("x-a", "4")]), b"", OWNER)
    assert event["queryStringParameters"] == {"a": "2"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
    assert event["headers"]["x-a"] == "4"
    assert to_event(request(), b"", OWNER)["queryStringParameters"] is None


def test_the_path_stays_encoded_and_the_caller_is_named() -> None:
    event = to_event(request("/jobs/a b/ü"), b"", OWNER)
    assert event["path"] == "/jobs/a%20b/%C3%BC"
    assert read_request(event, "key", 0, 1).owner == OWNER
    assert to_event(request("/jobs/1/events"), b"", OWNER, path="/jobs/1")["path"] == "/jobs/1"


def test_output_becomes_http() -> None:
    output = {
        "statusCode": 202,
        "headers": {"content-type": "image/png", "content-length": "999"},
        "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]},
        "body": "/wA=",
        "isBase64Encoded": True,
    }
    response = to_response(output)
    assert (response.status_code, response.body) == (202, b"\xff\x00")
    assert response.headers["content-type"] == "image/png"
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert response.headers.getlist("content-length") == ["2"]
    assert to_response({"statusCode": 200, "body": "熊猫"}).body == "熊猫".encode()


@pytest.mark.parametrize(
    "output",
    [None, "text", {}, {"statusCode": "x"}, {"statusCode": 200, "body": 5}, {"statusCode": 200, "headers": {"a": 1}},
     {"statusCode": 200, "body": "!", "isBase64Encoded": True}],
)  # fmt: skip
def test_malformed_output_is_refused(output: Any) -> None:
    with pytest.raises(ValueError):
        to_response(output)
