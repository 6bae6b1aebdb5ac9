"""Errors of the importer. Their text is shown in the deploy log to whoever deploys."""

from .model_folder import printable


class ModelImportError(Exception):
    """Why a model cannot be imported, and what to do. Characters that a terminal obeys are escaped."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DigestMismatchError(ModelImportError):
    """The bytes of a file are not those on record."""
