"""The program that CodeBuild runs, `python3 -m model_importer`.

Its variable EASEL_IMPORT is JSON: bucket, state (a key), code (a hash), source, pipeline, hub_url, and the names of
secrets: token_secret for the hub, model_token_secret for the site of a link.
Progress, then the result or the error, goes to the object `state` of the bucket.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .bucket import Bucket
from .checkpoint.source import CheckpointSource
from .connection import CONNECTIONS
from .errors import ModelImportError
from .hub import Hub
from .model_folder import ModelFolderError, printable
from .progress import Progress, State, render_progress
from .release import ImportResult, import_model
from .sources import Connect, Source, open_source
from .stream import RANGES_AHEAD
from .url import Url


def main() -> int:
    """Run one import. Return the exit code."""
    request = json.loads(os.environ["EASEL_IMPORT"])
    s3 = boto3.client("s3", config=Config(max_pool_connections=CONNECTIONS * 2, retries={"mode": "standard"}))

    def report(state: State) -> None:
        print(render_progress(state), flush=True)
        write_state(state)

    def write_state(state: State) -> None:
        body = json.dumps({**state, "message": render_progress(state)}).encode()
        s3.put_object(Bucket=request["bucket"], Key=request["state"], Body=body)

    progress = Progress(report)
    try:
        result = run(request, s3, progress)
    except Exception as error:
        reason = explain(error)
        print(f"easel: {reason}", flush=True)
        write_state({**progress.state(), "error": reason})
        return 1
    report({**progress.state(), **asdict(result)})
    return 0


def run(request: dict[str, Any], s3: Any, progress: Progress) -> ImportResult:
    """Import the requested model. Raises ModelImportError, ModelFolderError, or what boto3 raises."""
    bucket = Bucket(s3, request["bucket"])
    with ThreadPoolExecutor(RANGES_AHEAD) as pool, progress:
        source = _source(request, s3, pool, progress)
        try:
            return import_model(request["source"], request["code"], source, bucket, progress)
        finally:
            if isinstance(source, CheckpointSource):
                source.close()


def _source(request: dict[str, Any], s3: Any, pool: ThreadPoolExecutor, progress: Progress) -> Source:
    # A secret is read only when it is needed: a stack may roll back to a model in the bucket whose secret is deleted.

    def hub(repository: str) -> Hub:
        return Hub(request["hub_url"], repository, _token("hub_token_secret", request.get("token_secret", "")))

    def url(address: str) -> Url:
        return Url(address, _token("model_token_secret", request.get("model_token_secret", "")))

    connect = Connect(hub, url, lambda: s3)
    return open_source(request["source"], connect, pool, progress, request.get("pipeline"))


def _token(setting: str, secret: str) -> str:
    """Return a token, which is the whole value of the secret that `setting` names. Raises ModelImportError."""
    if not secret:
        return ""
    try:
        token: str = boto3.client("secretsmanager").get_secret_value(SecretId=secret).get("SecretString", "").strip()
    except ClientError as error:
        raise ModelImportError(
            f"The secret {setting} cannot be read ({error.response['Error']['Code']}). It must be in this "
            "region and account and encrypted with the AWS managed key, as the import may use no other. See "
            f"aws secretsmanager describe-secret --secret-id {secret}"
        ) from None
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise ModelImportError(
            f"The value of the secret {setting} is not a token. Store the token alone, as plain text."
        )
    return token


def explain(error: Exception) -> str:
    """Return the text for the deploy log, safe to print. An unexpected error also prints its traceback."""
    if isinstance(error, ModelImportError | ModelFolderError):
        return str(error)
    if isinstance(error, ClientError):
        details = error.response["Error"]
        return printable(f"AWS refused {error.operation_name}: {details['Code']}: {details['Message']}")
    if isinstance(error, BotoCoreError):
        return printable(f"AWS cannot be reached: {error}. Deploy again; finished files stay in the bucket.")
    print(*map(printable, traceback.format_exc().splitlines()), sep="\n", file=sys.stderr)
    return printable(f"A bug in the importer, {type(error).__name__}: {error}. The traceback is in its log.")


if __name__ == "__main__":
    sys.exit(main())
