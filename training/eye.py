"""The eye: says which drawing a picture is nearest to. It has never seen a picture the model made."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

HERE = Path(__file__).parent
FOLDER = HERE.parent / "models" / "eye"
SIDE = 64
FEATURES = 96
Box = tuple[int, int, int, int]


def stage(inward: int, outward: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inward, outward, 3, stride=2, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(outward), nn.SiLU()]
    return nn.Sequential(*layers)


class Network(nn.Module):
    """Unit features of 64×64 pictures, (n, 3, 64, 64) in [-1, 1] to (n, 96)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 160)
        self.stages = nn.Sequential(*[stage(a, b) for a, b in itertools.pairwise(widths)])
        self.project = nn.Linear(widths[-1] * 5, FEATURES)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.stages(pictures)
        # The mean of all places and of each quarter: what, and roughly where.
        pooled = [nn.functional.adaptive_avg_pool2d(maps, n).flatten(1) for n in (1, 2)]
        return nn.functional.normalize(self.project(torch.cat(pooled, 1)), dim=1)


def to_input(pictures: list[Image.Image]) -> Tensor:
    small = [np.asarray(p.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for p in pictures]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(frozen=True, kw_only=True)
class Eye:
    network: Network
    features: Tensor
    """Features of the training drawings, several views each, (n × views, 96)."""
    codes: list[str]
    """The drawing of each view."""

    @torch.inference_mode()
    def look(self, pictures: list[Image.Image]) -> Tensor:
        seen: Tensor = self.network(to_input(pictures))
        return seen

    def nearest(self, pictures: list[Image.Image], count: int = 1) -> list[list[str]]:
        """The codes of the `count` nearest different drawings of each picture, nearest first."""
        order = (self.look(pictures) @ self.features.T).argsort(1, descending=True).tolist()
        return [list(dict.fromkeys(self.codes[i] for i in row))[:count] for row in order]


def load_eye(folder: Path = FOLDER) -> Eye:
    tensors = {k: v.float() for k, v in load_file(folder / "eye.safetensors").items()}
    features = tensors.pop("features")
    network = Network()
    network.load_state_dict(tensors, strict=False)
    return Eye(network=network.eval(), features=features, codes=json.loads((folder / "drawings.json").read_text()))


def save_eye(eye: Eye, folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v for k, v in eye.network.state_dict().items() if v.is_floating_point()}
    tensors = {k: v.half().contiguous() for k, v in {**state, "features": eye.features}.items()}
    save_file(tensors, folder / "eye.safetensors")
    (folder / "drawings.json").write_text(json.dumps(eye.codes))
