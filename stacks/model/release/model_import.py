"""The import of a model from a hub or from S3, run by CodeBuild during the deploy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.common.function import package_code
from stacks.common.function_backed_resource import FunctionBackedResource
from stacks.common.grants import allow, allow_listing, allow_objects, service_of_this_account
from stacks.common.logs import Logs
from stacks.common.nag_suppressions import suppress
from stacks.common.vpc import allow_interfaces
from stacks.config.catalogue import ExtraFile, ExtraLink, ExtraObject, HubSource, Model, S3Source, UrlSource
from stacks.config.names import CUSTOM_RESOURCE_MINUTES, FUNCTION_SECONDS
from stacks.config.settings import Settings

Project = codebuild.CfnProject

IMPORTER = Path(__file__).parents[3] / "model_importer"
IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
"""Has Python and boto3, which is all that the importer needs."""
QUEUE_MINUTES, IMPORT_MINUTES = 5, 50
"""Together less than `CUSTOM_RESOURCE_MINUTES`."""
_CB4_REASON = "The build has no artifacts to encrypt; its output is encrypted by the bucket"


class ModelImport(Construct):
    """Imports a model below `prefix`, which is known once the import has succeeded.

    `code` identifies the code that the release holds beside the model.
    """

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, bucket: s3.IBucket, model: Model, code: str,
        is_default: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(scope, id)
        log_group = settings.names.import_log_group_of("" if is_default else model.id)
        logs = Logs(self, "Logs", days=settings.log_days, name=log_group)
        role = iam.Role(self, "Role", assumed_by=service_of_this_account("codebuild"))
        allow(role, ["logs:CreateLogStream", "logs:PutLogEvents"], [logs.log_group_arn])
        _allow_import(role, bucket, settings, model)
        project = self._project(role, logs.log_group_name, settings)
        build = ImportBuild(
            self,
            "Build",
            bucket=bucket,
            project=project,
            request=_request(settings, model, code),
            log_days=settings.log_days,
        )
        build.node.add_dependency(project, role)
        _annotate(self, settings, model, log_group)
        self.prefix = build.attribute("Prefix")

    def _project(self, role: iam.Role, log_group: str, settings: Settings) -> codebuild.CfnProject:
        code = package_code(IMPORTER)
        importer = assets.Asset(
            self, "Importer", path=str(code.path), exclude=list(code.exclude), ignore_mode=cdk.IgnoreMode.GIT
        )
        objects = [importer.bucket.arn_for_objects(importer.s3_object_key)]
        allow(role, ["s3:GetObject", "s3:GetObjectVersion"], objects)
        allow(role, ["s3:GetBucketAcl", "s3:GetBucketLocation"], [importer.bucket.bucket_arn])
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
        suppress(project, {"AwsSolutions-CB4": _CB4_REASON})
        return project


class ImportBuild(FunctionBackedResource):
    """The custom resource that starts a build for `request` and waits for its end."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: s3.IBucket,
        project: codebuild.CfnProject,
        request: dict[str, Any],
        log_days: int,
    ) -> None:
        super().__init__(
            scope,
            id,
            type="Import",
            module="model_import",
            seconds=FUNCTION_SECONDS,
            timeout_seconds=60 * CUSTOM_RESOURCE_MINUTES,
            log_days=log_days,
            properties={
                "Bucket": bucket.bucket_name,
                "Project": project.ref,
                "Request": json.dumps(request, sort_keys=True),
            },
            continues=True,
        )
        actions = ["StartBuild", "StopBuild", "BatchGetBuilds", "ListBuildsForProject"]
        allow(self.role, [f"codebuild:{action}" for action in actions], [project.attr_arn])
        allow_objects(self.role, bucket, ["s3:GetObject"], "imports/*")
        allow_listing(self.role, bucket, "imports/*")


