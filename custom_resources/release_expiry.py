"""Custom resource: tags older releases that no endpoint configuration uses, once the endpoint runs a new release.

A lifecycle rule of the bucket deletes tagged objects. A release that is deployed again loses the tag (`release.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .response import RESERVE_MS, Event, Result, make_handler

RELEASES = "releases/"
KEPT = 2
"""As many of the newest releases for each model are kept for a rollback, even if nothing uses them."""
TAG = {"Key": "easel:release", "Value": "unreferenced"}


class TooManyError(RuntimeError):
    """The account has more endpoint configurations than one invocation can read."""


def handler(event: Event, context: Any) -> None:
    make_handler(lambda event: expire(event, context))(event, context)


def expire(event: Event, context: Any) -> Result:
    """Tag unused releases. Errors are only logged: a release too many costs cents, a failed deploy costs more."""
    properties = event["ResourceProperties"]
    try:
        for prefix in tag_unused(properties["Bucket"], properties["Uris"], context):
            print(f"{prefix} is not in use: it will be deleted")
    except (BotoCoreError, ClientError, TooManyError) as error:
        print(f"older releases are kept for now: {error}")
    return "release-expiry", {}


def tag_unused(bucket: str, current: Sequence[str], context: Any) -> list[str]:
    """Tag the objects of every unused release, and return the releases' prefixes."""
    s3 = boto3.client("s3")
    releases = _by_age(s3, bucket)
    kept = [*releases][: KEPT * len(current)]
    needed = {*current, *uris_in_use(context), *(f"s3://{bucket}/{prefix}" for prefix in kept)}
    unused = [prefix for prefix in releases if not any(_overlap(f"s3://{bucket}/{prefix}", uri) for uri in needed)]
    for key in (key for prefix in unused for key in releases[prefix]):
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [TAG]})
    return unused


def _by_age(s3: Any, bucket: str) -> dict[str, list[str]]:
    """Return prefix to keys of each release, the newest release first."""
    keys: dict[str, list[str]] = defaultdict(list)
    changed: dict[str, Any] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=RELEASES):
        for item in page.get("Contents", []):
            prefix = RELEASES + item["Key"].removeprefix(RELEASES).partition("/")[0] + "/"
            keys[prefix].append(item["Key"])
            changed[prefix] = max(changed.get(prefix, item["LastModified"]), item["LastModified"])
    return {prefix: keys[prefix] for prefix in sorted(keys, key=lambda prefix: changed[prefix], reverse=True)}


def uris_in_use(context: Any) -> set[str]:
    """Return the model data of all endpoint configurations in this account and region. Raises TooManyError."""
    sagemaker = boto3.client("sagemaker")
    pages = sagemaker.get_paginator("list_endpoint_configs").paginate()
    names = [config["EndpointConfigName"] for page in pages for config in page["EndpointConfigs"]]
    models = {model for name in _while_time_remains(names, context) for model in _models(sagemaker, name)}
    return {uri for model in _while_time_remains(models, context) for uri in _model_data(sagemaker, model)}


def _while_time_remains(names: Iterable[str], context: Any) -> Iterator[str]:
    """Yield `names`. Raises TooManyError near the end: without a response CloudFormation rolls the deploy back."""
    for name in names:
        if context.get_remaining_time_in_millis() < RESERVE_MS:
            raise TooManyError("this account has too many endpoint configurations to read all of them")
        yield name


def _models(sagemaker: Any, config: str) -> Iterator[str]:
    description = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    for variant in description["ProductionVariants"] + description.get("ShadowProductionVariants", []):
        if "ModelName" in variant:
            yield variant["ModelName"]


def _model_data(sagemaker: Any, model: str) -> Iterator[str]:
    try:
        description = sagemaker.describe_model(ModelName=model)
    except ClientError as error:  # a configuration may outlive its model
        if "Could not find model" not in str(error):
            raise
        return
    for container in [description.get("PrimaryContainer", {}), *description.get("Containers", [])]:
        source = container.get("ModelDataSource", {}).get("S3DataSource", {})
        yield from filter(None, (source.get("S3Uri"), container.get("ModelDataUrl")))


def _overlap(prefix: str, uri: str) -> bool:
    return uri.startswith(prefix) or prefix.startswith(uri)
