"""Time of the generation alone, without HTTP: `python -m bench.generation_time [--model emoji] [--repeats 5]`.

About a minute. Measures import, load and warm-up, then images at the model's default steps: in turns by the plain
pipeline of diffusers with Pillow's PNG, and by Easel's container functions.
"""

import argparse
import io
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROMPT = "a red apple"


def main() -> None:
    arguments = _arguments()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as easel/laptop/container/server.py
    sys.path.insert(0, str(ROOT / "model_code"))
    from contract import render_profile
    from easel.laptop.catalogue import find

    entry = find(arguments.model)
    os.environ["EASEL_MODEL_PROFILE"] = render_profile(entry.profile)
    started = time.monotonic()
    import inference
    from loading.load import load_model

    model = load_model(entry.folder)
    ready = time.monotonic() - started
    plain, easel = (lambda: _generate_plain(model), lambda: _generate_easel(inference, model))
    first = _seconds(easel)
    pairs = [(_seconds(plain), _seconds(easel)) for _ in range(arguments.repeats)]
    print(json.dumps({**_machine(), "model": arguments.model, "steps": model.profile.steps}, indent=1))
    print(f"import, load and warm-up   {ready:6.2f} s")
    print(f"first image                {first:6.2f} s")
    for name, seconds in zip(("plain diffusers, PIL, PNG", "Easel"), zip(*pairs, strict=True), strict=True):
        print(f"{name:<26} {statistics.median(seconds):6.2f} s  (of {min(seconds):.2f} to {max(seconds):.2f})")
    print(f"peak memory                {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MiB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="emoji", help="a name in models/ that has a folder there")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def _seconds(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _generate_plain(model: Any) -> None:
    import torch

    width, height = model.profile.sizes[0]
    model.pipeline.set_progress_bar_config(disable=True)
    output = model.pipeline(
        PROMPT,
        width=width,
        height=height,
        num_inference_steps=model.profile.steps,
        guidance_scale=model.profile.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(7),
    )
    output.images[0].save(io.BytesIO(), "PNG")


def _generate_easel(inference: Any, model: Any) -> None:
    body = json.dumps({"prompt": PROMPT, "seed": 7})
    prediction = inference.predict_fn(inference.input_fn(body, "application/json"), model)
    assert "error" not in inference.output_fn(prediction, "application/json")[:10]


def _machine() -> dict[str, Any]:
    import diffusers
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }


if __name__ == "__main__":
    main()
