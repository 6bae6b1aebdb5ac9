"""The bucket, and the table of keys."""

from __future__ import annotations

import json

from stacks.storage.stack import EXPIRING_PREFIXES
from tests.stacks.assembly import Assembly

BUCKET, TABLE, STACK = "AWS::S3::Bucket", "AWS::DynamoDB::Table", "EaselStorage"


def test_the_bucket_is_private_encrypted_and_expires_objects(default: Assembly) -> None:
    bucket = default.only(BUCKET, STACK)
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    *expiring, releases, multipart = bucket["LifecycleConfiguration"]["Rules"]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in expiring] == [
        (prefix, 7) for prefix in EXPIRING_PREFIXES
    ]
    assert releases["TagFilters"], "releases expire only if they are tagged"
    assert multipart["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_a_page_of_another_origin_may_read_images_by_presigned_url(default: Assembly) -> None:
    (rule,) = default.only(BUCKET, STACK)["CorsConfiguration"]["CorsRules"]
    assert (rule["AllowedMethods"], rule["AllowedOrigins"]) == (["GET"], ["*"])


def test_an_output_has_the_buckets_name(default: Assembly) -> None:
    (bucket,) = default.resources(BUCKET, STACK)
    assert default.outputs(STACK)["BucketName"] == {"Ref": bucket}


def test_plain_http_is_denied(default: Assembly) -> None:
    first, *_ = default.only("AWS::S3::BucketPolicy", STACK)["PolicyDocument"]["Statement"]
    assert (first["Effect"], first["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_results_expire_after_result_days(realtime: Assembly) -> None:
    rules = realtime.only(BUCKET, STACK)["LifecycleConfiguration"]["Rules"]
    assert {rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") in EXPIRING_PREFIXES} == {30}


def test_releases_do_not_expire_by_age(default: Assembly) -> None:
    assert "releases/" not in EXPIRING_PREFIXES


def test_destroy_empties_the_bucket_unless_it_is_retained(default: Assembly, china: Assembly) -> None:
    (destroyed,), (retained,) = default.resources(BUCKET, STACK).values(), china.resources(BUCKET, STACK).values()
    assert (destroyed["DeletionPolicy"], retained["DeletionPolicy"]) == ("Delete", "Retain")
    assert len(default.resources("Custom::S3AutoDeleteObjects", STACK)) == 1
    assert china.resources("Custom::S3AutoDeleteObjects", STACK) == {}


def test_the_table_is_billed_by_request_and_goes_with_the_bucket(default: Assembly, china: Assembly) -> None:
    table = default.only(TABLE, STACK)
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert [item["AttributeName"] for item in table["KeySchema"]] == ["owner", "item"]
    (destroyed,), (retained,) = default.resources(TABLE, STACK).values(), china.resources(TABLE, STACK).values()
    assert (destroyed["DeletionPolicy"], retained["DeletionPolicy"]) == ("Delete", "Retain")


def test_no_function_may_create_its_log_group(each: Assembly) -> None:
    """Otherwise a late log line would create the group again after a destroy."""
    roles = [json.dumps(role) for role in each.resources("AWS::IAM::Role").values()]
    functions = [role for role in roles if '"lambda.amazonaws.com"' in role]
    assert len(functions) == len(each.resources("AWS::Lambda::Function"))
    assert "AWSLambdaBasicExecutionRole" not in "".join(functions)
