"""Pages of the documentation that messages refer to, as paths in the project."""

SETTINGS = "docs/aws.md"
OWN_RESOURCES = "docs/options.md"
ERRORS = "docs/reference/errors.md"
