"""CLIP's tokenizer, which all checkpoints use and none contains.

`clip_merges.txt.gz` has the merges that CLIP uses of `bpe_simple_vocab_16e6.txt` (github.com/openai/CLIP, MIT licence).
"""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import Any

_MERGES = Path(__file__).parent / "clip_merges.txt.gz"
_START, _END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 77


def tokenizer_files(*, open_clip: bool) -> dict[str, bytes]:
    """Return name to content. OpenCLIP fills with `!` in place of the end token."""
    vocabulary, merges = _vocabulary()
    special = {"bos_token": _START, "eos_token": _END, "pad_token": "!" if open_clip else _END, "unk_token": _END}
    settings = {
        **special,
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": TOKENS,
        "tokenizer_class": "CLIPTokenizer",
    }
    return {
        "merges.txt": merges,
        "special_tokens_map.json": to_json(special),
        "tokenizer_config.json": to_json(settings),
        "vocab.json": vocabulary,
    }


def to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


@functools.cache
def _vocabulary() -> tuple[bytes, bytes]:
    """Return vocab.json and merges.txt. The numbers of the tokens follow from the order of the merges."""
    text = gzip.decompress(_MERGES.read_bytes()).decode()
    letters = _byte_letters()
    joined = [merge.replace(" ", "") for merge in text.splitlines()]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *joined, _START, _END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return json.dumps(vocabulary, ensure_ascii=False).encode(), f"#version: 0.2\n{text}".encode()


def _byte_letters() -> list[str]:
    """Return a visible character for each byte, in GPT-2's order: first the bytes that are visible in Latin-1."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, visible), *(chr(256 + number) for number in range(256 - len(visible)))]
