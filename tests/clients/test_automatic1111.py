"""Clients of AUTOMATIC1111: webuiapi, and the requests that SillyTavern and LibreChat send."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import Any

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.clients.conftest import BUSY, Clients, Target
from tests.clients.function import Function
from tests.clients.images import START

CLIENT = "automatic1111"


def test_it_generates(target: Target, client: Clients) -> None:
    result = client(CLIENT).call(target, "txt2img", prompt="a red apple", seed=7, width=64, height=72, batch_size=2)
    assert not result.error
    assert result.value["sizes"] == [[64, 72], [64, 72]]
    (request,) = target.requests()
    assert (request["prompt"], request["seed"], request["num_images_per_prompt"]) == (["a red apple"], 7, 2)
    info = result.value["info"]
    assert (info["all_seeds"], info["width"], info["height"]) == ([7, 8], 64, 72)
    assert "Seed: 8, Size: 64x72" in info["infotexts"][1]
    assert info["warnings"] == [], "what the client sends by itself"


def test_it_starts_from_an_image(target: Target, client: Clients) -> None:
    fields: dict[str, Any] = {"prompt": "a red apple", "width": 64, "height": 64, "denoising_strength": 0.4}
    result = client(CLIENT).call(target, "img2img", file=START, mask_image=START, mask_blur=9, **fields)
    assert result.image().size == (64, 64)
    assert result.value["info"]["warnings"] == []
    (request,) = target.requests()
    assert (request["strength"], request["mask_blur"], "mask_image" in request) == (0.4, 9, True)
    assert Image.open(io.BytesIO(base64.b64decode(request["init_image"]))).size == (64, 64)


def test_it_lists_and_selects_the_model(target: Target, client: Clients) -> None:
    found = client(CLIENT).call(target, "lists").value
    assert found["model"] == "emoji"
    assert [[entry["name"] for entry in listed] for listed in found["lists"]] == [["Lanczos"], [], [], ["comic"]]
    assert "DDIM" in found["samplers"] and "automatic" in found["schedulers"]


def test_it_reads_parameters(target: Target, client: Clients) -> None:
    settings = {"enable_pnginfo": True}
    infotext = client(CLIENT).call(target, "txt2img", prompt="a", seed=7, override_settings=settings).value["info"]
    (request,) = target.requests()
    assert request["embed_parameters"] is True
    file, chunks = io.BytesIO(), PngInfo()
    chunks.add_text("parameters", infotext["infotexts"][0])
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=chunks)
    read = client(CLIENT).call(target, "png-info", file=base64.b64encode(file.getvalue()).decode())
    assert read.value["info"] == infotext["infotexts"][0]


def test_it_shows_progress_and_interrupts(target: Target, client: Clients) -> None:
    until = "preview" if target.name == "laptop" else "accepted"
    result = client(CLIENT).call(target, "interrupt", prompt="slow 8", seed=1, width=64, height=64, until=until).value
    assert (result["interrupted"], result["progress"]["state"]["job_count"]) == ({}, 1)
    with http(target, **{"x-api-key": target.key}) as sent:
        assert sent.get("/jobs").json()["jobs"][0]["status"] == "cancelled"
    if target.name == "laptop":
        assert "(409, " in result["end"] and "cancelled" in result["end"]
        assert 0 < result["progress"]["progress"] < 1
        assert decoded(result["progress"]["current_image"]).size
    assert len(target.requests()) <= 1


def test_the_message_of_a_field_that_cannot_be_used(target: Target, client: Clients) -> None:
    error = client(CLIENT).call(target, "txt2img", prompt="a", steps="many").error
    assert error and "422" in error and "Steps must be a number" in error
    assert not target.requests()


def test_the_message_of_a_failing_gpu(target: Target, client: Clients) -> None:
    error = client(CLIENT).call(target, "txt2img", prompt="fail gpu_out_of_memory").error
    assert error and "(500, " in error and "gpu_out_of_memory" in error
    assert len(target.requests()) == 1


def test_the_message_of_a_wrong_key(full_target: Target, client: Clients) -> None:
    error = client(CLIENT).call(full_target, "txt2img", prompt="a", key="wrong").error
    assert error and "(401, " in error and "key" in error


def test_the_message_of_a_busy_model(full_target: Target, client: Clients) -> None:
    error = client(CLIENT).call(full_target, "txt2img", prompt="busy").error
    assert error and "(429, " in error and BUSY.search(error)
    assert not full_target.requests()


def test_a_cold_model_generates_only_for_the_next_attempt(function_target: Function, client: Clients) -> None:
    function_target.requests()
    function_target.sleeping(3)
    error = client(CLIENT).call(function_target, "txt2img", prompt="cold", seed=1).error
    assert error and "(503, " in error and "The model is starting. Send the request again in " in error
    time.sleep(1.5)
    assert client(CLIENT).call(function_target, "txt2img", prompt="cold", seed=2).image()
    assert [request["seed"] for request in function_target.requests()] == [2]


@pytest.mark.parametrize("prompt", ["slow 3", "hang 5"])
def test_a_request_that_takes_too_long_is_one_job(function_target: Function, client: Clients, prompt: str) -> None:
    function_target.requests()
    error = client(CLIENT).call(function_target, "txt2img", prompt=prompt).error
    assert error and "(504, " in error
    time.sleep(3)
    assert len(function_target.requests()) == 1


# --- requests of other clients -------------------------------------------------------------------

SILLY_TAVERN = {
    "url": "http://127.0.0.1:7860", "auth": "user:secret", "prompt": "a red apple", "negative_prompt": "fog",
    "sampler_name": "Euler a", "scheduler": "Automatic", "steps": 20, "cfg_scale": 7, "width": 512, "height": 512,
    "restore_faces": False, "enable_hr": False, "hr_upscaler": "Latent", "hr_scale": 2, "denoising_strength": 0.7,
    "hr_second_pass_steps": 0, "seed": 7, "clip_skip": 1, "override_settings": {"CLIP_stop_at_last_layers": 1},
    "override_settings_restore_afterwards": True, "save_images": True, "send_images": True,
    "do_not_save_grid": False, "do_not_save_samples": False,
}  # fmt: skip
LIBRE_CHAT = {
    "prompt": "a red apple", "negative_prompt": "fog", "cfg_scale": 4.5, "steps": 22, "width": 1024, "height": 1024,
}  # fmt: skip


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"easel:{key}".encode()).decode()


def http(target: Target, **headers: str) -> httpx.Client:
    return httpx.Client(base_url=target.url, headers=headers, timeout=30, trust_env=False)


def test_silly_tavern(target: Target) -> None:
    with http(target, authorization=basic(target.key)) as sent:
        options = sent.get("/sdapi/v1/options").json()
        (model,) = sent.get("/sdapi/v1/sd-models").json()
        assert options["sd_model_checkpoint"] == model["title"]
        lists = ("samplers", "schedulers", "upscalers", "latent-upscale-modes", "sd-vae")
        assert all(sent.get(f"/sdapi/v1/{path}").status_code == 200 for path in lists)
        assert sent.post("/sdapi/v1/options", json={"sd_model_checkpoint": model["title"]}).json() is None
        progress = sent.get("/sdapi/v1/progress").json()
        assert (progress["progress"], progress["state"]["job_count"]) == (0, 0)
        answer = sent.post("/sdapi/v1/txt2img", json=SILLY_TAVERN)
        assert answer.status_code == 200 and decoded(answer.json()["images"][0]).size
        assert "secret" not in answer.text
        assert sent.post("/sdapi/v1/interrupt").status_code == 200
    (request,) = target.requests()
    assert (request["negative_prompt"], request["seed"]) == ("fog", 7)


def test_silly_tavern_without_a_password(laptop_target: Target) -> None:
    """It sends `Basic` with the text that it has for no password."""
    for header in ("Basic", f"Basic {base64.b64encode(b'undefined').decode()}"):
        with http(laptop_target, authorization=header) as sent:
            assert sent.get("/sdapi/v1/options").status_code == 200


def test_libre_chat(target: Target) -> None:
    headers = {"authorization": basic(target.key)} if target.name == "function" else {}
    with http(target, **headers) as sent:
        answer = sent.post("/sdapi/v1/txt2img", json=LIBRE_CHAT).json()
    info = json.loads(answer["info"])
    assert decoded(answer["images"][0]).size == (info["width"], info["height"])
    assert info["infotexts"][0].startswith("a red apple\nNegative prompt: fog\nSteps: 22")
    assert len(target.requests()) == 1


def decoded(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))
