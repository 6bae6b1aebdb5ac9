"""What a model folder may name: classes that are known here. Standard library only; the importer has a mirror of it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What the pipelines of one class have in common."""

    grid: int
    """Pixels: what both sides of a picture must be a multiple of."""
    dtypes: tuple[str, ...]
    """What it may draw in on a GPU, the best first. Some classes overflow float16."""


_UNET = Family(8, ("float16",))
_EITHER = ("bfloat16", "float16")
_TRANSFORMER = Family(16, ("bfloat16",))

PIPELINES: Mapping[str, Family] = {
    "ChromaPipeline": _TRANSFORMER,
    "ErnieImagePipeline": _TRANSFORMER,
    "Flux2KleinPipeline": _TRANSFORMER,
    "Flux2Pipeline": _TRANSFORMER,
    "FluxPipeline": _TRANSFORMER,
    "LatentConsistencyModelPipeline": _UNET,
    "Lumina2Pipeline": _TRANSFORMER,
    "OvisImagePipeline": _TRANSFORMER,
    "QwenImagePipeline": _TRANSFORMER,
    "SanaPipeline": Family(32, _EITHER),
    "StableDiffusion3Pipeline": Family(16, _EITHER),
    "StableDiffusionPipeline": _UNET,
    "StableDiffusionXLPipeline": _UNET,
    "ZImagePipeline": _TRANSFORMER,
}
"""Text-to-image classes of diffusers that tell of each step."""

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
"""Library to classes. `stable_diffusion` is how folders of Stable Diffusion name that module of diffusers."""
