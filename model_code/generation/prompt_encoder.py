"""Embeddings of prompts with weights, with tokens of textual inversion, of more than one input of the text encoder, or
of one of its earlier layers.

Pipelines take them in place of texts. Only for pipelines whose text encoders are all CLIP's. A prompt of one input
without weights has exactly the embeddings that the pipeline computes itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from contract import PROMPT_CHUNKS, GenerationRequest, PromptPart, WeightedPrompt, parse_prompt, refuse
from generation.extras.embeddings import NO_EMBEDDINGS, Embeddings
from model_folder import CLIP_PIPELINES

_LCM, _, _XL = CLIP_PIPELINES


@dataclass(frozen=True)
class _Chunk:
    """One input of a text encoder: tokens, without the special ones, and their weights.

    A token of -1 - row is a row in the tables of `Embeddings`.
    """

    tokens: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Embeddings:
    """`states`: (chunks, tokens, width). `pooled`: (1, width) of the first chunk, or None."""

    states: torch.Tensor
    pooled: torch.Tensor | None


def clip_layers(pipeline: Any) -> int | None:
    """Return the layers of the smallest text encoder, or None if the pipeline is not of `CLIP_PIPELINES`."""
    if _family(pipeline) not in CLIP_PIPELINES:
        return None
    return min(int(encoder.config.num_hidden_layers) for _, encoder in _encoders(pipeline))


def _family(pipeline: Any) -> str:
    """Return the class for text to image."""
    return re.sub("ControlNet|Img2Img|Inpaint", "", type(pipeline).__name__)


def _encoders(pipeline: Any) -> list[tuple[Any, Any]]:
    """Return tokenizers and text encoders, in the order in which their embeddings are joined."""
    names = ("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")
    pairs = [(getattr(pipeline, name, None), getattr(pipeline, encoder, None)) for name, encoder in names]
    return [(tokenizer, encoder) for tokenizer, encoder in pairs if encoder is not None]


def create_encoder(
    pipeline: Any, request: GenerationRequest, negative_prompt: str | None, embeddings: Embeddings = NO_EMBEDDINGS
) -> PromptEncoder | None:
    """Return the encoder of a request's prompts, or None if the pipeline reads the texts itself.

    Raises EaselError `not_supported`.
    """
    weighted = request.prompt_syntax == "weighted"
    used = embeddings.used([*request.prompt, negative_prompt or ""])
    if not weighted and request.clip_skip is None and not used:
        return None
    layers = clip_layers(pipeline)
    if layers is None or (request.clip_skip or 1) > layers:
        param = "prompt_syntax" if weighted else "clip_skip"
        message = f"{type(pipeline).__name__} of {layers or 'no'} CLIP layers does not support this {param}"
        refuse("not_supported", param, message, f"Leave out {param}.")
    return PromptEncoder(pipeline, weighted, request.clip_skip, negative_prompt, embeddings)


@dataclass
class PromptEncoder:
    """Encodes the prompts of one request."""

    pipeline: Any
    weighted: bool
    clip_skip: int | None
    negative_prompt: str | None
    """None: without one. Some pipelines use zeros in place of an empty one's embeddings then."""
    embeddings: Embeddings = NO_EMBEDDINGS
    _encoded: dict[str, _Embeddings] = field(default_factory=dict, init=False)

    def warnings(self, texts: Mapping[str, str]) -> list[str]:
        """Return warnings about texts by name: tokens that are not read, and brackets that are not closed."""
        found = []
        for name, text in texts.items():
            chunks, tokens = self._chunks(self._parse(text), _encoders(self.pipeline)[-1][0])
            read = sum(len(chunk.tokens) for chunk in chunks)
            if read < tokens:
                found.append(f"{name} has {tokens} tokens; this model reads the first {read}.")
            if self.weighted and parse_prompt(text).unbalanced:
                found.append(f"{name} has a bracket that is not closed: it counts to the end of the prompt.")
        return found

    def length(self, prompt: str) -> int:
        """Return the number of inputs of the text encoder for this prompt. A batch has prompts of one length."""
        return max(len(self._encode(text).states) for text in (prompt, self.negative_prompt or ""))

    def arguments(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the pipeline's arguments for prompts of one `length`."""
        length = self.length(prompts[0])
        found = self._joined("", [self._encode(prompt) for prompt in prompts], length)
        if _family(self.pipeline) == _LCM:
            return found  # it has no unguided part
        negative = self._encode(self.negative_prompt or "")
        if self.negative_prompt is None and getattr(self.pipeline.config, "force_zeros_for_empty_prompt", False):
            return found | {f"negative_{name}": torch.zeros_like(value) for name, value in found.items()}
        return found | self._joined("negative_", [negative] * len(prompts), length)

    def _joined(self, prefix: str, embeddings: Sequence[_Embeddings], length: int) -> dict[str, torch.Tensor]:
        """Return the arguments of a batch, each prompt extended to `length` chunks by those of an empty prompt."""
        states = [
            torch.cat([item.states, self._encode("").states.expand(length - len(item.states), -1, -1)]).flatten(0, 1)
            for item in embeddings
        ]
        pooled = [item.pooled for item in embeddings if item.pooled is not None]
        found = {f"{prefix}prompt_embeds": torch.stack(states)}
        return found | ({f"{prefix}pooled_prompt_embeds": torch.cat(pooled)} if pooled else {})

    @torch.no_grad()
    def _encode(self, text: str) -> _Embeddings:
        if text not in self._encoded:
            parts = [self._encode_with(*pair, self._parse(text)) for pair in _encoders(self.pipeline)]
            pooled = [part.pooled for part in parts if part.pooled is not None]
            self._encoded[text] = _Embeddings(
                torch.cat([part.states for part in parts], dim=-1), pooled[-1] if pooled else None
            )
        return self._encoded[text]

    def _parse(self, text: str) -> WeightedPrompt:
        return parse_prompt(text) if self.weighted else WeightedPrompt(((PromptPart(text, 1.0),),), False)

    def _chunks(self, prompt: WeightedPrompt, tokenizer: Any) -> tuple[list[_Chunk], int]:
        """Return the inputs of the text encoder that are read, and the number of all tokens."""
        usable = tokenizer.model_max_length - 2  # without the tokens of start and end
        chunks: list[_Chunk] = []
        for section in prompt.sections:
            ids = [self._ids(part.text, tokenizer) for part in section]
            tokens = [token for part in ids for token in part]
            weights = [part.weight for part, found in zip(section, ids, strict=True) for _ in found]
            starts = range(0, len(tokens), usable)
            chunks += [_Chunk(tuple(tokens[i : i + usable]), tuple(weights[i : i + usable])) for i in starts]
        total = sum(len(chunk.tokens) for chunk in chunks)
        return chunks[: PROMPT_CHUNKS if self.weighted else 1] or [_Chunk()], total

    def _ids(self, text: str, tokenizer: Any) -> list[int]:
        found: list[int] = []
        for piece in self.embeddings.split(text):
            if isinstance(piece, str):
                found += tokenizer(piece, add_special_tokens=False, verbose=False).input_ids
            else:
                found += [-1 - row for row in piece.rows]
        return found

    def _encode_with(self, tokenizer: Any, encoder: Any, prompt: WeightedPrompt) -> _Embeddings:
        chunks, _ = self._chunks(prompt, tokenizer)
        embeddings = self._run(tokenizer, encoder, chunks)
        weights = torch.ones(embeddings.states.shape[:2], device=embeddings.states.device)
        for row, chunk in zip(weights, chunks, strict=True):
            row[1 : 1 + len(chunk.weights)] = torch.tensor(chunk.weights)
        if (weights == 1).all():
            return embeddings
        empty = self._run(tokenizer, encoder, [_Chunk()]).states.float()
        return _Embeddings(weigh(embeddings.states, empty, weights[..., None]), embeddings.pooled)

    def _run(self, tokenizer: Any, encoder: Any, chunks: Sequence[_Chunk]) -> _Embeddings:
        """Return the embeddings of the layer that is used, before weights."""
        length, end, pad = tokenizer.model_max_length, tokenizer.eos_token_id, tokenizer.pad_token_id
        rows = [[tokenizer.bos_token_id, *chunk.tokens, end] for chunk in chunks]
        ids = torch.tensor([[*row, *[pad] * (length - len(row))] for row in rows], device=encoder.device)
        with self.embeddings.inserted(encoder, ids) as ids:
            output = encoder(ids, output_hidden_states=True, **_mask(encoder, rows, length))
        if _family(self.pipeline) == _XL:  # trained with the states before the last layer, without its norm
            pooled = output[0][:1] if output[0].ndim == 2 else None
            return _Embeddings(output.hidden_states[-(self.clip_skip or 2)], pooled)
        if self.clip_skip in (None, 1):
            return _Embeddings(output[0], None)
        norm = getattr(encoder, "text_model", encoder).final_layer_norm  # transformers 5.23 has no text_model
        return _Embeddings(norm(output.hidden_states[-self.clip_skip]), None)


def _mask(encoder: Any, rows: Sequence[Sequence[int]], length: int) -> dict[str, torch.Tensor]:
    if not getattr(encoder.config, "use_attention_mask", False):
        return {}
    mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
    return {"attention_mask": torch.tensor(mask, device=encoder.device)}


def weigh(states: torch.Tensor, empty: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Move each token's state away from that of an empty prompt at its place: 0 is there, 1 leaves it as it is.

    ComfyUI's formula. AUTOMATIC1111 multiplies the states and scales all of them back to their mean, which is near zero
    for some text encoders, and then turns the image into noise.
    """
    moved = empty + (states.float() - empty) * weights
    return torch.where(weights == 1, states, moved.to(states.dtype))
