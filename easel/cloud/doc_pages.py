"""Pages of the documentation that messages refer to, as paths in the project."""

SETTINGS = "docs/reference/settings.md"
ERRORS = "docs/reference/errors.md"
KMS_KEY = "docs/how-to/kms-key.md"
VPC = "docs/how-to/vpc.md"
NOT_SHOWN = "docs/explanation/not-yet-shown-on-aws.md"
