"""Links to pictures: for who has them, for fifteen minutes, for one file."""

import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from easel.laptop.gateway.signed_links import Signer
from easel.laptop.storage.data_folder import Home
from tests.easel.running import Laptop

NOW = 1_800_000_000.0


def parts(link: str) -> tuple[str, str, str]:
    query = parse_qs(urlsplit(link).query)
    return urlsplit(link).path.removeprefix("/files/"), query["expires"][0], query["signature"][0]


def test_a_signature_is_good_until_it_expires() -> None:
    signer = Signer(b"secret")
    link = parts(signer.path("jobs/a/b/image-0.png", NOW + 900))
    assert signer.allows(*link, now=NOW)
    assert signer.allows(*link, now=NOW + 899)
    assert not signer.allows(*link, now=NOW + 900)


def test_nothing_of_a_link_can_be_changed() -> None:
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


def test_a_link_gives_the_picture(laptop: Laptop, link: str) -> None:
    answer = laptop.http.get(link)
    assert answer.status_code == 200
    assert answer.content.startswith(b"RIFF")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert 895 <= int(parts(link)[1]) - time.time() <= 900


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_link_is_for_reading(laptop: Laptop, link: str, method: str) -> None:
    answer = laptop.http.request(method, link)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_what_was_not_signed_is_refused(laptop: Laptop, link: str) -> None:
    picture = urlsplit(link).path
    spoilt = [picture, link.replace("signature=", "signature=0"), link.replace("expires=", "expires=9")]
    spoilt += [link.replace("image-0.webp", "outcome.json"), "/files/", "/files/secret", "/files/..%2fsecret"]
    for url in spoilt:
        answer = laptop.http.get(url)
        assert (url, answer.status_code, answer.json()["code"]) == (url, 403, "forbidden")


def test_expired_links_are_refused(laptop: Laptop, link: str) -> None:
    old = Home(laptop.data).signer().path(parts(link)[0], time.time() - 1)
    assert laptop.http.get(old).status_code == 403


@pytest.mark.parametrize(
    "key", ["../secret", "jobs/../../secret", "/etc/passwd", "jobs/%2e%2e/x", "jobs", "a\0b", "x" * 5000]
)
def test_not_even_a_signature_leads_out_of_the_folder(laptop: Laptop, key: str) -> None:
    answer = laptop.http.get(Home(laptop.data).signer().path(key, time.time() + 900))
    assert answer.status_code in (403, 404)


def test_the_secret_is_for_this_user_alone(laptop: Laptop) -> None:
    secret = laptop.data / "secret"
    assert secret.stat().st_mode & 0o077 == 0
    assert len(secret.read_bytes()) == 32
    assert Path(laptop.data / "store" / "jobs").is_dir()
