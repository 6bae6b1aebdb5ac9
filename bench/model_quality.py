"""How well the embedded model draws: `python bench/model_quality.py`, fixed seeds, some minutes on two cores.

Recognition is judged by the eye (training/eye.py), a small network trained on the drawings alone. Diversity needs
the drawings themselves: run `training/prepare.py` first, or the row of the training data stays empty.
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
sys.path.insert(0, str(ROOT / "training"))

from data import SIZE, WORK, Drawing, load_cutouts, load_drawings  # noqa: E402
from eye import Eye, load_eye  # noqa: E402
from scenes import ABOVE, BESIDE, Scene, compose  # noqa: E402
from sheet import draw  # noqa: E402

MODEL = ROOT / "models" / "emoji"
RESULTS = ROOT / "bench" / "results"
STEPS = (2, 4, 6, 10, 16, 24)
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
# Where the two drawings of a pair are looked for, in parts of the picture: left, upper, right, lower.
HALVES = {
    BESIDE: ((0.0, 0.22, 0.53, 0.78), (0.47, 0.22, 1.0, 0.78)),
    ABOVE: ((0.21, 0.0, 0.79, 0.57), (0.2, 0.41, 0.8, 1.0)),
}
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
print(json.dumps({"load_s": load, "first_s": times[0], "picture_s": sorted(times[1:])[2], "peak_mib": peak}))
"""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prompt and the codes that its picture should show; a pair has a relation."""

    prompt: str
    codes: tuple[str, ...]
    relation: int = 0


@dataclass(frozen=True, kw_only=True)
class Bench:
    pipeline: StableDiffusionPipeline
    eye: Eye
    steps: int
    guidance: float

    def pictures(self, prompts: Sequence[str], **changes: Any) -> list[Image.Image]:
        settings = {"steps": self.steps, "guidance": self.guidance, "seed": 1000, **changes}
        return draw(self.pipeline, prompts, **settings)

    def recognised(self, questions: Sequence[Question]) -> float:
        """The part of single-drawing questions whose nearest drawing is the one asked for."""
        return self.judged(questions)["recognised"]

    def judged(self, questions: Sequence[Question], **changes: Any) -> dict[str, float]:
        """The part recognised, and the mean likeness (cosine of features) to the drawing that was asked for."""
        pictures = self.pictures([q.prompt for q in questions], **changes)
        codes = [q.codes[0] for q in questions]
        right = [near[0] == code for near, code in zip(self.eye.nearest(pictures), codes, strict=True)]
        asked = torch.tensor([[code == known for known in self.eye.codes] for code in codes])
        likeness = (self.eye.look(pictures) @ self.eye.features.T).masked_fill(~asked, -1).amax(1)
        return {"recognised": sum(right) / len(right), "likeness": likeness.mean().item()}

    def pairs_recognised(self, questions: Sequence[Question], count: int) -> float:
        """The part of pairs with both drawings among the `count` nearest of their halves."""
        pictures = self.pictures([q.prompt for q in questions])
        return sum(self._both(p, q, count) for p, q in zip(pictures, questions, strict=True)) / len(questions)

    def _both(self, picture: Image.Image, question: Question, count: int) -> bool:
        seen = self.eye.nearest([part(picture, box) for box in HALVES[question.relation]], count)
        return all(code in near for code, near in zip(question.codes, seen, strict=True))


def part(picture: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    width, height = picture.size
    left, upper, right, lower = box
    return picture.crop((round(left * width), round(upper * height), round(right * width), round(lower * height)))


def names(drawings: Sequence[Drawing], language: str, count: int) -> list[Question]:
    """The name of each of `count` drawings."""
    chosen = random.Random(f"names {language}").sample(list(drawings), count)
    return [Question(prompt=(d.en if language == "en" else d.zh)[0], codes=(d.code,)) for d in chosen]


def paraphrase(rng: random.Random, drawing: Drawing) -> str:
    """Another name or keyword in a sentence, in either language."""
    chinese = rng.random() < 0.4
    words = (drawing.zh + drawing.keywords_zh) if chinese else (drawing.en + drawing.keywords_en)
    name = rng.choice(words[:4])
    return rng.choice(CHINESE if chinese else ENGLISH).format(n=name, N=name.upper())


def paraphrases(drawings: Sequence[Drawing], count: int) -> list[Question]:
    rng = random.Random("paraphrases")
    return [Question(prompt=paraphrase(rng, d), codes=(d.code,)) for d in rng.sample(list(drawings), count)]


def pairs(drawings: Sequence[Drawing], count: int) -> list[Question]:
    rng, questions = random.Random("pairs"), []
    for i in range(count):
        first, second = rng.sample(list(drawings), 2)
        relation = (BESIDE, ABOVE)[i % 2]
        form = rng.choice(PAIRS[relation])
        one, two = (d.zh[0] if form.isascii() is False else d.en[0] for d in (first, second))
        prompt = form.replace("{1}", one).replace("{2}", two)
        questions.append(Question(prompt=prompt, codes=(first.code, second.code), relation=relation))
    return questions


def spread(groups: Sequence[Sequence[Image.Image]]) -> dict[str, float]:
    """Mean distance of two pictures of one thing: pixels in [0, 1], and 1 - cosine of the eye's features."""
    eye, pixels, features = load_eye(), list[float](), list[float]()
    for group in groups:
        arrays = [np.asarray(p, dtype=np.float32) / 255 for p in group]
        looks = eye.look(list(group))
        for i in range(len(group)):
            for j in range(i):
                pixels.append(float(np.abs(arrays[i] - arrays[j]).mean()))
                features.append(1 - float(looks[i] @ looks[j]))
    return {"pixels": float(np.mean(pixels)), "features": float(np.mean(features))}


