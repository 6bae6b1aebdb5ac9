"""Small ICC profiles for tests."""

import struct
from collections.abc import Mapping

D50 = (0.9642, 1.0, 0.8249)
RED_LAB = bytes((136, 208, 195))
"""Red of sRGB in CIELAB, as `mft1` stores it."""
WHITE_LAB = bytes((255, 128, 128))
BLACK_LAB = bytes((0, 128, 128))


def profile(space: bytes, connection: bytes, device: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Return a version 2 profile. `device` is mntr, scnr or prtr."""
    table, data, offset = [], [], 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table.append(struct.pack(">4sII", name, offset, len(content)))
        data.append(padded)
        offset += len(padded)
    header = struct.pack(">I4sI4s4s4s", offset, bytes(4), 0x02400000, device, space, connection) + bytes(12)
    header += b"acsp" + bytes(28) + _numbers(*D50) + bytes(48)
    return header + struct.pack(">I", len(tags)) + b"".join(table) + b"".join(data)


def _numbers(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + _numbers(*values)


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def display_p3() -> bytes:
    """The colors of every iPhone, with a gamma of 2.2."""
    curve = _gamma(2.2)
    tags = {
        b"wtpt": _xyz(*D50),
        b"rXYZ": _xyz(0.51512, 0.24120, -0.00105),
        b"gXYZ": _xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": _xyz(0.15710, 0.06657, 0.78407),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return profile(b"RGB ", b"XYZ ", b"mntr", tags)


def linear_gray() -> bytes:
    """Gray values proportional to light."""
    return profile(b"GRAY", b"XYZ ", b"mntr", {b"wtpt": _xyz(*D50), b"kTRC": _gamma(1)})


def red_cyan_ink() -> bytes:
    """A printer whose cyan ink is red, and whose magenta and yellow are white."""
    ramp = bytes(range(256))
    points = b"".join((color + BLACK_LAB) * 4 for color in (WHITE_LAB, RED_LAB))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + _numbers(1, 0, 0, 0, 1, 0, 0, 0, 1) + ramp * 4 + points + ramp * 3
    return profile(b"CMYK", b"Lab ", b"prtr", {b"wtpt": _xyz(*D50), b"A2B0": lut})
