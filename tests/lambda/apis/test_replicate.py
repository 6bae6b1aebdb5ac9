"""Replicate's API on fakes."""

import base64
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from fakes import MAGIC, PROFILE, ROOT, World, event

from contract import INIT_IMAGE_BYTES, SCHEDULERS, EaselError, Lora, ProfileLora, render_error
from jobs.ports import EndpointState, Progress
from routes.replicate.inputs import NAMES, input_schema
from webhooks.url import UrlRules

START = next(
    case["body"]["init_image"]
    for case in json.loads((ROOT / "examples/accepted.json").read_text())
    if "init_image" in case["body"]
)
DATA_URL = f"data:image/png;base64,{START}"
APPLE = {"input": {"prompt": "a red apple", "seed": 7}}
HOST = {"Host": "easel.example", "X-Forwarded-Proto": "https"}
MODEL, PREDICTIONS = "/v1/models/easel/example", "/v1/predictions"
TQDM = re.compile(r"^\s*(?P<percentage>\d+)%\s*\|.+?\|\s*(?P<current>\d+)\/(?P<total>\d+)")
"""How the Python client reads the progress in the last lines of the logs."""


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def slow(world: World) -> World:
    """A world whose endpoint generates nothing until a test says so."""
    world.clock.while_sleeping = lambda: None
    return world


def call(world: World, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    return world.call(method, path, body, headers={**HOST, **headers})


def predict(world: World, inputs: Any, **headers: str) -> Any:
    """Return a prediction that was waited for, and the request that the endpoint got."""
    status, prediction = call(world, "POST", PREDICTIONS, {"input": inputs}, Prefer="wait", **headers)
    assert status == 201, prediction
    return prediction, world.endpoint.request(world.endpoint.submitted[-1])


@pytest.mark.parametrize("path", [PREDICTIONS, f"{MODEL}/predictions"])
def test_a_prediction_that_is_waited_for_has_its_images(world: World, path: str) -> None:
    status, prediction = call(world, "POST", path, APPLE, Prefer="wait")
    (ticket,) = world.endpoint.submitted
    url = f"https://easel.example/v1/predictions/{ticket.id}"
    assert (status, prediction["status"], prediction["id"]) == (201, "succeeded", ticket.id)
    assert prediction["output"] == [f"https://files.example/{ticket.key('image-0.png')}?seconds=900"]
    assert prediction["urls"] == {"get": url, "cancel": f"{url}/cancel"}
    assert (prediction["model"], len(prediction["version"])) == ("easel/example", 64)
    assert prediction["input"] == {
        "prompt": "a red apple", "width": 512, "height": 512, "num_inference_steps": 20, "guidance_scale": 7.5,
        "seed": 7, "scheduler": "dpmpp_2m",
    }  # fmt: skip
    assert prediction["metrics"] == {"predict_time": 1.0, "total_time": 0.1, "image_count": 1}
    first, last = prediction["logs"].split("\n")
    assert first == "Using seed: 7"
    match = TQDM.match(last)
    assert match and match.groupdict() == {"percentage": "100", "current": "20", "total": "20"}
    assert call(world, "GET", f"{PREDICTIONS}/{ticket.id}") == (200, prediction)


def test_without_waiting_it_starts(world: World) -> None:
    status, prediction = call(world, "POST", PREDICTIONS, APPLE)
    assert (status, prediction["status"], prediction["output"]) == (201, "starting", None)
    assert world.clock.time == 1_800_000_000


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait", 25), ("wait=5", 5), ("wait=60", 25), ("respond-async, wait=3", 3), ("respond-async", 0),
        ("waiting", 0),
    ],
)  # fmt: skip
def test_the_client_chooses_how_long_it_waits(slow: World, prefer: str, seconds: float) -> None:
    status, prediction = call(slow, "POST", PREDICTIONS, APPLE, Prefer=prefer)
    assert slow.clock.time - 1_800_000_000 == pytest.approx(seconds)
    assert (status, prediction["status"]) == (202 if seconds else 201, "starting")


