"""The endpoint: a release in the serving image on an instance."""

from __future__ import annotations

from aws_cdk import Aws, CfnMapping, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks import images
from stacks.parts.answers import Answers
from stacks.parts.findings import ANY_RESOURCE, acknowledge, acknowledge_prefixes
from stacks.parts.logs import Logs
from stacks.settings import Settings

VARIANT = "AllTraffic"
BODY_BYTES = 25 * 1024 * 1024
"""What SageMaker carries in one call; the image's own limit is a quarter of it."""
ASYNC_SECONDS = 900
REALTIME_SECONDS = 60
"""The longest that one call may take: ours in async mode, SageMaker's in realtime mode."""


class Endpoint(Construct):
    """`name` for callers, `arn` for policies. In async mode `answers` has the topics of its ends."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, bucket: s3.IBucket, release: str, profile: str
    ) -> None:
        super().__init__(scope, id)
        self.settings, self.bucket = settings, bucket
        self.answers = Answers(self, "Answers", bucket=bucket) if settings.mode == "async" else None
        # Unique to this stack, and known before the endpoint is, so that its log group can be ours.
        self._wanted = Fn.join("-", ["easel", settings.mode, Fn.select(2, Fn.split("/", Aws.STACK_ID))])
        logs = Logs(self, "Logs", days=settings.log_days, name=f"/aws/sagemaker/Endpoints/{self._wanted}")
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        self._allow_role(logs.log_group_arn)

        model = self._model(release, profile)
        config = self._config(model)
        endpoint = sagemaker.CfnEndpoint(
            self,
            settings.mode.capitalize(),  # an endpoint cannot change its mode: another mode is another endpoint
            endpoint_name=self._wanted,
            endpoint_config_name=config.attr_endpoint_config_name,
            retain_all_variant_properties=True,  # the number of instances belongs to autoscaling
        )
        for late in (model, endpoint):
            late.node.add_dependency(self.role)
        endpoint.node.add_dependency(logs)
        self.name, self.arn = endpoint.attr_endpoint_name, endpoint.ref

    def _allow_role(self, log_group_arn: str) -> None:
        stack, bucket = Stack.of(self), self.bucket
        image = stack.format_arn(
            service="ecr", account=self._image_account(), resource="repository", resource_name=images.REPOSITORY
        )
        self._allow(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"], [image])
        self._allow(["ecr:GetAuthorizationToken"], ["*"])
        self._allow(["s3:GetObject"], [bucket.arn_for_objects("releases/*"), bucket.arn_for_objects("jobs/*")])
        self._allow(["s3:ListBucket"], [bucket.bucket_arn])
        self._allow(["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], [log_group_arn])
        metrics = iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/*"]}},
        )
        self.role.add_to_policy(metrics)
        if self.answers:
            self._allow(["s3:PutObject"], [bucket.arn_for_objects("answers/*"), bucket.arn_for_objects("failures/*")])
            self._allow(["sns:Publish"], [topic.topic_arn for topic in self.answers.topics])
            acknowledge_prefixes(self.role, "answers/", "failures/")
        acknowledge_prefixes(self.role, "releases/", "jobs/")
        reason = "ecr:GetAuthorizationToken and PutMetricData know no resource; PutMetricData is bounded by namespace"
        acknowledge(self.role, {ANY_RESOURCE: reason})

    def _allow(self, actions: list[str], resources: list[str]) -> None:
        self.role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))

    def _image_account(self) -> str:
        stack = Stack.of(self)
        table = self.node.try_find_child("ImageAccounts") or CfnMapping(
            self,
            "ImageAccounts",
            mapping={region: {"account": account} for region, account in images.ACCOUNTS.items()},
            lazy=True,
        )
        return table.find_in_map(stack.region, "account")

    def _model(self, release: str, profile: str) -> sagemaker.CfnModel:
        stack = Stack.of(self)
        tag = images.tag(self.settings.instance_type)
        host = f"{self._image_account()}.dkr.ecr.{stack.region}.{stack.url_suffix}"
        return sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            enable_network_isolation=True,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=f"{host}/{images.REPOSITORY}:{tag}",
                environment=self._environment(profile),
                model_data_source=sagemaker.CfnModel.ModelDataSourceProperty(
                    s3_data_source=sagemaker.CfnModel.S3DataSourceProperty(
                        s3_uri=release, s3_data_type="S3Prefix", compression_type="None"
                    )
                ),
            ),
        )

    def _environment(self, profile: str) -> dict[str, str]:
        seconds = ASYNC_SECONDS if self.answers else REALTIME_SECONDS
        return {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            "MMS_MAX_REQUEST_SIZE": str(BODY_BYTES),
            "MMS_MAX_RESPONSE_SIZE": str(BODY_BYTES),
            "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": str(seconds),
            "EASEL_MODEL_PROFILE": profile,
        }

    def _config(self, model: sagemaker.CfnModel) -> sagemaker.CfnEndpointConfig:
        settings = self.settings
        gpu = images.has_gpu(settings.instance_type)
        variant = sagemaker.CfnEndpointConfig.ProductionVariantProperty(
            variant_name=VARIANT,
            model_name=model.attr_model_name,
            instance_type=settings.instance_type,
            initial_instance_count=max(1, settings.min_instances),
            initial_variant_weight=1,
            inference_ami_version=images.GPU_AMI if gpu else None,
            container_startup_health_check_timeout_in_seconds=900,
            model_data_download_timeout_in_seconds=1800,
            routing_config=None if self.answers else sagemaker.CfnEndpointConfig.RoutingConfigProperty(
                routing_strategy="LEAST_OUTSTANDING_REQUESTS"
            ),
        )
        return sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[variant],
            async_inference_config=self.answers.config() if self.answers else None,
        )
