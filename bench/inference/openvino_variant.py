"""B1 with UNet and decoder in OpenVINO. Optional: `pip install --target .cache/openvino openvino==2026.4.1`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.inference.cases import ROOT, Case
from bench.inference.variants import Careful

PACKAGES = ROOT / ".cache" / "openvino"


class OpenVino(Careful):
    """Converted at the first start and compiled for the case's shape; both are kept beside the model."""

    description = "B1 with OpenVINO"
    tier = "N"

    def __init__(self, folder: Path, case: Case, device: str) -> None:
        if device != "cpu":
            raise ImportError("OpenVINO is compared on CPUs only")
        sys.path.append(str(PACKAGES))
        # On import it would report its use to its vendor, unless the module that sends the report is missing.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        self.openvino, self.cache = openvino, folder.parent / f"{folder.name}-openvino"
        super().__init__(folder, case, device)

    def _prepare(self, torch: Any) -> None:
        self.pipeline.set_progress_bar_config(disable=True)
        pipeline, images = self.pipeline, self.case.images
        side = self.case.side // pipeline.vae_scale_factor
        latents = images, pipeline.unet.config.in_channels, side, side
        rows = images * (2 if self.case.guidance_scale > 1 else 1)
        unet = self._compiled("unet", lambda: _positional(torch, pipeline.unet), _inputs(torch, pipeline, rows, side))
        pipeline.unet = _Unet(unet, pipeline.unet)
        decode = self._compiled("vae", lambda: _decoder(torch, pipeline.vae), (torch.zeros(latents),))
        pipeline.vae.decode = lambda latents, **_: (torch.from_numpy(decode(latents.float())),)

    def _compiled(self, name: str, module: Callable[[], Any], inputs: tuple[Any, ...]) -> Callable[..., Any]:
        """Return the compiled module, which takes float32 tensors and returns an array."""
        ov = self.openvino
        file = self.cache / f"{name}-{self.case.side}-{self.case.images}.xml"
        if not file.exists():
            ov.save_model(_convert(ov, module(), inputs), file)
        precision = "bf16" if str(self.dtype) == "torch.bfloat16" else "f32"
        options = {"INFERENCE_PRECISION_HINT": precision, "CACHE_DIR": str(self.cache)}
        compiled = ov.Core().compile_model(file, "CPU", options)
        return lambda *values: compiled([value.numpy() for value in values])[0]


def _convert(ov: Any, module: Any, inputs: tuple[Any, ...]) -> Any:
    """Return the graph for these inputs. Weights of 16 bits stay so, and the tracer does not check itself."""
    from openvino.frontend.pytorch.patch_model import __make_16bit_traceable as keep_16_bits
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    keep_16_bits(module.eval().requires_grad_(False))
    decoder = TorchScriptPythonDecoder(module, example_input=inputs, trace_kwargs={"check_trace": False})
    return ov.convert_model(decoder, example_input=inputs, input=[tuple(value.shape) for value in inputs])


def _inputs(torch: Any, pipeline: Any, rows: int, side: int) -> tuple[Any, ...]:
    config = pipeline.unet.config
    inputs = [torch.zeros(rows, config.in_channels, side, side), torch.tensor(1.0)]
    inputs.append(torch.zeros(rows, 77, config.cross_attention_dim))
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs += [torch.zeros(rows, width), torch.zeros(rows, 6)]
    return tuple(inputs)


def _positional(torch: Any, unet: Any) -> Any:
    """Return the UNet with inputs by position: the conversion cannot read mappings."""

    class Positional(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.unet = unet

        def forward(self, sample: Any, timestep: Any, texts: Any, *added: Any) -> Any:
            conditions = dict(zip(("text_embeds", "time_ids"), added, strict=True)) if added else None
            return self.unet(sample, timestep, texts, added_cond_kwargs=conditions, return_dict=False)[0]

    return Positional()


def _decoder(torch: Any, vae: Any) -> Any:
    """Return the decoder as a module."""

    class Decoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.vae = vae

        def forward(self, latents: Any) -> Any:
            return self.vae.decode(latents, return_dict=False)[0]

    return Decoder()


class _Unet:
    """What a pipeline calls in place of its UNet."""

    def __init__(self, run: Callable[..., Any], unet: Any) -> None:
        self.run, self.config, self.dtype, self.device = run, unet.config, unet.dtype, unet.device
        if hasattr(unet, "add_embedding"):
            features = unet.add_embedding.linear_1.in_features
            self.add_embedding = SimpleNamespace(linear_1=SimpleNamespace(in_features=features))

    def __call__(self, sample: Any, timestep: Any, encoder_hidden_states: Any, **options: Any) -> tuple[Any]:
        import torch

        added = (options.get("added_cond_kwargs") or {}).values()
        output = self.run(*(value.float() for value in (sample, timestep, encoder_hidden_states, *added)))
        return (torch.from_numpy(output).to(sample.dtype),)
