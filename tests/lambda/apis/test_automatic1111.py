"""The AUTOMATIC1111 API on fakes."""

import base64
import json
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from fakes import FROM_ORIGIN, MAGIC, ORIGIN, PROFILE, ROOT, World, event, owner_of
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from contract import SCHEDULERS, EaselError, ProfileEmbedding
from jobs.ports import EndpointState, Progress
from routes.automatic1111.fields import DEFAULTS, IMAGE_DEFAULTS
from routes.automatic1111.png_info import parse_infotext, read_texts

APPLE = {"prompt": "a red apple", "seed": 7}
FULL = replace(PROFILE, scheduler="dpmpp_2m_karras", schedulers=SCHEDULERS)


def image_file(side: int = 8, **options: Any) -> bytes:
    file = BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "PNG", **options)
    return file.getvalue()


START = base64.b64encode(image_file()).decode()


@pytest.fixture
def world() -> World:
    return World()


def post(world: World, path: str, body: Any) -> Any:
    """Return the body of a successful response."""
    status, answer = world.call("POST", f"/sdapi/v1/{path}", body)
    assert status == 200, answer
    return answer


def generated(world: World, body: Any, path: str = "txt2img") -> tuple[Any, Any]:
    """Return the request that the endpoint got, and the parsed info of the response."""
    answer = post(world, path, body)
    return world.endpoint.request(world.endpoint.submitted[-1]), json.loads(answer["info"])


def test_a_request_gives_images_parameters_and_info_as_json_text(world: World) -> None:
    answer = post(world, "txt2img", {**APPLE, "batch_size": 2, "n_iter": 2, "steps": 5})
    files = [base64.b64decode(image, validate=True) for image in answer["images"]]
    assert files == [MAGIC["png"] + bytes([i]) for i in range(4)]
    assert answer["parameters"]["prompt"] == "a red apple"
    assert answer["parameters"].keys() == DEFAULTS.keys()
    info = json.loads(answer["info"])
    assert (info["seed"], info["all_seeds"], info["batch_size"]) == (7, [7, 8, 9, 10], 2)
    assert (info["width"], info["height"], info["steps"], info["cfg_scale"]) == (512, 512, 5, 7.5)
    assert (info["sampler_name"], info["prompt"], info["negative_prompt"]) == ("DPM++ 2M", "a red apple", "")
    assert len(info["infotexts"]) == len(info["all_prompts"]) == 4
    assert info["infotexts"][1] == (
        "a red apple\nSteps: 5, Sampler: DPM++ 2M, Schedule type: Uniform, CFG scale: 7.5, Seed: 8, Size: 512x512, "
        "Model: example, Prompt syntax: weighted, Version: Easel"
    )
    assert info["warnings"] == []
    assert len(world.endpoint.submitted) == 1


def test_fields_become_those_of_the_model() -> None:
    world = World(FULL)
    request, info = generated(
        world,
        {
            **APPLE, "negative_prompt": "fog", "width": 501, "height": 300, "steps": 12, "cfg_scale": 4,
            "sampler_name": "Euler a", "seed": 2**40, "n_iter": 99,
        },
    )  # fmt: skip
    assert (request.width, request.height, request.num_inference_steps, request.guidance_scale) == (504, 304, 12, 4)
    assert (request.scheduler, request.seed, request.image_count, request.negative_prompt) == ("euler_a", 0, 8, "fog")
    assert len(info["warnings"]) == 3
    assert request.embed_parameters is False


@pytest.mark.parametrize(
    ("sampler", "schedule", "scheduler", "warns"),
    [
        ("DPM++ 2M", None, "dpmpp_2m_karras", False),
        ("DPM++ 2M", "Automatic", "dpmpp_2m_karras", False),
        ("DPM++ 2M", "Karras", "dpmpp_2m_karras", False),
        ("DPM++ 2M", "karras", "dpmpp_2m_karras", False),
        ("DPM++ 2M", "Uniform", "dpmpp_2m", False),
        ("DPM++ 2M Karras", None, "dpmpp_2m_karras", False),
        ("DPM++ 2M", "Exponential", "dpmpp_2m_karras", True),
        ("k_euler_a", "", "euler_a", False),
        ("Euler", "Karras", "euler", True),
        ("PLMS", "normal", "pndm", False),
        ("flow_euler", None, "flow_euler", False),
        ("Restart", None, "dpmpp_2m_karras", True),
        (None, "Uniform", "dpmpp_2m", False),
        (None, None, "dpmpp_2m_karras", False),
    ],
)
def test_sampler_and_schedule_are_a_scheduler(sampler: Any, schedule: Any, scheduler: str, warns: bool) -> None:
    request, info = generated(World(FULL), {**APPLE, "sampler_name": sampler, "scheduler": schedule})
    assert (request.scheduler, bool(info["warnings"])) == (scheduler, warns)


