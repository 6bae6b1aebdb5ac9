"""Speed of the generation beside what others would write: `python -m bench.inference [--case sd-1.5] [--tiny]`.

One table a case: each variant in a process of its own, in turns, with its error against float32. Full-size Stable
Diffusion 1.5 needs 24 GB of memory for all variants together. A CUDA GPU is used if there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.inference.cases import EMOJI, ROOT, Case, model_folder
from bench.inference.measure import Workers, measure
from bench.inference.report import table
from bench.inference.tail import measure_tail
from bench.inference.worker import WorkerError
from bench.laptop import machine

VARIANTS = ("B0", "B1", "B2", "OpenVINO", "Easel")
CPU_CASES = {
    "sd-1.5": Case("sd-1.5", 256, 4, 7.5),
    "sdxl": Case("sdxl", 256, 2, 5.0),
    "one-step": Case("sd-1.5", 256, 1, 1.0),
    "batch": Case("sd-1.5", 256, 4, 7.5, images=2),
    "batch-8": Case("sd-1.5", 256, 4, 7.5, images=8),
    "emoji": EMOJI,
}
GPU_CASES = {
    "sd-1.5": Case("sd-1.5", 512, 25, 7.5),
    "sdxl": Case("sdxl", 1024, 30, 5.0),
    "one-step": Case("sd-1.5", 512, 1, 1.0),
    "batch": Case("sd-1.5", 512, 25, 7.5, images=2),
    "batch-8": Case("sd-1.5", 512, 25, 7.5, images=8),
    "emoji": CPU_CASES["emoji"],
}

GPU_RUN = ["sd-1.5", "one-step", "sdxl", "batch", "batch-8"]
"""In the order of their worth, if the machine is lent for less time than all take."""
GPU_MINUTES = 9.0


def main() -> None:
    arguments = _arguments()
    device = _device()
    if arguments.gpu and device != "cuda" and not arguments.tiny:
        sys.exit("There is no CUDA GPU. `--tiny` tries the same cases on a CPU.")
    file = arguments.output or ROOT / "bench" / "results" / f"inference-{device}.json"
    content: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "cases": []}
    end = time.monotonic() + arguments.minutes * 60
    content["tail"] = measure_tail(64 if arguments.tiny else None)
    workers = Workers(device)
    try:
        for index, name in enumerate(arguments.case):
            case = _case(name, device, arguments.tiny)
            last_turn = time.monotonic() + (end - time.monotonic()) / (len(arguments.case) - index)
            folder = model_folder(case, arguments.models, device)
            result = measure(workers, case, arguments.variant, folder, arguments.repeats, last_turn, _progress)
            content["cases"].append(result)
            print(table(result), flush=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except WorkerError as error:
        sys.exit(str(error))
    finally:
        workers.close()
    print(file)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CPU_CASES, default=["sd-1.5", "emoji"])
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=60.0, help="start no further turn after that, for all cases")
    parser.add_argument("--gpu", action="store_true", help="the cases that only a GPU can show, in nine minutes")
    parser.add_argument("--tiny", action="store_true", help="architectures of a few megabytes, for tests")
    parser.add_argument("--models", type=Path, default=ROOT / ".cache" / "bench", help="folder of the random weights")
    parser.add_argument("--output", type=Path, help="default: bench/results/inference-<device>.json")
    found = parser.parse_args()
    if found.gpu:
        found.case, found.minutes = GPU_RUN, min(found.minutes, GPU_MINUTES)
    if "B1" not in found.variant:
        parser.error("--variant needs B1: everything is compared with it")
    return found


def _case(name: str, device: str, tiny: bool) -> Case:
    case = (GPU_CASES if device == "cuda" else CPU_CASES)[name]
    if not tiny or case.model == "emoji":
        return case
    return Case(case.model, 64, min(case.steps, 2), case.guidance_scale, images=min(case.images, 2), tiny=True)


def _device() -> str:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _progress(text: str) -> None:
    print(f"\r\033[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
