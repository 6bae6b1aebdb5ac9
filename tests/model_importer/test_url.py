"""Files at a URL: ranges, redirects, tokens, and servers that do not keep their word."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from model_importer.download import download
from model_importer.errors import DigestMismatchError, ModelImportError
from model_importer.files import File
from model_importer.progress import Progress
from model_importer.stream import PIECE
from model_importer.url import Url, secret_in
from tests.model_importer.site import LINK, STORED, Site

CONTENT = os.urandom(100_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(CONTENT) as running:
        yield running


def fetch(url: Url, path: Path, sha256: str = SHA) -> str:
    file = url.file(sha256)
    with ThreadPoolExecutor(2) as pool:
        return download(file, path, partial(url.fetch, file), pool, Progress(lambda state: None))


def test_the_token_is_not_sent_to_another_host(site: Site, tmp_path: Path) -> None:
    site.token = "secret"
    assert fetch(Url(site.link, "secret"), tmp_path / "file") == SHA
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert site.tokens == {"home": {"Bearer secret"}, "store": {""}}


def test_a_cut_response_is_fetched_again(site: Site, tmp_path: Path) -> None:
    site.cuts = 3
    assert fetch(Url(site.link), tmp_path / "file", "") == SHA


def test_an_interrupted_download_continues(tmp_path: Path) -> None:
    content = os.urandom(2 * PIECE + 1000)
    with Site(content, cut_after=PIECE) as site:
        with pytest.raises(ModelImportError, match="6 times"):
            fetch(Url(site.link), tmp_path / "file", hashlib.sha256(content).hexdigest())
        (part,) = tmp_path.iterdir()
        kept = part.stat().st_size
        assert part.name.endswith(".part") and kept >= PIECE
        site.cut_after = None
        site.requests.clear()
        fetch(Url(site.link), tmp_path / "file", hashlib.sha256(content).hexdigest())
        ranges = [range for _, _, range in site.requests if range != "bytes=0-0"]
        assert min(int(range.removeprefix("bytes=").split("-")[0]) for range in ranges) == kept
    assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_download_without_a_hash_mixes_no_two_files(tmp_path: Path) -> None:
    first, second = os.urandom(2 * PIECE), os.urandom(2 * PIECE)
    with Site(first, cut_after=PIECE, headers={"ETag": '"1"'}) as site:
        with pytest.raises(ModelImportError, match="6 times"):
            fetch(Url(site.link), tmp_path / "file", "")
        site.content, site.cut_after, site.headers = second, None, {"ETag": '"2"'}
        assert fetch(Url(site.link), tmp_path / "file", "") == hashlib.sha256(second).hexdigest()
    assert (tmp_path / "file").read_bytes() == second


def test_a_wrong_hash_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError, match=SHA):
        fetch(Url(site.link), tmp_path / "file", "0" * 64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (401, "denies access"),
        (403, "denies access"),
        (404, "was removed"),
        (410, "was removed"),
        (416, "is empty"),
        (418, "answers 418"),
        (429, "too many requests"),
    ],
)
def test_error_statuses(site: Site, status: int, named: str) -> None:
    site.status = status
    with pytest.raises(ModelImportError, match=named) as caught:
        Url(site.link, "t0ken").file()
    assert "t0ken" not in str(caught.value)


def test_a_mirror_of_the_hub_is_no_advice_for_a_link() -> None:
    with Site(CONTENT) as site:
        url = Url(site.link)
    with pytest.raises(ModelImportError, match="cannot be reached") as caught:
        url.file()
    assert ("browser" in str(caught.value), "hub_url" in str(caught.value)) == (True, False)


def test_without_a_token_the_error_says_so(site: Site) -> None:
    site.token = "secret"
    with pytest.raises(ModelImportError, match=r"no token was sent \(model_token_secret\)"):
        Url(site.link).file()


@pytest.mark.parametrize(
    ("faults", "named"),
    [
        ({"ranges": False}, "does not send ranges"),
        ({"headers": {"Content-Encoding": "gzip"}}, "does not send ranges"),
        ({"status": 200, "headers": {"Content-Type": "text/html; charset=utf-8"}}, "a web page, not a file"),
        ({"target": "file:///etc/passwd"}, "not an HTTPS URL"),
        ({"target": LINK}, "in a circle"),
        ({"target": "https://127.0.0.1:99999/x"}, "not a valid URL"),
        ({"target": "https://a..b/x"}, "not a valid URL"),
        ({"target": f"https://{'x' * 70}.test/x"}, "not a valid URL"),
        ({"target": "https://[/x"}, "not an HTTPS URL"),
        ({"status": 206, "headers": {"Content-Range": f"bytes 0-0/{'1' * 5000}"}}, "does not send ranges"),
    ],
)
def test_what_is_no_file_with_ranges(site: Site, faults: dict[str, Any], named: str) -> None:
    for name, value in faults.items():
        setattr(site, name, value)
    with pytest.raises(ModelImportError, match=named):
        Url(site.link).file()


def test_a_signature_is_not_shown(site: Site) -> None:
    site.target = "ftp://store.example/x?signature=s3cret"
    with pytest.raises(ModelImportError) as caught:
        Url(site.link).file()
    assert ("store.example/x" in str(caught.value), "s3cret" in str(caught.value)) == (True, False)


@pytest.mark.parametrize("faults", [{"endless": True}, {"headers": {"Content-Encoding": "gzip"}}, {"ranges": False}])
def test_a_server_that_breaks_its_word_later(site: Site, faults: dict[str, Any]) -> None:
    url = Url(site.link)
    file = url.file()
    for name, value in faults.items():
        setattr(site, name, value)
    with pytest.raises(ModelImportError, match="does not send ranges"):
        url.fetch(file, 100, 200)


def test_a_range_with_a_long_number(site: Site) -> None:
    url = Url(site.link)
    file = url.file()
    site.headers = {"Content-Range": f"bytes {'1' * 5000}-9/9"}
    assert url.fetch(file, 0, 9) == CONTENT[:9]  # as with no such header: what counts is the number of bytes


def test_a_file_that_changed_its_size(site: Site) -> None:
    url = Url(site.link)
    file = url.file()
    site.content += b"more"
    with pytest.raises(ModelImportError, match="does not send ranges"):
        url.fetch(file, 0, 100)


VERSION = {
    "id": 7,
    "modelId": 3,
    "name": "v2",
    "model": {"name": "Panda"},
    "files": [
        {"type": "VAE", "hashes": {"SHA256": "1" * 64}},
        {"type": "Model", "primary": True, "hashes": {"SHA256": SHA.upper()}},
    ],
}


def test_the_site_names_hash_and_page(site: Site) -> None:
    site.version = VERSION
    found = Url(site.link).describe()
    assert (found.sha256, found.name) == (SHA, "Panda v2")
    assert found.page == f"{site.url}/models/3?modelVersionId=7"
    assert Url(f"{site.link}?type=VAE").describe().sha256 == "1" * 64


@pytest.mark.parametrize(
    "version",
    [None, {}, {"files": []}, {"files": [{}]}, [], VERSION | {"id": "../"}, VERSION | {"modelId": float("inf")}],
)
def test_a_site_that_says_nothing(site: Site, version: Any) -> None:
    site.version = version
    assert Url(site.link).describe().sha256 == ""
    assert Url(f"{site.store}{STORED}").describe().name == ""


def test_a_description_that_is_nested_too_deeply(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.version = VERSION
    monkeypatch.setattr("tests.model_importer.site.json.dumps", lambda _: "[" * 200_000)
    assert Url(site.link).describe().sha256 == ""


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:99999/f.safetensors", "https://a..b/x", f"https://{'x' * 70}.test/x"]
)
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ModelImportError, match="not a valid URL") as caught:
        Url(f"{url}?signature=s3cret").file()
    assert "s3cret" not in str(caught.value)


def test_a_wait_that_is_no_number_is_not_obeyed(site: Site) -> None:
    site.status, site.headers = 503, {"Retry-After": "1" * 5000}
    with pytest.raises(ModelImportError, match="answers 503"):
        Url(site.link).file()


@pytest.mark.parametrize(
    "name", ["token", "sig", "Signature", "X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Signature"]
)
def test_signatures_of_links_are_secrets(name: str) -> None:
    assert secret_in(f"https://a.test/x?type=Model&{name}=abc") == name


def test_secrets_in_links_are_found() -> None:
    assert secret_in("https://a.test/x?type=Model&token=abc") == "token"
    assert secret_in("https://user:word@a.test/x") == "password"
    assert secret_in("https://a.test/x?type=Model&format=SafeTensor") == ""


def test_names_of_a_url_have_no_folder(site: Site) -> None:
    file: File = Url(f"{site.url}{LINK}").file()
    assert (file.name, file.path, file.size) == ("7", "7", len(CONTENT))
