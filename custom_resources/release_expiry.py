"""Custom resource: when the endpoint runs a release, tags older ones that nothing points at, so that they expire.

The bucket's rule deletes what carries the tag. A release that is deployed again loses it (`release.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .response import HAND_OVER_MS, Event, Made, answering

RELEASES = "releases/"
KEPT = 2
"""The newest are kept for a way back, whether something points at them or not."""
TAG = {"Key": "easel:release", "Value": "unreferenced"}


class TooManyError(RuntimeError):
    """There are more endpoint configurations in the account than could be looked at."""


def handler(event: Event, context: Any) -> None:
    answering(lambda event: retire(event, context))(event, context)


def retire(event: Event, context: Any) -> Made:
    """A release too many costs cents, a deploy that is rolled back more: what fails here is told in the log alone."""
    asked = event["ResourceProperties"]
    try:
        for prefix in unreferenced(asked["Bucket"], asked["Uri"], context):
            print(f"nothing points at {prefix}: it expires")
    except (BotoCoreError, ClientError, TooManyError) as error:
        print(f"older releases stay for now: {error}")
    return "retirement", {}


def unreferenced(bucket: str, current: str, context: Any) -> list[str]:
    """Tags the objects of every release that may go; their prefixes."""
    s3 = boto3.client("s3")
    releases = _by_age(s3, bucket)
    wanted = {current, *referenced(context), *(f"s3://{bucket}/{prefix}" for prefix in [*releases][:KEPT])}
    going = [prefix for prefix in releases if not any(_overlap(f"s3://{bucket}/{prefix}", uri) for uri in wanted)]
    for key in (key for prefix in going for key in releases[prefix]):
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [TAG]})
    return going


def _by_age(s3: Any, bucket: str) -> dict[str, list[str]]:
    """Prefix to keys, the newest release first."""
    keys: dict[str, list[str]] = defaultdict(list)
    changed: dict[str, Any] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=RELEASES):
        for item in page.get("Contents", []):
            prefix = RELEASES + item["Key"].removeprefix(RELEASES).partition("/")[0] + "/"
            keys[prefix].append(item["Key"])
            changed[prefix] = max(changed.get(prefix, item["LastModified"]), item["LastModified"])
    return {prefix: keys[prefix] for prefix in sorted(keys, key=lambda prefix: changed[prefix], reverse=True)}


def referenced(context: Any) -> set[str]:
    """What the models of all endpoint configurations of this account and region read. Raises TooManyError."""
    sagemaker = boto3.client("sagemaker")
    pages = sagemaker.get_paginator("list_endpoint_configs").paginate()
    names = [config["EndpointConfigName"] for page in pages for config in page["EndpointConfigs"]]
    models = {model for name in _in_time(names, context) for model in _models(sagemaker, name)}
    return {uri for model in _in_time(models, context) for uri in _data(sagemaker, model)}


def _in_time(names: Iterable[str], context: Any) -> Iterator[str]:
    """Without an answer CloudFormation would take the deploy back."""
    for name in names:
        if context.get_remaining_time_in_millis() < HAND_OVER_MS:
            raise TooManyError("this account has too many endpoint configurations to look at all of them")
        yield name


def _models(sagemaker: Any, config: str) -> Iterator[str]:
    told = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    for variant in told["ProductionVariants"] + told.get("ShadowProductionVariants", []):
        if "ModelName" in variant:
            yield variant["ModelName"]


def _data(sagemaker: Any, model: str) -> Iterator[str]:
    try:
        told = sagemaker.describe_model(ModelName=model)
    except ClientError as error:  # a configuration may outlive its model
        if "Could not find model" not in str(error):
            raise
        return
    for container in [told.get("PrimaryContainer", {}), *told.get("Containers", [])]:
        source = container.get("ModelDataSource", {}).get("S3DataSource", {})
        yield from filter(None, (source.get("S3Uri"), container.get("ModelDataUrl")))


def _overlap(prefix: str, uri: str) -> bool:
    return uri.startswith(prefix) or prefix.startswith(uri)
