"""Quality of the embedded model's images: `python bench/model_quality.py`, fixed seeds, some minutes on two cores.

Recognition is measured by training/classifier.py, a small network trained on the emoji alone. The diversity of the
training data and the sharpness need the emoji: run `training/prepare.py` first, or these figures are missing.
"""

import argparse
import json
import platform
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "training"), str(ROOT / "model_code")]

from classifier import Classifier, load_classifier  # noqa: E402
from contact_sheet import generate_images  # noqa: E402
from dataset import SITTING, SIZE, Subject, load_cutouts, load_subjects  # noqa: E402
from image_pool import load_all_cutouts, to_tensor  # noqa: E402
from scenes import ABOVE, BESIDE, SEATS, Box, Scene, compose_varied, crop_box, seat_boxes  # noqa: E402
from usual_latents import placed  # noqa: E402

from contract import Lora  # noqa: E402
from generation.extras.lora import Loras  # noqa: E402
from generation.gpu_memory import GpuMemory  # noqa: E402

MODEL = ROOT / "models" / "emoji"
RESULTS = ROOT / "bench" / "results"
STEPS = (2, 4, 6, 10, 16, 24)
SCALES = (0.0, 0.5, 1.0)
"""Of the LoRA."""
NEAREST = 3
"""Subjects among which that of a half may be."""
GUIDANCE = (1.0, 1.5, 2.0, 3.0, 4.0)
ENGLISH = (
    "a cute {n}",
    "picture of a {n}",
    "{n}s",
    "{N}",
    "A photo of a {n}.",
    "one big {n}",
    "please draw a {n}",
)
CHINESE = ("一只可爱的{n}", "{n}的图片", "画一个{n}", "一张{n}的照片", "漂亮的{n}")
PAIRS = {
    BESIDE: ("a {1} next to a {2}", "{1} and {2}", "{1}和{2}"),
    ABOVE: ("a {1} on a {2}", "a {1} is sitting on the {2}", "{1}在{2}上"),
}
HALVES: dict[int, tuple[Box, Box]] = {
    BESIDE: ((0.0, 0.22, 0.53, 0.78), (0.47, 0.22, 1.0, 0.78)),
    ABOVE: ((0.21, 0.0, 0.79, 0.57), (0.2, 0.41, 0.8, 1.0)),
}
"""Boxes of the two subjects of a pair, but for a subject on a seat."""
LOAD = """
import json, resource, sys, time
import torch
from diffusers import StableDiffusionPipeline
torch.set_num_threads(2)
start = time.perf_counter()
pipeline = StableDiffusionPipeline.from_pretrained(sys.argv[1], safety_checker=None, dtype=torch.float32)
load = time.perf_counter() - start
pipeline.set_progress_bar_config(disable=True)
times = []
for seed in range(6):
    start = time.perf_counter()
    pipeline("panda", num_inference_steps=int(sys.argv[2]), guidance_scale=float(sys.argv[3]))
    times.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"load_s": load, "first_s": times[0], "image_s": sorted(times[1:])[2], "peak_mib": peak}))
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A prompt and the codes of the subjects that its image should show. A pair has the boxes of both."""

    prompt: str
    codes: tuple[str, ...]
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bench:
    pipeline: StableDiffusionPipeline
    classifier: Classifier
    steps: int
    guidance: float

    def images(self, prompts: Sequence[str], **changes: Any) -> list[Image.Image]:
        settings = {"steps": self.steps, "guidance": self.guidance, "seed": 1000, **changes}
        return generate_images(self.pipeline, prompts, **settings)

    def recognised_share(self, cases: Sequence[Case]) -> float:
        """Return the share of one-subject cases that are recognised."""
        return self.measure(cases)["recognised"]

    def measure(self, cases: Sequence[Case], **changes: Any) -> dict[str, float]:
        """Return the share recognised and the mean likeness (cosine of features) to the requested subject."""
        images = self.images([q.prompt for q in cases], **changes)
        return {n: f(self.classifier, images, cases) for n, f in (("recognised", recognised), ("likeness", likeness))}

    def pairs(self, cases: Sequence[Case]) -> dict[str, float]:
        """Return the shares of halves whose subject is the nearest, of pairs with both the nearest, and of pairs with
        both among the three nearest."""
        images = self.images([q.prompt for q in cases])
        ranks = [self._ranks(image, case) for image, case in zip(images, cases, strict=True)]
        return {
            "halves_top1": sum(rank == 0 for pair in ranks for rank in pair) / (2 * len(ranks)),
            "pairs_top1": sum(max(pair) == 0 for pair in ranks) / len(ranks),
            "pairs_top3": sum(max(pair) < NEAREST for pair in ranks) / len(ranks),
        }

    def _ranks(self, image: Image.Image, case: Case) -> list[int]:
        """Return the place of each half's subject among its nearest, from 0, or `NEAREST` if it is not among them."""
        found = self.classifier.nearest([crop_box(image, box) for box in case.boxes], NEAREST)
        return [[*near, code].index(code) for code, near in zip(case.codes, found, strict=True)]


