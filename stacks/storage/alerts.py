"""The topic for alarms, the budget and the idle guard, and its subscriber; and the topic of a used up budget."""

from __future__ import annotations

from aws_cdk import Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct


class Alerts(Construct):
    """A topic with at most one subscriber. Mails come from `sender`; `recipient` says in a sentence who gets them.

    AWS Budgets publishes to `used_up`, and nobody else, where `budget_action` is `stop`: then a message there stops
    the endpoint.
    """

    def __init__(self, scope: Construct, id: str, *, email: str, sender: str) -> None:
        super().__init__(scope, id)
        self.topic = sns.Topic(self, "Topic", display_name=sender, enforce_ssl=True)
        allow_publish(self.topic, "budgets.amazonaws.com", "cloudwatch.amazonaws.com")
        self.used_up = sns.Topic(self, "BudgetUsedUp", enforce_ssl=True)
        allow_publish(self.used_up, "budgets.amazonaws.com")
        if email:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
        self.recipient = self._recipient(email)

    def _recipient(self, email: str) -> str:
        if email:
            return f"{email}, after the link in AWS's mail is confirmed"
        topic = f"--region {Stack.of(self).region} --topic-arn {self.topic.topic_arn}"
        command = f"aws sns subscribe {topic} --protocol email --notification-endpoint"
        return f"nobody; set -c alert_email=you@example.com, or run: {command} you@example.com"


def allow_publish(topic: sns.Topic, *services: str) -> None:
    """Let services of this account publish: `enforce_ssl` replaces the default policy, which allows it."""
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service) for service in services],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
        )
    )
