"""Prices of leftovers: what one resource costs in a month, from its size or state and the price table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from easel.cloud.account import Account, aws_errors
from stacks.config.prices import HOURS_PER_MONTH, USD_PER_HOUR, USD_PER_MONTH

GB = 10**9
BUCKET_PAGES = 10
"""Pages of 1,000 objects to count in a bucket."""

Item = Mapping[str, Any]
Price = Callable[[Account, str, Item], tuple[float | None, str]]
"""(account, region, item) to USD per month and a note. None: the price is unknown. May raise CommandError."""


def free(account: Account, region: str, item: Item) -> tuple[float, str]:
    """Return 0."""
    return 0.0, ""


def flat(row: str) -> Price:
    """Return a price function for a fixed price per month, a row of the price table."""
    return lambda account, region, item: (USD_PER_MONTH[row], "")


def log_group(account: Account, region: str, item: Item) -> tuple[float, str]:
    """Price of the stored bytes."""
    size = item.get("storedBytes", 0)
    return size / GB * USD_PER_MONTH["log_gb"], f"{size / GB:.2f} GB" if size else ""


def endpoint(account: Account, region: str, item: Item) -> tuple[float | None, str]:
    """Price of the running instances."""
    client, name = account.client("sagemaker", region), item["EndpointName"]
    with aws_errors():
        response = client.describe_endpoint(EndpointName=name)
        config = client.describe_endpoint_config(EndpointConfigName=response["EndpointConfigName"])
    counts = _running_instances(response, config["ProductionVariants"][0])
    instances = ", ".join(f"{count} x {instance_type}" for instance_type, count in counts.items())
    note = f"{response['EndpointStatus']}, {instances}"
    if any(count and instance_type not in USD_PER_HOUR for instance_type, count in counts.items()):
        return None, f"{note}, price unknown"
    hourly = sum(USD_PER_HOUR[instance_type] * count for instance_type, count in counts.items() if count)
    return hourly * HOURS_PER_MONTH, note


def _running_instances(endpoint: Item, variant_config: Item) -> dict[str, int]:
    """Return the running instances by type. With fallbacks, SageMaker counts each type in its own pool."""
    variants = endpoint.get("ProductionVariants", ())
    if "InstanceType" in variant_config:
        count = sum(variant.get("CurrentInstanceCount", 0) for variant in variants)
        return {variant_config["InstanceType"]: count}
    pools = [pool for variant in variants for pool in variant.get("InstancePools", ())]
    configured = dict.fromkeys((pool["InstanceType"] for pool in variant_config["InstancePools"]), 0)
    return configured | {pool["InstanceType"]: pool["CurrentInstanceCount"] for pool in pools}


def notebook(account: Account, region: str, item: Item) -> tuple[float | None, str]:
    """Price of the disk, and of the instance unless it is stopped."""
    with aws_errors():
        response = account.client("sagemaker", region).describe_notebook_instance(
            NotebookInstanceName=item["NotebookInstanceName"]
        )
    instance_type, size = response["InstanceType"], response.get("VolumeSizeInGB", 5)
    status = response["NotebookInstanceStatus"]
    disk, note = size * USD_PER_MONTH["notebook_gb"], f"{status}, {instance_type}, {size} GB"
    if status == "Stopped":
        return disk, note
    if instance_type not in USD_PER_HOUR:
        return None, note
    return USD_PER_HOUR[instance_type] * HOURS_PER_MONTH + disk, note


def bucket(account: Account, region: str, item: Item) -> tuple[float, str]:
    """Price of the stored objects; of the first 10,000 in a larger bucket."""
    client, size, count = account.client("s3", region), 0, 0
    token: dict[str, str] = {}
    for _ in range(BUCKET_PAGES):
        with aws_errors():
            page = client.list_objects_v2(Bucket=item["Name"], **token)
        size += sum(entry["Size"] for entry in page.get("Contents", ()))
        count += page["KeyCount"]
        token = {"ContinuationToken": page["NextContinuationToken"]} if page["IsTruncated"] else {}
        if not token:
            break
    at_least = "at least " if token else ""
    return size / GB * USD_PER_MONTH["s3_gb"], f"{at_least}{count} objects, {size / GB:.2f} GB"


def kms_key(account: Account, region: str, item: Item) -> tuple[float, str]:
    """Price of a key; 0 once its deletion is scheduled."""
    with aws_errors():
        state = account.client("kms", region).describe_key(KeyId=item["KeyId"])["KeyMetadata"]["KeyState"]
    return 0.0 if state == "PendingDeletion" else USD_PER_MONTH["kms_key"], state


def web_acl(account: Account, region: str, item: Item) -> tuple[float, str]:
    """Price of the web ACL and its rules."""
    request = {"Name": item["Name"], "Id": item["Id"], "Scope": "REGIONAL"}
    with aws_errors():
        response = account.client("wafv2", region).get_web_acl(**request)
    rules = len(response["WebACL"].get("Rules", ()))
    return USD_PER_MONTH["web_acl"] + rules * USD_PER_MONTH["web_acl_rule"], f"{rules} rules"
