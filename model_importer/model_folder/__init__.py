"""What a model folder may contain: known classes, safe files, one variant of the weights.

Standard library only. `model_importer/model_folder/` is a copy (`make mirror`; a test compares them), so that the
importer ships alone. The checks guard against a `model_index.json` that names any library or class
(GHSA-4prv-5hj7-c2xr), pickled weights (CVE-2025-32434) and code beside the weights (CVE-2026-44513).
"""

from .check import check_folder
from .classes import COMPONENTS, PIPELINES, PipelineFamily
from .errors import ModelFolderError
from .index import INDEX_FILE, Component, ModelIndex, parse_index
from .json_files import parse_settings
from .local_files import select_local_files
from .selection import DEFAULT_VARIANT, select_files
from .vocabulary import VOCABULARY_FILE, read_vocabulary
from .weights import loaded_variant

__all__ = [
    "COMPONENTS",
    "DEFAULT_VARIANT",
    "INDEX_FILE",
    "PIPELINES",
    "VOCABULARY_FILE",
    "Component",
    "ModelFolderError",
    "ModelIndex",
    "PipelineFamily",
    "check_folder",
    "loaded_variant",
    "parse_index",
    "parse_settings",
    "read_vocabulary",
    "select_files",
    "select_local_files",
]
