"""Where an async endpoint writes its output, and the topics that announce it."""

from __future__ import annotations

from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from stacks.config.serving import CALLS_AT_ONCE

Config = sagemaker.CfnEndpointConfig


class AsyncOutput(Construct):
    """Two prefixes of the bucket and two topics: for success and for failure."""

    def __init__(self, scope: Construct, id: str, *, bucket: s3.IBucket) -> None:
        super().__init__(scope, id)
        self._bucket = bucket
        self.success = sns.Topic(self, "Success", enforce_ssl=True)
        self.error = sns.Topic(self, "Error", enforce_ssl=True)
        self.topics = (self.success, self.error)

    def config(self) -> Config.AsyncInferenceConfigProperty:
        """Return the part of the endpoint's configuration that makes it asynchronous."""
        key = self._bucket.encryption_key
        return Config.AsyncInferenceConfigProperty(
            client_config=Config.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=CALLS_AT_ONCE
            ),
            output_config=Config.AsyncInferenceOutputConfigProperty(
                kms_key_id=key.key_arn if key else None,
                s3_output_path=f"s3://{self._bucket.bucket_name}/async-output",
                s3_failure_path=f"s3://{self._bucket.bucket_name}/async-failures",
                notification_config=Config.AsyncInferenceNotificationConfigProperty(
                    success_topic=self.success.topic_arn, error_topic=self.error.topic_arn
                ),
            ),
        )