def test_a_prediction_that_runs_when_the_wait_ends_is_starting(slow: World) -> None:
    """The clients of Replicate take `processing` in that response for the end, and return None for the images."""
    slow.endpoint.known_progress = Progress(step=5, steps=20)
    _, prediction = call(slow, "POST", PREDICTIONS, APPLE, Prefer="wait")
    assert prediction["status"] == "starting"
    status, prediction = call(slow, "GET", f"{PREDICTIONS}/{prediction['id']}")
    assert (status, prediction["status"]) == (200, "processing")
    match = TQDM.match(prediction["logs"].split("\n")[-1])
    assert match and match.groupdict() == {"percentage": "25", "current": "5", "total": "20"}


def test_a_cold_model_is_starting_and_says_how_long_it_takes(slow: World) -> None:
    slow.endpoint.known_state = EndpointState("asleep", "", (4, 10))
    status, prediction = call(slow, "POST", PREDICTIONS, APPLE, Prefer="wait")
    assert (status, prediction["status"]) == (202, "starting")
    assert "4 to 10 minutes" in prediction["logs"]
    slow.endpoint.generate_all()
    assert call(slow, "GET", f"{PREDICTIONS}/{prediction['id']}")[1]["status"] == "succeeded"
    assert len(slow.endpoint.submitted) == 1


def test_over_http_the_output_is_in_the_response(world: World) -> None:
    """The clients return files for `https:` and `data:` URLs, and text for `http:`."""
    prediction, _ = predict(world, {**APPLE["input"], "output_format": "webp"}, **{"X-Forwarded-Proto": "http"})
    (url,) = prediction["output"]
    prefix, _, encoded = url.partition(",")
    assert prefix == "data:image/webp;base64"
    assert base64.b64decode(encoded) == MAGIC["webp"] + b"\0"
    world.endpoint.image_bytes = 5_000_000
    prediction, _ = predict(world, APPLE["input"], **{"X-Forwarded-Proto": "http"})
    assert prediction["output"][0].startswith("https://files.example/")


@pytest.mark.parametrize("name", sorted(name for names in NAMES.values() for name in names))
def test_inputs_have_the_names_of_many_models(name: str) -> None:
    world = World(replace(PROFILE, schedulers=SCHEDULERS, loras=(ProfileLora(id="flat"),)))
    values: dict[str, Any] = {
        "prompt": "a pear", "negative_prompt": "fog", "width": 128, "height": 128, "num_outputs": 3,
        "num_inference_steps": 9, "guidance_scale": 3, "scheduler": "K_EULER_ANCESTRAL", "seed": 9, "image": DATA_URL,
        "prompt_strength": 0.25, "output_format": "jpg", "mask": DATA_URL, "aspect_ratio": "2:1",
        "image_dimensions": "128x64", "loras": [{"id": "flat", "scale": 2}], "prompt_syntax": "weighted",
        "clip_skip": 2, "hires": {"scale": 1.5}, "input_images": [DATA_URL], "content": "flag",
    }  # fmt: skip
    own = next(own for own, names in NAMES.items() if name in names)
    image = {"image": DATA_URL} if own in ("prompt_strength", "mask") else {}
    prediction, request = predict(world, {**APPLE["input"], **image, name: values[own]})
    expected = {
        "num_outputs": ("num_images_per_prompt", 3), "image": ("init_image", START), "prompt": ("prompt", ("a pear",)),
        "prompt_strength": ("strength", 0.25), "output_format": ("output_format", "jpeg"), "seed": ("seed", 9),
        "scheduler": ("scheduler", "euler_a"), "aspect_ratio": ("width", 728), "image_dimensions": ("height", 64),
        "mask": ("mask_image", START), "loras": ("loras", (Lora("flat", 2.0),)), "hires": ("result_size", (768, 768)),
        "input_images": ("init_image", START),  # of a model that looks at no images
    }.get(own, (own, values[own]))  # fmt: skip
    assert getattr(request, expected[0]) == expected[1]
    assert "Warning" not in prediction["logs"]


