"""Errors of the importer. Their text is shown in the deploy log to whoever deploys."""


class ModelImportError(Exception):
    """Why a model cannot be imported, and what to do."""


class DigestMismatchError(ModelImportError):
    """The bytes of a file are not those on record."""
