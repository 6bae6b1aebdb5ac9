"""Run the `easel` command by `python -m easel`."""

from easel.cli import app

app()
