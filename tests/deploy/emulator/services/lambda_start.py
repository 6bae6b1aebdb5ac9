"""The program that runs Python functions. MiniStack 1.5.33 runs them in its own interpreter, a new process for each."""

from ministack.core import lambda_runtime


def install(program: str) -> None:
    """Replace MiniStack's function. `program` runs a script, as `python SCRIPT` does."""
    detect = lambda_runtime._detect_runtime_binary

    def detect_program(runtime: str) -> tuple[str, str]:
        binary, script = detect(runtime)
        return (program if runtime.startswith("python") else binary), script

    lambda_runtime._detect_runtime_binary = detect_program
