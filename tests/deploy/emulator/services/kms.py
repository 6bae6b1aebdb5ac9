"""KMS checks of S3, SNS and CloudWatch Logs. MiniStack 1.5.33 records the key and checks no permission.

S3 and SNS use the caller's permissions, CloudWatch Logs its own. Sources: S3's API reference (GetObject, PutObject,
CreateMultipartUpload, ListParts), the guides of SNS and CloudWatch Logs on encryption.
"""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.services import kms, s3, sns

from ..aws_api.service import ACCOUNT, REGION

READ, WRITE = "kms:Decrypt", "kms:GenerateDataKey"
UNENCRYPTED_PARTS = {"tagging", "acl", "attributes", "retention", "legal-hold", "annotation", "restore"}
"""Subresources of an object that its key does not encrypt."""
KEY_HEADER, COPY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-copy-source"

KeyUse = tuple[str, str]
"""IAM action, ARN of the key."""


def install() -> None:
    """Put the checks before MiniStack's own functions."""
    dispatch, enforce = s3._dispatch, iam_evaluator.enforce

    def checked_dispatch(method: str, bucket: str, key: str, headers: Any, body: bytes, query: Any) -> Any:
        caller = s3._request_access_key(method, key, headers, query, body)
        for action, arn in _uses_by_object(method, bucket, key, headers, query):
            if denial := enforce(caller, action, "kms", REGION, arn, _via("s3")):
                message = f"User: {denial.principal_arn} is not authorized to perform: {action} on resource: {arn}"
                return s3._error("AccessDenied", f"{message} because no policy allows the {action} action", 403)
        return dispatch(method, bucket, key, headers, body, query)

    def checked_enforce(
        caller: str, action: str, service: str, region: str, resource_arn: str = "*", *more: Any, **named: Any
    ) -> Any:
        denial = enforce(caller, action, service, region, resource_arn, *more, **named)
        uses = _uses_by_topic(resource_arn) if action == "sns:Publish" and denial is None else ()
        denials = (enforce(caller, key_action, "kms", region, arn, _via("sns")) for key_action, arn in uses)
        return denial or next(filter(None, denials), None)

    s3._dispatch, iam_evaluator.enforce = checked_dispatch, checked_enforce


def _via(service: str) -> dict[str, str]:
    return {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}


def _uses_by_object(method: str, bucket: str, key: str, headers: Any, query: Any) -> Iterator[KeyUse]:
    """Yield the uses of keys by a request to S3. HEAD uses none."""
    if not key or UNENCRYPTED_PARTS & query.keys():
        return
    if COPY_HEADER in headers:
        yield from _read(*unquote(headers[COPY_HEADER]).lstrip("/").partition("?")[0].split("/", 1))
    if "uploadId" in query:
        if method != "DELETE":
            upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"), {})
            yield from _use(READ, upload.get("preserved_headers", {}))
    elif method == "GET":
        yield from _read(bucket, key)
    elif method in ("PUT", "POST"):
        yield from _use(WRITE, headers if KEY_HEADER in headers else s3._bucket_default_sse_headers(bucket))


def _read(bucket: str, key: str) -> Iterator[KeyUse]:
    item = s3._buckets.get(bucket, {"objects": {}})["objects"].get(key, {})
    yield from _use(READ, item.get("preserved_headers", {}))


def _use(action: str, headers: Any) -> Iterator[KeyUse]:
    if arn := headers.get(KEY_HEADER):
        yield action, arn


def _uses_by_topic(arn: str) -> Iterator[KeyUse]:
    key = sns._topics.get(arn, {"attributes": {}})["attributes"].get("KmsMasterKeyId")
    for action in (READ, WRITE) if key else ():
        yield action, key


def check_log_group(create: Callable[..., Any]) -> Callable[..., Any]:
    """Return AWS::Logs::LogGroup's create that fails if the key's policy does not allow CloudWatch Logs."""

    def checked_create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        key, name = properties.get("KmsKeyId"), properties.get("LogGroupName", f"/aws/{stack}/{logical_id}")
        if key and not _allows_logs(key, f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"):
            raise ValueError("The specified KMS key does not exist or is not allowed to be used with LogGroup")
        return create(logical_id, properties, stack)

    return checked_create


def keep_topic_key(create: Callable[..., Any]) -> Callable[..., Any]:
    """Return AWS::SNS::Topic's create that keeps the key. MiniStack drops it."""

    def create_with_key(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        created = create(logical_id, properties, stack)
        if key := properties.get("KmsMasterKeyId"):
            sns._topics[created[0]]["attributes"]["KmsMasterKeyId"] = key
        return created

    return create_with_key


def _allows_logs(key: str, group: str) -> bool:
    policy, _ = kms.key_policy_for_arn(key) or ("", "")
    encryption_context = {"kms:encryptioncontext:aws:logs:arn": group}
    context = EvalContext("*", "Service", "", "kms:GenerateDataKey", key, REGION, service_context=encryption_context)
    return bool(evaluate_resource_policy(policy, context, f"logs.{REGION}.amazonaws.com").decision == "Allow")
