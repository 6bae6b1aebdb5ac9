"""Classifier that recognises the subject of an image: `python classifier.py --minutes 5` trains it.

It learns from the emoji alone and has never seen an image that the model generated.
"""

import argparse
import itertools
import json
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from dataset import WORK, load_subjects
from image_pool import load_all_cutouts
from PIL import Image, ImageFilter
from safetensors.torch import load_file, save_file
from scenes import COLOURS, Cutouts
from torch import Tensor, nn

FOLDER = Path(__file__).parents[1] / "models" / "classifier"
SIDE = 64
"""Pixels of a side of the network's input."""
FEATURES = 96


def stage(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(outputs), nn.SiLU()]
    return nn.Sequential(*layers)


class Network(nn.Module):
    """Unit features of 64×64 images: (n, 3, 64, 64) in [-1, 1] to (n, 96)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 160)
        self.stages = nn.Sequential(*[stage(a, b) for a, b in itertools.pairwise(widths)])
        self.project = nn.Linear(widths[-1] * 5, FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stages(images)
        # The means of the whole image and of each quarter: the subject and its rough place.
        pooled = [nn.functional.adaptive_avg_pool2d(maps, n).flatten(1) for n in (1, 2)]
        return nn.functional.normalize(self.project(torch.cat(pooled, 1)), dim=1)


def to_input(images: list[Image.Image]) -> Tensor:
    small = [np.asarray(p.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for p in images]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(frozen=True, kw_only=True)
class Classifier:
    network: Network
    features: Tensor
    """Features of the training subjects, several views of each: (views, 96)."""
    codes: list[str]
    """Code of the subject of each view."""

    @torch.inference_mode()
    def extract_features(self, images: list[Image.Image]) -> Tensor:
        features: Tensor = self.network(to_input(images))
        return features

    def nearest(self, images: list[Image.Image], count: int = 1) -> list[list[str]]:
        """Return the codes of the `count` nearest different subjects of each image, the nearest first."""
        order = (self.extract_features(images) @ self.features.T).argsort(1, descending=True).tolist()
        return [list(dict.fromkeys(self.codes[i] for i in row))[:count] for row in order]


def load_classifier(folder: Path = FOLDER, styles: tuple[str, ...] = ("emoji",)) -> Classifier:
    """Return the classifier that compares with these styles: "emoji" and, from lora/references.py, "comic"."""
    tensors = {k: v.float() for k, v in load_file(folder / "classifier.safetensors").items()}
    emoji = tensors.pop("features")
    network = Network()
    network.load_state_dict(tensors, strict=False)
    codes = json.loads((folder / "view_codes.json").read_text())
    views = [
        emoji if style == "emoji" else load_file(folder / f"{style}.safetensors")["features"].float()
        for style in styles
    ]
    return Classifier(network=network.eval(), features=torch.cat(views), codes=codes * len(styles))


def save_classifier(classifier: Classifier, folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v for k, v in classifier.network.state_dict().items() if v.is_floating_point()}
    tensors = {k: v.half().contiguous() for k, v in {**state, "features": classifier.features}.items()}
    save_file(tensors, folder / "classifier.safetensors")
    (folder / "view_codes.json").write_text(json.dumps(classifier.codes))


def random_ground(rng: random.Random) -> tuple[int, int, int]:
    """White in 60 % of the cases, else a varied colour."""
    if rng.random() < 0.6:
        return 255, 255, 255
    colour = rng.choice(list(COLOURS.values()))[1]
    red, green, blue = (min(255, max(0, c + rng.randrange(-16, 17))) for c in colour)
    return red, green, blue


def paste_varied(
    rng: random.Random, canvas: Image.Image, cutout: Image.Image, scale: float, centre: tuple[float, float]
) -> None:
    """Paste a cut-out, half the time mirrored, with a slightly varied height."""
    side = round(SIDE * scale)
    shape = (side, round(side * rng.uniform(0.93, 1.07)))
    turned = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cutout
    small = turned.resize(shape, Image.Resampling.BILINEAR)
    canvas.paste(small, (round(centre[0] * SIDE - side / 2), round(centre[1] * SIDE - side / 2)), small)


def random_view(rng: random.Random, cutouts: list[Image.Image], index: int) -> Image.Image:
    """A subject as an inexact model might generate it. A third of the images show part of another subject."""
    canvas = Image.new("RGB", (SIDE, SIDE), random_ground(rng))
    if rng.random() < 0.33:
        edge = rng.choice([(-0.1, 0.5), (1.1, 0.5), (0.5, -0.1), (0.5, 1.1)])
        paste_varied(rng, canvas, rng.choice(cutouts), rng.uniform(0.5, 0.9), edge)
    scale, shift = rng.uniform(0.65, 1.1), 0.1
    centre = (0.5 + rng.uniform(-shift, shift), 0.5 + rng.uniform(-shift, shift))
    paste_varied(rng, canvas, cutouts[index], scale, centre)
    if rng.random() < 0.4:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    return canvas


def add_variation(images: Tensor) -> Tensor:
    """Vary brightness and colour, and add a little noise."""
    shape = (len(images), 3, 1, 1)
    light = 1 + 0.12 * torch.randn(shape[0], 1, 1, 1) + 0.04 * torch.randn(shape)
    shifted = images * light + 0.06 * torch.randn(shape)
    return shifted + 0.1 * torch.rand(shape[0], 1, 1, 1) * torch.randn_like(images)


def train(network: Network, cutouts: list[Image.Image], minutes: float, size: int = 96) -> None:
    classes = nn.Parameter(torch.randn(len(cutouts), FEATURES))
    parameters = [*network.parameters(), classes]
    optimizer = torch.optim.AdamW(parameters, 3e-3, weight_decay=0.02, fused=True)
    rng, start, step = random.Random(7), time.monotonic(), 0
    while (progress := (time.monotonic() - start) / 60 / minutes) < 1:
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, (step + 1) / 50) * (1.01 - progress)
        labels = [rng.randrange(len(cutouts)) for _ in range(size)]
        images = add_variation(to_input([random_view(rng, cutouts, i) for i in labels]))
        logits = 16 * network(images) @ nn.functional.normalize(classes, dim=1).T
        loss = nn.functional.cross_entropy(logits, torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        if step % 50 == 0:
            accuracy = (logits.argmax(1) == torch.tensor(labels)).float().mean().item()
            print(f"{progress:4.0%} step {step} loss {loss.item():.3f} accuracy {accuracy:.2f}", flush=True)


def plain_views(cutout: Image.Image) -> list[Image.Image]:
    """A subject on white and its mirror image, at the full and at 80 % of the frame."""
    views = []
    for scale in (1.0, 0.8):
        canvas = Image.new("RGB", (SIDE, SIDE), "white")
        side = round(SIDE * scale)
        small = cutout.resize((side, side), Image.Resampling.LANCZOS)
        canvas.paste(small, ((SIDE - side) // 2,) * 2, small)
        views += [canvas, canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return views


def reference_views(cutouts: Cutouts) -> list[tuple[int, Image.Image]]:
    """Return views with the index of their subject: four of each, then four of each that has another image."""
    changed = [(i, c) for i, (c, usual) in enumerate(zip(cutouts.sitting, cutouts.usual, strict=True)) if c != usual]
    return [(i, view) for i, cutout in [*enumerate(cutouts.usual), *changed] for view in plain_views(cutout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="0 takes the trained network")
    arguments = parser.parse_args()
    torch.manual_seed(8)
    subjects, cutouts = load_subjects(), load_all_cutouts()
    if arguments.minutes:
        network = Network()
        train(network, cutouts.usual, arguments.minutes)
    else:
        network = load_classifier().network
    indices, views = zip(*reference_views(cutouts), strict=True)
    codes = [subjects[i].code for i in indices]
    without_features = Classifier(network=network.eval(), features=torch.empty(0), codes=codes)
    features = without_features.extract_features(list(views))
    save_classifier(Classifier(network=network, features=features, codes=codes))
    shutil.copy(WORK / "subjects.json", FOLDER / "subjects.json")  # the bench and the tests need the names only


if __name__ == "__main__":
    main()