def recognised(classifier: Classifier, images: list[Image.Image], cases: Sequence[Case]) -> float:
    """Return the share of images whose nearest subject is that of their case."""
    found = classifier.nearest(images)
    return sum(near[0] == case.codes[0] for near, case in zip(found, cases, strict=True)) / len(cases)


def likeness(classifier: Classifier, images: list[Image.Image], cases: Sequence[Case]) -> float:
    """Return the mean cosine of the features of an image and of the nearest view of the requested subject."""
    requested = torch.tensor([[case.codes[0] == known for known in classifier.codes] for case in cases])
    cosines = classifier.extract_features(images) @ classifier.features.T
    return cosines.masked_fill(~requested, -1).amax(1).mean().item()


def half_boxes(relation: int, lower: Subject) -> tuple[Box, ...]:
    """Return the boxes of both subjects of a pair. `lower` is the second, which may be a seat."""
    if relation == ABOVE and (seat := SEATS.get(lower.en[0])):
        return seat_boxes(seat)
    return HALVES[relation]


def name_cases(subjects: Sequence[Subject], language: str, count: int) -> list[Case]:
    """Return cases with the usual names of `count` subjects."""
    chosen = random.Random(f"names {language}").sample(list(subjects), count)
    return [Case(prompt=(d.en if language == "en" else d.zh)[0], codes=(d.code,)) for d in chosen]


def paraphrase(rng: random.Random, subject: Subject) -> str:
    """Return a sentence with another name or a keyword, in either language."""
    chinese = rng.random() < 0.4
    words = (subject.zh + subject.keywords_zh) if chinese else (subject.en + subject.keywords_en)
    name = rng.choice(words[:4])
    return rng.choice(CHINESE if chinese else ENGLISH).format(n=name, N=name.upper())


def paraphrase_cases(subjects: Sequence[Subject], count: int) -> list[Case]:
    rng = random.Random("paraphrases")
    return [Case(prompt=paraphrase(rng, d), codes=(d.code,)) for d in rng.sample(list(subjects), count)]


def pair_cases(subjects: Sequence[Subject], count: int) -> list[Case]:
    rng, cases = random.Random("pairs"), []
    for i in range(count):
        first, second = rng.sample(list(subjects), 2)
        relation = (BESIDE, ABOVE)[i % 2]
        form = rng.choice(PAIRS[relation])
        first_name, second_name = (d.zh[0] if form.isascii() is False else d.en[0] for d in (first, second))
        prompt = form.replace("{1}", first_name).replace("{2}", second_name)
        cases.append(Case(prompt=prompt, codes=(first.code, second.code), boxes=half_boxes(relation, second)))
    return cases


def spread(groups: Sequence[Sequence[Image.Image]]) -> dict[str, float]:
    """Return the mean distance of two images of one prompt: pixels in [0, 1], and 1 - cosine of the features."""
    classifier, pixels, features = load_classifier(), list[float](), list[float]()
    for group in groups:
        arrays = [np.asarray(p, dtype=np.float32) / 255 for p in group]
        group_features = classifier.extract_features(list(group))
        for i in range(len(group)):
            for j in range(i):
                pixels.append(float(np.abs(arrays[i] - arrays[j]).mean()))
                features.append(1 - float(group_features[i] @ group_features[j]))
    return {"pixels": float(np.mean(pixels)), "features": float(np.mean(features))}


