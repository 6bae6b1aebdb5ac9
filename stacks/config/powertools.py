"""The public Powertools layer, in the version that the laptop uses. No CDK: `easel doctor` reads it, too."""

from __future__ import annotations

from stacks.config.regions import LAYERS_ELSEWHERE

PYTHON = "python3.13"
"""The functions' runtime."""
VERSION = "3.37.0"
PARAMETER = f"/aws/service/powertools/python/x86_64/{PYTHON}/{VERSION}"
"""AWS's public parameter with the layer's ARN. It exists in the regions of the partition `aws`."""


def layer_without_parameter(setting: str, region: str) -> str:
    """Return the ARN of the setting, else that of a region without the parameter; empty where the parameter is."""
    publisher = LAYERS_ELSEWHERE.get(region, "")
    return setting or (f"{publisher}:layer:AWSLambdaPowertoolsPythonV3-python313-x86_64:27" if publisher else "")
