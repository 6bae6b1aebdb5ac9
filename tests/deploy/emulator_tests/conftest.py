"""Fixtures of the emulator's own tests: the server, and SageMaker behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.emulator_tests.sagemaker_setup import SageMakerSetup
from tests.deploy.emulator_tests.server import EmulatorServer


@pytest.fixture(scope="session")
def server() -> Iterator[EmulatorServer]:
    server = EmulatorServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def setup(server: EmulatorServer, tmp_path: Path) -> Iterator[SageMakerSetup]:
    setup = SageMakerSetup(server, tmp_path)
    yield setup
    setup.auto_scaling.stop()
    for endpoint in list(setup.control.endpoints.values()):
        endpoint.stop()
