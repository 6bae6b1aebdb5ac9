"""Textual-inversion embeddings: vectors that a text encoder reads in place of a token of the prompt.

Tokenizer and text encoder stay as they are, so that a prompt without such a token is read as if there were none.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from contract import ProfileEmbedding
from model_folder import LocalFiles, ModelFolderError, check_embedding, extra_path

_HASH_DIGITS = 12


@dataclass(frozen=True)
class Embedding:
    """What stands for a token of a prompt."""

    token: str
    rows: range
    """Its rows in the tables."""
    short_hash: str
    """AUTOMATIC1111's: 12 digits of the SHA-256 of the file."""


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of a model."""

    items: tuple[Embedding, ...] = ()
    tables: Mapping[Any, torch.Tensor] = field(default_factory=dict)
    """Text encoder to the vectors of all items, (vectors, width)."""

    def used(self, texts: Iterable[str]) -> list[Embedding]:
        """Return the items whose tokens are in the texts, in the order of the model."""
        found = {piece for text in texts for piece in self.split(text) if isinstance(piece, Embedding)}
        return [item for item in self.items if item in found]

    def split(self, text: str) -> list[str | Embedding]:
        """Return the text in pieces, with an item in place of each token.

        A token is a whole word, in upper or lower case: CLIP's tokenizers do not tell them apart.
        """
        if not self.items:
            return [text]
        longest_first = sorted(self.items, key=lambda item: len(item.token), reverse=True)
        pattern = "|".join(f"({_pattern(item.token)})" for item in longest_first)
        pieces: list[str | Embedding] = []
        start = 0
        for match in re.finditer(pattern, text, re.IGNORECASE):
            item = next(item for item, group in zip(longest_first, match.groups(), strict=True) if group)
            pieces += [text[start : match.start()], item]
            start = match.end()
        return [*pieces, text[start:]]

    @contextmanager
    def inserted(self, encoder: Any, ids: torch.Tensor) -> Iterator[torch.Tensor]:
        """Provide token ids to call a text encoder with until the end of the block.

        `ids`: (n, tokens); -1 - row stands for a row of the encoder's table.
        """
        places = ids < 0
        if not places.any():
            yield ids
            return
        vectors = self.tables[encoder][-1 - ids[places]]

        def insert(_layer: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            return output.masked_scatter(places[..., None], vectors)

        hook = encoder.get_input_embeddings().register_forward_hook(insert)
        try:
            yield ids.clamp(min=0)
        finally:
            hook.remove()


NO_EMBEDDINGS = Embeddings()


def _pattern(token: str) -> str:
    start, end = (r"\b" if re.match(r"\w", letter) else "" for letter in (token[0], token[-1]))
    return f"{start}{re.escape(token)}{end}"


def load_embeddings(folder: Path, pipeline: Any, offered: Iterable[ProfileEmbedding]) -> Embeddings:
    """Return the embeddings of a profile for a loaded pipeline. Raises ModelFolderError: a file is refused."""
    from safetensors.torch import load_file

    encoders = {
        part: encoder
        for part in ("text_encoder", "text_encoder_2")
        if (encoder := getattr(pipeline, part, None)) is not None
    }
    items: list[Embedding] = []
    vectors: dict[str, list[torch.Tensor]] = {part: [] for part in encoders}
    for embedding in offered:
        path = extra_path("embeddings", embedding.id)
        shapes = {part: {"token_embedding.weight": _weight(encoder).shape} for part, encoder in encoders.items()}
        files = LocalFiles(folder, links=True)
        names = check_embedding(files, path, type(pipeline).__name__, shapes)
        tensors, first = load_file(folder / path), items[-1].rows.stop if items else 0
        for part, name in names.items():
            vectors[part].append(_like(_weight(encoders[part]), tensors[name], path))
        rows = range(first, first + len(vectors[next(iter(names))][-1]))
        short_hash = hashlib.sha256((folder / path).read_bytes()).hexdigest()[:_HASH_DIGITS]
        items.append(Embedding(embedding.token or embedding.id, rows, short_hash))
    tables = {encoders[part]: torch.cat(found) for part, found in vectors.items() if found}
    return Embeddings(tuple(items), tables)


def _weight(encoder: Any) -> torch.Tensor:
    weight: torch.Tensor = encoder.get_input_embeddings().weight
    return weight


def _like(weight: torch.Tensor, vectors: torch.Tensor, path: str) -> torch.Tensor:
    """Return vectors, (n, width), with the dtype and the device of a weight."""
    found = vectors.to(weight.device, weight.dtype).reshape(-1, weight.shape[1])
    if not torch.isfinite(found).all():
        message = f"{path} has numbers that are not finite in {weight.dtype}"
        raise ModelFolderError(message, "Use another copy of the file, or another embedding.")
    return found