def test_what_a_model_lacks_is_in_the_logs(world: World) -> None:
    inputs = {
        **APPLE["input"], "width": 4096, "refine": "expert_ensemble_refiner", "scheduler": "KLMS",
        "disable_safety_checker": True, "output_quality": 80,
    }  # fmt: skip
    prediction, request = predict(world, inputs)
    warnings = [line for line in prediction["logs"].split("\n") if line.startswith("Warning: ")]
    assert len(warnings) == 3
    assert (request.width, request.scheduler) == (768, "dpmpp_2m")
    later, job = (world.call("GET", f"{path}/{prediction['id']}")[1] for path in (PREDICTIONS, "/jobs"))
    assert later["logs"] == prediction["logs"]
    assert job["warnings"] == [line.removeprefix("Warning: ") for line in warnings]


@pytest.mark.parametrize("version", ["easel/example", "stability-ai/sdxl:39ed52f2", "1" * 64])
def test_any_version_runs_and_the_response_says_which(world: World, version: str) -> None:
    _, prediction = call(world, "POST", PREDICTIONS, {**APPLE, "version": version}, Prefer="wait")
    assert prediction["model"] == "easel/example"
    assert ("is not deployed; easel/example was used" in prediction["logs"]) == (version != "easel/example")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "input"),
        ({"input": "a"}, "input"),
        ({"input": {}}, "input.prompt"),
        ({"input": {"prompt": ["a"]}}, "input.prompt"),
        ({"input": {"prompt": "a", "num_outputs": "x"}}, "input.num_outputs"),
        ({"input": {"prompt": "a", "aspect_ratio": "0:1"}}, "input.aspect_ratio"),
        ({"input": {"prompt": "a", "image_dimensions": "large"}}, "input.image_dimensions"),
        ({"input": {"prompt": "a", "image": "https://example.com/a.png"}}, "input.image"),
        ({"input": {"prompt": "a", "image": "data:image/png;base64,!!!"}}, "input.image"),
        ({"input": {"prompt": "a", "mask": DATA_URL}}, "input.image"),
        ({"input": {"prompt": "a", "image": DATA_URL, "mask": "a"}}, "input.mask"),
        ({"input": {"prompt": "a", "loras": ["a"]}}, "input.loras"),
        ({"input": {"prompt": "a", "output_format": "gif"}}, "input.output_format"),
    ],
)
def test_an_input_that_cannot_be_used_is_named(world: World, body: Any, field: str) -> None:
    status, problem = call(world, "POST", PREDICTIONS, body)
    assert (status, problem["status"], problem["title"]) == (422, 422, "Input validation failed")
    assert problem["invalid_fields"][0]["field"] == field
    assert problem["detail"].startswith(f"- {field}: ")
    assert not world.endpoint.submitted


@pytest.mark.parametrize(
    ("code", "status"), [("too_busy", 429), ("gpu_out_of_memory", 500), ("model_loading", 503), ("over_budget", 503)]
)
def test_errors_have_title_detail_and_status(world: World, code: str, status: int) -> None:
    world.endpoint.error = EaselError(code, "the reason", hint="Do this.")
    response = world.send(event("POST", PREDICTIONS, APPLE))
    body = json.loads(response["body"])
    assert (response["statusCode"], body["status"], body["detail"]) == (status, status, "The reason. Do this.")
    assert body["title"] and body["code"] == code
    assert ("retry-after" in response["headers"]) == (code in ("too_busy", "model_loading"))


def test_a_failed_job_is_a_failed_prediction(world: World) -> None:
    status, prediction = call(world, "POST", PREDICTIONS, APPLE)
    ticket = world.endpoint.submitted[0]
    error = EaselError("gpu_out_of_memory", "no memory", hint="Use a smaller size.")
    world.store.objects[world.endpoint.output_key(ticket)] = render_error(error).encode()
    status, prediction = call(world, "GET", f"{PREDICTIONS}/{ticket.id}")
    assert (status, prediction["status"], prediction["output"]) == (200, "failed", None)
    assert prediction["error"] == "No memory. Use a smaller size. (gpu_out_of_memory)"


