"""RS256 of JSON Web Tokens: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3, RFC 8017 section 8.2.2).

Only the check of a signature, which needs a public key and no secret. docs/explanation/decisions/sign-in.md says why it
is here and not in a library.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

MIN_BITS, MAX_BITS = 2048, 8192
"""Length of a modulus. RFC 7518 requires 2048; the upper bound limits the time of a check."""
EXPONENT = 65537
_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
"""The DER encoding of SHA-256's DigestInfo, without the hash."""
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


@dataclass(frozen=True)
class RsaKey:
    """A public key: modulus and exponent."""

    modulus: int
    exponent: int

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is the key's.

        The encoded message is built and compared as a whole. A check that parsed it would have to find every forgery.
        """
        size = (self.modulus.bit_length() + 7) // 8
        number = int.from_bytes(signature, "big")
        if len(signature) != size or number >= self.modulus:
            return False
        end = _PREFIX + sha256(message).digest()
        expected = b"\x00\x01" + b"\xff" * (size - len(end) - 3) + b"\x00" + end
        return pow(number, self.exponent, self.modulus).to_bytes(size, "big") == expected


def parse_jwk(value: Mapping[str, Any]) -> RsaKey | None:
    """Return the key of a JSON Web Key (RFC 7517), or None if it is none for RS256 signatures."""
    if value.get("kty") != "RSA" or value.get("alg", "RS256") != "RS256" or value.get("use", "sig") != "sig":
        return None
    numbers = [decode(value.get(name)) for name in ("n", "e")]
    modulus, exponent = (int.from_bytes(number or b"", "big") for number in numbers)
    if not MIN_BITS <= modulus.bit_length() <= MAX_BITS or exponent != EXPONENT:
        return None
    return RsaKey(modulus, exponent)


def decode(text: object) -> bytes | None:
    """Return the bytes of base64url without padding; None for anything else."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        return None
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
