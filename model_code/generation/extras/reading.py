"""Reading of an extra's file while a request runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from contract import EaselError
from generation.gpu_memory import GpuMemory, is_out_of_memory
from model_folder import ModelFolderError


@contextmanager
def reading(path: str, param: str, memory: GpuMemory) -> Iterator[None]:
    """Turn what goes wrong with the file into an EaselError about the field `param`.

    `config_error`: the file was replaced since the model was loaded; `gpu_out_of_memory`; `container_died`: the GPU
    context is lost.
    """
    from safetensors import SafetensorError

    try:
        yield
    except ModelFolderError as error:
        raise EaselError("config_error", error.message, param=param, hint=error.hint) from None
    except (OSError, SafetensorError) as error:
        message = f"{path} cannot be read ({type(error).__name__})"
        raise EaselError("config_error", message, param=param, hint="Check the file.") from None
    except RuntimeError as error:
        memory.check_context(error)
        if not is_out_of_memory(error):
            raise
        message = f"{path} does not fit into the GPU's memory beside the model"
        raise EaselError("gpu_out_of_memory", message, param=param, hint="Use fewer or smaller ones.") from None
