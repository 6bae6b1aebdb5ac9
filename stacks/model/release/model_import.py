"""A model of a hub or of S3, brought into the bucket by CodeBuild while the stack is deployed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.common.function import CUSTOM_RESOURCES, Function, package_code
from stacks.common.grants import allow, allow_listing, allow_objects
from stacks.common.logs import Logs
from stacks.common.nag_suppressions import acknowledge
from stacks.common.own_network import allow_interfaces
from stacks.config.catalogue import HubSource, Model, S3Source
from stacks.config.settings import Settings

Project = codebuild.CfnProject

IMPORTER = Path(__file__).parents[3] / "model_importer"
IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
"""Brings Python and boto3, all that the importer needs."""
QUEUE_MINUTES, IMPORT_MINUTES = 5, 50
"""Together less than the hour that CloudFormation waits."""
WAIT_MINUTES = 60
_CB4 = "The build leaves no artifact that could be encrypted; what it writes is encrypted by the bucket"


class ModelImport(Construct):
    """`prefix` is there once the model's files are below it. `code` names what will lie beside them."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, bucket: s3.IBucket, model: Model, code: str
    ) -> None:
        super().__init__(scope, id)
        log_group = f"/easel/{cdk.Stack.of(self).stack_name}/import"  # known before the deploy, to follow it
        logs = Logs(self, "Logs", days=settings.log_days, name=log_group)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))
        allow(role, ["logs:CreateLogStream", "logs:PutLogEvents"], [logs.log_group_arn])
        _allow_import(role, bucket, settings, model)
        project = self._project(role, logs.log_group_name, settings)
        follower = self._follower(bucket, project, settings.log_days)
        request = {"code": code, "source": _source(model), "hub_url": settings.hub_url.rstrip("/")}
        if settings.hub_token_secret:
            request["token_secret"] = settings.hub_token_secret
        imported = cdk.CustomResource(
            self,
            "Import",
            resource_type="Custom::EaselImport",
            service_token=follower.function.function_arn,
            service_timeout=cdk.Duration.minutes(WAIT_MINUTES),
            properties={
                "Bucket": bucket.bucket_name,
                "Project": project.ref,
                "Request": json.dumps(request, sort_keys=True),
            },
        )
        imported.node.add_dependency(follower.role, follower.allow_itself(), project, role)
        cdk.Annotations.of(self).add_info(
            f"The import of {model.name} ({model.licence}, {model.licence_url}) may take minutes. How far it is: "
            f"aws logs tail {log_group} --follow"
        )
        if model.gated and not settings.hub_token_secret:
            cdk.Annotations.of(self).add_warning_v2(
                "easel:gated",
                f"The hub gives {model.name} to nobody without a token, and hub_token_secret names none; only a mirror "
                "may need none. docs/aws.md, 'A model of the hub', says how a token gets into a secret.",
            )
        self.prefix = imported.get_att_string("Prefix")

    def _project(self, role: iam.Role, log_group: str, settings: Settings) -> codebuild.CfnProject:
        code = package_code(IMPORTER)
        importer = assets.Asset(
            self, "Importer", path=str(code.path), exclude=list(code.exclude), ignore_mode=cdk.IgnoreMode.GIT
        )
        objects = [importer.bucket.arn_for_objects(importer.s3_object_key)]
        allow(role, ["s3:GetObject", "s3:GetObjectVersion"], objects)
        buildspec = {"version": 0.2, "phases": {"build": {"commands": ["python3 -m model_importer"]}}}
        project = Project(
            self,
            "Project",
            service_role=role.role_arn,
            source=Project.SourceProperty(
                type="S3",
                location=f"{importer.s3_bucket_name}/{importer.s3_object_key}",
                build_spec=json.dumps(buildspec),
            ),
            artifacts=Project.ArtifactsProperty(type="NO_ARTIFACTS"),
            environment=Project.EnvironmentProperty(
                type="LINUX_CONTAINER", compute_type="BUILD_GENERAL1_SMALL", image=IMAGE
            ),
            logs_config=Project.LogsConfigProperty(
                cloud_watch_logs=Project.CloudWatchLogsConfigProperty(status="ENABLED", group_name=log_group)
            ),
            vpc_config=_network(settings),
            timeout_in_minutes=IMPORT_MINUTES,
            queued_timeout_in_minutes=QUEUE_MINUTES,
        )
        project.node.add_dependency(role)
        acknowledge(project, {"AwsSolutions-CB4": _CB4})
        return project

    def _follower(self, bucket: s3.IBucket, project: codebuild.CfnProject, log_days: int) -> Function:
        follower = Function(
            self,
            "Follower",
            code=package_code(CUSTOM_RESOURCES),
            handler="custom_resources.model_import.handler",
            memory_mb=256,
            seconds=900,
            log_days=log_days,
        )
        actions = ["StartBuild", "StopBuild", "BatchGetBuilds", "ListBuildsForProject"]
        allow(follower.role, [f"codebuild:{action}" for action in actions], [project.attr_arn])
        allow_objects(follower.role, bucket, ["s3:GetObject"], "imports/*")
        allow_listing(follower.role, bucket, "imports/*")
        return follower


def _network(settings: Settings) -> Project.VpcConfigProperty | None:
    if not settings.vpc_id:
        return None
    subnets, groups = list(settings.subnets), list(settings.security_groups)
    return Project.VpcConfigProperty(vpc_id=settings.vpc_id, subnets=subnets, security_group_ids=groups)


def _source(model: Model) -> dict[str, Any]:
    """As the importer reads it: the entry's own words."""
    kind = "hub" if isinstance(model.source, HubSource) else "s3"
    licence = {} if kind == "hub" else {"licence": model.licence}
    return {"kind": kind, **asdict(model.source), **licence}


def _allow_import(role: iam.Role, bucket: s3.IBucket, settings: Settings, model: Model) -> None:
    objects = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    allow_objects(role, bucket, objects, "releases/*", "sources/*", "imports/*")
    # An upload that was killed is taken up again, or thrown away.
    allow_objects(role, bucket, ["s3:ListMultipartUploadParts", "s3:DeleteObject"], "releases/*")
    allow(role, ["s3:ListBucketMultipartUploads"], [bucket.bucket_arn])
    allow_listing(role, bucket, "releases/*", "sources/*")
    if settings.vpc_id:
        allow_interfaces(role, settings)
    if isinstance(model.source, S3Source):
        _allow_reading(role, model.source.uri)
    if settings.hub_token_secret:
        _allow_secret(role, settings.hub_token_secret)


def _allow_reading(role: iam.Role, uri: str) -> None:
    name, _, prefix = uri.removeprefix("s3://").partition("/")
    arn = f"arn:{cdk.Aws.PARTITION}:s3:::{name}"
    allow(role, ["s3:GetObject"], [f"{arn}/{prefix}*"])
    allow(role, ["s3:ListBucket"], [arn], {"StringLike": {"s3:prefix": [f"{prefix}*"]}})
    why = "The model's files below the prefix that the catalogue names"
    acknowledge(role, {f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:s3:::{name}/{prefix}*]": why})


def _allow_secret(role: iam.Role, secret: str) -> None:
    """By name, or by ARN with or without the six characters that Secrets Manager puts behind the name."""
    arn = secret
    if not secret.startswith("arn:"):
        arn = cdk.Stack.of(role).format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=secret,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
    given = [secret] if secret.startswith("arn:") else []
    allow(role, ["secretsmanager:GetSecretValue"], [*given, f"{arn}-??????"])
