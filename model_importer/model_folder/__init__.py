"""What a model folder may contain: known classes, safe files, one variant of the weights.

Standard library only. `model_importer/model_folder/` is a copy (`make mirror`; a test compares them), so that the
importer ships alone. The checks guard against a `model_index.json` that names any library or class
(GHSA-4prv-5hj7-c2xr), pickled weights (CVE-2025-32434) and code beside the weights (CVE-2026-44513).
"""

from .check import check_folder
from .classes import (
    CLIP_PIPELINES,
    COMPONENTS,
    CONTROL_PIPELINES,
    EDITORS,
    PIPELINES,
    WITHOUT_IMAGES,
    WITHOUT_NEGATIVE_PROMPT,
    ControlFamily,
    PipelineFamily,
)
from .errors import ModelFolderError
from .extras import EXTRAS, check_digests, extra_ids, extra_path
from .extras.controls import check_control, image_channels
from .extras.embeddings import check_embedding
from .extras.transformer_controls import (
    GUIDANCE,
    REFINER,
    Z_IMAGE_PATCH,
    block_count,
    image_inputs,
    reads_text,
    second_attentions,
)
from .files import Files
from .index import INDEX_FILE, Component, ModelIndex, parse_index
from .json_files import JSON_BYTES, max_bytes, parse_settings
from .local_files import LocalFiles, select_local_files
from .loras import LoraLayer, Modules, Target, check_lora, lora_base
from .printable import printable
from .safetensors_header import Header, Tensor, read_header, read_shapes
from .selection import CheckedModel, check_model
from .vocabulary import VOCABULARY_FILE, read_vocabulary
from .weights import Weights, weights_stem

__all__ = [
    "CLIP_PIPELINES",
    "COMPONENTS",
    "CONTROL_PIPELINES",
    "EDITORS",
    "EXTRAS",
    "GUIDANCE",
    "INDEX_FILE",
    "JSON_BYTES",
    "PIPELINES",
    "REFINER",
    "VOCABULARY_FILE",
    "WITHOUT_IMAGES",
    "WITHOUT_NEGATIVE_PROMPT",
    "Z_IMAGE_PATCH",
    "CheckedModel",
    "Component",
    "ControlFamily",
    "Files",
    "Header",
    "LocalFiles",
    "LoraLayer",
    "ModelFolderError",
    "ModelIndex",
    "Modules",
    "PipelineFamily",
    "Target",
    "Tensor",
    "Weights",
    "block_count",
    "check_control",
    "check_digests",
    "check_embedding",
    "check_folder",
    "check_lora",
    "check_model",
    "extra_ids",
    "extra_path",
    "image_channels",
    "image_inputs",
    "lora_base",
    "max_bytes",
    "parse_index",
    "parse_settings",
    "printable",
    "read_header",
    "read_shapes",
    "read_vocabulary",
    "reads_text",
    "second_attentions",
    "select_local_files",
    "weights_stem",
]
