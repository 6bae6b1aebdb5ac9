"""Requests made up from the API's own description, through the real gateway: never a 5xx."""

import os
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easel.laptop.catalogue import find
from routes.openapi import document
from tests.easel.running import MODEL, Laptop

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
PATHS = ["/generate", "/jobs", "/jobs/x", f"/jobs/{'0' * 44}/events", "/files/x", "/models", "/health", "/openapi.json"]


schema = schemathesis.openapi.from_dict(document(find(MODEL).profile))


@schema.parametrize()
@settings(QUICK, max_examples=20)
def test_no_request_breaks_it(laptop: Laptop, case: schemathesis.Case[Any]) -> None:
    answer = case.call(base_url=laptop.url, timeout=30)
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 204 or answer.headers["content-type"]


@settings(QUICK, max_examples=200)
@given(
    method=st.sampled_from(METHODS),
    path=st.sampled_from(PATHS) | st.text(st.characters(codec="ascii", min_codepoint=33), max_size=20),
    body=st.binary(max_size=200),
    kind=st.sampled_from(["application/json", "text/plain", "", "application/x-npy"]),
    coding=st.sampled_from(["", "gzip", "nonsense"]),
)
def test_nor_does_what_is_no_request_at_all(
    laptop: Laptop, method: str, path: str, body: bytes, kind: str, coding: str
) -> None:
    headers = {"content-type": kind, "content-encoding": coding, "x-run": str(os.getpid())}
    try:
        answer = laptop.http.request(method, f"{laptop.url}/{path.lstrip('/')}", content=body, headers=headers)
    except httpx.InvalidURL:
        return
    assert answer.status_code < 500, answer.text
