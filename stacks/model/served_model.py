"""The SageMaker model: a release in the serving image."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

Model = sagemaker.CfnModel


class ServedModel(Model):
    """A container with the files of a release, which SageMaker copies in before it starts.

    `isolated`: the container has no network; SageMaker alone uses `network`, to fetch the files.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        role: iam.Role,
        image: str,
        release: str,
        environment: Mapping[str, str],
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
                environment=environment,
                model_data_source=Model.ModelDataSourceProperty(
                    s3_data_source=Model.S3DataSourceProperty(
                        s3_uri=release, s3_data_type="S3Prefix", compression_type="None"
                    )
                ),
            ),
        )
        self.node.add_dependency(role)
