"""The scripts that a notebook instance runs when it is created and when it starts, from notebooks/instance/."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import Aws, Fn
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

Config = sagemaker.CfnNotebookInstanceLifecycleConfig

SCRIPTS = Path(__file__).parents[2] / "notebooks" / "instance"
CONTENT_CHARACTERS = 16_384
"""The longest script that SageMaker accepts, in base64."""


class Lifecycle(Config):
    """Fetches `code` once. At every start it starts the timer that stops the instance after `idle_hours`; 0: none."""

    def __init__(self, scope: Construct, id: str, *, code: assets.Asset, idle_hours: int, name: str) -> None:
        on_create = script("on_create.sh", REGION=Aws.REGION, ARCHIVE=code.s3_object_url)
        idle_stop = script("idle_stop.py").rstrip("\n")
        on_start = script("on_start.sh", FOLDER="/opt/easel", IDLE_STOP=idle_stop, HOURS=str(idle_hours), NAME=name)
        super().__init__(scope, id, on_create=[_hook(on_create)], on_start=[_hook(on_start)])


def script(name: str, **values: str) -> str:
    """Return the text of a script with each `@NAME@` replaced by its value."""
    text = (SCRIPTS / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def _hook(text: str) -> Config.NotebookInstanceLifecycleHookProperty:
    return Config.NotebookInstanceLifecycleHookProperty(content=Fn.base64(text))