def diversity(bench: Bench, subjects: Sequence[Subject], seeds: int = 4) -> dict[str, Any]:
    chosen = random.Random("diversity").sample(range(len(subjects)), 16)
    prompts = [subjects[i].en[0] for i in chosen for _ in range(seeds)]
    images = bench.images(prompts)
    figures: dict[str, Any] = {"model": spread([images[i : i + seeds] for i in range(0, len(images), seeds)])}
    if SITTING.exists():
        cutouts, rng = load_all_cutouts(), random.Random(0)
        places = {d.code: i for i, d in enumerate(load_subjects())}
        scenes = [Scene(first=places[subjects[i].code]) for i in chosen]
        figures["data"] = spread([[compose_varied(rng, s, cutouts) for _ in range(seeds)] for s in scenes])
    return figures


def high_frequencies(images: Sequence[Image.Image]) -> float:
    """Return the mean squared Laplacian of the luminance in [0, 255]."""
    grey = np.stack([np.asarray(i.convert("L"), dtype=np.float32) for i in images])
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, 2:, 1:-1] + grey[:, :-2, 1:-1] + grey[:, 1:-1, 2:] + grey[:, 1:-1, :-2] - 4 * inner
    return float((laplacian**2).mean())


def sharpness(bench: Bench, cases: Sequence[Case]) -> dict[str, float]:
    """Return the high frequencies of generated and of reconstructed emoji; the emoji themselves have 1.

    Empty without the training data.
    """
    if not SITTING.exists():
        return {}
    cutouts = dict(zip((s.code for s in load_subjects()), load_cutouts(), strict=True))
    originals = [placed(Image.fromarray(cutouts[case.codes[0]]), 0) for case in cases]
    with torch.inference_mode():
        pixels = to_tensor(originals).float() / 127.5 - 1
        decoded = bench.pipeline.vae.decode(bench.pipeline.vae.encode(pixels).latent_dist.mode()).sample
    reconstructed = bench.pipeline.image_processor.postprocess(decoded)
    generated = bench.images([case.prompt for case in cases])
    figures = {"model": generated, "autoencoder": reconstructed}
    return {name: high_frequencies(images) / high_frequencies(originals) for name, images in figures.items()}


def curves(bench: Bench, cases: Sequence[Case]) -> dict[str, dict[str, dict[str, float]]]:
    by_steps = {str(n): bench.measure(cases, steps=n) for n in STEPS}
    by_guidance = {str(g): bench.measure(cases, guidance=g) for g in GUIDANCE}
    return {"steps": by_steps, "guidance": by_guidance}


def half_way(images: dict[float, list[Image.Image]]) -> dict[str, float]:
    """Compare the images of three scales, in pixels.

    `difference` is the mean distance of scale 1 from scale 0, in [0, 1]. `half` is how far scale 0.5 is on the line
    from scale 0 (0) to scale 1 (1).
    """
    none, half, full = (np.stack([np.asarray(i, dtype=np.float32) / 255 for i in images[s]]) for s in SCALES)
    line, axes = full - none, (1, 2, 3)
    share = ((half - none) * line).sum(axes) / (line**2).sum(axes)
    return {"difference": float(np.abs(line).mean()), "half": float(share.mean())}


def style(bench: Bench, cases: Sequence[Case]) -> dict[str, Any]:
    """Return figures of the LoRA "comic" at each scale: recognition among both styles, and likeness."""
    both, emoji, comic = (load_classifier(styles=s) for s in (("emoji", "comic"), ("emoji",), ("comic",)))
    loras, images, figures = Loras(MODEL, bench.pipeline, GpuMemory()), {}, dict[str, Any]()
    for scale in SCALES:
        with loras.applied([Lora("comic", scale)]):
            images[scale] = bench.images([case.prompt for case in cases])
        figures[str(scale)] = {
            "recognised": recognised(both, images[scale], cases),
            "like_emoji": likeness(emoji, images[scale], cases),
            "like_comic": likeness(comic, images[scale], cases),
        }
    return figures | half_way(images)


