"""The serving image: Hugging Face PyTorch inference with diffusers, and the AWS accounts that publish it by region.

Source: `sagemaker/core/image_uri_config/huggingface.json` of sagemaker-core 2.27.0, `inference` 5.5.3 / pytorch2.6.0.
"""

from __future__ import annotations

import re

from model_importer.model_folder import PIPELINES
from stacks.config.catalogue import CatalogueError, Model
from stacks.config.validation import nearest

REPOSITORY = "huggingface-pytorch-inference"
GPU_TAG = "2.6.0-transformers5.5.3-gpu-py312-cu124-ubuntu22.04"
CPU_TAG = "2.6.0-transformers5.5.3-cpu-py312-ubuntu22.04"
DIFFUSERS = "0.37.1"
"""The image's version of diffusers. Later builds under the same tag may have a newer version."""
GPU_AMIS = {"al2": "al2-ami-sagemaker-inference-gpu-3-1", "al2023": "al2023-ami-sagemaker-inference-gpu-4-1"}
"""Setting `gpu_host` to a host image: driver 550 for CUDA 12.4, driver 580 for CUDA 13.0. SageMaker's default has 470.

Source: InferenceAmiVersion in botocore's model of SageMaker. docs/explanation/decisions/the-gpu-host.md has the choice.
"""
GPU_AMI = GPU_AMIS["al2"]
"""Host image of the notebook's endpoint."""

ACCOUNTS = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-northeast-1": "763104351884",
    "ap-northeast-2": "763104351884",
    "ap-northeast-3": "364406365360",
    "ap-south-1": "763104351884",
    "ap-south-2": "772153158452",
    "ap-southeast-1": "763104351884",
    "ap-southeast-2": "763104351884",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ca-central-1": "763104351884",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-1": "763104351884",
    "eu-central-2": "380420809688",
    "eu-north-1": "763104351884",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "eu-west-1": "763104351884",
    "eu-west-2": "763104351884",
    "eu-west-3": "763104351884",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "sa-east-1": "763104351884",
    "us-east-1": "763104351884",
    "us-east-2": "763104351884",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
    "us-iso-east-1": "886529160074",
    "us-isob-east-1": "094389454867",
    "us-west-1": "763104351884",
    "us-west-2": "763104351884",
}


def has_gpu(instance_type: str) -> bool:
    """Return whether the type is of the g or p families, which have NVIDIA GPUs."""
    return re.match(r"ml\.[gp]\d", instance_type) is not None


def tag(instance_type: str) -> str:
    """Return the tag of the serving image for an instance type."""
    return GPU_TAG if has_gpu(instance_type) else CPU_TAG


def check_class(model: Model) -> None:
    """Check that the container can load the model's pipeline with the image's diffusers. Raises CatalogueError."""
    if model.pipeline not in PIPELINES:
        message = f"{model.id} has the pipeline {model.pipeline!r}, which the container does not load."
        raise CatalogueError(f"{message} {nearest(model.pipeline, PIPELINES)}", code="not_allowed", key="pipeline")
    installed, needed = (tuple(map(int, version.split("."))) for version in (DIFFUSERS, model.diffusers))
    if needed > installed:
        message = (
            f"{model.id} needs diffusers {model.diffusers} for {model.pipeline}; the serving image has {DIFFUSERS}. "
            "Choose a model that docs/reference/models.md lists."
        )
        raise CatalogueError(message, code="image_too_old", key="diffusers")
