"""`easel keys`: API keys and what they used, in the table of a deploy or in the data folder of a laptop."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from api_keys.authorizer import owner_of_operator
from api_keys.keys import NAME_FORM, Key, Keys, new_key, rotated
from contract import EaselError
from easel.cloud.account import Account, aws_errors, is_not_found
from easel.cloud.doctor.functions import TABLE
from easel.cloud.outputs import stack_key
from easel.cloud.stack_state import find_endpoints, newest_resource, resources_of
from easel.console.errors import ENVIRONMENT, USAGE, CommandError
from jobs.accounting import Usage, usage
from jobs.accounts import Account as UsageAccount
from jobs.accounts import Limits
from stacks.config.names import USAGE_SLOTS


class KeyStore(Keys, Protocol):
    """Keys with their accounts."""

    def accounts(self) -> Mapping[str, UsageAccount]:
        """Return every account, by owner."""


@dataclass(frozen=True)
class Place:
    """Where keys are. `others`: owners without a key, by id. `prices`: USD of an hour of an instance, by model id;
    that of the only model has an empty one. None: not known."""

    store: KeyStore
    others: Mapping[str, str]
    prices: Mapping[str, float | None] = field(default_factory=dict)


def deployed_place(account: Account) -> Place:
    """Return the table of a deploy. Raises CommandError: it has none, or its API has no keys."""
    from aws.ledger import AccountTable

    storage, api = account.names.storage, account.names.api
    table = newest_resource(_resources(account, storage), TABLE)
    if not table:
        why, fix = f"{storage} has no table of keys", "npx cdk deploy --all, or choose another --region"
        raise CommandError("Easel has no keys here", where=account.region, why=why, fix=fix, code=ENVIRONMENT)
    own = stack_key(_resources(account, api))
    if not own:
        why, fix = "it is deployed with api_auth=iam or none, or not deployed", f"npx cdk deploy {api} -c api_auth=key"
        raise CommandError("The API takes no keys", where=api, why=why, fix=fix, code=ENVIRONMENT)
    store = AccountTable(table, account.client("dynamodb"))
    return Place(store, {owner_of_operator(own): "key of the stack"}, _prices(account))


def _resources(account: Account, stack: str) -> list[dict[str, Any]]:
    """Return the resources of a stack; none if it does not exist. Raises CommandError."""
    try:
        return list(resources_of(account, stack))
    except CommandError as error:
        if is_not_found(error):
            return []
        raise


def _prices(account: Account) -> dict[str, float | None]:
    """Return the highest price of each endpoint's instance types, by model; nothing if there is no endpoint."""
    with suppress(CommandError), aws_errors():
        return {deployed.model: _price(account, deployed.config) for deployed in find_endpoints(account)}
    return {}


def _price(account: Account, config: str) -> float | None:
    from stacks.config.prices import highest_price

    found = account.client("sagemaker").describe_endpoint_config(EndpointConfigName=config)
    variants = found["ProductionVariants"]
    pools = [pool for variant in variants for pool in variant.get("InstancePools", ())]
    types = {item["InstanceType"] for item in (*variants, *pools) if "InstanceType" in item}
    return (highest_price(sorted(types)) or None) if types else None


def laptop_place(data: Path) -> Place:
    """Return the data folder of a laptop. Raises CommandError: it does not exist."""
    from easel.laptop.gateway.access import CALLER
    from easel.laptop.storage.data_folder import DataFolder

    if not (data / "store").is_dir():
        why, fix = "Easel has not run with it", f"easel up --data {data}"
        raise CommandError("There is no data folder", where=str(data), why=why, fix=fix, code=ENVIRONMENT)
    os.umask(0o077)
    return Place(DataFolder(data).accounts, {owner_of_operator(CALLER): "without a key of its own"})


