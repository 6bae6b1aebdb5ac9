"""Responses of the AUTOMATIC1111 API."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from contract import EaselError, ModelProfile, dumps, without_image
from gateway.events import Response
from gateway.problem_details import problem_headers
from jobs.ports import Progress
from jobs.records import Job
from routes.api import common_status, explain
from routes.automatic1111.fields import UPSCALER, ImageRequest
from routes.automatic1111.infotext import Origin, hires_settings, render_infotext
from routes.automatic1111.samplers import sampler_of


def error_response(error: EaselError) -> Response:
    """Return the response to an error. Its detail says what to do, too: clients show nothing else."""
    body = {"error": "HTTPException", "detail": explain(error), "body": "", "errors": error.code}
    headers = problem_headers(error)
    if error.kind.status == 401:
        headers["www-authenticate"] = 'Basic realm="Easel"'
    return Response(common_status(error, invalid=422), dumps(body), headers=headers)


def _origin(model: str, values: Mapping[str, Any]) -> Origin:
    """Return what is known of the images' origin. Keys of a newer container are left out."""
    names = {field.name for field in fields(Origin)} - {"model"}
    return Origin(model, **{name: value for name, value in values.items() if name in names})


def info(job: Job, image_request: ImageRequest, model: str) -> dict[str, Any]:
    """Return what clients read about the images. `infotexts` are those that files with parameters would contain."""
    generation = job.record.request if job.record else without_image(image_request.generation)
    outcome = job.outcome
    seeds, warnings = generation.seeds(), (*image_request.warnings, *(outcome.warnings if outcome else ()))
    sampler, schedule = sampler_of(generation.scheduler)
    origin = _origin(model, outcome.origin if outcome else {})
    return {
        "prompt": generation.prompt[0],
        "all_prompts": list(generation.prompt) * len(seeds),
        "negative_prompt": generation.negative_prompt,
        "all_negative_prompts": [generation.negative_prompt] * len(seeds),
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": -1,
        "all_subseeds": [-1] * len(seeds),
        "subseed_strength": 0,
        "width": generation.width,
        "height": generation.height,
        "sampler_name": sampler,
        "cfg_scale": generation.guidance_scale,
        "steps": generation.num_inference_steps,
        "batch_size": image_request.batch_size,
        "restore_faces": False,
        "sd_model_name": model,
        "sd_model_hash": None,
        "denoising_strength": generation.hires.strength if generation.hires else generation.strength,
        "extra_generation_params": {"Schedule type": schedule, **hires_settings(generation)},
        "index_of_first_image": 0,
        "infotexts": [render_infotext(generation, index, origin) for index in range(len(seeds))],
        "styles": [],
        "job_timestamp": _timestamp(job),
        "clip_skip": generation.clip_skip or 1,
        "is_using_inpainting_conditioning": False,
        "version": "Easel",
        "job": job.ticket.id,
        "timings": dict(outcome.timings) if outcome else {},
        "warnings": warnings,
    }


def images_body(images: Sequence[str], image_request: ImageRequest, details: Mapping[str, Any]) -> str:
    """Return the body of txt2img and img2img. Clients parse `info`, a text, as JSON."""
    return dumps({"images": images, "parameters": image_request.echo, "info": dumps(details)})


def black_png(width: int, height: int) -> str:
    """Return base64 of a black image file of this size in pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes((1 + 3 * width) * height))), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(packed)).decode()


def progress_view(unfinished: Sequence[Job], running: Job | None, progress: Progress | None, text: str) -> Any:
    """Return the response of /progress. Clients wait until progress and job_count are 0."""
    step, steps = (progress.step, progress.steps) if progress else (0, 0)
    state = {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": running.ticket.id if running else "",
        "job_count": len(unfinished),
        "job_timestamp": _timestamp(running) if running else "0",
        "job_no": 0,
        "sampling_step": step,
        "sampling_steps": steps,
    }
    return {
        "progress": round(step / steps, 4) if steps else 0.0,
        "eta_relative": 0.0,
        "state": state,
        "current_image": progress.preview if progress else None,
        "textinfo": text or None,
    }


def model_views(profiles: Sequence[ModelProfile]) -> list[dict[str, Any]]:
    """Return the response of /sd-models. The weights' hashes are not known here."""
    more = {"hash": None, "sha256": None, "config": None}
    return [{**dict.fromkeys(("title", "model_name", "filename"), profile.id), **more} for profile in profiles]


def lora_views(profile: ModelProfile) -> list[dict[str, Any]]:
    """Return the response of /loras. Clients write `name` into tags; `metadata` is what trainers put into a file."""
    return [
        {"name": lora.id, "alias": lora.name or lora.id, "path": f"loras/{lora.id}.safetensors", "metadata": {}}
        for lora in profile.loras
    ]


def embedding_views(profile: ModelProfile) -> dict[str, Any]:
    """Return the response of /embeddings. The number and the width of the vectors are not known here."""
    unknown = {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None, "shape": 0, "vectors": 0}
    return {"loaded": {found.token or found.id: unknown for found in profile.embeddings}, "skipped": {}}


def upscaler_views(profile: ModelProfile) -> list[dict[str, Any]]:
    """Return the response of /upscalers."""
    names = [UPSCALER] if profile.image_to_image else []
    return [{"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": 4.0} for name in names]


def options_view(profile: ModelProfile) -> dict[str, Any]:
    """Return the response of /options."""
    return {
        "sd_model_checkpoint": profile.id,
        "sd_checkpoint_hash": "",
        "sd_vae": "Automatic",
        "samples_format": "png",
        "enable_pnginfo": False,
        "CLIP_stop_at_last_layers": 1,
    }


def _timestamp(job: Job) -> str:
    return datetime.fromtimestamp(job.created_at, UTC).strftime("%Y%m%d%H%M%S")
