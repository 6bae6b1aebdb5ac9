"""What a service on loopback refuses: other hosts, other origins, and pages of other sites."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from contract import EaselError
from easel.console.errors import CommandError
from easel.laptop.public_url import PublicUrl
from tests.easel.laptop.test_gateway import Handlers, client, send
from tests.easel.running import SECONDS, Laptop, wait_for

PUBLIC = "https://easel.example/studio/"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost.:7860", "[::1]:7860"])
@pytest.mark.parametrize("headers", [{}, {"origin": "http://{}"}, {"sec-fetch-site": "same-origin"}])
def test_its_own_page_is_allowed(host: str, headers: dict[str, str]) -> None:
    sent = {name: value.format(host) for name, value in headers.items()}
    assert send(client(Handlers(), host=host), "POST", "/jobs", headers=sent).status_code == 200


def test_the_development_server_of_the_page_is_allowed() -> None:
    headers = {"origin": "http://localhost:5173", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
    assert send(client(Handlers()), "POST", "/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "evil.example:7860"}, {"host": "127.0.0.1.evil.example"}, {"host": ""},
     {"host": "[::1"}, {"host": "evil@localhost"}, {"host": "localhost/x"}, {"host": "localhost:x"},
     {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://localhost.evil.example"},
     {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
     {"origin": "http://127.0.0.1:3000"}, {"origin": "http://localhost:7860"}, {"origin": "http://127.0.0.1"},
     {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "new-value"},
     {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/generate", "/", "/files/x", "/jobs/x/events"])
def test_pages_of_other_sites_are_refused(headers: dict[str, str], path: str) -> None:
    handlers = Handlers()
    response = send(client(handlers), "GET", path, headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert not handlers.events


def test_a_link_on_another_site_may_lead_here_but_a_form_may_not() -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert send(client(Handlers()), "GET", "/", headers=headers).status_code == 200
    assert send(client(Handlers()), "POST", "/jobs", headers=headers).status_code == 403


def test_scripts_of_the_page_are_served_to_any_origin(tmp_path: Any) -> None:
    """Behind a proxy without --public-url, the page can then show the API's error."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/a.js").write_text("1")
    headers = {"origin": "https://easel.example"}
    assert send(client(Handlers(), tmp_path), path="/assets/a.js", headers=headers).text == "1"
    assert send(client(Handlers(), tmp_path), path="/models", headers=headers).status_code == 403
    assert send(client(Handlers(), tmp_path), path="/assets/a.js", headers={"host": "evil.example"}).status_code == 403


