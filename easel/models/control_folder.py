"""A repository or a folder that is one ControlNet, as diffusers saves it: `config.json` and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easel.models.given_source import Fields, refused

if TYPE_CHECKING:
    from model_importer.model_folder import Files
    from model_importer.sources import Connect

_CONFIG = "config.json"
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
_Z_IMAGE_LAYERS = 30
_SD3 = "SD3ControlNetModel"
_OTHER_NAMES = {"ControlNetSD3Model": _SD3}
"""Class of a published config.json to the class that diffusers calls so now."""
_ZEROS = "force_zeros_for_pooled_projection"


def control_file(fields: Fields, text: str, connect: Connect) -> Fields:
    """Return the source of the weights of a repository or a folder that is a ControlNet; of another, `fields`.

    One for Stable Diffusion 3 also has what its config.json says of its inputs, for `control_inputs`.
    Raises CommandError: it is a ControlNet that Easel does not use. Raises ModelImportError, ModelFolderError.
    """
    files = _files(fields, connect)
    if files is None or "model_index.json" in files.sizes or _CONFIG not in files.sizes:
        return fields
    from model_importer.model_folder import CONTROL_PIPELINES
    from model_importer.model_folder.files import read_settings

    settings = read_settings(files, _CONFIG)
    name = settings.get("_class_name")
    name = _OTHER_NAMES.get(name, name) if isinstance(name, str) else None
    if not isinstance(name, str) or "ControlNet" not in name:
        return fields
    known = sorted({family.network for family in CONTROL_PIPELINES.values()})
    if name not in known:
        raise refused(text, f"it is a {name[:80]}, which Easel does not use", f"Use one of these: {', '.join(known)}.")
    if name == "ZImageControlNetModel":
        _check_places(settings, text)
    weights = next((file for file in _WEIGHTS if file in files.sizes), None)
    if weights is None:
        why, fix = f"it has no {_WEIGHTS[0]}", "Save it in one file: save_pretrained with a larger max_shard_size."
        raise refused(text, why, fix)
    more = {_ZEROS: bool(settings.get(_ZEROS, True))} if name == _SD3 else {}
    if fields["kind"] == "hub":
        return {**fields, "file": weights} | more
    return {"kind": "folder", "checkpoint": str(Path(fields["path"]) / weights)} | more


def control_inputs(
    fields: Fields, shapes: Mapping[str, tuple[int, ...]], pipeline: str, stated: str | None, text: str
) -> str | None:
    """Return the `inputs` of a ControlNet in an entry of a pipeline: as its config.json says, or else as `stated`.

    Raises CommandError: neither says them, they differ, or the ControlNet is for another base.
    """
    from model_importer.model_folder import CONTROL_PIPELINES, reads_text
    from model_importer.model_folder.extras.controls import control_base, control_class

    family = CONTROL_PIPELINES.get(pipeline)
    if family is None or not family.inputs:
        return stated  # the catalogue refuses it
    if control_class(shapes) != family.network:
        raise refused(text, f"it is for {control_base(shapes)}", f"Use one for {pipeline}.")
    zeros = fields.get(_ZEROS)
    allowed = [inputs for inputs in family.inputs if zeros is None or (inputs == "zeros") is zeros]
    if stated is None and zeros is not None and (zeros or reads_text(shapes)):
        return allowed[0]
    if stated in allowed:
        return stated
    why = "neither its tensors nor a config.json say what its inputs are"
    if zeros is not None:
        why = f"{_ZEROS} in its config.json is {str(zeros).lower()}" + ("" if stated else ", which does not say enough")
    raise refused(text, why, f"Set --inputs to {' or '.join(allowed)}: docs/how-to/control.md says when.")


def _files(fields: Fields, connect: Connect) -> Files | None:
    """Return the files of a repository or a folder; None: the source is something else."""
    from model_importer.model_folder import LocalFiles
    from model_importer.sources import SourceFiles

    if "path" in fields:
        return LocalFiles(Path(fields["path"]))
    if fields["kind"] != "hub" or "file" in fields:
        return None
    hub = connect.hub(fields["repository"])
    return SourceFiles(hub.snapshot(fields["revision"]).files, hub.fetch)


def _check_places(settings: dict[str, Any], text: str) -> None:
    """Refuse a ControlNet of Z-Image for other layers than those that its weights, which name none, are read for."""
    places = settings.get("control_layers_places")
    count = len(places) if isinstance(places, list) else 0
    step = _Z_IMAGE_LAYERS // count if 0 < count <= _Z_IMAGE_LAYERS else 1
    if places != [*islice(range(0, _Z_IMAGE_LAYERS, step), count)] or not count:
        why = f"it adds to the layers {str(places)[:80]}, and Easel spreads them evenly over {_Z_IMAGE_LAYERS}"
        raise refused(text, why, "Use one whose layers are spread evenly.")
