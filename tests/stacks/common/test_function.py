"""The code that functions ship."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stacks.common.function import CUSTOM_RESOURCES
from tests.stacks.assembly import Assembly


def shipped(assembly: Assembly) -> dict[str, Path]:
    """Return handler to shipped folder of the functions of custom_resources/."""
    functions = [function["Properties"] for function in assembly.resources("AWS::Lambda::Function").values()]
    return {
        function["Handler"]: assembly.folder / f"asset.{Path(function['Code']['S3Key']).stem}"
        for function in functions
        if function["Handler"].startswith("custom_resources.")
    }


def test_the_package_custom_resources_is_shipped_and_nothing_else(each: Assembly) -> None:
    (folder,) = set(shipped(each).values())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {f"custom_resources/{path.name}" for path in CUSTOM_RESOURCES.glob("*.py")}


def test_every_handler_can_be_imported_from_what_is_shipped(
    cloud9: Assembly, realtime: Assembly, hub: Assembly
) -> None:
    handlers = {**shipped(cloud9), **shipped(realtime), **shipped(hub)}
    modules = {path.stem for path in CUSTOM_RESOURCES.glob("*.py")} - {"__init__", "names", "objects", "response"}
    assert handlers.keys() == {f"custom_resources.{module}.handler" for module in modules}
    imports = "; ".join(f"from {handler.rpartition('.')[0]} import handler" for handler in handlers)
    program = f"import sys; sys.path.insert(0, '.'); {imports}; print(handler.__code__.co_filename)"
    folder = next(iter(handlers.values()))
    ran = subprocess.run([sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (folder / ran.stdout.strip()).is_relative_to(folder)
