"""`python3 -m importer`, in CodeBuild: EASEL_IMPORT says what, `imports/…` in the bucket how it goes.

EASEL_IMPORT is JSON: bucket, state (a key), code, source, and for a hub hub_url and token_secret.
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
from .failure import ImportFailed
from .hub import CONNECTIONS, Hub
from .progress import Progress, State, render
from .sources import HubSource, S3Source, Source
from .stream import AHEAD
from .work import Imported, bring


def main() -> int:
    request = json.loads(os.environ["EASEL_IMPORT"])
    s3 = boto3.client("s3", config=Config(max_pool_connections=CONNECTIONS * 2, retries={"mode": "standard"}))

    def tell(state: State) -> None:
        print(render(state), flush=True)
        put(state)

    def put(state: State) -> None:
        body = json.dumps({**state, "told": render(state)}).encode()
        s3.put_object(Bucket=request["bucket"], Key=request["state"], Body=body)

    progress = Progress(tell)
    try:
        done = run(request, s3, progress)
    except Exception as error:
        reason = explain(error)
        print(f"easel: {reason}", flush=True)
        put({**progress.state(), "error": reason})
        return 1
    tell({**progress.state(), **asdict(done)})
    return 0


def run(request: dict[str, Any], s3: Any, progress: Progress) -> Imported:
    """Raises ImportFailed, or what boto3 raises."""
    bucket = Bucket(s3, request["bucket"])
    with ThreadPoolExecutor(AHEAD) as pool, progress:
        source = _source(request, s3, pool, progress)
        return bring(request["source"], request["code"], source, bucket, progress)


def _source(request: dict[str, Any], s3: Any, pool: ThreadPoolExecutor, progress: Progress) -> Source:
    told = request["source"]
    if told["kind"] == "s3":
        return S3Source(told, s3, progress)
    secret = request.get("token_secret", "")
    # Read once the hub is asked: a stack goes back to a model that is in the bucket after its secret has gone, too.
    return HubSource(told, lambda repository: Hub(request["hub_url"], repository, _token(secret)), pool, progress)


def _token(secret: str) -> str:
    """The hub's token: the secret is the token alone."""
    if not secret:
        return ""
    try:
        token: str = boto3.client("secretsmanager").get_secret_value(SecretId=secret).get("SecretString", "").strip()
    except ClientError as error:
        raise ImportFailed(
            f"The secret hub_token_secret cannot be read ({error.response['Error']['Code']}). It must be in "
            "this region and account, and encrypted with AWS's own key, as the import may use no other: "
            f"aws secretsmanager describe-secret --secret-id {secret}"
        ) from None
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise ImportFailed("The secret hub_token_secret holds no token. Store the token alone, as a plain text.")
    return token


def explain(error: Exception) -> str:
    """One sentence for the deploy log; what nobody expected is a bug and leaves its trace in this log."""
    if isinstance(error, ImportFailed):
        return str(error)
    if isinstance(error, ClientError):
        told = error.response["Error"]
        return f"{error.operation_name} was refused by AWS: {told['Code']}: {told['Message']}"
    if isinstance(error, BotoCoreError):
        return f"AWS cannot be reached: {error}. Deploy again; what is in the bucket stays."
    traceback.print_exc()
    return f"A bug in the importer, {type(error).__name__}: {error}. Its log has the trace."


if __name__ == "__main__":
    sys.exit(main())
