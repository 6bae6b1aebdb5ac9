"""The catalogue entry that a model gets: what its files say, what is usual for its class, and what a person says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from easel import ROOT
from easel.console.errors import USAGE, CommandError
from easel.console.printable import printable
from easel.models.findings import Findings

_UNET = ["ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_a", "heun", "pndm", "unipc"]
_SIZES = {
    512: [[512, 512], [512, 768], [768, 512], [768, 768]],
    768: [[768, 768], [768, 512], [512, 768], [512, 512]],
    1024: [[1024, 1024], [1152, 896], [896, 1152], [1216, 832], [832, 1216], [1344, 768], [768, 1344]],
}
_IMAGE_GIB = 4
"""GPU memory beside the weights for one image of the first size, as the entries of the catalogue have."""
_HOST_SHARE = 1.25
"""Host memory for the GPU memory, in the same entries."""


@dataclass(frozen=True)
class Usual:
    """What is usual for a class of diffusers. `diffusers`: the oldest version that has it."""

    side: int
    steps: int
    guidance_scale: float
    diffusers: str
    scheduler: str = "flow_euler"
    schedulers: list[str] = field(default_factory=lambda: ["flow_euler"])
    more: dict[str, Any] = field(default_factory=dict)


# SD 2.x has 23 layers, but clip_skip ends at 12.
_CLIP, _IMAGES, _EDITS = {"prompt_tokens": 75, "clip_layers": 12}, {"image_to_image": True}, {"edits": 10}
USUAL: Mapping[str, Usual] = {
    "ChromaPipeline": Usual(1024, 35, 5.0, "0.34.0", more=_IMAGES),
    "ErnieImagePipeline": Usual(1024, 50, 4.0, "0.38.0"),
    "Flux2KleinPipeline": Usual(1024, 4, 1.0, "0.37.0", more=_EDITS),
    "Flux2Pipeline": Usual(1024, 50, 4.0, "0.36.0", more=_EDITS),
    "FluxPipeline": Usual(1024, 28, 3.5, "0.30.0", more=_IMAGES),
    "LatentConsistencyModelPipeline": Usual(512, 4, 8.0, "0.22.0", "lcm", ["lcm"], _CLIP),
    "Lumina2Pipeline": Usual(1024, 30, 4.0, "0.33.0"),
    "OvisImagePipeline": Usual(1024, 50, 5.0, "0.37.0"),
    "QwenImageEditPlusPipeline": Usual(1024, 40, 4.0, "0.36.0", more={"edits": 3}),
    "QwenImagePipeline": Usual(1024, 50, 4.0, "0.35.0", more=_IMAGES),
    "SanaPipeline": Usual(1024, 20, 4.5, "0.32.0"),
    "StableDiffusion3Pipeline": Usual(1024, 28, 7.0, "0.29.0", more=_IMAGES),
    "StableDiffusionPipeline": Usual(512, 25, 7.5, "0.15.0", "dpmpp_2m", _UNET, _CLIP | _IMAGES),
    "StableDiffusionXLPipeline": Usual(1024, 30, 5.0, "0.19.0", "euler", _UNET, _CLIP | _IMAGES),
    "ZImagePipeline": Usual(1024, 9, 0.0, "0.36.0", more=_IMAGES),
}
LICENCES = {
    "mit": ("MIT", "https://opensource.org/license/mit"),
    "apache-2.0": ("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    "creativeml-openrail-m": (
        "CreativeML OpenRAIL-M",
        "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    ),
    "openrail++": (
        "CreativeML OpenRAIL++-M",
        "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
    ),
}
"""What hubs and authors write, in lower case, to name and link."""

Ask = Callable[[str, str], str]
"""Takes an option's name and a question. Returns the answer of a person, or raises CommandError."""


@dataclass(frozen=True)
class Choices:
    """The options of `easel models add`. None: not given."""

    id: str | None = None
    name: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    side: int | None = None
    prediction: str | None = None
    sha256: str | None = None


