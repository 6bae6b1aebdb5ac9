"""The files of a checked model under the names that every version of the libraries finds."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_folder import CheckedModel, Component, Weights, weights_stem


@contextmanager
def plain_folder(folder: Path, checked: CheckedModel) -> Iterator[Path]:
    """Yield a temporary folder of links to the files of `checked`, and to nothing else.

    The weights have the names of weights without a variant. diffusers and transformers look for variants and shards
    under different names, which also depend on their versions.
    """
    with tempfile.TemporaryDirectory(prefix="easel-model-") as name:
        plain = Path(name)
        for component in checked.index.components:
            (plain / component.name).mkdir()
            _link_settings(folder, plain, component, checked)
            if component.name in checked.weights:
                _link_weights(folder / component.name, plain / component.name, component, checked.weights)
        yield plain


def _link_settings(folder: Path, plain: Path, component: Component, checked: CheckedModel) -> None:
    weights = checked.weights.get(component.name, Weights(()))
    for path in checked.files:
        part, _, name = path.rpartition("/")
        if part != component.name or name in (*weights.files, weights.index):
            continue
        if name == "config.json" and component.class_name.startswith("Mistral3"):
            config = json.loads((folder / path).read_bytes())
            (plain / path).write_text(json.dumps(_with_older_name(config)))
        else:
            (plain / path).symlink_to((folder / path).resolve())


def _with_older_name(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of Mistral 3 with the rotary embedding's older name, which all versions read."""
    rope = config.get("vision_config", {}).get("rope_parameters", {})
    if rope.get("rope_type") == "axial":
        rope["rope_type"] = "default"
    return config


def _link_weights(source: Path, target: Path, component: Component, weights: Mapping[str, Weights]) -> None:
    stem, found = weights_stem(component.library), weights[component.name]
    if found.shards is None:
        (target / f"{stem}.safetensors").symlink_to((source / found.files[0]).resolve())
        return
    names = {
        name: f"{stem}-{number:05}-of-{len(found.files):05}.safetensors"
        for number, name in enumerate(found.files, start=1)
    }
    for name, plain_name in names.items():
        (target / plain_name).symlink_to((source / name).resolve())
    weight_map = {tensor: names[name] for tensor, name in found.shards.items()}
    size = sum((source / name).stat().st_size for name in found.files)
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (target / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
