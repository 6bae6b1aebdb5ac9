"""Where an async endpoint writes its output, and the topics that announce it."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker

from stacks.config.serving import CALLS_AT_ONCE
from stacks.storage.result_topics import ResultTopics

Config = sagemaker.CfnEndpointConfig


@dataclass(frozen=True)
class AsyncOutput:
    """Two prefixes of the bucket and two topics: for success and for failure."""

    bucket: s3.IBucket
    topics: ResultTopics

    def config(self) -> Config.AsyncInferenceConfigProperty:
        """Return the part of the endpoint's configuration that makes it asynchronous."""
        key = self.bucket.encryption_key
        return Config.AsyncInferenceConfigProperty(
            client_config=Config.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=CALLS_AT_ONCE
            ),
            output_config=Config.AsyncInferenceOutputConfigProperty(
                kms_key_id=key.key_arn if key else None,
                s3_output_path=f"s3://{self.bucket.bucket_name}/async-output",
                s3_failure_path=f"s3://{self.bucket.bucket_name}/async-failures",
                notification_config=Config.AsyncInferenceNotificationConfigProperty(
                    success_topic=self.topics.success.topic_arn, error_topic=self.topics.error.topic_arn
                ),
            ),
        )
