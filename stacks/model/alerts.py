"""Who is told when something goes wrong or costs more than it should."""

from __future__ import annotations

from aws_cdk import Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct


class Alerts(Construct):
    """One topic for alarms, budget and idle guard. `told` says in a sentence who hears of it."""

    def __init__(self, scope: Construct, id: str, *, email: str) -> None:
        super().__init__(scope, id)
        self.topic = sns.Topic(self, "Topic", display_name="Easel", enforce_ssl=True)
        self._let_publish("budgets.amazonaws.com", "cloudwatch.amazonaws.com")
        if email:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
        self.told = self._told(email)

    def _let_publish(self, *services: str) -> None:
        """A topic with a policy of its own has lost the one that lets the account's services in."""
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(service) for service in services],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )

    def _told(self, email: str) -> str:
        if email:
            return f"{email}, once the link in AWS's mail is followed"
        to = f"--region {Stack.of(self).region} --topic-arn {self.topic.topic_arn}"
        command = f"aws sns subscribe {to} --protocol email --notification-endpoint"
        return f"nobody yet: set -c alert_email=you@example.com, or: {command} you@example.com"
