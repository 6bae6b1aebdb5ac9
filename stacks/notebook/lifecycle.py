"""What a notebook instance does when it is made and when it starts: the scripts of notebooks/instance/."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import Aws, Fn
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

Config = sagemaker.CfnNotebookInstanceLifecycleConfig

SCRIPTS = Path(__file__).parents[2] / "notebooks" / "instance"
CONTENT_CHARACTERS = 16_384
"""What SageMaker takes, in base64."""


class Lifecycle(Config):
    """Brings `code` once, and at every start the timer that stops the instance after `idle_hours`; 0: none."""

    def __init__(self, scope: Construct, id: str, *, code: assets.Asset, idle_hours: int) -> None:
        on_create = script("on_create.sh", REGION=Aws.REGION, ARCHIVE=code.s3_object_url)
        idle_stop = script("idle_stop.py").rstrip("\n")
        on_start = script("on_start.sh", FOLDER="/opt/easel", IDLE_STOP=idle_stop, HOURS=str(idle_hours))
        super().__init__(scope, id, on_create=[_hook(on_create)], on_start=[_hook(on_start)])


def script(name: str, **values: str) -> str:
    """The file with each `@NAME@` as told."""
    text = (SCRIPTS / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def _hook(text: str) -> Config.NotebookInstanceLifecycleHookProperty:
    return Config.NotebookInstanceLifecycleHookProperty(content=Fn.base64(text))
