"""Modes of the files that a deploy ships."""

from __future__ import annotations

import os
from pathlib import Path

import aws_cdk as cdk

FILE, FOLDER = 0o644, 0o755
"""Everybody may read, since Lambda runs the code as another user."""


def normalise_asset_modes(app: cdk.App) -> None:
    """Give every staged file and folder the same mode, whatever the checkout's umask was.

    The CDK copies modes into its archives but leaves them out of their names, so a checkout made with umask 077 would
    publish archives that nobody else can read, and a later one would not replace them.
    """
    for staged in Path(app.asset_outdir).glob("asset.*"):
        if staged.is_file():
            staged.chmod(FILE)
        for parent, _, files in os.walk(staged):
            Path(parent).chmod(FOLDER)
            for file in (Path(parent, name) for name in files):
                if not file.is_symlink():
                    file.chmod(FILE)
