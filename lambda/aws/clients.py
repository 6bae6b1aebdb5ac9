"""Clients of AWS services, of botocore: boto3 on top of it takes a tenth of a cold start, most of it for S3 uploads."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session, get_session


@cache
def session() -> Session:
    """Return the session that all clients share: it reads endpoints and credentials once."""
    return get_session()


def create_client(service: str, config: Config) -> Any:
    """Return the client of a service, by its name in botocore."""
    return session().create_client(service, config=config)
