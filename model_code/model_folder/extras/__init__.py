"""Files beside the model's own that requests may use, such as `loras/<id>.safetensors`."""

from .files import EXTRAS, check_digests, extra_ids, extra_path, extra_paths, read_extra

__all__ = ["EXTRAS", "check_digests", "extra_ids", "extra_path", "extra_paths", "read_extra"]
