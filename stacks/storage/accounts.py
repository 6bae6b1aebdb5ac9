"""The table of API keys and of what callers have used."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from stacks.common.nag_suppressions import suppress

_NO_BACKUP_REASON = "Keys can be created again, and quotas begin anew each month; a continuous backup is billed"


class AccountTable(dynamodb.Table):
    """Items by `owner` and `item`; `lambda/aws/ledger.py` says which. Billed by request, so it costs nothing idle.

    It has DynamoDB's own encryption also where the user has a KMS key: it holds hashes of keys, names and numbers.
    """

    def __init__(self, scope: Construct, id: str, *, removal: cdk.RemovalPolicy) -> None:
        super().__init__(
            scope,
            id,
            partition_key=_text("owner"),
            sort_key=_text("item"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            removal_policy=removal,
        )
        suppress(self, {"AwsSolutions-DDB3": _NO_BACKUP_REASON})


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
