"""Requests generated from the OpenAPI document, through the real gateway: no response is a 5xx."""

import os
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.schemas import BaseSchema

from easel.laptop.catalogue import find
from routes.openapi import document
from tests.easel.running import MODEL, Laptop

FAST = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
PATHS = ["/generate", "/jobs", "/jobs/x", f"/jobs/{'0' * 44}/events", "/files/x", "/models", "/health", "/openapi.json"]


@pytest.fixture
def documented(lazy_schemas: None) -> BaseSchema:
    return schemathesis.openapi.from_dict(document((find(MODEL).profile,)))


# From a fixture: the cases of each operation are written by the worker that runs them, and not while it collects.
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("laptop")  # for the group: schemathesis requests the test's fixtures while it runs
@schemathesis.pytest.from_fixture("documented").parametrize()
@settings(FAST, max_examples=5)
def test_documented_requests_never_fail(laptop: Laptop, case: schemathesis.Case[Any]) -> None:
    response = case.call(base_url=laptop.url, timeout=60)
    assert response.status_code < 500, response.text
    assert response.status_code == 204 or response.headers["content-type"]


@settings(FAST, max_examples=100)
@given(
    method=st.sampled_from(METHODS),
    path=st.sampled_from(PATHS) | st.text(st.characters(codec="ascii", min_codepoint=33), max_size=20),
    body=st.binary(max_size=200),
    media_type=st.sampled_from(["application/json", "text/plain", "", "application/x-npy"]),
    encoding=st.sampled_from(["", "gzip", "nonsense"]),
)
def test_arbitrary_requests_never_fail(
    laptop: Laptop, method: str, path: str, body: bytes, media_type: str, encoding: str
) -> None:
    headers = {"content-type": media_type, "content-encoding": encoding, "x-run": str(os.getpid())}
    try:
        response = laptop.http.request(method, f"{laptop.url}/{path.lstrip('/')}", content=body, headers=headers)
    except httpx.InvalidURL:
        return
    assert response.status_code < 500, response.text
