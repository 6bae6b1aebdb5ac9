"""Images of the model card, from the released weights and the results in bench/: `python model_card.py`."""

import json
import sys
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from contact_sheet import RELEASE, generate_images, tile_images
from dataset import HERE, WORK, load_subjects
from diffusers import StableDiffusionPipeline
from PIL import Image

sys.path.append(str(HERE.parent / "model_code"))
from contract import Lora
from generation.extras.lora import Loras
from generation.gpu_memory import GpuMemory

STYLED = [
    "panda",
    "狐狸",
    "tulip",
    "whale",
    "汽车",
    "volcano",
    "hamburger",
    "guitar",
    "robot",
    "a red car next to a tree",
]
PAIRS = [
    "A cute panda is sitting on the sofa",
    "一只可爱的熊猫坐在沙发上",
    "a photograph of an astronaut riding a horse",
    "a red car next to a tree",
    "a dog and a cat",
    "a rabbit on a house",
    "狗和足球",
    "a penguin next to a balloon",
    "猫坐在沙发上",
    "an apple and a banana",
    "a robot on a rocket",
    "a crown on a frog",
    "a panda on a blue background",
    "红色背景的狐狸",
    "a small star",
    "a big pizza",
]


def prompts() -> list[str]:
    """Return 64 prompts: every fifth subject, English and Chinese in turn, then pairs, grounds and sizes."""
    subjects = load_subjects()
    single = [(subjects[i].en if n % 2 else subjects[i].zh)[0] for n, i in enumerate(range(0, len(subjects), 5))]
    return single[:48] + PAIRS


def styled(pipeline: StableDiffusionPipeline, **settings: Any) -> list[Image.Image]:
    """Return images of `STYLED` without the LoRA, with half of it and with all of it."""
    loras, images = Loras(RELEASE, pipeline, GpuMemory()), list[Image.Image]()
    for scale in (0.0, 0.5, 1.0):
        with loras.applied([Lora("comic", scale)]):
            images += generate_images(pipeline, STYLED, **settings)
    return images


def plot(results: dict[str, Any]) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
    for axis, name in zip(axes, ("steps", "guidance"), strict=True):
        points = results["curves"][name]
        for figure_name in ("recognised", "likeness"):
            values = [100 * point[figure_name] for point in points.values()]
            axis.plot([float(p) for p in points], values, marker="o", label=figure_name)
        axis.axvline(results[name], linestyle=":", color="grey")
        axis.set(xlabel=name, ylim=(0, 102))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("%")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(RELEASE / "curves.png", dpi=110)


def main() -> None:
    settings = json.loads((RELEASE.parent / "emoji.json").read_text())
    pipeline = StableDiffusionPipeline.from_pretrained(RELEASE, safety_checker=None, dtype=torch.float32)
    defaults = {"steps": settings["steps"], "guidance": settings["guidance_scale"]}
    tile_images(styled(pipeline, **defaults), len(STYLED)).save(RELEASE / "comic.webp", quality=88)
    images = generate_images(pipeline, prompts(), **defaults)
    tile_images(images, 8).save(RELEASE / "sheet.webp", quality=88)
    tile_images(images, 8).save(WORK / "release.png")
    plot(json.loads((HERE.parent / "bench" / "results" / "model_quality.json").read_text()))


if __name__ == "__main__":
    main()
