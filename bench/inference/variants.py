"""The ways to generate that are compared. Each runs in a process of its own: `worker.py`.

B0, the article's handler: float32 on a CPU, float16 on a GPU, Pillow's PNG, `json.dumps`. B1, a careful user: 16 bits
where the processor computes with them, channels_last, no progress bar. B2, an expert: B1 with a compiled UNet.
OpenVINO: B1 with UNet and decoder in OpenVINO. Easel: the container's own functions.
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from bench.inference.cases import ROOT, Case, profile
from bench.inference.photo import photo


class Plain:
    """B0: diffusers, as its documentation shows it."""

    description = "the article's handler"
    tier = "E"

    def __init__(self, folder: Path, case: Case, device: str) -> None:
        import torch
        from diffusers import DiffusionPipeline

        self.case, self.device = case, device
        self.dtype = self._dtype(torch)
        self.pipeline = DiffusionPipeline.from_pretrained(folder, dtype=self.dtype).to(device)
        self._prepare(torch)

    def _dtype(self, torch: Any) -> Any:
        return torch.float16 if self.device == "cuda" and _is_large(self.case) else torch.float32

    def _prepare(self, torch: Any) -> None:
        """Change the loaded pipeline."""

    def respond(self, prompt: str, seed: int) -> str:
        """Return the JSON response. The files in it are those of the photo, not of the noise that was generated."""
        self.generate(prompt, seed)
        files = []
        for _ in range(self.case.images):
            file = io.BytesIO()
            _photo_image(self.case).save(file, "PNG")
            files.append(base64.b64encode(file.getvalue()).decode())
        return json.dumps({"generated_images": files})

    def generate(self, prompt: str, seed: int, noise: str | None = None) -> Any:
        """Return the pixels, (images, height, width, 3) in 0..255. `noise`: the dtype in which it is generated."""
        import numpy as np
        import torch

        images, case = self.case.images, self.case
        output = self.pipeline(
            [prompt] * images,
            width=case.side,
            height=case.side,
            num_inference_steps=case.steps,
            guidance_scale=case.guidance_scale,
            generator=[torch.Generator("cpu").manual_seed(seed + index) for index in range(images)],
            **({"latents": self._noise(torch, noise, seed)} if noise else {}),
        )
        return np.stack([np.asarray(image) for image in output.images])

    def _noise(self, torch: Any, dtype: str, seed: int) -> Any:
        """Return the noise of a pipeline with this dtype: the same seed gives other numbers in another dtype."""
        side = self.case.side // self.pipeline.vae_scale_factor
        shape = (1, self.pipeline.unet.config.in_channels, side, side)
        rows = [
            torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed + index), dtype=getattr(torch, dtype))
            for index in range(self.case.images)
        ]
        return torch.cat(rows).to(self.device, self.dtype)

    def latents_of(self, generate: Callable[[], Any]) -> tuple[Any, Any]:
        """Return the latents that the autoencoder decodes, float32, and what `generate` returns."""
        import torch

        vae, seen = self.pipeline.vae, []
        decode = vae.decode

        def record(latents: Any, *arguments: Any, **options: Any) -> Any:
            seen.append(latents.float().cpu())
            return decode(latents, *arguments, **options)

        vae.decode = record
        try:
            pixels = generate()
        finally:
            vae.decode = decode
        return torch.cat(seen).numpy(), pixels

    def check(self, prompt: str, seed: int, noise: str) -> tuple[Any, Any]:
        """Return latents and pixels of a request."""
        return self.latents_of(lambda: self.generate(prompt, seed, noise))


class Reference(Plain):
    """The plain pipeline in float32: what errors are measured from. It is not timed."""

    description = "float32, for the errors only"

    def _dtype(self, torch: Any) -> Any:
        return torch.float32


class Careful(Plain):
    """B1."""

    description = "a careful user"

    def _dtype(self, torch: Any) -> Any:
        if self.device == "cpu" and _is_large(self.case) and cpu_has_bfloat16(torch):
            return torch.bfloat16
        return super()._dtype(torch)

    def _prepare(self, torch: Any) -> None:
        self.pipeline.set_progress_bar_config(disable=True)
        self.pipeline.unet.to(memory_format=torch.channels_last)
        self.pipeline.vae.to(memory_format=torch.channels_last)


class Compiled(Careful):
    """B2."""

    description = "an expert: B1, compiled"

    def _prepare(self, torch: Any) -> None:
        super()._prepare(torch)
        options: dict[str, Any] = {"mode": "reduce-overhead", "fullgraph": True}
        if self.device == "cpu":
            torch._inductor.config.freezing = True
            options = {}
        self.pipeline.unet = torch.compile(self.pipeline.unet, **options)


class Easel(Plain):
    """The functions that the container calls."""

    description = "Easel's predict_fn"

    def __init__(self, folder: Path, case: Case, device: str) -> None:
        sys.path.insert(0, str(ROOT / "model_code"))
        os.environ["EASEL_MODEL_PROFILE"] = profile(case, folder)
        import inference
        from images.files import encode_image

        self.case, self.code = case, inference
        self.model = inference.model_fn(str(folder))
        if isinstance(self.model, Exception):
            raise self.model
        self.pipeline, self.dtype = self.model.pipeline, self.model.pipeline.unet.dtype
        self._response = cast(Any, importlib.import_module("response"))
        self._encode = encode_image
        # What is encoded is the photo.
        self._response.encode_image = lambda pixels, *rest: encode_image(photo(case.side, case.side), *rest)

    def respond(self, prompt: str, seed: int) -> str:
        body = {"prompt": prompt, "seed": seed, "num_images_per_prompt": self.case.images}
        data = self.code.input_fn(json.dumps(body), "application/json")
        return str(self.code.output_fn(self.code.predict_fn(data, self.model), "application/json"))

    def check(self, prompt: str, seed: int, noise: str) -> tuple[Any, Any]:
        import numpy as np
        from PIL import Image

        substitute, self._response.encode_image = self._response.encode_image, self._encode
        try:
            latents, body = self.latents_of(lambda: json.loads(self.respond(prompt, seed)))
        finally:
            self._response.encode_image = substitute
        files = [io.BytesIO(base64.b64decode(image)) for image in body["generated_images"]]
        return latents, np.stack([np.asarray(Image.open(file)) for file in files])


def _is_large(case: Case) -> bool:
    """Return whether 16 bits pay: not for a model of a few megabytes."""
    return case.model != "emoji" and not case.tiny


def cpu_has_bfloat16(torch: Any) -> bool:
    """Return whether bfloat16 is computed, and not only emulated: AVX512_BF16, AMX or an ARM's."""
    supported = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return supported and (platform.machine() in ("aarch64", "arm64") or torch.cpu._is_avx512_bf16_supported())


def _photo_image(case: Case) -> Any:
    from PIL import Image

    return Image.fromarray(photo(case.side, case.side))


def variants() -> dict[str, type[Plain]]:
    """Return the variants by name, in the order of the table. B0 and B1 are the baselines."""
    from bench.inference.openvino_variant import OpenVino

    return {
        "reference": Reference,
        "B0": Plain,
        "B1": Careful,
        "B2": Compiled,
        "OpenVINO": OpenVino,
        "Easel": Easel,
    }