def propose(found: Findings, choices: Choices, ask: Ask) -> dict[str, Any]:
    """Return a catalogue entry. Raises CommandError where something is not known and nobody can be asked."""
    usual = USUAL[found.pipeline]
    name = choices.name or printable(found.name)[:60].strip() or "Model"
    id = choices.id or slug(name)
    licence, link = _licence(found, choices, ask)
    prediction = choices.prediction
    if prediction is None and found.needs_prediction:
        prediction = ask("--prediction", "prediction (epsilon for models of 512 pixels, v_prediction for those of 768)")
    side = choices.side or found.side or _side(found, prediction) or usual.side
    scheduler, schedulers, steps = _sampling(found, usual)
    scheduler = choices.scheduler or scheduler
    gpu = math.ceil(found.weights_gib + _IMAGE_GIB)
    entry: dict[str, Any] = {
        "id": id,
        "name": name,
        "licence": licence,
        "licence_url": link,
        "gated": found.gated,
        "source": _source(found, id, choices, prediction),
        "pipeline": found.pipeline,
        "diffusers": usual.diffusers,
        "dtype": _dtype(found.pipeline),
        "gpu_memory_gib": gpu,
        "host_memory_gib": math.ceil(gpu * _HOST_SHARE),
        "sizes": _SIZES.get(side, [[side, side]]),
        "max_side": max(1024, min(2048, side * 3 // 2 // 8 * 8)),
        "steps": choices.steps or steps,
        "guidance_scale": usual.guidance_scale if choices.guidance is None else choices.guidance,
        "scheduler": scheduler,
        "schedulers": schedulers if scheduler in schedulers else [*schedulers, scheduler],
    }
    facts = ("learned_guidance", "fixed_guidance", "safety_checker")
    return entry | usual.more | {name: True for name in facts if getattr(found, name)}


def slug(name: str) -> str:
    """Return an id made of a name."""
    text = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    return text[:40].strip("-.") or "model"


def render(entry: Mapping[str, Any]) -> str:
    """Return the text of the entry's file: one key a line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def ask_nobody(option: str, question: str) -> str:
    """Raise the error of a command without a terminal."""
    raise CommandError(
        f"The {question} is not known from the files",
        where=option,
        why="there is no terminal to ask you",
        fix=f"Add the option {option}.",
        code=USAGE,
    )


def _source(found: Findings, id: str, choices: Choices, prediction: str | None) -> dict[str, Any]:
    source = dict(found.source)
    if "checkpoint" in source:
        source["path"] = id
    if choices.sha256 and source["kind"] == "url":
        source["sha256"] = choices.sha256.lower()
    return source | ({"prediction": prediction} if prediction else {})


def _side(found: Findings, prediction: str | None) -> int:
    return {"epsilon": 512, "v_prediction": 768}.get(prediction or "", 0) if found.needs_prediction else 0


def _sampling(found: Findings, usual: Usual) -> tuple[str, list[str], int]:
    """Return scheduler, schedulers and steps: a folder with LCM's scheduler is a distilled model."""
    if found.scheduler == "LCMScheduler":
        return "lcm", ["lcm"], 4
    return usual.scheduler, usual.schedulers, usual.steps


def _dtype(pipeline: str) -> str:
    from model_importer.model_folder import PIPELINES

    return PIPELINES[pipeline].dtypes[0]


def _licence(found: Findings, choices: Choices, ask: Ask) -> tuple[str, str]:
    stated = choices.licence or printable(found.licence)[:80] or ask("--licence", "licence")
    name, link = LICENCES.get(stated.lower().removeprefix("license:"), (stated, ""))
    if choices.licence_url or found.page.startswith("https://"):
        return name, choices.licence_url or found.page
    return name, link or ask("--licence-url", "link to the licence")


def entry_path(id: str, folder: Path) -> Path:
    """Return the file of the entry `id`. Raises CommandError: the id has a slash, or there is such an entry."""
    path = folder / f"{id}.json"
    if "/" in id or path.exists():
        why, fix = "it has a slash", "Choose another: --id …"
        if "/" not in id:
            name = id if folder == ROOT / "models" else quote(str(folder / id))
            why, fix = f"{path} exists", f"{fix}, or first: easel models remove {name}"
        raise CommandError("This id cannot be used", where=id, why=why, fix=fix, code=USAGE)
    return path
