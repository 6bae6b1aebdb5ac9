"""The topics that announce what an async endpoint has written."""

from __future__ import annotations

from aws_cdk import aws_sns as sns
from constructs import Construct


class ResultTopics(Construct):
    """Two topics: `success` and `error`. Nobody publishes to them in mode realtime."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.success = sns.Topic(self, "Success", enforce_ssl=True)
        self.error = sns.Topic(self, "Error", enforce_ssl=True)
        self.all = (self.success, self.error)
