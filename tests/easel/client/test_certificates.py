"""HTTPS with a company's own certificate authority, and variables that name no certificates."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import Result

from easel.client import api as client
from easel.client.connection import CA_VARIABLES
from tests.easel.client.fake_api import DONE, IMAGES, FakeApi
from tests.easel.tls import write_certificate

Api = type[FakeApi]
Generate = Callable[..., Result]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "POLL_PAUSES", ())
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """The certificate of `https_url`."""
    return tmp_path / "certificate.pem"


@pytest.fixture
def https_url(api: Api, certificate: Path) -> Iterator[str]:
    """The fake API, by HTTPS."""
    context = write_certificate(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), api) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("variable", CA_VARIABLES[:2])
def test_a_certificate_authority_of_a_variable(
    https_url: str, certificate: Path, run_generate: Generate, variable: str
) -> None:
    assert run_generate("--url", https_url, **{variable: str(certificate)}).exit_code == 0


def test_an_unknown_authority_names_the_variable(api: Api, https_url: str, run_generate: Generate) -> None:
    done = run_generate("--url", https_url)
    assert (done.exit_code, api.received) == (3, [])
    assert "SSL_CERT_FILE" in done.stderr
    api.jobs[:] = [{**DONE, "images": [{**IMAGES[0], "url": f"{https_url}/files/0"}]}]
    done = run_generate("--url", api.url)
    assert (done.exit_code, "SSL_CERT_FILE" in done.stderr) == (3, True)


def test_http_at_an_https_url(api: Api, run_generate: Generate) -> None:
    done = run_generate("--url", api.url.replace("http:", "https:"))
    assert (done.exit_code, "make up" in done.stderr, "http://" in done.stderr) == (3, False, True)


@pytest.mark.parametrize("variable", CA_VARIABLES[:2])
@pytest.mark.parametrize("content", [None, "", "no PEM"])
def test_a_file_without_certificates(
    api: Api, run_generate: Generate, tmp_path: Path, variable: str, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    done = run_generate("--url", "https://127.0.0.1:9", **{variable: str(file)})
    assert done.exit_code == 3
    assert f"{variable}={file}" in done.stderr
    assert run_generate("--url", api.url, **{variable: str(file)}).exit_code == 0, "plain HTTP needs no certificates"


NO_FILES: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("variable", CA_VARIABLES)
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_not_read(run_generate: Generate, tmp_path: Path, variable: str, kind: str) -> None:
    path = tmp_path / "ca.pem"
    NO_FILES[kind](path)
    done = run_generate("--url", "https://127.0.0.1:9", **{variable: str(path)})
    assert (done.exit_code, f"{variable}={path}" in done.stderr) == (3, kind != "folder" or variable == "SSL_CERT_FILE")
