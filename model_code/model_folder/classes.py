"""The classes that a model folder may name, and the parts of each pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

_ANY_TOKENIZER = ("AutoTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
_CLIP_TOKENIZER = ("CLIPTokenizer", "CLIPTokenizerFast", *_ANY_TOKENIZER)
_GEMMA_TOKENIZER = ("GemmaTokenizer", "GemmaTokenizerFast", *_ANY_TOKENIZER)
_QWEN_TOKENIZER = ("Qwen2Tokenizer", "Qwen2TokenizerFast", *_ANY_TOKENIZER)
_T5_TOKENIZER = ("T5Tokenizer", "T5TokenizerFast", *_ANY_TOKENIZER)
_CLIP_IMAGES = ("CLIPFeatureExtractor", "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil")
_SIGLIP_IMAGES = ("SiglipImageProcessor", "SiglipImageProcessorFast", "SiglipImageProcessorPil")
_AUTOENCODER = ("AutoencoderKL", "AutoencoderTiny")
_QWEN_3 = ("Qwen3ForCausalLM", "Qwen3Model")
_OF_UNETS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
_FLOW = ("FlowMatchEulerDiscreteScheduler",)
"""The only scheduler that takes all arguments of most pipelines of flow models."""
_FLOW_OR_UNIPC = (*_FLOW, "UniPCMultistepScheduler")
_FLOW_OR_SOLVERS = (*_FLOW_OR_UNIPC, "DPMSolverMultistepScheduler")
_SCHEDULERS = (*_OF_UNETS, *_FLOW, "FlowMatchHeunDiscreteScheduler")

Classes = tuple[str, ...]
Parts = Mapping[str, Classes]
"""The key of a part in the index, which is also its folder, to the classes that it may have."""


@dataclass(frozen=True)
class PipelineFamily:
    """Properties of all pipelines of one class."""

    grid: int
    """Pixels. Width and height of a generated image are multiples of it."""
    dtypes: tuple[str, ...]
    """The dtypes for a GPU, the best first. Some classes overflow float16."""
    parts: Parts
    optional: tuple[str, ...] = ()
    """Parts that may be missing or `[null, null]`."""
    chat: str = ""
    """The tokenizer that needs a chat template."""


_EITHER = ("bfloat16", "float16")
_BFLOAT16 = ("bfloat16",)


def _parts(
    backbone: str,
    text_encoder: Classes,
    tokenizer: Classes,
    vae: Classes = _AUTOENCODER,
    *,
    scheduler: Classes = _SCHEDULERS,
) -> dict[str, Classes]:
    name = "unet" if backbone == "UNet2DConditionModel" else "transformer"
    parts: dict[str, Classes] = {"scheduler": scheduler, "vae": vae, name: (backbone,)}
    return parts | {"text_encoder": text_encoder, "tokenizer": tokenizer}


_CLIP = ("CLIPTextModel",), _CLIP_TOKENIZER
_T5 = ("T5EncoderModel",), _T5_TOKENIZER
_GEMMA = ("Gemma2Model",), _GEMMA_TOKENIZER
_CLIP_2 = {"text_encoder_2": ("CLIPTextModelWithProjection",), "tokenizer_2": _CLIP_TOKENIZER}
_CLIP_VISION = {"image_encoder": ("CLIPVisionModelWithProjection",), "feature_extractor": _CLIP_IMAGES}
_IMAGES = ("image_encoder", "feature_extractor")
_STABLE_DIFFUSION = PipelineFamily(
    8,
    ("float16",),
    _parts("UNet2DConditionModel", *_CLIP, scheduler=_OF_UNETS)
    | _CLIP_VISION
    | {"safety_checker": ("StableDiffusionSafetyChecker",)},
    ("safety_checker", *_IMAGES),
)
_FLUX_2_VAE = ("AutoencoderKLFlux2",)
_QWEN_IMAGE = _parts(
    "QwenImageTransformer2DModel",
    ("Qwen2_5_VLForConditionalGeneration",),
    _QWEN_TOKENIZER,
    ("AutoencoderKLQwenImage",),
    scheduler=_FLOW_OR_UNIPC,
)
_QWEN_IMAGES = ("Qwen2VLProcessor", "Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast", "Qwen2VLImageProcessorPil")

PIPELINES: Mapping[str, PipelineFamily] = {
    "ChromaPipeline": PipelineFamily(
        16, _BFLOAT16, _parts("ChromaTransformer2DModel", *_T5, scheduler=_FLOW_OR_UNIPC) | _CLIP_VISION, _IMAGES
    ),
    "ErnieImagePipeline": PipelineFamily(
        16,
        _BFLOAT16,
        _parts("ErnieImageTransformer2DModel", ("Mistral3Model",), _ANY_TOKENIZER, _FLUX_2_VAE, scheduler=_FLOW)
        | {"pe": ("Ministral3ForCausalLM",), "pe_tokenizer": _ANY_TOKENIZER},
        ("pe", "pe_tokenizer"),
        chat="pe_tokenizer",
    ),
    "Flux2KleinPipeline": PipelineFamily(
        16,
        _BFLOAT16,
        _parts("Flux2Transformer2DModel", _QWEN_3, _QWEN_TOKENIZER, _FLUX_2_VAE, scheduler=_FLOW_OR_SOLVERS),
        chat="tokenizer",
    ),
    "Flux2Pipeline": PipelineFamily(
        16,
        _BFLOAT16,
        _parts(
            "Flux2Transformer2DModel",
            ("Mistral3ForConditionalGeneration",),
            ("AutoProcessor", "PixtralProcessor", *_ANY_TOKENIZER),
            _FLUX_2_VAE,
            scheduler=_FLOW_OR_SOLVERS,
        ),
        chat="tokenizer",
    ),
    "FluxPipeline": PipelineFamily(
        16,
        _BFLOAT16,
        _parts("FluxTransformer2DModel", *_CLIP, scheduler=_FLOW_OR_SOLVERS)
        | {"text_encoder_2": ("T5EncoderModel",), "tokenizer_2": _T5_TOKENIZER}
        | _CLIP_VISION,
        _IMAGES,
    ),
    "LatentConsistencyModelPipeline": replace(
        _STABLE_DIFFUSION, parts={**_STABLE_DIFFUSION.parts, "scheduler": ("LCMScheduler",)}
    ),
    "Lumina2Pipeline": PipelineFamily(
        16, _BFLOAT16, _parts("Lumina2Transformer2DModel", *_GEMMA, scheduler=_FLOW_OR_UNIPC)
    ),
    "OvisImagePipeline": PipelineFamily(
        16,
        _BFLOAT16,
        _parts("OvisImageTransformer2DModel", ("Qwen3Model",), _QWEN_TOKENIZER, scheduler=_FLOW_OR_SOLVERS),
        chat="tokenizer",
    ),
    "QwenImageEditPlusPipeline": PipelineFamily(16, _BFLOAT16, _QWEN_IMAGE | {"processor": _QWEN_IMAGES}),
    "QwenImagePipeline": PipelineFamily(16, _BFLOAT16, _QWEN_IMAGE),
    "SanaPipeline": PipelineFamily(32, _EITHER, _parts("SanaTransformer2DModel", *_GEMMA, ("AutoencoderDC",))),
    "StableDiffusion3Pipeline": PipelineFamily(
        16,
        _EITHER,
        _parts("SD3Transformer2DModel", ("CLIPTextModelWithProjection",), _CLIP_TOKENIZER)
        | _CLIP_2
        | {"text_encoder_3": ("T5EncoderModel",), "tokenizer_3": _T5_TOKENIZER}
        | {"image_encoder": ("SiglipVisionModel",), "feature_extractor": _SIGLIP_IMAGES},
        ("text_encoder_3", "tokenizer_3", *_IMAGES),
    ),
    "StableDiffusionPipeline": _STABLE_DIFFUSION,
    "StableDiffusionXLPipeline": PipelineFamily(
        8,
        ("float16",),
        _parts("UNet2DConditionModel", *_CLIP, scheduler=_OF_UNETS) | _CLIP_2 | _CLIP_VISION,
        ("text_encoder", "tokenizer", *_IMAGES),
    ),
    "ZImagePipeline": PipelineFamily(
        16, _BFLOAT16, _parts("ZImageTransformer2DModel", _QWEN_3, _QWEN_TOKENIZER, scheduler=_FLOW), chat="tokenizer"
    ),
}
"""Text-to-image classes of diffusers with `callback_on_step_end`."""
CLIP_PIPELINES = ("LatentConsistencyModelPipeline", "StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""Those whose text encoders are all CLIP's, and that take their embeddings in place of a prompt."""
WITHOUT_NEGATIVE_PROMPT = ("Flux2KleinPipeline", "Flux2Pipeline", "FluxPipeline", "LatentConsistencyModelPipeline")
"""Those that take no negative prompt, or only one with a second guidance scale, which they do not get."""
EDITORS: Mapping[str, int] = {"Flux2KleinPipeline": 10, "Flux2Pipeline": 10, "QwenImageEditPlusPipeline": 3}
"""Those that look at images, which the prompt says how to change, and the most that they take."""
WITHOUT_IMAGES: Mapping[str, str] = {"QwenImageEditPlusPipeline": "QwenImagePipeline"}
"""Those that need an image, and the class that generates from text with the same parts."""

