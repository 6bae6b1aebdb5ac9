"""Descriptions of services. MiniStack 1.5.33 reads each of them twice, with a new session of botocore for each."""

import functools
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import ServiceModel
from ministack.core import iam_actions, responses


def install() -> None:
    """Replace MiniStack's functions by those of one session. A service without a description has none."""
    session = botocore.session.get_session()

    @functools.cache
    def model(service: str) -> ServiceModel | None:
        try:
            return session.get_service_model(responses._BOTOCORE_NAME.get(service, service))
        except UnknownServiceError:
            return None

    def read(service: str) -> dict[str, Any]:
        try:
            return dict(session.get_service_data(service))
        except UnknownServiceError:
            return {}

    responses._service_model = model
    iam_actions._load_botocore_model = read
