"""The serving image in the region of the stack."""

from __future__ import annotations

from aws_cdk import CfnMapping, Stack
from constructs import Construct

from stacks.config import images


class ServingImage(Construct):
    """The image's `uri`, for the model, and `repository_arn`, for the role that pulls the image."""

    def __init__(self, scope: Construct, id: str, *, instance_type: str) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        accounts = CfnMapping(
            self,
            "Accounts",
            mapping={region: {"account": account} for region, account in images.ACCOUNTS.items()},
            lazy=True,
        )
        account = accounts.find_in_map(stack.region, "account")
        host = f"{account}.dkr.ecr.{stack.region}.{stack.url_suffix}"
        self.uri = f"{host}/{images.REPOSITORY}:{images.tag(instance_type)}"
        self.repository_arn = stack.format_arn(
            service="ecr", account=account, resource="repository", resource_name=images.REPOSITORY
        )
