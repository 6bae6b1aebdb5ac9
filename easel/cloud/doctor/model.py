"""Checks of the chosen model: catalogue entry, hub, local folder, files in S3, hub token, import."""

from __future__ import annotations

import os
import shlex

from easel.cloud.account import Account, aws_errors
from easel.cloud.doctor.check import Finding, check, failed, ok, unknown
from easel.cloud.doctor.own_resources import find_secret
from easel.cloud.doctor.plan import Plan
from easel.cloud.doctor.quotas import find_quota
from easel.console.certificates import UNTRUSTED
from easel.console.errors import CommandError
from easel.laptop.origins import connect
from stacks.config.catalogue import (
    CatalogueError,
    ExtraFile,
    ExtraLink,
    ExtraObject,
    FolderSource,
    HubFiles,
    HubSource,
    Model,
    S3Source,
    UrlSource,
)
from stacks.config.model_folder import imported_bytes, released_files
from stacks.config.settings import Settings

GB = 10**9
CHECKED = "safetensors only, known classes"
HUB_TIMEOUT_SECONDS = 10
BUILD_QUOTA = "Concurrently running builds for Linux/Small environment"
"""The CodeBuild quota that the import of a model needs."""
CREATE_COMMAND = "aws secretsmanager create-secret --name hub-token --secret-string file://token.txt"


@check("model", remedy="Choose a model that easel models lists, or correct the entry.")
def model(plan: Plan) -> Finding:
    """The catalogue has the model, an instance type fits it, and its hub offers the files."""
    if plan.model is None:
        return failed(plan.model_error)
    if isinstance(plan.model.source, HubSource):
        return _hub(plan.model, plan.model.source, plan.settings)
    if isinstance(plan.model.source, UrlSource):
        if plan.model.source.sha256 is None:
            return _without_hash(plan.model, plan.settings)
        finding = ok(f"{plan.model.id}: {_licence(plan.model)}. {plan.model.source.url}:")
        return _contents(plan.model, finding, plan.settings)
    return ok(f"{plan.model.id}: {_licence(plan.model)}.")


def _without_hash(model: Model, settings: Settings) -> Finding:
    name = dict(zip(settings.model_ids, settings.models, strict=True))[model.id]
    message = f"{model.id}: the entry has no sha256 of the file. A deploy needs it."
    return failed(message, f"Let this command write it into the entry: easel models pull {shlex.quote(name)}")


def _hub(model: Model, source: HubSource, settings: Settings) -> Finding:
    """Return the finding of the pipeline's repository, or of the first part whose repository is not ok."""
    finding = _repository(model, source, source.file or "model_index.json", settings)
    for part in source.parts.values():
        if finding.status == "ok" and (other := _repository(model, part, "config.json", settings)).status != "ok":
            return other
    return _contents(model, finding, settings) if finding.status == "ok" else finding


def _contents(model: Model, finding: Finding, settings: Settings) -> Finding:
    """Return `finding` with the size of the import, or the reason why the import would refuse the model."""
    from model_importer.errors import ModelImportError

    if model.extra_sources(ExtraObject):  # `model_files` looks at them: here no account is known
        return finding
    try:
        size = imported_bytes(model, connect(settings.hub_url, lambda: None))
    except CatalogueError as error:
        return failed(str(error), "Choose another model, or correct the entry.")
    except ModelImportError as error:
        return unknown(f"{finding.message} Its files cannot be checked from here: {error}")
    return ok(f"{finding.message} {CHECKED}, {size / GB:.2f} GB.")


def _repository(model: Model, source: HubFiles, file: str, settings: Settings) -> Finding:
    """Ask the hub for `file` without downloading it."""
    import httpx

    from easel.client.connection import CA_FIX, trusted_certificates

    token, hub = os.environ.get("HF_TOKEN", ""), settings.hub_url.rstrip("/")
    url = f"{hub}/{source.repository}/resolve/{source.revision}/{file}"
    try:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        verify = trusted_certificates()
        response = httpx.head(url, headers=headers, timeout=HUB_TIMEOUT_SECONDS, follow_redirects=True, verify=verify)
    except CommandError as error:
        return unknown(f"{model.id}: {_licence(model)}. {error.what} ({error.where}: {error.why}).", error.fix)
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:  # ValueError: bad proxy or token
        prefix = f"{model.id}: {_licence(model)}. {hub}"
        if UNTRUSTED in str(error):
            return unknown(f"{prefix} has a certificate that is not trusted.", CA_FIX)
        reason = type(error).__name__ if isinstance(error, httpx.HTTPError) else error
        message = f"{prefix} cannot be reached from this machine ({reason})."
        return unknown(message, "Check the network, or set hub_url to a mirror.")
    return _repository_status(model, source, response.status_code, settings)


def _repository_status(model: Model, source: HubFiles, status: int, settings: Settings) -> Finding:
    """Return the finding for the hub's HTTP status."""
    hub, token = settings.hub_url.rstrip("/"), os.environ.get("HF_TOKEN", "")
    where = f"{source.repository} at {source.revision[:12]}"
    prefix = f"{model.id}: {_licence(model)}. The hub"
    if status in (401, 403):
        sent = "with the token in HF_TOKEN" if token else "without a token, and HF_TOKEN is not set"
        message = f"{prefix} denies access to {source.repository} {sent} (HTTP {status})."
        if settings.hub_token_secret and not token:
            message += f" The import will send the token in {settings.hub_token_secret}."
            return unknown(message, "To check access from here: export HF_TOKEN=… with the same token")
        return failed(
            message,
            f"Accept the licence at {hub}/{source.repository}, then export HF_TOKEN=… and store the token in the "
            "secret that hub_token_secret names.",
        )
    if status == 404:
        return failed(f"{prefix} has no {where}.", "Choose another model, or your own copy: -c model=path/to/folder")
    if status >= 400:
        return unknown(f"{prefix} responded with HTTP {status}.", "Try again later.")
    return ok(f"{prefix} has {where}.")