@pytest.mark.parametrize("path", [PREDICTIONS, f"{MODEL}/versions", "/v1/files"])
def test_a_missing_key(world: World, path: str) -> None:
    response = world.send(event("POST", path, APPLE, key=""))
    assert (response["statusCode"], json.loads(response["body"])["status"]) == (401, 401)


@pytest.mark.parametrize("id", ["0" * 44, "ufawqhfynnddngldkgtslldrkq"])
def test_an_unknown_prediction(world: World, id: str) -> None:
    status, problem = call(world, "GET", f"{PREDICTIONS}/{id}")
    assert (status, problem["title"], problem["status"]) == (404, "Not found", 404)


def test_cancelling_ends_a_prediction_and_leaves_one_that_has_ended(slow: World) -> None:
    _, prediction = call(slow, "POST", PREDICTIONS, APPLE)
    path = f"{PREDICTIONS}/{prediction['id']}/cancel"
    for _ in range(2):
        status, prediction = call(slow, "POST", path)
        assert (status, prediction["status"], prediction["error"]) == (200, "canceled", None)
    assert slow.endpoint.stopped
    _, other = call(slow, "POST", PREDICTIONS, APPLE)
    slow.endpoint.generate_all()
    assert call(slow, "POST", f"{PREDICTIONS}/{other['id']}/cancel")[1]["status"] == "succeeded"


def test_the_newest_predictions_are_listed(world: World) -> None:
    ids = []
    for _ in range(3):
        ids.append(call(world, "POST", PREDICTIONS, APPLE)[1]["id"])
        world.clock.time += 1
    status, page = call(world, "GET", PREDICTIONS)
    assert (status, page["next"], page["previous"]) == (200, None, None)
    assert [prediction["id"] for prediction in page["results"]] == ids[::-1]
    assert call(world, "GET", PREDICTIONS)[1]["results"][0]["urls"]["get"].endswith(ids[-1])


def test_jobs_and_predictions_are_the_same(world: World) -> None:
    _, job = world.call("POST", "/jobs", {"prompt": "a", "seed": 1})
    world.endpoint.generate_all()
    prediction = call(world, "GET", f"{PREDICTIONS}/{job['id']}")[1]
    native = world.call("GET", f"/jobs/{job['id']}")[1]
    assert prediction["output"] == [image["url"] for image in native["images"]]
    assert (prediction["created_at"], prediction["completed_at"]) == (native["created_at"], native["completed_at"])


@pytest.mark.parametrize("model", ["easel/example", "stability-ai/sdxl"])
def test_the_model_and_its_version(world: World, model: str) -> None:
    found = call(world, "GET", f"/v1/models/{model}")[1]
    assert (found["owner"], found["name"]) == ("easel", "example")
    version = found["latest_version"]
    assert call(world, "GET", f"/v1/models/{model}/versions")[1]["results"] == [version]
    assert call(world, "GET", f"/v1/models/{model}/versions/{'1' * 64}")[1] == version
    schemas = version["openapi_schema"]["components"]["schemas"]
    assert schemas["Output"]["type"] == "array" and "x-cog-array-type" not in schemas["Output"]
    assert schemas["Input"] == input_schema(PROFILE)
    assert ("image" in schemas["Input"]["properties"]) == PROFILE.image_to_image


@pytest.mark.parametrize("name", ["negative_prompt", "guidance_scale"])
@pytest.mark.parametrize("taken", [True, False])
def test_an_input_is_offered_only_where_the_model_takes_it(name: str, taken: bool) -> None:
    changes: dict[str, Any] = {f"takes_{name}": taken}
    profile = replace(PROFILE, **changes)
    (model,) = World(profile).call("GET", "/models")[1]["models"]
    assert model[f"takes_{name}"] is taken
    assert (name in input_schema(profile)["properties"]) is taken