def test_every_listed_sampler_is_accepted() -> None:
    world = World(FULL)
    for sampler in world.call("GET", "/sdapi/v1/samplers")[1]:
        for name in (sampler["name"], *sampler["aliases"]):
            request, info = generated(world, {**APPLE, "sampler_name": name})
            assert request.scheduler in sampler["aliases"] and not info["warnings"]
    listed = world.call("GET", "/sdapi/v1/schedulers")[1]
    assert {item["name"] for item in listed} == {"automatic", "uniform", "karras"}


def test_an_image_starts_from_another(world: World) -> None:
    body = {**APPLE, "init_images": [f"data:image/png;base64,{START}"]}
    request, info = generated(world, body, "img2img")
    assert (request.init_image, request.strength, info["denoising_strength"]) == (START, 0.75, 0.75)
    answer = post(world, "img2img", {**body, "denoising_strength": 0.3})
    assert world.endpoint.request(world.endpoint.submitted[-1]).strength == 0.3
    assert answer["parameters"].keys() == {**DEFAULTS, **IMAGE_DEFAULTS}.keys()
    assert answer["parameters"]["init_images"] is None
    assert "Denoising strength: 0.75" in info["infotexts"][0]


@pytest.mark.parametrize(("invert", "mode"), [(0, "white"), (1, "black")])
def test_a_mask_says_what_is_generated_anew(world: World, invert: int, mode: str) -> None:
    body = {**APPLE, "init_images": [START], "mask": START, "mask_blur": 99, "inpainting_mask_invert": invert}
    request, info = generated(world, body, "img2img")
    assert (request.mask_image, request.mask_mode, request.mask_blur, request.strength) == (START, mode, 64, 0.75)
    assert info["warnings"] == ["mask_blur 99 was changed to 64"]


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"prompt": ""}, "bad_text", "Prompt is empty"),
        ({"steps": "many"}, "wrong_type", "Steps must be a number"),
        ({"sampler_name": 5}, "wrong_type", "Sampler_name"),
        ({"init_images": []}, "missing_field", "Init_images"),
        ({"init_images": ["!!!"]}, "bad_image", "Init_images"),
        ({"latent_mask": START}, "not_supported", "not supported by this model"),
        ({"mask": [START]}, "wrong_type", "Mask must be a string"),
        ({"mask": "!!!"}, "bad_image", "Mask is not base64"),
        ({"width": 768, "height": 768, "steps": 150, "n_iter": 8}, "job_too_large", "Width x height"),
        ({"override_settings": []}, "wrong_type", "Override_settings"),
    ],
)
def test_a_field_that_cannot_be_used_is_refused(world: World, change: Any, code: str, text: str) -> None:
    status, body = world.call("POST", "/sdapi/v1/img2img", {**APPLE, "init_images": [START], **change})
    assert (status, body["errors"], body["error"], body["body"]) == (422, code, "HTTPException", "")
    assert body["detail"].startswith(text) or text in body["detail"]
    assert not world.endpoint.submitted


def test_a_model_without_images_to_images_says_so() -> None:
    world = World(replace(PROFILE, image_to_image=False))
    status, body = world.call("POST", "/sdapi/v1/img2img", {**APPLE, "init_images": [START]})
    assert (status, body["errors"]) == (422, "not_supported")


@pytest.mark.parametrize("from_image", [False, True])
def test_the_values_of_the_documentation_give_no_warning(world: World, from_image: bool) -> None:
    body = {**DEFAULTS, **APPLE, **({**IMAGE_DEFAULTS, "init_images": [START]} if from_image else {})}
    assert generated(world, body, "img2img" if from_image else "txt2img")[1]["warnings"] == []