def diversity(bench: Bench, drawings: Sequence[Drawing], seeds: int = 4) -> dict[str, Any]:
    chosen = random.Random("diversity").sample(range(len(drawings)), 16)
    prompts = [drawings[i].en[0] for i in chosen for _ in range(seeds)]
    made = bench.pictures(prompts)
    figures: dict[str, Any] = {"model": spread([made[i : i + seeds] for i in range(0, len(made), seeds)])}
    if (WORK / "cutouts.npy").exists():
        cutouts, rng = [Image.fromarray(c) for c in load_cutouts()], random.Random(0)
        places = {d.code: i for i, d in enumerate(load_drawings())}
        scenes = [Scene(first=places[drawings[i].code]) for i in chosen]
        figures["data"] = spread([[compose(rng, s, cutouts) for _ in range(seeds)] for s in scenes])
    return figures


def curves(bench: Bench, questions: Sequence[Question]) -> dict[str, dict[str, dict[str, float]]]:
    by_steps = {str(n): bench.judged(questions, steps=n) for n in STEPS}
    by_guidance = {str(g): bench.judged(questions, guidance=g) for g in GUIDANCE}
    return {"steps": by_steps, "guidance": by_guidance}


def speed(steps: int, guidance: float) -> dict[str, float]:
    """Of a fresh process on two threads: load after imports, one picture, peak memory."""
    command = [sys.executable, "-W", "ignore", "-c", LOAD, str(MODEL), str(steps), str(guidance)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(answer.strip().splitlines()[-1])
    return figures


def machine() -> dict[str, Any]:
    return {
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def measure(bench: Bench, drawings: Sequence[Drawing]) -> dict[str, Any]:
    fifty = pairs(drawings, 50)
    seen = names(drawings, "en", 100) + names(drawings, "zh", 100)
    return {
        "seen_en": bench.recognised(seen[:100]),
        "seen_zh": bench.recognised(seen[100:]),
        "paraphrases": bench.recognised(paraphrases(drawings, 100)),
        "pairs_top1": bench.pairs_recognised(fifty, 1),
        "pairs_top3": bench.pairs_recognised(fifty, 3),
        "diversity": diversity(bench, drawings),
        "curves": curves(bench, seen[:24] + seen[100:124]),
    }


def rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    spreads, clock = results["diversity"], results["speed"]
    unknown = {"pixels": float("nan"), "features": float("nan")}
    model, data = spreads["model"], spreads.get("data", unknown)
    return [
        ("recognised, 100 English names", f"{results['seen_en']:.0%}", "85 %"),
        ("recognised, 100 Chinese names", f"{results['seen_zh']:.0%}", "85 %"),
        ("recognised, 100 paraphrases", f"{results['paraphrases']:.0%}", "65 %"),
        ("both of 50 pairs, among 3 nearest", f"{results['pairs_top3']:.0%}", "40 %"),
        ("both of 50 pairs, the nearest", f"{results['pairs_top1']:.0%}", ""),
        ("spread of seeds, pixels (data)", f"{model['pixels']:.3f} ({data['pixels']:.3f})", ""),
        ("spread of seeds, features (data)", f"{model['features']:.3f} ({data['features']:.3f})", ""),
        ("one picture, s", f"{clock['picture_s']:.2f}", "< 2"),
        ("load after imports, s", f"{clock['load_s']:.2f}", "< 2"),
        ("peak memory, MiB", f"{clock['peak_mib']:.0f}", ""),
    ]


def main() -> None:
    settings = json.loads((MODEL.parent / "emoji.json").read_text())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=settings["steps"])
    parser.add_argument("--guidance", type=float, default=settings["guidance_scale"])
    arguments = parser.parse_args()
    drawings = [Drawing(**d) for d in json.loads((MODEL.parent / "eye" / "names.json").read_text())]
    pipeline = StableDiffusionPipeline.from_pretrained(MODEL, safety_checker=None, dtype=torch.float32)
    bench = Bench(pipeline=pipeline, eye=load_eye(), steps=arguments.steps, guidance=arguments.guidance)
    results = {"machine": machine(), "size": [SIZE, SIZE], "steps": bench.steps, "guidance": bench.guidance}
    results |= {"speed": speed(bench.steps, bench.guidance), **measure(bench, drawings)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "model_quality.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["machine"]))
    for name, value, wanted in rows(results):
        print(f"{name:36} {value:>16} {wanted:>8}")


if __name__ == "__main__":
    main()
