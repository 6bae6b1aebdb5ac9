"""Errors of the importer. Their text is shown in the deploy log, or by `easel models`."""

from dataclasses import dataclass

from .model_folder import printable


class ModelImportError(Exception):
    """Why a model cannot be imported, and what to do. Characters that a terminal obeys are escaped."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DigestMismatchError(ModelImportError):
    """The bytes of a file are not those on record."""


@dataclass(frozen=True)
class Advice:
    """What the person at this place does: deploys, by default."""

    again: str = "Deploy again"
    access: str = "hub_token_secret"
    """What holds the token."""
    hub: str = "hub_url"
    """What holds the address of the hub."""
    grant: str = "store it in Secrets Manager and set hub_token_secret to the secret's ARN or name"
    """How a token is set."""


URL_ADVICE = Advice(
    access="model_token_secret",
    grant="store it in Secrets Manager and set model_token_secret to the secret's ARN or name",
)
"""For a link: its site gets no token of the hub."""