IGNORED = {
    "styles": ["photo"], "subseed_strength": 0.5, "restore_faces": True, "tiling": True, "eta": 0.5, "s_churn": 1,
    "s_noise": 0.9, "refiner_checkpoint": "x", "script_name": "x/y",
    "alwayson_scripts": {"ADetailer": {"args": ["secret"]}}, "infotext": "Steps: 3", "resize_mode": 2,
    "override_settings": {"sd_vae": "x"}, "unheard_of": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_an_option_without_effect_is_named_in_a_warning(world: World, name: str) -> None:
    request, info = generated(world, {**APPLE, "init_images": [START], name: IGNORED[name]}, "img2img")
    (warning,) = info["warnings"]
    assert name in warning and "secret" not in warning
    assert request.prompt == ("a red apple",)


@pytest.mark.parametrize(
    ("prompt", "used", "warnings"),
    [
        ("an apple <lora:Shiny:0.8>", "an apple ", 1),
        ("an apple <lora:a><hypernet:b:1>", "an apple ", 2),
        ("an apple (red:1.2), [green] BREAK (tree", "an apple (red:1.2), [green] BREAK (tree", 0),
        ("[a|b] BREAK c", "[a|b] BREAK c", 1),
        ("a AND b, [a:b:0.5]", "a AND b, [a:b:0.5]", 1),
        (r"an apple \(fruit\), 3 < 4", r"an apple \(fruit\), 3 < 4", 0),
    ],
)
def test_prompt_syntax_is_named_in_a_warning(world: World, prompt: str, used: str, warnings: int) -> None:
    request, info = generated(world, {**APPLE, "prompt": prompt})
    assert (request.prompt, len(info["warnings"])) == ((used,), warnings)
    assert request.prompt_syntax == "weighted"


def test_a_model_with_other_text_encoders_reads_plain_text() -> None:
    world = World(replace(PROFILE, clip_layers=None))
    settings = {"CLIP_stop_at_last_layers": 2}
    body = {**APPLE, "prompt": "an apple (red:1.2)", "override_settings": settings, "clip_skip": 2}
    request, info = generated(world, body)
    assert (request.prompt_syntax, request.clip_skip) == ("plain", None)
    assert [name for warning in info["warnings"] for name in ("prompt", *settings, "clip_skip") if name in warning] == [
        "prompt", "clip_skip", "CLIP_stop_at_last_layers"
    ]  # fmt: skip
    assert generated(world, {**APPLE, "prompt": r"an apple \(fruit\)"})[1]["warnings"] == []


@pytest.mark.parametrize(
    ("sent", "used", "warnings"), [(1, None, 0), (2, 2, 0), (12, 12, 0), (13, 12, 1), (0, None, 0)]
)
def test_clip_skip_is_a_setting_or_a_field(world: World, sent: int, used: int | None, warnings: int) -> None:
    for fields in ({"clip_skip": sent}, {"override_settings": {"CLIP_stop_at_last_layers": sent}}):
        request, info = generated(world, {**APPLE, **fields})
        assert (request.clip_skip, len(info["warnings"]), info["clip_skip"]) == (used, warnings, used or 1)
    assert ("Clip skip: 2" in info["infotexts"][0]) == (used == 2)


SMALL = {**APPLE, "width": 256, "height": 128, "steps": 20, "enable_hr": True}


@pytest.mark.parametrize(
    ("fields", "hires", "warnings"),
    [
        ({}, (2.0, 0.75, 27), 0),
        ({"hr_scale": 1.5, "denoising_strength": 0.5, "hr_second_pass_steps": 10}, (1.5, 0.5, 20), 0),
        ({"hr_upscaler": "Lanczos", "hr_sampler_name": "Use same sampler"}, (2.0, 0.75, 27), 0),
        ({"hr_upscaler": "Latent", "hr_prompt": "b"}, (2.0, 0.75, 27), 2),
        ({"hr_scale": 4}, (2.0, 0.75, 27), 1),
        ({"hr_scale": 1}, (1.5, 0.75, 27), 1),
        ({"hr_resize_x": 448, "hr_resize_y": 0}, (1.75, 0.75, 27), 0),
        ({"denoising_strength": 0.1, "steps": 40}, (2.0, 0.1, 150), 1),
        ({"denoising_strength": 0}, (2.0, 0.01, 150), 1),
        ({"width": 480}, (1.6, 0.75, 27), 1),
        ({"width": 520}, None, 1),
    ],
)
def test_the_high_resolution_fix_is_a_second_pass(world: World, fields: Any, hires: Any, warnings: int) -> None:
    request, info = generated(world, {**SMALL, **fields})
    assert (request.hires and (request.hires.scale, request.hires.strength, request.hires.steps)) == hires
    assert len(info["warnings"]) == warnings, info["warnings"]
    if hires and not warnings:
        assert request.hires.steps_that_run == fields.get("hr_second_pass_steps", 20)
        assert info["extra_generation_params"]["Hires upscale"] == f"{hires[0]:g}"
        assert info["denoising_strength"] == hires[1]
        assert max(request.result_size) <= PROFILE.max_side


def test_a_model_without_a_second_pass_says_so() -> None:
    request, info = generated(World(replace(PROFILE, image_to_image=False)), SMALL)
    assert request.hires is None
    assert "enable_hr" in info["warnings"][0]


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_a_weight_out_of_range_is_refused(world: World, name: str) -> None:
    status, answer = world.call("POST", "/sdapi/v1/txt2img", {**APPLE, name: "(a:11)"})
    assert (status, answer["errors"]) == (422, "out_of_range")


def test_settings_of_one_request(world: World) -> None:
    settings = {"sd_model_checkpoint": "other", "samples_format": "jpg", "enable_pnginfo": True}
    request, info = generated(world, {**APPLE, "override_settings": settings})
    assert (request.output_format, request.embed_parameters) == ("jpeg", True)
    assert info["warnings"] == ["the model 'other' is not deployed; example was used"]


@pytest.mark.parametrize("embeds", [True, False])
def test_infotexts_name_what_images_were_generated_with(world: World, embeds: bool) -> None:
    settings = {"enable_pnginfo": embeds}
    _, info = generated(world, {**APPLE, "prompt": FROM_ORIGIN, "override_settings": settings})
    found = parse_infotext(info["infotexts"][0])
    assert (found["Model revision"], found["Model licence"]) == (ORIGIN["revision"], "MIT")
    assert (found["Lora hashes"], found["TI hashes"]) == ("flat: 0123456789ab", "toy: ba9876543210")


def test_images_need_not_be_sent(world: World) -> None:
    answer = post(world, "txt2img", {**APPLE, "send_images": False})
    assert answer["images"] == [] and json.loads(answer["info"])["seed"] == 7


def test_many_large_images_are_webp_so_that_they_fit(world: World) -> None:
    answer = post(world, "txt2img", {**APPLE, "width": 768, "height": 768, "n_iter": 8, "steps": 1})
    assert base64.b64decode(answer["images"][0]).startswith(MAGIC["webp"])
    assert "WebP" in json.loads(answer["info"])["warnings"][0]


def test_images_that_do_not_fit_stay_with_the_job(world: World) -> None:
    world.endpoint.image_bytes = 5_000_000
    status, body = world.call("POST", "/sdapi/v1/txt2img", APPLE)
    assert (status, body["errors"]) == (422, "images_too_large")
    assert world.endpoint.submitted[0].id in body["detail"]


def test_repeated_requests_are_jobs_of_their_own(world: World) -> None:
    """Some clients send n identical requests and expect n images."""
    seeds = {generated(world, {"prompt": "a"})[1]["seed"] for _ in range(3)}
    assert len(seeds) == len(world.endpoint.submitted) == 3


# --- the job of a request ------------------------------------------------------------------------


@pytest.fixture
def slow(world: World) -> World:
    """A world whose endpoint generates nothing until a test says so."""
    world.clock.while_sleeping = lambda: None
    return world


def test_a_job_that_takes_longer_goes_on(slow: World) -> None:
    status, body = slow.call("POST", "/sdapi/v1/txt2img", APPLE)
    (ticket,) = slow.endpoint.submitted
    assert (status, body["errors"]) == (504, "use_jobs")
    assert f"GET /jobs/{ticket.id} " in body["detail"]
    slow.endpoint.generate_all()
    assert slow.call("GET", f"/jobs/{ticket.id}")[1]["status"] == "succeeded"


def test_the_job_of_a_cold_model_is_cancelled_so_that_the_next_attempt_generates_alone(slow: World) -> None:
    slow.endpoint.known_state = EndpointState("asleep", "", (4, 10))
    status, body = slow.call("POST", "/sdapi/v1/txt2img", APPLE)
    assert (status, body["errors"]) == (503, "model_loading")
    assert body["detail"] == "The model is starting. Send the request again in 4 minutes."
    first = slow.endpoint.submitted[0]
    assert slow.call("GET", f"/jobs/{first.id}")[1]["status"] == "cancelled"
    slow.endpoint.known_state = EndpointState("ready")
    slow.clock.while_sleeping = slow.endpoint.generate_all
    assert slow.call("POST", "/sdapi/v1/txt2img", APPLE)[0] == 200
    outputs = [key for key in slow.store.objects if key.startswith("async-output/")]
    assert outputs == [slow.endpoint.output_key(slow.endpoint.submitted[1])]


def test_a_cold_model_keeps_a_job_with_an_idempotency_key(slow: World) -> None:
    slow.endpoint.known_state = EndpointState("starting")
    headers = {"Idempotency-Key": "a"}
    assert slow.call("POST", "/sdapi/v1/txt2img", APPLE, headers=headers)[0] == 503
    slow.clock.while_sleeping = slow.endpoint.generate_all
    assert slow.call("POST", "/sdapi/v1/txt2img", APPLE, headers=headers)[0] == 200
    assert len(slow.endpoint.submitted) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("gpu_out_of_memory", 500), ("model_error", 500), ("container_died", 500), ("nan_output", 500),
        ("too_busy", 429), ("throttled", 429), ("model_loading", 503), ("endpoint_missing", 503),
        ("deadline_exceeded", 504), ("content_filtered", 422),
    ],
)  # fmt: skip
def test_statuses_of_errors(world: World, code: str, status: int) -> None:
    world.endpoint.error = EaselError(code, "the reason", hint="Do this.")
    response = world.send(event("POST", "/sdapi/v1/txt2img", APPLE))
    body = json.loads(response["body"])
    assert (response["statusCode"], body["errors"], body["detail"]) == (status, code, "The reason. Do this.")