def test_a_person_gets_a_page_that_says_what_to_do() -> None:
    headers = {"host": "easel.example", "accept": "text/html,*/*", "sec-fetch-mode": "navigate"}
    response = send(client(Handlers()), path="/", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "--public-url https://easel.example/" in response.text
    markup = send(client(Handlers()), path="/", headers={**headers, "host": "<img>"})
    assert "<img" not in markup.text


@pytest.mark.parametrize("path", ["/models?a=1", "/studio/models?a=1"])
@pytest.mark.parametrize("host", ["easel.example", "easel.example:8443", "127.0.0.1:7860"])
def test_the_public_url_is_allowed_with_and_without_its_path(path: str, host: str) -> None:
    handlers = Handlers()
    headers = {"origin": "https://easel.example", "sec-fetch-site": "same-origin"}
    response = send(client(handlers, host=host, public=PublicUrl.parse(PUBLIC)), "POST", path, headers=headers)
    assert response.status_code == 200
    assert (handlers.events[0]["path"], handlers.events[0]["queryStringParameters"]) == ("/models", {"a": "1"})


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_a_public_url_allows_no_other(headers: dict[str, str]) -> None:
    assert send(client(Handlers(), public=PublicUrl.parse(PUBLIC)), headers=headers).status_code == 403


def test_links_are_absolute_for_the_public_url_only() -> None:
    body = '{"url":"/files/a?b=1","text":"\\"url\\":\\"/files/","urls":{"get":"/jobs/1","cancel": "/jobs/1"}}'
    output = {"statusCode": 200, "headers": {}, "body": body}
    public = send(client(Handlers(output), host="easel.example", public=PublicUrl.parse(PUBLIC)))
    assert public.json() == {
        "url": f"{PUBLIC}files/a?b=1",
        "text": '"url":"/files/',
        "urls": {"get": f"{PUBLIC}jobs/1", "cancel": f"{PUBLIC}jobs/1"},
    }
    assert send(client(Handlers(output), public=PublicUrl.parse(PUBLIC))).text == body


def test_the_path_without_slash_redirects() -> None:
    response = send(client(Handlers(), host="easel.example", public=PublicUrl.parse(PUBLIC)), path="/studio")
    assert (response.status_code, response.headers["location"]) == (307, PUBLIC)


@pytest.mark.parametrize(
    ("text", "url"),
    [("https://Easel.example", "https://easel.example/"), ("http://h:8080/a/b", "http://h:8080/a/b/"),
     ("https://h:443/", "https://h/"), ("https://bücher.example/", "https://xn--bcher-kva.example/"),
     ("http://[::1]:80/x/", "http://[::1]/x/")],
)  # fmt: skip
def test_a_public_url_has_one_form(text: str, url: str) -> None:
    assert str(PublicUrl.parse(text)) == url


@pytest.mark.parametrize(
    "text",
    ["example.com", "ftp://h/", "https://", "https://h/?a", "https://h/#a", "https://u:p@h/", "https://h/../a",
     "https://h/a b", "https://h:x/", "https://[::1/", "https://h//a"],
)  # fmt: skip
def test_other_public_urls_are_a_usage_error(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        PublicUrl.parse(text)
    assert caught.value.code == 2


def test_each_refusal_is_reported() -> None:
    errors: list[EaselError] = []
    send(client(Handlers(), on_refused=errors.append), headers={"host": "easel.example"})
    assert "--public-url https://easel.example/" in errors[0].hint


# --- over HTTP -----------------------------------------------------------------------------------


def exchange(laptop: Laptop, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", laptop.port), timeout=SECONDS) as connection:
        connection.sendall(text)
        return connection.recv(4096)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_checks_of_load_balancers_need_no_host(laptop: Laptop, method: bytes) -> None:
    assert b" 200 OK" in exchange(laptop, method + b" /health HTTP/1.0\r\n\r\n")


def test_other_requests_need_a_host(laptop: Laptop) -> None:
    assert b" 403 " in exchange(laptop, b"POST /jobs HTTP/1.0\r\ncontent-length: 0\r\n\r\n")
    assert b" 400 " in exchange(laptop, b"GET /health HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://127.0.0.1/health?a=1", b"127.0.0.1", b" 200 "),
        (b"HTTP://LOCALHOST:7860/health", b"evil.example", b" 200 "),  # the Host of the target counts
        (b"http://127.0.0.1", b"127.0.0.1", b" 200 "),
        (b"http://evil.example/health", b"127.0.0.1", b" 403 "),
        (b"http://127.0.0.1@evil.example/health", b"127.0.0.1", b" 403 "),
        (b"http:///health", b"127.0.0.1", b" 403 "),
    ],
)
def test_absolute_targets(laptop: Laptop, target: bytes, host: bytes, status: bytes) -> None:
    assert status in exchange(laptop, b"GET " + target + b" HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")


def test_head_does_not_say_that_the_body_is_empty(laptop: Laptop) -> None:
    for path in (b"/models", b"/nothing"):
        response = exchange(laptop, b"HEAD " + path + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert response.endswith(b"\r\n\r\n")
        assert b"content-length: 0" not in response


def test_the_terminal_shows_a_refused_host_once(laptop: Laptop) -> None:
    for _ in range(3):
        exchange(laptop, b"GET / HTTP/1.1\r\nhost: once.example\r\n\r\n")
        exchange(laptop, b"GET / HTTP/1.1\r\nhost: a\x1b]0;b\x07\r\n\r\n")
    exchange(laptop, b"GET / HTTP/1.1\r\nhost: last.example\r\n\r\n")
    wait_for(lambda: "--public-url https://last.example/" in laptop.output)
    assert laptop.output.count("--public-url https://once.example/") == 1
    assert "\x1b" not in laptop.output
