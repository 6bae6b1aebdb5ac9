"""A release in the serving image: what every instance of the endpoint starts."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

Model = sagemaker.CfnModel

BODY_BYTES = 25 * 1024 * 1024
"""What SageMaker carries in one call; the image's own limit is a quarter of it."""


class ServedModel(Model):
    """A container into which SageMaker lays the release. `seconds` is the longest call or load, `threads` how many may
    compute; `isolated`: it has no network at all, and only SageMaker itself comes through `network`."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        role: iam.Role,
        image: str,
        release: str,
        profile: str,
        seconds: int,
        threads: int,
        isolated: bool,
        network: Model.VpcConfigProperty | None,
    ) -> None:
        super().__init__(
            scope,
            id,
            execution_role_arn=role.role_arn,
            enable_network_isolation=isolated,
            vpc_config=network,
            primary_container=Model.ContainerDefinitionProperty(
                image=image,
                environment={
                    "SAGEMAKER_PROGRAM": "inference.py",
                    "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
                    "MMS_MAX_REQUEST_SIZE": str(BODY_BYTES),
                    "MMS_MAX_RESPONSE_SIZE": str(BODY_BYTES),
                    "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": str(seconds),
                    "MMS_JOB_QUEUE_SIZE": "4",  # beyond: 503 at once, rather than drawn after its caller has left
                    "OMP_NUM_THREADS": str(threads),  # without it the image's server allows one
                    "OMP_WAIT_POLICY": "PASSIVE",  # on a CPU, threads that spin take the cores from the drawing
                    "EASEL_MODEL_PROFILE": profile,
                },
                model_data_source=Model.ModelDataSourceProperty(
                    s3_data_source=Model.S3DataSourceProperty(
                        s3_uri=release, s3_data_type="S3Prefix", compression_type="None"
                    )
                ),
            ),
        )
        self.node.add_dependency(role)