@contextmanager
def table_errors() -> Iterator[None]:
    """Raise errors of table and folder as CommandError, in AWS's words where they come from AWS."""
    try:
        yield
    except EaselError as error:
        cause = error.__cause__
        if cause is not None and not isinstance(cause, OSError):
            with aws_errors():
                raise cause from None
        fix = error.hint
        raise CommandError("The keys cannot be used", where=error.code, why=error.message, fix=fix) from None


# --- commands ------------------------------------------------------------------------------------


def create(place: Place, name: str, *, days: int | None, limits: Limits) -> str:
    """Create a key and return its text. Raises CommandError: the name is taken or has a wrong form."""
    if not re.fullmatch(NAME_FORM, name):
        why = "a name has 1 to 40 letters, digits, spaces and . @ _ -, and starts with none of space and -"
        raise CommandError("The name is not valid", where=repr(name), why=why, fix="Use another name.", code=USAGE)
    now, keys = time.time(), place.store.all()
    if any(key.name == name and key.state(now) == "active" for key in keys):
        fix = f"easel keys rotate {name!r} for another text, or use another name"
        raise CommandError("The name is taken", where=name, why="an active key has it", fix=fix, code=USAGE)
    text, key = new_key(name, now, USAGE_SLOTS, keys)
    place.store.put(
        replace(
            key,
            expires_at=None if days is None else now + 86_400 * days,
            images_a_day=limits.images_a_day,
            gpu_seconds_a_month=limits.gpu_seconds_a_month,
        )
    )
    return text


def rotate(place: Place, name: str, grace_hours: int) -> str:
    """Give a key another text and return it. Raises CommandError: there is no such active key."""
    text, key = rotated(_active(place, name), time.time(), grace_hours)
    place.store.put(key)
    return text


def revoke(place: Place, name: str) -> Key:
    """Make a key invalid at once and return it. Raises CommandError: there is no such active key."""
    key = replace(_active(place, name), revoked_at=time.time())
    place.store.put(key)
    return key


def _active(place: Place, name: str) -> Key:
    now = time.time()
    active = [key for key in place.store.all() if key.state(now) == "active"]
    for key in active:
        if name in (key.name, key.id):
            return key
    names = ", ".join(sorted(key.name for key in active)) or "none"
    why, fix = f"active keys: {names}", "easel keys list shows all keys"
    raise CommandError("There is no such active key", where=name, why=why, fix=fix, code=USAGE)


def key_rows(place: Place) -> list[dict[str, Any]]:
    """Return the keys, the newest first, without their hashes."""
    now = time.time()
    return [
        {
            "name": key.name,
            "id": key.id,
            "state": key.state(now),
            "created": _date(key.created_at),
            "expires": _date(key.expires_at),
            "images_a_day": key.images_a_day,
            "gpu_seconds_a_month": key.gpu_seconds_a_month,
        }
        for key in sorted(place.store.all(), key=lambda key: -key.created_at)
    ]


def usage_rows(place: Place) -> list[dict[str, Any]]:
    """Return what each key used today and this month (UTC), and the cost, the most used first."""
    now, names = time.time(), {**place.others, **{key.id: key.name for key in place.store.all()}}
    rows = [
        _usage_row(owner, names, usage(account, now), place.prices) for owner, account in place.store.accounts().items()
    ]
    return sorted(rows, key=lambda row: (-row["gpu_seconds"], row["name"]))


def _usage_row(owner: str, names: Mapping[str, str], used: Usage, prices: Mapping[str, float | None]) -> dict[str, Any]:
    return {
        "name": names.get(owner, owner),
        "id": owner,
        "images_today": used.images_today,
        "images_a_day": used.limits.images_a_day,
        "images": used.images_this_month,
        "reserved": used.images_reserved,
        "gpu_seconds": used.gpu_seconds,
        "gpu_seconds_a_month": used.limits.gpu_seconds_a_month,
        "usd": used.usd(prices),
    }


def as_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return lines with aligned columns. A value that is unknown or has no limit is a dash."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _date(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
