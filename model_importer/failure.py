"""The one error of this room."""


class ImportFailed(Exception):  # noqa: N818  it is what the deploy log says
    """Why a model cannot be imported, and the way out. Its text is shown to the person who deploys."""
