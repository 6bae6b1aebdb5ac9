"""The measurement of coverage, only where it counts lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import coverage
import pytest

# pytest-cov reports twice, and each report would parse all files again.
coverage.Coverage._get_file_reporter = cache(coverage.Coverage._get_file_reporter)  # type: ignore[method-assign]


@contextmanager
def measured_imports(root: Path) -> Iterator[None]:
    """Measure of all imports those of Easel's modules. The tracer doubles the time of those of Torch and others."""
    measurement, tracer = coverage.Coverage.current(), sys.gettrace()
    if not measurement or not tracer:
        yield
        return
    folders = measurement.get_option("run:source")
    assert isinstance(folders, list)
    sources = tuple(f"{root / name}/" for name in folders)
    execute = SourceFileLoader.exec_module

    def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
        outer = sys.gettrace()
        sys.settrace(tracer if loader.path.startswith(sources) else None)
        try:
            execute(loader, module)
        finally:
            sys.settrace(outer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SourceFileLoader, "exec_module", exec_module)
        sys.settrace(None)
        try:
            yield
        finally:
            sys.settrace(tracer)