@pytest.mark.parametrize(("hires", "size"), [({}, (72, 64)), ({"enable_hr": True, "hr_scale": 1.5}, (112, 96))])
def test_the_safety_filter_replaces_the_images(world: World, hires: Any, size: tuple[int, int]) -> None:
    def block() -> None:
        (ticket,) = world.endpoint.submitted
        world.reporter.fail(ticket, EaselError("content_filtered", "blocked", hint="Try another seed."))

    world.clock.while_sleeping = block
    sent = {**APPLE, "width": 72, "height": 64, "batch_size": 2, **hires}
    status, body = world.call("POST", "/sdapi/v1/txt2img", sent)
    images = [Image.open(BytesIO(base64.b64decode(image))) for image in body["images"]]
    assert (status, [image.size for image in images]) == (200, [size] * 2)
    assert {image.getextrema() for image in images} == {((0, 0),) * 3}
    info = json.loads(body["info"])
    assert (info["all_seeds"], info["warnings"]) == ([7, 8], ["Blocked. Try another seed."])
    assert world.accounting.usage(owner_of("key-1")).images_today == 0


def test_a_missing_key_asks_for_basic_authentication(world: World) -> None:
    response = world.send(event("GET", "/sdapi/v1/options", key=""))
    assert response["statusCode"] == 401
    assert response["headers"]["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "txt2img", 405), ("GET", "memory", 404)])
def test_errors_of_the_router_have_the_form_of_the_api(world: World, method: str, path: str, status: int) -> None:
    response = world.send(event(method, f"/sdapi/v1/{path}"))
    assert (response["statusCode"], json.loads(response["body"])["error"]) == (status, "HTTPException")


def test_progress_shows_the_running_job_with_its_preview(slow: World) -> None:
    idle = slow.call("GET", "/sdapi/v1/progress")[1]
    assert (idle["progress"], idle["state"]["job_count"], idle["current_image"]) == (0.0, 0, None)
    slow.call("POST", "/jobs", APPLE)
    waiting = slow.call("GET", "/sdapi/v1/progress")[1]
    assert (waiting["progress"], waiting["state"]["job_count"]) == (0.0, 1)
    slow.endpoint.known_progress = Progress(step=5, steps=20, preview=START)
    running = slow.call("GET", "/sdapi/v1/progress", query={"skip_current_image": "false"})[1]
    assert (running["progress"], running["current_image"]) == (0.25, START)
    assert (running["state"]["sampling_step"], running["state"]["sampling_steps"]) == (5, 20)
    assert running["state"]["job"] == slow.endpoint.submitted[0].id
    assert slow.call("GET", "/sdapi/v1/progress", query={"skip_current_image": "true"})[1]["current_image"] is None
    other = slow.send(event("GET", "/sdapi/v1/progress", key="key-2"))
    assert json.loads(other["body"])["state"]["job_count"] == 0, "of another caller"


@pytest.mark.parametrize(("path", "answer"), [("interrupt", {}), ("skip", None)])
def test_interrupting_cancels_the_oldest_job_that_has_not_ended(slow: World, path: str, answer: Any) -> None:
    assert post(slow, path, None) == answer, "nothing to cancel"
    for _ in range(2):
        slow.call("POST", "/jobs", APPLE)
        slow.clock.time += 1
    first, second = slow.endpoint.submitted
    assert post(slow, path, None) == answer
    assert slow.endpoint.stopped == [first]
    assert [slow.call("GET", f"/jobs/{ticket.id}")[1]["status"] for ticket in (first, second)] == [
        "cancelled",
        "queued",
    ]


def test_a_request_whose_job_is_interrupted_ends(slow: World) -> None:
    slow.clock.while_sleeping = lambda: post(slow, "interrupt", None)
    assert slow.call("POST", "/sdapi/v1/txt2img", APPLE)[1]["errors"] == "cancelled"


# --- the model, options and lists ----------------------------------------------------------------


def test_the_model_is_listed_and_can_be_selected(world: World) -> None:
    (model,) = world.call("GET", "/sdapi/v1/sd-models")[1]
    assert {"title", "model_name", "hash", "sha256", "filename", "config"} <= model.keys()
    assert world.call("GET", "/sdapi/v1/options")[1]["sd_model_checkpoint"] == model["title"]
    assert post(world, "options", {"sd_model_checkpoint": model["title"], "CLIP_stop_at_last_layers": 2}) is None
    assert post(world, "options", {}) is None
    status, body = world.call("POST", "/sdapi/v1/options", {"sd_model_checkpoint": "other"})
    assert (status, body["errors"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("scripts", {"txt2img": [], "img2img": []}), ("latent-upscale-modes", []), ("sd-vae", []),
        ("loras", []), ("embeddings", {"loaded": {}, "skipped": {}}),
    ],
)  # fmt: skip
def test_lists_of_what_there_is_not(world: World, path: str, value: Any) -> None:
    assert world.call("GET", f"/sdapi/v1/{path}") == (200, value)


def test_embeddings_are_listed_by_token() -> None:
    world = World(replace(PROFILE, embeddings=(ProfileEmbedding(id="toy", token="<toy>"), ProfileEmbedding(id="bad"))))
    assert [*world.call("GET", "/sdapi/v1/embeddings")[1]["loaded"]] == ["<toy>", "bad"]
    request, _ = generated(world, {**SMALL, "prompt": "a <toy> <lora:x:1>"})
    assert request.prompt == ("a <toy> ",)
    (model,) = world.call("GET", "/models")[1]["models"]
    names = [{"name": id, "name_in": {"zh-CN": id}} for id in ("toy", "bad")]
    assert model["embeddings"] == [
        {"id": "toy", "token": "<toy>"} | names[0], {"id": "bad", "token": "bad"} | names[1]
    ]  # fmt: skip


def test_the_upscaler_is_listed(world: World) -> None:
    (upscaler,) = world.call("GET", "/sdapi/v1/upscalers")[1]
    assert {"name", "model_name", "model_path", "model_url", "scale"} == upscaler.keys()
    assert generated(world, {**SMALL, "hr_upscaler": upscaler["name"]})[1]["warnings"] == []
    assert World(replace(PROFILE, image_to_image=False)).call("GET", "/sdapi/v1/upscalers") == (200, [])


def test_urls_and_keys_that_clients_add_to_the_body_go_nowhere(world: World, capsys: Any) -> None:
    """SillyTavern sends the body of its own route."""
    secret = {"url": "http://secret.example", "auth": "user:secret"}
    answer = post(world, "txt2img", {**APPLE, **secret})
    assert json.loads(answer["info"])["warnings"] == []
    kept = [json.dumps(answer), json.dumps(world.telemetry.requests), capsys.readouterr().out]
    assert not any("secret" in text for text in kept)
    assert not any(b"secret" in body for body in world.store.objects.values())


# --- parameters in files -------------------------------------------------------------------------

GOLDEN = json.loads((ROOT / "examples/infotext.json").read_text())
OTHER_TOOL = (
    "a cat, (fur:1.2)\nin two lines\nNegative prompt: fog\n"
    'Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 42, Size: 512x768, Model: "a, b", '
    'Hires upscale: 2, Lora hashes: "x: 1, y: 2", Version: v1.10.1'
)


@pytest.mark.parametrize("text", [*(case["text"] for case in GOLDEN), OTHER_TOOL])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_parameters_in_a_file_are_read(world: World, text: str, form: str) -> None:
    from PIL.ExifTags import IFD, Base

    file = BytesIO()
    exif, chunks = Image.Exif(), PngInfo()
    exif.get_ifd(IFD.Exif)[Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be")
    chunks.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(file, form, **({"pnginfo": chunks} if form == "PNG" else {"exif": exif}))
    answer = post(world, "png-info", {"image": base64.b64encode(file.getvalue()).decode()})
    assert (answer["info"], answer["items"]) == (text, {"parameters": text})
    lines = text.split("\n")
    assert answer["parameters"]["Prompt"] == text[: min(text.find(s) for s in ("\nNegative", "\nSteps:") if s in text)]
    assert answer["parameters"]["Steps"] == lines[-1].split(",")[0].removeprefix("Steps: ")
    assert {"Seed", "Size-1", "Size-2"} <= answer["parameters"].keys()


def test_settings_of_other_tools_are_split() -> None:
    found = parse_infotext(OTHER_TOOL)
    assert (found["Model"], found["Lora hashes"], found["Negative prompt"]) == ("a, b", "x: 1, y: 2", "fog")
    assert parse_infotext("just a text") == {}


def test_compressed_texts_are_read_up_to_a_bound() -> None:
    chunks = PngInfo()
    chunks.add_text("parameters", "a" * 1000, zip=True)
    chunks.add_itxt("熊猫".encode().hex(), "一只熊猫", zip=True)
    chunks.add_text("bomb", "b" * 3_000_000, zip=True)
    texts = read_texts(image_file(pnginfo=chunks))
    assert texts["parameters"] == "a" * 1000 and "一只熊猫" in texts.values()
    assert len(texts["bomb"]) == 1 << 20


@pytest.mark.parametrize("cut", [20, 40, 60, 80])
def test_damaged_files_have_no_parameters(cut: int) -> None:
    chunks = PngInfo()
    chunks.add_itxt("parameters", "x" * 50)
    assert read_texts(image_file(pnginfo=chunks)[:cut]).keys() <= {"parameters"}
    assert read_texts(b"RIFF____WEBPEXIF\xff\xff\xff\x7fExif\0\0MM") == {}
    assert read_texts(b"\xff\xd8\xff\xe1\0\x10Exif\0\0II*\0\xff\xff\xff\xff") == {}


@pytest.mark.parametrize("image", [None, 5, "", "!!!", "aGVsbG8="])
def test_a_file_that_is_no_image_is_refused(world: World, image: Any) -> None:
    assert world.call("POST", "/sdapi/v1/png-info", {"image": image})[0] == 422


# --- every documented field ----------------------------------------------------------------------

USED = {
    "prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "seed", "batch_size", "n_iter",
    "sampler_name", "sampler_index", "scheduler", "override_settings", "denoising_strength", "init_images", "mask",
    "clip_skip",
}  # fmt: skip
VALUES: tuple[Any, ...] = (None, True, False, 0, -1, 3, 1.5, 10**12, "", "x", "Euler", [], ["x"], {}, {"x": 1})


@pytest.mark.parametrize("name", sorted({**DEFAULTS, **IMAGE_DEFAULTS}))
def test_documented_fields_reach_the_model_only_if_it_has_them(name: str) -> None:
    world = World(replace(PROFILE, max_pixel_steps=10**12))
    body = {**APPLE, "init_images": [START]}
    usual, _ = generated(world, body, "img2img")
    for value in VALUES:
        world.endpoint.submitted.clear()
        status, answer = world.call("POST", "/sdapi/v1/img2img", {**body, name: value})
        assert status in (200, 422), (value, answer)
        if status == 200 and name not in USED:
            assert world.endpoint.request(world.endpoint.submitted[0]) == usual
