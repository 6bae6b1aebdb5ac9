"""Text from outside, made safe to print. As in `easel/console/printable.py`; this package ships alone."""

from __future__ import annotations

import re

UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000110bd\U000110cd\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""Control, direction and invisible characters, and surrogates. Not the joiners that emoji and some scripts need."""


def printable(text: str) -> str:
    r"""Return `text` with escapes such as `\x1b` and `\u202e` in place of what a terminal would obey or hide."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