def speed(steps: int, guidance: float) -> dict[str, float]:
    """Measure a new process with two threads: loading after the imports, one image, peak memory."""
    command = [sys.executable, "-W", "ignore", "-c", LOAD, str(MODEL), str(steps), str(guidance)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    return figures


def machine() -> dict[str, Any]:
    return {
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def measure(bench: Bench, subjects: Sequence[Subject]) -> dict[str, Any]:
    cases = name_cases(subjects, "en", 100) + name_cases(subjects, "zh", 100)
    return {
        "seen_en": bench.recognised_share(cases[:100]),
        "seen_zh": bench.recognised_share(cases[100:]),
        "paraphrases": bench.recognised_share(paraphrase_cases(subjects, 100)),
        **bench.pairs(pair_cases(subjects, 50)),
        "diversity": diversity(bench, subjects),
        "sharpness": sharpness(bench, cases[:100]),
        "comic": style(bench, cases[:50] + cases[100:150]),
        "curves": curves(bench, cases[:24] + cases[100:124]),
    }


def rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    spreads, times = results["diversity"], results["speed"]
    unknown = {"pixels": float("nan"), "features": float("nan")}
    model, data = spreads["model"], spreads.get("data", unknown)
    comic = [(scale, results["comic"][str(scale)]) for scale in SCALES]
    return [
        ("recognised, 100 English names", f"{results['seen_en']:.0%}", "85 %"),
        ("recognised, 100 Chinese names", f"{results['seen_zh']:.0%}", "85 %"),
        ("recognised, 100 paraphrases", f"{results['paraphrases']:.0%}", "65 %"),
        ("halves of 50 pairs, the nearest", f"{results['halves_top1']:.0%}", "85 %"),
        ("both of 50 pairs, among 3 nearest", f"{results['pairs_top3']:.0%}", "40 %"),
        ("both of 50 pairs, the nearest", f"{results['pairs_top1']:.0%}", ""),
        ("spread of seeds, pixels (data)", f"{model['pixels']:.3f} ({data['pixels']:.3f})", ""),
        ("spread of seeds, features (data)", f"{model['features']:.3f} ({data['features']:.3f})", ""),
        *((f"sharpness, {name} (data: 1)", f"{value:.2f}", "0.8") for name, value in results["sharpness"].items()),
        *((f"LoRA at {scale}: recognised", f"{figures['recognised']:.0%}", "85 %") for scale, figures in comic),
        *(
            (f"LoRA at {scale}: like emoji, comic", "{like_emoji:.2f}, {like_comic:.2f}".format(**f), "")
            for scale, f in comic
        ),
        ("LoRA at 0.5 between 0 and 1", f"{results['comic']['half']:.2f}", ""),
        ("one image, s", f"{times['image_s']:.2f}", "< 2"),
        ("load after imports, s", f"{times['load_s']:.2f}", "< 2"),
        ("peak memory, MiB", f"{times['peak_mib']:.0f}", ""),
    ]


def main() -> None:
    settings = json.loads((MODEL.parent / "emoji.json").read_text())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=settings["steps"])
    parser.add_argument("--guidance", type=float, default=settings["guidance_scale"])
    arguments = parser.parse_args()
    subjects = [Subject(**d) for d in json.loads((MODEL.parent / "classifier" / "subjects.json").read_text())]
    pipeline = StableDiffusionPipeline.from_pretrained(MODEL, safety_checker=None, dtype=torch.float32)
    bench = Bench(pipeline=pipeline, classifier=load_classifier(), steps=arguments.steps, guidance=arguments.guidance)
    results = {"machine": machine(), "size": [SIZE, SIZE], "steps": bench.steps, "guidance": bench.guidance}
    results |= {"speed": speed(bench.steps, bench.guidance), **measure(bench, subjects)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "model_quality.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["machine"]))
    for name, value, target in rows(results):
        print(f"{name:36} {value:>16} {target:>8}")


if __name__ == "__main__":
    main()