def upload(world: World, content: bytes) -> tuple[int, Any]:
    head = b'--b\r\nContent-Disposition: form-data; name="content"; filename="a.png"\r\n\r\n'
    body = base64.b64encode(head + content + b"\r\n--b--\r\n").decode()
    sent = event("POST", "/v1/files", body, headers={**HOST, "Content-Type": "multipart/form-data; boundary=b"})
    response = world.send({**sent, "isBase64Encoded": True})
    return response["statusCode"], json.loads(response["body"])


def test_a_file_becomes_a_data_url_that_a_prediction_takes(world: World) -> None:
    status, file = upload(world, base64.b64decode(START))
    assert (status, file["urls"]["get"]) == (201, DATA_URL)
    assert not world.store.objects
    _, request = predict(world, {**APPLE["input"], "image": file["urls"]["get"]})
    assert request.init_image == START


@pytest.mark.parametrize("more", [0, 1])
def test_the_largest_file(world: World, more: int) -> None:
    content = base64.b64decode(START).ljust(INIT_IMAGE_BYTES + more, b"x")
    status, body = upload(world, content)
    assert status == (422 if more else 201)
    assert more == 0 or body["invalid_fields"][0]["field"] == "content"


def test_a_file_that_is_no_image_is_refused(world: World) -> None:
    assert upload(world, b"text")[0] == 422


DOCUMENTED = sorted({
    *(name for names in NAMES.values() for name in names), "refine", "high_noise_frac", "refine_steps",
    "apply_watermark", "lora_scale", "replicate_weights", "disable_safety_checker", "output_quality", "go_fast",
    "megapixels", "extra_lora", "guidance_rescale", "clip_skip", "vae", "webhook",
})  # fmt: skip
USED = {name for names in NAMES.values() for name in names}
VALUES: tuple[Any, ...] = (None, True, 0, -1, 3, 1.5, 10**12, "", "x", DATA_URL, [], ["x"], {}, {"x": 1})


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_inputs_reach_the_model_only_if_it_has_them(name: str) -> None:
    world = World(replace(PROFILE, max_pixel_steps=10**12, content=()))
    _, usual = predict(world, APPLE["input"])
    for value in VALUES:
        world.endpoint.submitted.clear()
        status, prediction = call(world, "POST", PREDICTIONS, {"input": {**APPLE["input"], name: value}})
        assert status in (201, 422), (value, prediction)
        if status == 201 and name not in USED:
            assert world.endpoint.request(world.endpoint.submitted[0]) == usual


HOOK = "https://hooks.example.com/hook"


@pytest.mark.parametrize(
    ("wanted", "events"),
    [(None, ["start", "completed"]), (["completed"], ["completed"]), (["output", "logs"], ["completed"])],
)
def test_a_webhook_gets_predictions(wanted: Any, events: list[str]) -> None:
    world = World(reports_start=True)
    body = {**APPLE, "webhook": HOOK, **({"webhook_events_filter": wanted} if wanted else {})}
    call(world, "POST", PREDICTIONS, body)
    record = json.loads(world.store.objects[world.endpoint.submitted[0].key("job.json")])
    assert (record["webhook"]["events"], record["webhook"]["api"]) == (events, "replicate")


def test_a_webhook_of_events_that_there_are_not_is_named_in_the_logs(world: World) -> None:
    body = {**APPLE, "webhook": HOOK, "webhook_events_filter": ["logs"]}
    assert "webhook was ignored" in call(world, "POST", PREDICTIONS, body)[1]["logs"]


@pytest.mark.parametrize(("rules", "url"), [(None, HOOK), (UrlRules(), "http://127.0.0.1/")])
def test_a_webhook_that_cannot_be_sent_is_refused(rules: Any, url: str) -> None:
    world = World(rules=rules)
    status, problem = call(world, "POST", PREDICTIONS, {**APPLE, "webhook": url})
    assert (status, problem["invalid_fields"][0]["field"]) == (422, "webhook")
    assert not world.endpoint.submitted


def test_the_secret_of_webhooks_is_that_of_the_native_api(world: World) -> None:
    assert call(world, "GET", "/v1/webhooks/default/secret") == world.call("GET", "/webhooks/secret")
