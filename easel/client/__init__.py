"""The Python client of Easel.

    from easel.client import Easel

    easel = Easel()
    easel.generate("a red apple", seed=7).images[0].save("apple.png")

`AsyncEasel` is the same for asyncio. All errors are `EaselError`. Guide: docs/how-to/python-client.md
"""

from easel.client.async_client import AsyncEasel, AsyncJob
from easel.client.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    EaselError,
    InvalidResponseError,
    JobCancelledError,
    JobError,
    JobFailedError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UsageError,
    WaitTimeoutError,
)
from easel.client.requests import ImageSource, RequestFields
from easel.client.responses import Health, Model
from easel.client.results import Generation, Image, Progress
from easel.client.sync_client import Easel, Job

__all__ = [
    "ApiError",
    "AsyncEasel",
    "AsyncJob",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "ConnectionFailedError",
    "Easel",
    "EaselError",
    "Generation",
    "Health",
    "Image",
    "ImageSource",
    "InvalidResponseError",
    "Job",
    "JobCancelledError",
    "JobError",
    "JobFailedError",
    "Model",
    "NotFoundError",
    "Progress",
    "RateLimitError",
    "RequestFields",
    "ServerError",
    "UsageError",
    "WaitTimeoutError",
]
