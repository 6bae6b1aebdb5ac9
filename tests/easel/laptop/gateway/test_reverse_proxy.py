"""A service behind a reverse proxy, below a path, as browsers and other clients see it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.easel.reverse_proxy import PREFIX, reverse_proxy
from tests.easel.running import SECONDS, Laptop, wait_for

PUBLIC = f"http://easel.example{PREFIX}/"
FROM_PAGE = {"origin": "http://easel.example", "sec-fetch-site": "same-origin", "content-type": "application/json"}


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with Laptop(tmp_path_factory.mktemp("public"), "--public-url", PUBLIC) as laptop:
        yield laptop


def fetch(port: int, method: str, url: str, body: Any = None) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send what a browser sends from the page at PUBLIC."""
    parts = urlsplit(url)
    assert parts.hostname == "easel.example"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    content = json.dumps(body).encode() if body else None
    connection.request(method, target, content, {**FROM_PAGE, "host": "easel.example"})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


@pytest.mark.laptop
@pytest.mark.parametrize("keep_path", [True, False], ids=["keeps the path", "strips the path"])
@pytest.mark.parametrize("keep_host", [True, False], ids=["keeps the host", "own host"])
def test_a_job_runs_from_the_page_to_its_image(public: Laptop, keep_host: bool, keep_path: bool) -> None:
    with reverse_proxy(public.port, keep_host=keep_host, keep_path=keep_path) as port:
        assert fetch(port, "GET", PUBLIC)[0] == 200
        status, headers, _ = fetch(port, "POST", f"{PUBLIC}jobs", {"prompt": "a red apple"})
        assert status == 202
        location = urljoin(f"{PUBLIC}jobs", headers["location"])
        assert location.startswith(f"{PUBLIC}jobs/")
        job = wait_for(lambda: (job := json.loads(fetch(port, "GET", location)[2]))["images"] and job)
        link = job["images"][0]["url"]
        image = link if keep_host else PUBLIC.rstrip("/") + link  # documented: a path is below the base URL
        assert fetch(port, "GET", image)[2].startswith(b"\x89PNG")


@pytest.mark.laptop
def test_it_says_where_it_is_and_that_it_has_no_key(public: Laptop) -> None:
    assert PUBLIC in public.output
    assert public.output.startswith("Warning: ")
