"""What the bucket of a deployment holds."""

import json
from operator import itemgetter
from typing import Any

from stacks.storage.stack import UNREFERENCED_TAG
from tests.deploy.harness.deployment import Deployment


def open_bucket(deployment: Deployment) -> tuple[Any, str]:
    """Return an S3 client and the name of the store's bucket."""
    s3 = deployment.account.client("s3")
    (name,) = (bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "store" in bucket["Name"])
    return s3, name


def keys(deployment: Deployment, prefix: str) -> set[str]:
    s3, bucket = open_bucket(deployment)
    return {item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())}


def releases(deployment: Deployment) -> list[str]:
    """Return the prefixes of the releases, the oldest first."""
    s3, bucket = open_bucket(deployment)
    listing = s3.list_objects_v2(Bucket=bucket, Prefix="releases/")["Contents"]
    scripts = [item for item in listing if item["Key"].endswith("/code/inference.py")]
    return [item["Key"].removesuffix("code/inference.py") for item in sorted(scripts, key=itemgetter("LastModified"))]


def is_expiring(deployment: Deployment, release: str) -> bool:
    """Return whether a release carries the tag by which the bucket's rule deletes it. All its objects must agree."""
    s3, bucket = open_bucket(deployment)
    tag_sets = [s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] for key in keys(deployment, release)]
    states = {UNREFERENCED_TAG.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items() for tags in tag_sets}
    (expiring,) = states
    return expiring


def hub_manifests(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the manifests (release.json) of the releases from the hub."""
    s3, bucket = open_bucket(deployment)
    names = [key for key in keys(deployment, "releases/") if key.endswith("/release.json")]
    manifests = [json.loads(s3.get_object(Bucket=bucket, Key=name)["Body"].read()) for name in sorted(names)]
    return [manifest for manifest in manifests if manifest["source"]["kind"] == "hub"]
