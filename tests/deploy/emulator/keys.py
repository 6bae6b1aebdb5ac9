"""KMS as S3, SNS and CloudWatch Logs ask it. MiniStack 1.5.33 writes the key down and asks nobody.

S3 and SNS ask in the name of whoever calls them; CloudWatch Logs asks for itself. Source: S3's API reference
(GetObject, PutObject, CreateMultipartUpload, ListParts), the guides of SNS and CloudWatch Logs on encryption.
"""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.services import kms, s3, sns

from .service import ACCOUNT, REGION

READ, WRITE = "kms:Decrypt", "kms:GenerateDataKey"
PARTS_OF_AN_OBJECT = {"tagging", "acl", "attributes", "retention", "legal-hold", "annotation", "restore"}
"""Requests about these do not touch what is encrypted."""
KEY, COPIED = "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-copy-source"

Asked = tuple[str, str]
"""IAM action, ARN of the key."""


def take_over() -> None:
    """Stands before MiniStack's own functions, which it calls."""
    dispatch, enforce = s3._dispatch, iam_evaluator.enforce

    def guarded(method: str, bucket: str, key: str, headers: Any, body: bytes, query: Any) -> Any:
        caller = s3._request_access_key(method, key, headers, query, body)
        for action, arn in _of_object(method, bucket, key, headers, query):
            if refusal := enforce(caller, action, "kms", REGION, arn, _via("s3")):
                told = f"User: {refusal.principal_arn} is not authorized to perform: {action} on resource: {arn}"
                return s3._error("AccessDenied", f"{told} because no policy allows the {action} action", 403)
        return dispatch(method, bucket, key, headers, body, query)

    def enforced(
        caller: str, action: str, service: str, region: str, resource_arn: str = "*", *more: Any, **named: Any
    ) -> Any:
        refusal = enforce(caller, action, service, region, resource_arn, *more, **named)
        asked = _of_topic(resource_arn) if action == "sns:Publish" and refusal is None else ()
        answers = (enforce(caller, right, "kms", region, arn, _via("sns")) for right, arn in asked)
        return refusal or next(filter(None, answers), None)

    s3._dispatch, iam_evaluator.enforce = guarded, enforced


def _via(service: str) -> dict[str, str]:
    return {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}


def _of_object(method: str, bucket: str, key: str, headers: Any, query: Any) -> Iterator[Asked]:
    """What the caller must be allowed of the keys that are used. Looking at an object's head uses none."""
    if not key or PARTS_OF_AN_OBJECT & query.keys():
        return
    if COPIED in headers:
        yield from _read(*unquote(headers[COPIED]).lstrip("/").partition("?")[0].split("/", 1))
    if "uploadId" in query:
        if method != "DELETE":
            upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"), {})
            yield from _with(READ, upload.get("preserved_headers", {}))
    elif method == "GET":
        yield from _read(bucket, key)
    elif method in ("PUT", "POST"):
        yield from _with(WRITE, headers if KEY in headers else s3._bucket_default_sse_headers(bucket))


def _read(bucket: str, key: str) -> Iterator[Asked]:
    found = s3._buckets.get(bucket, {"objects": {}})["objects"].get(key, {})
    yield from _with(READ, found.get("preserved_headers", {}))


def _with(action: str, headers: Any) -> Iterator[Asked]:
    if arn := headers.get(KEY):
        yield action, arn


def _of_topic(arn: str) -> Iterator[Asked]:
    key = sns._topics.get(arn, {"attributes": {}})["attributes"].get("KmsMasterKeyId")
    for action in (READ, WRITE) if key else ():
        yield action, key


def for_log_group(make: Callable[..., Any]) -> Callable[..., Any]:
    """AWS::Logs::LogGroup, refused where the key's policy does not let CloudWatch Logs use it."""

    def made(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        key, name = properties.get("KmsKeyId"), properties.get("LogGroupName", f"/aws/{stack}/{logical_id}")
        if key and not _lets_logs_in(key, f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"):
            raise ValueError("The specified KMS key does not exist or is not allowed to be used with LogGroup")
        return make(logical_id, properties, stack)

    return made


def for_topic(make: Callable[..., Any]) -> Callable[..., Any]:
    """AWS::SNS::Topic, of which MiniStack forgets the key."""

    def made(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        made = make(logical_id, properties, stack)
        if key := properties.get("KmsMasterKeyId"):
            sns._topics[made[0]]["attributes"]["KmsMasterKeyId"] = key
        return made

    return made


def _lets_logs_in(key: str, group: str) -> bool:
    policy, _ = kms.key_policy_for_arn(key) or ("", "")
    context = {"kms:encryptioncontext:aws:logs:arn": group}
    asked = EvalContext("*", "Service", "", "kms:GenerateDataKey", key, REGION, service_context=context)
    return bool(evaluate_resource_policy(policy, asked, f"logs.{REGION}.amazonaws.com").decision == "Allow")
