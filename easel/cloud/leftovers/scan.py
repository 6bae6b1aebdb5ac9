"""Find everything of Easel that an account still has, by tag and by name, with its price per month."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from easel.cloud.account import Account, aws_errors
from easel.cloud.leftovers.resource_types import RESOURCE_TYPES, ResourceType
from easel.console.errors import CommandError
from easel.console.terminal import Terminal
from stacks.config.names import APP, APP_TAG, ENDPOINT_PREFIX, STACKS

GLOBAL = "global"
"""The place of resources that belong to no region."""
GLOBAL_REGION = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Partition to the region whose API lists global resources."""
THREADS = 8

TAG_FILTER = {"Key": APP_TAG, "Values": [APP]}
NAME = re.compile(
    rf"(^|/)(({'|'.join(STACKS)})([-/]|$)|({'|'.join(STACKS).lower()})-[a-z0-9]+[0-9a-f]{{8}}-"
    rf"|({'|'.join(ENDPOINT_PREFIX.values())})[0-9a-f]{{6}}-|(sagemaker-)?easel-notebook-[0-9a-f]{{8}}\b)"
)
"""Names that CloudFormation derives from the stacks' names, and the names of endpoints and of the notebook's resources.

Strict, since similar names may belong to somebody else and the report has commands that delete.
"""
TEXT = re.compile(rf"Easel|({'|'.join(STACKS)}|EaselA)-\w.*")
"""Descriptions of Easel's resources, and names of API keys and usage plans, which CloudFormation may shorten."""
SCAN_ALL_REGIONS = "easel leftovers --all-regions   (a deploy in another region may use the global resources)"


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One resource that exists. `usd_per_month` is None if the price is unknown. `code` is stable."""

    code: str
    region: str
    type: str
    name: str
    usd_per_month: float | None
    note: str
    remove: str


@dataclass
class Scan:
    """The result of a scan. `errors` names what could not be listed, and why."""

    leftovers: list[Leftover] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def scan(account: Account, regions: Sequence[str], terminal: Terminal, *, all_regions: bool = False) -> Scan:
    """Find the leftovers in `regions`, and the global ones.

    A deploy in another region may use the global ones. So their removal commands are given only after a complete scan
    of `all_regions`.
    """
    result = Scan()
    places = [GLOBAL, *dict.fromkeys(regions)]
    with terminal.spinner(f"Scanning {', '.join(places)}") as tick, ThreadPoolExecutor(THREADS) as pool:
        for part in pool.map(lambda place: _scan_place(account, place), places):
            tick()
            result.leftovers += part.leftovers
            result.errors += part.errors
    if not all_regions or result.errors:
        result.leftovers = [
            replace(leftover, remove=SCAN_ALL_REGIONS) if leftover.region == GLOBAL else leftover
            for leftover in result.leftovers
        ]
    return result


def _scan_place(account: Account, place: str) -> Scan:
    """Scan one region, or `GLOBAL`."""
    result = Scan()
    region = GLOBAL_REGION.get(account.partition, account.region) if place == GLOBAL else place
    try:
        tagged = _tagged_arns(account, region)
    except CommandError as error:
        tagged = set()
        result.errors.append(f"{place}: tags: {error.what}: {error.why}")
    for row in RESOURCE_TYPES:
        if row.is_global == (place == GLOBAL) and account.has_service(row.listing[0]):
            try:
                result.leftovers += find_leftovers(account, row, place, region, tagged)
            except CommandError as error:
                result.errors.append(f"{place}: {row.type}: {error.what}: {error.why}")
    return result


def _tagged_arns(account: Account, region: str) -> set[str]:
    """Return the ARNs with Easel's tag, in lower case. AWS keeps ARNs of deleted resources for a while."""
    with aws_errors():
        resources = account.items(
            "resourcegroupstaggingapi",
            "get_resources",
            "ResourceTagMappingList",
            region=region,
            TagFilters=[TAG_FILTER],
        )
        return {resource["ResourceARN"].lower() for resource in resources}


def find_leftovers(
    account: Account, row: ResourceType, place: str, region: str, tagged: set[str]
) -> Iterator[Leftover]:
    """Return the leftovers of one resource type. Raises CommandError: AWS does not list the type."""
    service, operation, member = row.listing
    request = dict(row.request)
    if service == "budgets":
        request["AccountId"] = _account_number(account)
    if service == "s3":
        request["BucketRegion"] = region
    with aws_errors():
        items = list(account.items(service, operation, member, region=region, **request))
    for item in items:
        if belongs_to_easel(row, item, tagged):
            name = item[row.name] if row.name else item
            usd, note = _price(account, row, region, item)
            yield Leftover(
                code=row.code, region=place, type=row.type, name=name, usd_per_month=usd, note=note,
                remove=row.remove.format(name=shlex.quote(name)),
            )  # fmt: skip


def _price(account: Account, row: ResourceType, region: str, item: Any) -> tuple[float | None, str]:
    """Return the price and a note; None and the reason if AWS does not return what the price depends on."""
    try:
        return row.price(account, region, item)
    except CommandError as error:
        return None, f"{error.what}: {error.why}"
    except LookupError as error:
        return None, f"AWS returned no {error}"


def _account_number(account: Account) -> str:
    with aws_errors():
        return str(account.client("sts").get_caller_identity()["Account"])


def belongs_to_easel(row: ResourceType, item: Any, tagged: set[str]) -> bool:
    """Return whether the item's name, text or tag is one of Easel. `tagged`: ARNs in lower case."""
    name = str(item[row.name] if row.name else item)
    short_name = re.split(r"[:/]", name)[-1]
    if row.code == "stack":
        return name in STACKS
    if NAME.search(name) or NAME.search(short_name):
        return True
    if row.text and TEXT.fullmatch(str(item.get(row.text, ""))):
        return True
    if row.arn:
        return str(item[row.arn]).removesuffix(":*").lower() in tagged
    endings = (f":{short_name.lower()}", f"/{short_name.lower()}")
    return any(arn.endswith(endings) and arn.split(":")[2] == row.listing[0] for arn in tagged)
