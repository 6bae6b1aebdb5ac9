"""`easel leftovers`: everything of Easel's that an account still has, by tag and by name, and what it costs a month."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from easel.cloud.account import Account, explained
from easel.cloud.leftovers.resource_types import KINDS, Item, Kind
from easel.cloud.stack_state import STACKS
from easel.console.errors import CommandError
from easel.console.program_name import as_typed
from easel.console.terminal import Terminal
from stacks.config.prices import PAGE, REGION, SEEN

TAG = {"Key": "easel:app", "Values": ["easel"]}
STACK_TYPE = "AWS::CloudFormation::Stack"
NAME = re.compile(
    rf"(^|/)(({'|'.join(STACKS)})([-/]|$)|({'|'.join(STACKS).lower()})-[a-z0-9]+[0-9a-f]{{8}}-"
    r"|easel-(async|realtime)[0-9a-f]{6}-|(sagemaker-)?easel-notebook-[0-9a-f]{8}\b)"
)
"""What CloudFormation makes of our stacks' names, in both spellings, and the endpoint's own name. No more: what is
called alike may be somebody else's, and a command that deletes stands beside it."""
BESIDE = re.compile(rf"Easel|({'|'.join(STACKS)}|EaselA)-\w.*")
"""Our descriptions, and names of keys and plans, which CloudFormation may cut short."""
ELSEWHERE = "easel leftovers --all-regions   (an Easel of another region may need what is global)"
GLOBAL = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Who is asked, in each partition, for what belongs to no region."""
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing that is still there. `usd_per_month`: None where nobody can say."""

    region: str
    type: str
    name: str
    usd_per_month: float | None
    note: str
    remove: str

    def line(self) -> str:
        usd = "?" if self.usd_per_month is None else f"{self.usd_per_month:.2f}"
        note = f"  ({self.note})" if self.note else ""
        return f"{self.region:<15}{self.type.removeprefix('AWS::'):<38}{usd:>9}  {self.name}{note}"


@dataclass
class Found:
    """`unseen`: what could not be looked at, and why."""

    left: list[Leftover] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def look(account: Account, regions: Sequence[str], terminal: Terminal, *, all_regions: bool = False) -> Found:
    """Everything of ours in the regions, and what belongs to no region.

    That may be in use by an Easel which only a look into `all_regions` would show: then nothing says how it goes.
    """
    found = Found()
    places = ["global", *dict.fromkeys(regions)]
    with terminal.waiting(f"Looking into {', '.join(places)}") as tick, ThreadPoolExecutor(AT_ONCE) as pool:
        for one in pool.map(lambda place: _look(account, place), places):
            tick()
            found.left += one.left
            found.unseen += one.unseen
    if not all_regions or found.unseen:
        found.left = [replace(one, remove=ELSEWHERE) if one.region == "global" else one for one in found.left]
    return found


def _look(account: Account, place: str) -> Found:
    found, region = Found(), GLOBAL.get(account.partition, account.region) if place == "global" else place
    try:
        tagged = _tagged(account, region)
    except CommandError as error:
        tagged = set()
        found.unseen.append(f"{place}: tags: {error.what}: {error.why}")
    for kind in KINDS:
        if kind.everywhere == (place == "global") and account.has(kind.call[0]):
            try:
                found.left += _of_kind(account, kind, place, region, tagged)
            except CommandError as error:
                found.unseen.append(f"{place}: {kind.type}: {error.what}: {error.why}")
    return found


def _tagged(account: Account, region: str) -> set[str]:
    """ARNs. Those of what has just been deleted stay for a while, so nothing is believed to exist by them alone."""
    with explained():
        told = account.all(
            "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList", region=region, TagFilters=[TAG]
        )
        return {one["ResourceARN"].lower() for one in told}


def _of_kind(account: Account, kind: Kind, place: str, region: str, tagged: set[str]) -> Iterator[Leftover]:
    service, operation, member = kind.call
    asked = dict(kind.asked)
    if service == "budgets":
        asked["AccountId"] = _number(account)
    if service == "s3":
        asked["BucketRegion"] = region
    with explained():
        items = list(account.all(service, operation, member, region=region, **asked))
    for item in items:
        if _ours(kind, item, tagged):
            name = item[kind.name] if kind.name else item
            usd, note = _price(account, kind, region, item)
            yield Leftover(
                region=place, type=kind.type, name=name, usd_per_month=usd, note=note,
                remove=kind.remove.format(name=name),
            )  # fmt: skip


def _price(account: Account, kind: Kind, region: str, item: Any) -> tuple[float | None, str]:
    """What is there is told of, also where AWS does not say what it costs."""
    try:
        return kind.price(account, region, item)
    except CommandError as error:
        return None, f"{error.what}: {error.why}"
    except LookupError as error:
        return None, f"AWS does not tell its {error}"


def _number(account: Account) -> str:
    with explained():
        return str(account.client("sts").get_caller_identity()["Account"])


def _ours(kind: Kind, item: Any, tagged: set[str]) -> bool:
    """By the name, by a text beside it, or by the tag."""
    name = str(item[kind.name] if kind.name else item)
    short = re.split(r"[:/]", name)[-1]
    if kind.type == STACK_TYPE:
        return name in STACKS
    if NAME.search(name) or NAME.search(short):
        return True
    if kind.also and BESIDE.fullmatch(str(_get(item, kind.also))):
        return True
    if kind.arn:
        return str(item[kind.arn]).removesuffix(":*").lower() in tagged
    ends = (f":{short.lower()}", f"/{short.lower()}")
    return any(arn.endswith(ends) and arn.split(":")[2] == kind.call[0] for arn in tagged)


def _get(item: Item, key: str) -> Any:
    return item.get(key, "")


def report(found: Found, as_json: bool) -> int:
    """Prints; the exit code: 0 only where everything was looked at and nothing is there."""
    total = sum(one.usd_per_month or 0 for one in found.left)
    if as_json:
        told = {"left": [asdict(one) for one in found.left], "unseen": found.unseen}
        print(json.dumps({**told, "usd_per_month": round(total, 2), "prices": f"{REGION}, {SEEN}"}, ensure_ascii=False))
    else:
        print(*_lines(found, total), sep="\n")
    return 1 if found.left or found.unseen else 0


def _lines(found: Found, total: float) -> Iterator[str]:
    if found.left:
        yield f"{'region':<15}{'what':<38}{'USD/month':>9}  name"
    for one in sorted(found.left, key=lambda one: -(one.usd_per_month or 0)):
        yield one.line()
    for words in found.unseen:
        yield f"Not looked at: {words}"
    if not found.left:
        yield "Nothing of Easel's was found." if found.unseen else "Nothing of Easel's is left."
        return
    source = f"{REGION}, {SEEN}; see {PAGE}"
    yield f"{len(found.left)} left, about {total:.2f} USD a month without traffic, before free tiers ({source})."
    yield "To remove them:"
    if deployed := dict.fromkeys(one.region for one in found.left if one.type == STACK_TYPE):
        yield from (f"  AWS_REGION={one} npx cdk destroy --all   (with the settings of the deploy)" for one in deployed)
    else:
        yield from dict.fromkeys(f"  {as_typed(one.remove)}{_where(one)}" for one in found.left)


def _where(one: Leftover) -> str:
    return f" --region {one.region}" if one.region != "global" and one.remove.startswith("aws ") else ""
