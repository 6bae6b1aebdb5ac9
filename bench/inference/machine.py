"""The machine, and the work of a case: how near a variant is to the time that the arithmetic alone takes."""

from __future__ import annotations

import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.inference.cases import Case

PACKAGES = ("torch", "diffusers", "transformers", "pillow", "numpy", "isal")


def describe(torch: Any, device: str, loaded: Any) -> dict[str, Any]:
    """Return device, abilities, versions, the measured peak of matrix products, and the work of one request."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "abilities": _gpu(torch) if device == "cuda" else _cpu(torch),
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "peak_gflops": peak_gflops(torch, device, loaded.dtype),
        "work_gflop": work_gflop(torch, loaded.pipeline, loaded.case),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _cpu(torch: Any) -> list[str]:
    tests = {
        "AVX-512": "_is_avx512_supported",
        "AVX512_BF16": "_is_avx512_bf16_supported",
        "AMX": "_is_amx_tile_supported",
    }
    return [name for name, test in tests.items() if getattr(torch.cpu, test, bool)()]


def _gpu(torch: Any) -> list[str]:
    major, minor = torch.cuda.get_device_capability()
    return [f"capability {major}.{minor}", f"CUDA {torch.version.cuda}"]


def peak_gflops(torch: Any, device: str, dtype: Any) -> float:
    """Return the rate of products of large square matrices, the best of five."""
    side = 8192 if device == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return float(2 * side**3 / min(seconds[1:]) / 1e9)


def work_gflop(torch: Any, pipeline: Any, case: Case) -> float:
    """Return the arithmetic of one request in GFLOP: UNet with guidance, and decoder; text encoders are below 3 %."""
    from torch.utils.flop_counter import FlopCounterMode

    rows, side = case.images * (2 if case.guidance_scale > 1 else 1), case.side // pipeline.vae_scale_factor
    with torch.device("meta"):
        unet = type(pipeline.unet).from_config(pipeline.unet.config)
        vae = type(pipeline.vae).from_config(pipeline.vae.config)
        texts = torch.zeros(rows, 77, unet.config.cross_attention_dim)
        added = None
        if unet.config.addition_embed_type == "text_time":
            width = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
            added = {"text_embeds": torch.zeros(rows, width), "time_ids": torch.zeros(rows, 6)}
        latents = torch.zeros(rows, unet.config.in_channels, side, side)
        with FlopCounterMode(display=False) as of_unet, torch.no_grad():
            unet(latents, 1, texts, added_cond_kwargs=added)
        with FlopCounterMode(display=False) as of_vae, torch.no_grad():
            vae.decode(latents[: case.images])
    return float(of_unet.get_total_flops() * case.steps + of_vae.get_total_flops()) / 1e9


def quantiles(values: list[float]) -> dict[str, float]:
    """Return median, p10 and p90."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "median": statistics.median(ordered),
        "p10": ordered[round(last * 0.1)],
        "p90": ordered[round(last * 0.9)],
    }
