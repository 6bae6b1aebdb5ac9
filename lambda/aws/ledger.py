"""Keys and accounts in a DynamoDB table, in which each write is conditional and atomic.

An item has `owner` and `item`: `key` for the key, `2026-11` for a month. A month is one item, so that a reservation and
its sums change in one write: `d29` holds the images of the 29th, `job-<id>` a reservation, `gpu-<model>` the GPU time
of a model in milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from typing import Any

from botocore import exceptions as botocore
from botocore.config import Config

from api_keys.keys import Key
from aws.clients import create_client
from aws.errors import client_config, translate
from contract import EaselError, dumps
from jobs.accounts import Account, Amount, Limits, Month, Refusal

_KEY_ITEM = "key"
_JOB, _MODEL = "job-", "gpu-"

Item = Mapping[str, Mapping[str, Any]]
"""Attribute to its value in DynamoDB's form, such as `{"N": "1"}`."""


class AccountTable:
    """Implements `api_keys.keys.Keys` and `jobs.accounts.Ledger`. `client`: DynamoDB's, or None for one of its own."""

    def __init__(self, table: str, client: Any = None) -> None:
        self._table = table
        if client is not None:
            self._client = client

    @cached_property
    def _client(self) -> Any:
        # A write that is sent again after it has succeeded changes nothing: its condition does not hold any more.
        return create_client("dynamodb", client_config(3).merge(Config(retries={"total_max_attempts": 3})))

    # --- keys ------------------------------------------------------------------------------------

    def find(self, id: str) -> Key | None:
        with _translated():
            found = self._client.get_item(TableName=self._table, Key=_name(id, _KEY_ITEM), ConsistentRead=True)
        return _key(found["Item"]) if "Item" in found else None

    def all(self) -> Sequence[Key]:
        return [_key(item) for item in self._scan() if item["item"]["S"] == _KEY_ITEM]

    def put(self, key: Key) -> None:
        item = {**_name(key.id, _KEY_ITEM), "json": {"S": dumps(asdict(key))}}
        with _translated():
            self._client.put_item(TableName=self._table, Item=item)

    def swap(self, old: Key | None, new: Key) -> bool:
        """Store a key in place of `old`; None: of nothing. Return False if something else is stored."""
        with _translated():
            found = self._client.get_item(TableName=self._table, Key=_name(new.id, _KEY_ITEM), ConsistentRead=True)
        stored = found.get("Item")
        if (_key(stored) if stored else None) != old:
            return False
        values = {":stored": stored["json"]} if stored else None
        condition = "#json = :stored" if stored else "attribute_not_exists(#json)"
        try:
            with _translated():
                self._client.put_item(
                    TableName=self._table,
                    Item={**_name(new.id, _KEY_ITEM), "json": {"S": dumps(asdict(new))}},
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#json": "json"},
                    **({"ExpressionAttributeValues": values} if values else {}),
                )
        except _ConditionError:
            return False
        return True

    # --- accounts --------------------------------------------------------------------------------

    def read(self, owner: str, since: str) -> Account:
        with _translated():
            page = self._client.query(
                TableName=self._table,
                ConsistentRead=True,
                KeyConditionExpression="#owner = :owner AND #item >= :since",  # letters sort behind digits
                ExpressionAttributeNames={"#owner": "owner", "#item": "item"},
                ExpressionAttributeValues={":owner": {"S": owner}, ":since": {"S": since}},
            )
        return _account(page["Items"])

    def accounts(self) -> dict[str, Account]:
        """Return every account, by owner."""
        items: dict[str, list[Item]] = {}
        for item in self._scan():
            items.setdefault(item["owner"]["S"], []).append(item)
        return {owner: _account(found) for owner, found in items.items()}

    def reserve(self, owner: str, month: str, day: int, job: str, amount: Amount, limits: Limits) -> bool | Refusal:
        names = {"#job": _JOB + job, "#day": f"d{day}"}
        values = {
            ":job": {"M": {"images": _number(amount.images), "gpu_ms": _number(amount.gpu_ms)}},
            ":images": _number(amount.images),
            ":gpu": _number(amount.gpu_ms),
        }
        conditions = ["attribute_not_exists(#job)"]
        if limits.images_a_day is not None:
            if amount.images > limits.images_a_day:
                return "images"
            values[":room"] = _number(limits.images_a_day - amount.images)
            conditions.append("(attribute_not_exists(#day) OR #day <= :room)")
        if limits.gpu_seconds_a_month is not None:
            values[":limit"] = _number(1000 * limits.gpu_seconds_a_month)
            conditions.append("(attribute_not_exists(gpu_ms) OR gpu_ms < :limit)")
        update = "SET #job = :job ADD #day :images, gpu_ms :gpu"
        found = self._update(owner, month, update, " AND ".join(conditions), names, values)
        if found is None:
            return True
        old = _month(found)
        return False if job in old.open else old.refusal(day, amount, limits) or "images"

    def settle(self, owner: str, month: str, day: int, job: str, held: Amount, used: Amount, model: str) -> bool:
        names = {"#job": _JOB + job, "#day": f"d{day}"}
        values = {
            ":job": {"M": {"images": _number(held.images), "gpu_ms": _number(held.gpu_ms)}},
            ":images": _number(used.images - held.images),
            ":gpu": _number(used.gpu_ms - held.gpu_ms),
            ":one": _number(int(used.images > 0)),
        }
        update = "REMOVE #job ADD #day :images, gpu_ms :gpu, jobs :one"
        if model and used.gpu_ms:
            names["#model"], values[":used"], update = _MODEL + model, _number(used.gpu_ms), f"{update}, #model :used"
        return self._update(owner, month, update, "#job = :job", names, values) is None

    def _update(
        self, owner: str, month: str, update: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> Item | None:
        """Change an item. Return None, or the unchanged item if the condition does not hold."""
        try:
            with _translated():
                self._client.update_item(
                    TableName=self._table,
                    Key=_name(owner, month),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except _ConditionError as error:
            return error.item
        return None

    def _scan(self) -> Iterator[Item]:
        with _translated():
            for page in self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True):
                yield from page["Items"]


def _account(items: Sequence[Item]) -> Account:
    limits, months = Limits(), {}
    for item in items:
        if item["item"]["S"] == _KEY_ITEM:
            limits = _key(item).limits
        else:
            months[item["item"]["S"]] = _month(item)
    return Account(limits=limits, months=months)


def _key(item: Item) -> Key:
    return Key.from_dict(json.loads(item["json"]["S"]))


def _month(item: Item) -> Month:
    reservations = {name.removeprefix(_JOB): value["M"] for name, value in item.items() if name.startswith(_JOB)}
    return Month(
        days={int(name[1:]): int(value["N"]) for name, value in item.items() if name[0] == "d" and name[1:].isdigit()},
        gpu_ms=int(item["gpu_ms"]["N"]) if "gpu_ms" in item else 0,
        jobs=int(item["jobs"]["N"]) if "jobs" in item else 0,
        open={
            job: Amount(images=int(held["images"]["N"]), gpu_ms=int(held["gpu_ms"]["N"]))
            for job, held in reservations.items()
        },
        models={name.removeprefix(_MODEL): int(value["N"]) for name, value in item.items() if name.startswith(_MODEL)},
    )


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _name(owner: str, item: str) -> dict[str, dict[str, str]]:
    return {"owner": {"S": owner}, "item": {"S": item}}


class _ConditionError(Exception):
    """The condition of a write does not hold. `item`: what is stored."""

    def __init__(self, item: Item) -> None:
        super().__init__()
        self.item = item


@contextmanager
def _translated() -> Iterator[None]:
    """Raise exceptions of boto3 as the one above, else as EaselErrors."""
    try:
        yield
    except botocore.ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
            raise _ConditionError(error.response.get("Item", {})) from error
        raise translate(error) from error
    except botocore.ReadTimeoutError as error:
        raise EaselError("upstream_unavailable", "the table of keys did not respond in time") from error
    except botocore.BotoCoreError as error:
        raise translate(error) from error
