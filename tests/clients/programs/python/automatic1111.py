"""webuiapi, the Python client of AUTOMATIC1111."""

import base64
import io
import threading
import time
from typing import Any

from PIL import Image
from serve import serve
from webuiapi import WebUIApi


def run(call: dict[str, Any]) -> dict[str, Any]:
    api = WebUIApi(baseurl=f"{call.pop('url')}/sdapi/v1", username="easel", password=call.pop("key"))
    action = call.pop("action")
    if action == "lists":
        return lists(api)
    if action == "interrupt":
        return interrupt(api, call)
    if action == "png-info":
        return {"info": api.png_info(image(call["file"])).info}
    for name in {"mask_image"} & call.keys():
        call[name] = image(call[name])
    result = api.img2img(images=[image(call.pop("file"))], **call) if "file" in call else api.txt2img(**call)
    return {"images": result.json["images"], "sizes": [found.size for found in result.images], "info": result.info}


def lists(api: WebUIApi) -> dict[str, Any]:
    (model,) = api.util_get_model_names()
    api.util_set_model(model)
    api.util_wait_for_ready()
    lists = (api.get_upscalers(), api.get_latent_upscale_modes(), api.get_sd_vae(), api.get_loras())
    return {"model": api.util_get_current_model(), "samplers": api.util_get_sampler_names(), "lists": lists,
            "schedulers": api.util_get_scheduler_names(), "embeddings": api.get_embeddings()}  # fmt: skip


def interrupt(api: WebUIApi, call: dict[str, Any]) -> dict[str, Any]:
    """Generate, and interrupt as soon as there is a preview, or the job was accepted."""
    wanted, ends = call.pop("until"), []

    def generate() -> None:
        try:
            ends.append(api.txt2img(**call).info)
        except RuntimeError as error:
            ends.append(str(error))

    generating = threading.Thread(target=generate)
    generating.start()
    progress = api.get_progress()
    while not (progress["current_image"] if wanted == "preview" else progress["state"]["job_count"]):
        time.sleep(0.05)
        progress = api.get_progress()
    interrupted = api.interrupt()
    generating.join()
    api.util_wait_for_ready(0.1)
    return {"progress": progress, "interrupted": interrupted, "end": ends[0]}


def image(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


serve(run)
