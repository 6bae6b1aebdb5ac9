"""Find everything of Easel that an account still has, by tag and by name, with its price per month."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from easel.cloud.account import Account, aws_errors
from easel.cloud.leftovers.resource_types import RESOURCE_TYPES, ResourceType
from easel.console.errors import CommandError
from easel.console.terminal import Terminal
from stacks.config.forms import Mode
from stacks.config.names import APP, APP_TAG, DEFAULT_NAME, NAME_TAG, Names

GLOBAL = "global"
"""The place of resources that belong to no region."""
GLOBAL_REGION = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Partition to the region whose API lists global resources."""
THREADS = 8

TAG_FILTER = {"Key": APP_TAG, "Values": [APP]}
SHORT_CHARACTERS = 6
"""CloudFormation shortens the stack's name to this length in the names of API keys and usage plans."""
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
        scan_all = account.names.in_commands(SCAN_ALL_REGIONS)
        result.leftovers = [
            replace(leftover, remove=scan_all) if leftover.region == GLOBAL else leftover
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
        tagged = {}
        result.errors.append(f"{place}: tags: {error.what}: {error.why}")
    for row in RESOURCE_TYPES:
        if row.is_global == (place == GLOBAL) and account.has_service(row.listing[0]):
            try:
                result.leftovers += find_leftovers(account, row, place, region, tagged)
            except CommandError as error:
                result.errors.append(f"{place}: {row.type}: {error.what}: {error.why}")
    return result


def _tagged_arns(account: Account, region: str) -> dict[str, str]:
    """Return the name of the Easel by ARN in lower case. AWS keeps ARNs of deleted resources for a while."""
    with aws_errors():
        resources = account.items(
            "resourcegroupstaggingapi",
            "get_resources",
            "ResourceTagMappingList",
            region=region,
            TagFilters=[TAG_FILTER],
        )
        return {resource["ResourceARN"].lower(): _name_tag(resource.get("Tags", ())) for resource in resources}


def _name_tag(tags: Iterable[Mapping[str, str]]) -> str:
    return next((tag["Value"] for tag in tags if tag["Key"] == NAME_TAG), DEFAULT_NAME)


def find_leftovers(
    account: Account, row: ResourceType, place: str, region: str, tagged: Mapping[str, str]
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
        if belongs_to_easel(row, item, tagged, account.names):
            name = item[row.name] if row.name else item
            usd, note = _price(account, row, region, item)
            yield Leftover(
                code=row.code, region=place, type=row.type, name=name, usd_per_month=usd, note=note,
                remove=account.names.in_commands(row.remove.format(name=shlex.quote(name))),
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


def belongs_to_easel(row: ResourceType, item: Any, tagged: Mapping[str, str], names: Names) -> bool:
    """Return whether the item's tag, name or text is one of the Easel of `names`.

    `tagged` is the Easel's name by ARN in lower case.
    """
    name = str(item[row.name] if row.name else item)
    if row.code == "stack":
        return name in names.stacks
    if owner := _owner(row, item, name, tagged):
        return owner == names.name
    by_name, by_text = patterns(names)
    if by_name.search(name) or by_name.search(re.split(r"[:/]", name)[-1]):
        return True
    return bool(row.text and by_text.fullmatch(str(item.get(row.text, ""))))


def _owner(row: ResourceType, item: Any, name: str, tagged: Mapping[str, str]) -> str:
    """Return the name of the Easel whose tag the item has; empty if it has none, or AWS does not return it."""
    if row.arn:
        return tagged.get(str(item[row.arn]).removesuffix(":*").lower(), "")
    short_name = re.split(r"[:/]", name)[-1].lower()
    owners = (
        owner for arn, owner in tagged.items()
        if arn.endswith((f":{short_name}", f"/{short_name}")) and arn.split(":")[2] == row.listing[0]
    )  # fmt: skip
    return next(owners, "")


def patterns(names: Names) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns for the name and for the text of a resource.

    Names are those that CloudFormation derives from the stacks' names, and those of endpoints and of the notebook's
    resources. Strict, since similar names may belong to somebody else and the report has commands that delete. Texts
    are descriptions, and the names of API keys and usage plans.
    """
    stacks, modes = "|".join(names.stacks), "|".join(get_args(Mode))
    name = re.compile(
        rf"(^|/)(({stacks})([-/]|$)|({stacks.lower()})-[a-z0-9]+[0-9a-f]{{8}}-"
        rf"|{names.name}-({modes})[0-9a-f]{{6}}\b|(sagemaker-)?{names.notebook_resources}[0-9a-f]{{8}}\b)"
    )
    return name, re.compile(rf"{names.prefix}|({stacks}|{names.api[:SHORT_CHARACTERS]})-\w.*")
