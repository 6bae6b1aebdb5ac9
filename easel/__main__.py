"""`python -m easel`."""

from easel.cli import app

app()