def _annotate(scope: Construct, settings: Settings, model: Model, log_group: str) -> None:
    cdk.Annotations.of(scope).add_info(
        f"The import of {model.name} ({model.licence}, {model.licence_url}) may take minutes. To follow it: "
        f"aws logs tail {log_group} --follow"
    )
    if isinstance(model.source, UrlSource) and model.source.sha256 is None:
        cdk.Annotations.of(scope).add_error(
            f"{model.id}: the entry has no sha256 of the file, and an import in the cloud needs it. "
            "easel models pull writes it into the entry."
        )
    if model.gated and not settings.hub_token_secret:
        cdk.Annotations.of(scope).add_warning_v2(
            "easel:gated",
            f"{model.name} is gated: the hub serves it with a token only (a mirror may need none), but "
            "hub_token_secret is not set. docs/how-to/own-model.md says how to store a token.",
        )


def _network(settings: Settings) -> Project.VpcConfigProperty | None:
    if not settings.vpc_id:
        return None
    subnets, groups = list(settings.subnets), list(settings.security_groups)
    return Project.VpcConfigProperty(vpc_id=settings.vpc_id, subnets=subnets, security_group_ids=groups)


def _request(settings: Settings, model: Model, code: str) -> dict[str, Any]:
    """Return the importer's request: its source has the fields of the catalogue entry's source."""
    licence = {} if isinstance(model.source, HubSource) else {"licence": model.licence}
    source = {**model.source_fields, **licence}
    hub = {"hub_url": settings.hub_url.rstrip("/"), **_secrets(settings, model)}
    return {"code": code, "source": source, "pipeline": model.pipeline, **hub}


def _secrets(settings: Settings, model: Model) -> dict[str, str]:
    """Return the secrets with the tokens for the sources: the site of a link must not get that of the hub."""
    from_link = isinstance(model.source, UrlSource)
    secrets = {
        "token_secret": settings.hub_token_secret if not from_link or model.extra_sources(ExtraFile) else "",
        "model_token_secret": settings.model_token_secret if from_link or model.extra_sources(ExtraLink) else "",
    }
    return {key: secret for key, secret in secrets.items() if secret}


def _allow_import(role: iam.Role, bucket: s3.IBucket, settings: Settings, model: Model) -> None:
    objects = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    allow_objects(role, bucket, objects, "releases/*", "sources/*", "imports/*")
    # To continue or discard an upload that was interrupted.
    allow_objects(role, bucket, ["s3:ListMultipartUploadParts", "s3:DeleteObject"], "releases/*")
    allow(role, ["s3:ListBucketMultipartUploads"], [bucket.bucket_arn])
    allow_listing(role, bucket, "releases/*", "sources/*")
    if settings.vpc_id:
        allow_interfaces(role, settings)
    if isinstance(model.source, S3Source):
        _allow_reading(role, model.source.uri)
    for stored in model.extra_sources(ExtraObject):
        _allow_reading(role, stored.uri)
    for secret in _secrets(settings, model).values():
        _allow_secret(role, secret)


def _allow_reading(role: iam.Role, uri: str) -> None:
    name, _, prefix = uri.removeprefix("s3://").partition("/")
    arn = f"arn:{cdk.Aws.PARTITION}:s3:::{name}"
    allow(role, ["s3:GetObject"], [f"{arn}/{prefix}*"])
    allow(role, ["s3:ListBucket"], [arn], {"StringLike": {"s3:prefix": [f"{prefix}*"]}})
    reason = "The model's files below the prefix in the catalogue entry"
    suppress(role, {f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:s3:::{name}/{prefix}*]": reason})


def _allow_secret(role: iam.Role, secret: str) -> None:
    """Allow reading a secret given by name, or by ARN with or without the six random characters at its end."""
    arn = secret
    if not secret.startswith("arn:"):
        arn = cdk.Stack.of(role).format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=secret,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
    full_arn = [secret] if secret.startswith("arn:") else []
    allow(role, ["secretsmanager:GetSecretValue"], [*full_arn, f"{arn}-??????"])