FOR_INPAINTING: Mapping[str, str] = {
    "StableDiffusionInpaintPipeline": "StableDiffusionPipeline",
    "StableDiffusionXLInpaintPipeline": "StableDiffusionXLPipeline",
}
"""What an index of a checkpoint for inpainting may name, to the class that it is loaded as. Its UNet has inputs for the
mask and the masked image beside those for the latents."""


@dataclass(frozen=True)
class ControlFamily:
    """What the pipelines with ControlNets of a class can do."""

    network: str = "ControlNetModel"
    """The class of a ControlNet."""
    most: int = 2
    """ControlNets at once."""
    cost_percent: int = 35
    """What each ControlNet adds to the work of a step: an upper bound for those that are published."""
    without: tuple[str, ...] = ()
    """What does not go with ControlNets: items of the contract's `CONTROL_WITHOUT`."""
    inputs: tuple[str, ...] = ()
    """Values of the key `inputs`, which an entry's ControlNets must have; empty: their tensors say all."""


CONTROL_PIPELINES: Mapping[str, ControlFamily] = {
    "FluxPipeline": ControlFamily("FluxControlNetModel"),
    "QwenImagePipeline": ControlFamily("QwenImageControlNetModel", 1, 15, ("init_image", "mask_image", "hires")),
    "SanaPipeline": ControlFamily("SanaControlNetModel", 1, 40, ("init_image", "mask_image", "hires", "range")),
    "StableDiffusion3Pipeline": ControlFamily(
        "SD3ControlNetModel", 2, 105, ("init_image", "mask_image", "hires"), ("zeros", "text", "text-raw")
    ),
    "StableDiffusionPipeline": ControlFamily(),
    "StableDiffusionXLPipeline": ControlFamily(),
    "ZImagePipeline": ControlFamily("ZImageControlNetModel", 1, 100, ("init_image", "strength", "hires", "range")),
}
"""Those whose ControlNets Easel loads."""

_OF_DIFFUSERS = ("Autoencoder", "Scheduler", "Transformer2DModel", "UNet2D")
_SAFETY_CHECKER = "StableDiffusionSafetyChecker"
_WITHOUT_WEIGHTS = ("Scheduler", "Tokenizer", "Processor", "FeatureExtractor")


def library_of(class_name: str) -> str:
    """Return the library that an index names for a known class.

    Folders of Stable Diffusion name a module of diffusers `stable_diffusion`.
    """
    if class_name == _SAFETY_CHECKER:
        return "stable_diffusion"
    return "diffusers" if any(word in class_name for word in _OF_DIFFUSERS) else "transformers"


def has_weights(class_name: str) -> bool:
    """Return whether parts of this class have weight files."""
    return not any(word in class_name for word in _WITHOUT_WEIGHTS) and class_name != "TokenizersBackend"


_KNOWN = {name for family in PIPELINES.values() for classes in family.parts.values() for name in classes}
COMPONENTS: Mapping[str, frozenset[str]] = {
    library: frozenset(name for name in _KNOWN if library_of(name) == library)
    for library in ("diffusers", "transformers", "stable_diffusion")
}
"""Library to the classes that parts may have."""
