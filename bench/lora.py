"""What LoRAs cost at the size of Stable Diffusion 1.5, on the CPU: `python -m bench.lora [--rank 16] [--repeats 20]`.

About a minute on an idle machine, and 4 GB of memory. The weights are random; their values do not matter. Measures how
long it takes to apply a LoRA of the attention of UNet and text encoder and to remove it again, and a step with it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    arguments = _arguments()
    sys.path.insert(0, str(ROOT / "model_code"))
    import torch
    from safetensors.torch import save_file

    from contract import Lora
    from generation.extras.lora import Loras
    from generation.gpu_memory import GpuMemory
    from tests.model_code.lora_files import matrices, shapes

    unet, text_encoder = _parts()
    pipeline = SimpleNamespace(components={"unet": unet, "text_encoder": text_encoder})
    layers = shapes(unet, "lora_unet") | shapes(text_encoder, "lora_te")
    attention = {name: shape for name, shape in layers.items() if "attn" in name or "ff_net" in name or "proj_" in name}
    inputs = torch.randn(1, 4, 32, 32), 1, torch.randn(1, 77, 768)
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        (Path(name) / "loras").mkdir()
        file = Path(name) / "loras/a.safetensors"
        save_file({key: value.half() for key, value in matrices(attention, rank=arguments.rank).items()}, file)
        loras = Loras(Path(name), pipeline, GpuMemory())

        def switch() -> None:
            with loras.applied([Lora("a", 0.8)]):
                pass

        def step() -> None:
            unet(*inputs)

        switch()
        print(f"{len(attention)} layers, rank {arguments.rank}, {file.stat().st_size / 1e6:.0f} MB")
        print(f"apply and remove    {_median(switch, arguments.repeats) * 1000:6.1f} ms")
        without = _median(step, 5)
        with loras.applied([Lora("a", 0.8)]):
            changed = _median(step, 5)
        print(f"step at 256x256     {without:6.2f} s; with it {changed:.2f} s ({changed / without - 1:+.0%})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20)
    return parser.parse_args()


def _parts() -> tuple[Any, Any]:
    """Return UNet and text encoder of Stable Diffusion 1.5: the defaults of their classes, but for two widths."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    return UNet2DConditionModel(cross_attention_dim=768), CLIPTextModel(text)


def _median(work: Callable[[], None], repeats: int) -> float:
    def seconds() -> float:
        started = time.monotonic()
        work()
        return time.monotonic() - started

    return statistics.median(seconds() for _ in range(repeats))


if __name__ == "__main__":
    main()