def _licence(model: Model) -> str:
    gate = "must be accepted on the hub" if model.gated else "needs no acceptance"
    return f"licence {model.licence} ({model.licence_url}) {gate}"


@check("model_folder", remedy="Correct the folder, or choose another model: easel models")
def model_folder(plan: Plan) -> Finding | None:
    """A local model folder can be released, and the container can load it."""
    if plan.model is None or not isinstance(plan.model.source, FolderSource):
        return None
    source = plan.model.source
    try:
        released_files(source.path, source.variant, plan.model.pipeline, plan.model.extra_digests)
    except CatalogueError as error:
        return failed(str(error))
    return ok(f"{source.path}: {CHECKED}, {folder_size(plan.model) / GB:.2f} GB.")


def folder_size(model: Model) -> int:
    """Return the bytes that a release of the model's folder uploads; 0 if there is none, or it cannot be released."""
    source = model.source
    if not isinstance(source, FolderSource):
        return 0
    try:
        files = released_files(source.path, source.variant, extras=model.extra_digests)
        return sum((source.path / name).stat().st_size for name in files)
    except CatalogueError:
        return 0


@check("model_import", remedy="Request a CodeBuild quota of at least 1 in Service Quotas.")
def model_import(account: Account, plan: Plan) -> Finding | None:
    """The account may run the CodeBuild project that imports the model."""
    if plan.model is None or isinstance(plan.model.source, FolderSource):
        return None
    quota = find_quota(account, "codebuild", BUILD_QUOTA)
    if quota is None:
        return unknown(f"AWS lists no quota '{BUILD_QUOTA}' in {account.region}.", "Look at the quotas of CodeBuild.")
    message = f"CodeBuild may run {quota.value:g} builds at once in {account.region}; the import needs 1."
    return ok(message) if quota.value >= 1 else failed(message, f"Request a quota of 1: {quota.page(account)}")


@check("model_files", remedy="Correct source.uri in the catalogue entry.")
def model_files(account: Account, plan: Plan) -> Finding | None:
    """S3 has the files of a model whose source is a bucket, and the LoRAs and other extras that are there."""
    if plan.model is None or isinstance(plan.model.source, FolderSource):
        return None
    if not isinstance(plan.model.source, S3Source):
        return _s3_contents(account, plan, plan.model) if plan.model.extra_sources(ExtraObject) else None
    uri = plan.model.source.uri
    needed = uri if uri.endswith(".safetensors") else f"{uri}model_index.json"
    bucket, _, key = needed.removeprefix("s3://").partition("/")
    try:
        with aws_errors():
            account.client("s3").head_object(Bucket=bucket, Key=key)
    except CommandError as error:
        if error.where in ("404", "NoSuchKey", "NoSuchBucket"):
            return failed(f"{needed} does not exist.")
        raise
    return _s3_contents(account, plan, plan.model)


def _s3_contents(account: Account, plan: Plan, model: Model) -> Finding:
    from model_importer.errors import ModelImportError
    from model_importer.sources import open_file

    source, stored = model.source, model.extra_sources(ExtraObject)
    origins = connect(plan.settings.hub_url, lambda: account.client("s3"))
    remedy = "" if isinstance(source, S3Source) else "Correct the entry."
    links = bool(model.extra_sources(ExtraFile)) or bool(model.extra_sources(ExtraLink))
    others = links or not isinstance(source, S3Source)
    with aws_errors():
        try:
            for extra in stored:
                open_file(extra.model_dump(), origins)
        except ModelImportError as error:
            return failed(str(error), "Correct the entry.")
        try:
            size = imported_bytes(model, origins)
        except CatalogueError as error:
            return failed(str(error), remedy)
        except ModelImportError as error:  # the account may reach what this machine does not, or has the token
            return unknown(f"{model.id} cannot be checked from here: {error}") if others else failed(str(error), remedy)
    return ok(f"{getattr(source, 'uri', model.id)} has a model: {CHECKED}, {size / GB:.2f} GB.")


@check("hub_token", remedy=f"Create the secret: {CREATE_COMMAND}")
def hub_token(account: Account, plan: Plan) -> Finding | None:
    """Secrets Manager has the hub token that a gated model needs."""
    name = plan.settings.hub_token_secret
    if not name and not (plan.model and plan.model.gated):
        return None
    if not name:
        message = "The model needs a hub token, but hub_token_secret is not set."
        return failed(message, f"{CREATE_COMMAND}, then -c hub_token_secret=hub-token")
    return find_secret(account, name)


@check("model_token", remedy=f"Create the secret: {CREATE_COMMAND.replace('hub-token', 'model-token')}")
def model_token(account: Account, plan: Plan) -> Finding | None:
    """Secrets Manager has the secret of `model_token_secret`."""
    name = plan.settings.model_token_secret
    return find_secret(account, name) if name else None
