"""Each form in which clients send a key."""

import base64

import pytest

from api_keys.credentials import sent_key


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"x-api-key": ["K"]}, "K"),
        ({"x-api-key": [" K "]}, "K"),
        ({"authorization": ["Bearer K"]}, "K"),
        ({"authorization": ["bearer  K "]}, "K"),
        ({"authorization": [basic("anybody", "K")]}, "K"),
        ({"authorization": [basic("", "K:L")]}, "K:L"),
        ({"authorization": [basic("", "密")]}, "密"),
        ({"x-api-key": ["K"], "authorization": ["Bearer L"]}, "K"),
        ({"x-api-key": [""], "authorization": ["Bearer L"]}, "L"),
        ({"authorization": [basic("", ""), "Bearer K"]}, "K"),
        ({}, ""),
        ({"authorization": ["K"]}, ""),
        ({"authorization": [basic("K", "")]}, ""),
        ({"authorization": ["Basic"]}, ""),
        ({"authorization": ["Basic K"]}, ""),
        ({"authorization": ["Basic /////"]}, ""),
        ({"authorization": ["Digest K"]}, ""),
        ({"authorization": ["AWS4-HMAC-SHA256 Credential=K"]}, ""),
    ],
    ids=str,
)
def test_the_key_is_found_in_each_form(headers: dict[str, list[str]], key: str) -> None:
    assert sent_key(headers) == key
