"""The classes that a model folder may name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PipelineFamily:
    """Properties of all pipelines of one class."""

    grid: int
    """Pixels. Width and height of a generated image are multiples of it."""
    dtypes: tuple[str, ...]
    """The dtypes for a GPU, the best first. Some classes overflow float16."""


_UNET = PipelineFamily(8, ("float16",))
_EITHER = ("bfloat16", "float16")
_TRANSFORMER = PipelineFamily(16, ("bfloat16",))

PIPELINES: Mapping[str, PipelineFamily] = {
    "ChromaPipeline": _TRANSFORMER,
    "ErnieImagePipeline": _TRANSFORMER,
    "Flux2KleinPipeline": _TRANSFORMER,
    "Flux2Pipeline": _TRANSFORMER,
    "FluxPipeline": _TRANSFORMER,
    "LatentConsistencyModelPipeline": _UNET,
    "Lumina2Pipeline": _TRANSFORMER,
    "OvisImagePipeline": _TRANSFORMER,
    "QwenImagePipeline": _TRANSFORMER,
    "SanaPipeline": PipelineFamily(32, _EITHER),
    "StableDiffusion3Pipeline": PipelineFamily(16, _EITHER),
    "StableDiffusionPipeline": _UNET,
    "StableDiffusionXLPipeline": _UNET,
    "ZImagePipeline": _TRANSFORMER,
}
"""Text-to-image classes of diffusers with `callback_on_step_end`."""

COMPONENTS: Mapping[str, frozenset[str]] = {
    "diffusers": frozenset(
        {
            "AutoencoderDC",
            "AutoencoderKL",
            "AutoencoderKLFlux2",
            "AutoencoderKLQwenImage",
            "AutoencoderTiny",
            "ChromaTransformer2DModel",
            "DDIMScheduler",
            "DDPMScheduler",
            "DPMSolverMultistepScheduler",
            "ErnieImageTransformer2DModel",
            "EulerAncestralDiscreteScheduler",
            "EulerDiscreteScheduler",
            "FlowMatchEulerDiscreteScheduler",
            "FlowMatchHeunDiscreteScheduler",
            "Flux2Transformer2DModel",
            "FluxTransformer2DModel",
            "HeunDiscreteScheduler",
            "LCMScheduler",
            "LMSDiscreteScheduler",
            "Lumina2Transformer2DModel",
            "OvisImageTransformer2DModel",
            "PNDMScheduler",
            "QwenImageTransformer2DModel",
            "SD3Transformer2DModel",
            "SanaTransformer2DModel",
            "UNet2DConditionModel",
            "UniPCMultistepScheduler",
            "ZImageTransformer2DModel",
        }
    ),
    "transformers": frozenset(
        {
            "AutoProcessor",
            "AutoTokenizer",
            "CLIPFeatureExtractor",
            "CLIPImageProcessor",
            "CLIPTextModel",
            "CLIPTextModelWithProjection",
            "CLIPTokenizer",
            "CLIPTokenizerFast",
            "CLIPVisionModelWithProjection",
            "Gemma2Model",
            "GemmaTokenizer",
            "GemmaTokenizerFast",
            "Ministral3ForCausalLM",
            "Mistral3ForConditionalGeneration",
            "Mistral3Model",
            "PixtralProcessor",
            "PreTrainedTokenizerFast",
            "Qwen2Tokenizer",
            "Qwen2TokenizerFast",
            "Qwen2_5_VLForConditionalGeneration",
            "Qwen3ForCausalLM",
            "Qwen3Model",
            "SiglipImageProcessor",
            "SiglipVisionModel",
            "T5EncoderModel",
            "T5Tokenizer",
            "T5TokenizerFast",
            "TokenizersBackend",
        }
    ),
    "stable_diffusion": frozenset({"StableDiffusionSafetyChecker"}),
}
"""Library to classes. Folders of Stable Diffusion name a module of diffusers `stable_diffusion`."""

_WITHOUT_WEIGHTS = re.compile(r"Scheduler|Tokenizer|Processor|FeatureExtractor")


def has_weights(class_name: str) -> bool:
    """Return whether components of this class have weight files."""
    return not _WITHOUT_WEIGHTS.search(class_name)
