"""Custom resources: standard library and boto3."""
