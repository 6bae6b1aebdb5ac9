"""Prompts with images, as Qwen's text encoder reads them. transformers' own processor needs torchvision, for videos."""

from collections.abc import Sequence
from typing import Any

import torch

_IMAGE = "<|image_pad|>"
"""Where an image is in a prompt: as many of these tokens as the text encoder makes of it."""


class ImagePromptProcessor:
    """A tokenizer and an image processor, called as `Qwen2VLProcessor` is."""

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer

    def __call__(self, text: Sequence[str], images: Sequence[Any] | None = None, **options: Any) -> Any:
        """Return the tokens of the prompts and, once for each prompt, the patches of all images."""
        if not images:
            return self.tokenizer(list(text), **options)
        patches = self.image_processor(images=list(images) * len(text), return_tensors=options.get("return_tensors"))
        sizes = iter(patches["image_grid_thw"])
        encoded = self.tokenizer([self._with_tokens(prompt, sizes) for prompt in text], **options)
        encoded.update(patches)
        return encoded

    def _with_tokens(self, prompt: str, sizes: Any) -> str:
        first, *rest = prompt.split(_IMAGE)
        merged = self.image_processor.merge_size**2
        return first + "".join(_IMAGE * (int(next(sizes).prod()) // merged) + part for part in rest)


def place_images(text_encoder: torch.nn.Module) -> None:
    """Let a text encoder know which tokens are of images.

    diffusers 0.38 to 0.42 does not pass it, and transformers 5 then numbers these tokens like text: the encoder would
    not see where in an image they are.
    """
    text_encoder.register_forward_pre_hook(_mark_images, with_kwargs=True)


def _mark_images(text_encoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    if kwargs.get("image_grid_thw") is None or kwargs.get("mm_token_type_ids") is not None:
        return args, kwargs
    marks = (kwargs["input_ids"] == text_encoder.config.image_token_id).int()
    return args, {**kwargs, "mm_token_type_ids": marks}
