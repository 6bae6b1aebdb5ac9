"""Signed links: each gives access to one file for fifteen minutes."""

import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from easel.laptop.gateway.signed_links import Signer
from easel.laptop.storage.data_folder import DataFolder
from tests.easel.running import Laptop

NOW = 1_800_000_000.0


def parts(link: str) -> tuple[str, str, str]:
    """Return key, expiry and signature of a link."""
    query = parse_qs(urlsplit(link).query)
    return urlsplit(link).path.removeprefix("/files/"), query["expires"][0], query["signature"][0]


def test_a_signature_is_valid_until_it_expires() -> None:
    signer = Signer(b"secret")
    link = parts(signer.path("jobs/a/b/image-0.png", NOW + 900))
    assert signer.allows(*link, now=NOW)
    assert signer.allows(*link, now=NOW + 899)
    assert not signer.allows(*link, now=NOW + 900)


def test_a_changed_link_is_invalid() -> None:
    signer = Signer(b"secret")
    key, expires, signature = parts(signer.path("jobs/a/b/image-0.png", NOW + 900))
    assert not signer.allows("jobs/a/b/image-1.png", expires, signature, NOW)
    assert not signer.allows(key, str(int(expires) + 1), signature, NOW)
    assert not signer.allows(key, expires, signature[:-1] + "x", NOW)
    assert not signer.allows(key, expires, "", NOW)
    assert not signer.allows(key, "", "é", NOW)
    assert not Signer(b"another").allows(key, expires, signature, NOW)


@pytest.fixture(scope="module")
def link(laptop: Laptop) -> str:
    job = laptop.outcome(laptop.submit(output_format="webp"))
    url: str = job["images"][0]["url"]
    return url


def test_a_link_returns_the_image(laptop: Laptop, link: str) -> None:
    response = laptop.http.get(link)
    assert response.status_code == 200
    assert response.content.startswith(b"RIFF")
    assert response.headers["content-type"] == "image/webp"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert 890 <= int(parts(link)[1]) - time.time() <= 900


def test_an_image_is_sent_once(laptop: Laptop, link: str) -> None:
    first = laptop.http.get(link)
    assert "immutable" in first.headers["cache-control"]
    again = laptop.http.get(link, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert laptop.http.get(link, headers={"if-none-match": '"other"'}).content == first.content


def test_head_of_an_image_has_its_size(laptop: Laptop, link: str) -> None:
    response = laptop.http.head(link)
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) == len(laptop.http.get(link).content)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "X"])
def test_files_are_read_only(laptop: Laptop, link: str, method: str) -> None:
    for path in (link, "/files/", "/index.html", f"/jobs/{'f' * 44}/events"):
        response = laptop.http.request(method, path)
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
        assert {"GET", "HEAD"} <= set(response.headers["allow"].split(", "))
        assert response.headers["content-type"] == "application/problem+json"


RANGES: dict[str, tuple[int, slice | None]] = {
    "bytes=0-3": (206, slice(0, 4)),
    "BYTES=2-": (206, slice(2, None)),
    "bytes=-4": (206, slice(-4, None)),
    "bytes=-999999999": (206, slice(0, None)),
    "bytes=1-999999999": (206, slice(1, None)),
    "bytes=999999999-": (416, None),
    "bytes=-0": (416, None),
}
"""Header Range to status, and the part of the file. Others are ignored."""
IGNORED = ["bytes=3-1", "bytes=", "bytes=-", "bytes=a-b", "bytes=+1-2", "bytes=1_0-", "bytes=0-1,3-4", "items=0-1", "x"]


@pytest.mark.parametrize("value", [*RANGES, *IGNORED])
def test_ranges(laptop: Laptop, link: str, value: str) -> None:
    whole = laptop.http.get(link)
    status, part = RANGES.get(value, (200, slice(None)))
    response = laptop.http.get(link, headers={"range": value})
    assert response.status_code == status
    if part is None:
        assert response.json()["code"] == "range_not_satisfiable"
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["content-range"] == f"bytes */{len(whole.content)}"
    else:
        assert response.content == bytes(whole.content[part])
    assert laptop.http.head(link, headers={"range": value}).status_code == 200
    for condition, expected in [(whole.headers["etag"], status), ('"older"', 200)]:
        response = laptop.http.get(link, headers={"range": value, "if-range": condition})
        assert response.status_code == expected


def test_links_without_a_valid_signature_are_refused(laptop: Laptop, link: str) -> None:
    unsigned = urlsplit(link).path
    invalid = [unsigned, link.replace("signature=", "signature=0"), link.replace("expires=", "expires=9")]
    invalid += [link.replace("image-0.webp", "outcome.json"), "/files/", "/files/secret", "/files/..%2fsecret"]
    for url in invalid:
        response = laptop.http.get(url)
        assert (url, response.status_code, response.json()["code"]) == (url, 403, "forbidden")


def test_expired_links_are_refused(laptop: Laptop, link: str) -> None:
    expired = DataFolder(laptop.data).signer().path(parts(link)[0], time.time() - 1)
    assert laptop.http.get(expired).status_code == 403


@pytest.mark.parametrize(
    "key", ["../secret", "jobs/../../secret", "/etc/passwd", "jobs/%2e%2e/x", "jobs", "a\0b", "x" * 5000]
)
def test_a_signed_key_cannot_leave_the_folder(laptop: Laptop, key: str) -> None:
    response = laptop.http.get(DataFolder(laptop.data).signer().path(key, time.time() + 900))
    assert response.status_code in (403, 404)


def test_only_this_user_can_read_the_secret(laptop: Laptop) -> None:
    secret = laptop.data / "secret"
    assert secret.stat().st_mode & 0o077 == 0
    assert len(secret.read_bytes()) == 32
    assert Path(laptop.data / "store" / "jobs").is_dir()
