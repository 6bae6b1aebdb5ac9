"""A service with several models: requests choose one, in every API, and each has its own endpoint and state."""

import json
from dataclasses import replace
from typing import Any

import pytest
from fakes import PROFILE, World, event

from contract import EaselError, chosen_profile, parameters_of, parse_request
from jobs.accounting import Usage
from jobs.accounts import Limits
from jobs.ports import EndpointState, Ticket
from jobs.records import read_record
from routes.generations import Model

SMALL = replace(PROFILE, id="small", name="Small Model", max_side=256, sizes=((256, 256),), steps=3, scheduler="ddim")
APPLE = {"prompt": "a red apple", "seed": 7}


@pytest.fixture
def world() -> World:
    return World(others=[SMALL])


def submitted(world: World) -> dict[str, int]:
    return {id: len(endpoint.submitted) for id, endpoint in world.endpoints.items() if endpoint.submitted}


# --- the native API ------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "chosen"), [({}, PROFILE.id), ({"model": None}, PROFILE.id),
    ({"model": PROFILE.id}, PROFILE.id), ({"model": "small"}, "small")])  # fmt: skip
def test_a_request_chooses_its_model(world: World, model: Any, chosen: str) -> None:
    status, job = world.call("POST", "/jobs", APPLE | model)
    assert (status, job["model"], submitted(world)) == (202, chosen, {chosen: 1})
    assert ("model" in job["parameters"]) is bool(model.get("model"))
    record = read_record(world.store, Ticket(world.endpoints[chosen].submitted[0].owner, job["id"]))
    assert record is not None
    assert record.model == chosen


def test_a_request_is_validated_against_its_model(world: World) -> None:
    assert world.call("POST", "/jobs", APPLE | {"width": 512})[0] == 202
    status, problem = world.call("POST", "/jobs", APPLE | {"width": 512, "model": "small"})
    assert (status, problem["code"]) == (400, "out_of_range")
    _, job = world.call("POST", "/jobs", APPLE | {"model": "small"})
    assert (job["parameters"]["width"], job["parameters"]["num_inference_steps"]) == (256, 3)


@pytest.mark.parametrize("path", ["/jobs", "/generate"])
@pytest.mark.parametrize(("model", "code"), [("other", "unknown_value"), ("", "unknown_value"), (7, "wrong_type")])
def test_an_unknown_model_is_refused_with_the_ids(world: World, path: str, model: Any, code: str) -> None:
    status, problem = world.call("POST", path, APPLE | {"model": model})
    assert (status, problem["code"], submitted(world)) == (400, code, {})
    assert problem["invalid_params"][0]["name"] == "model"
    assert f"{PROFILE.id}, small" in problem["hint"]


def test_the_models_are_listed_with_their_states(world: World) -> None:
    world.endpoints["small"].known_state = EndpointState("asleep", "No instance is running.", (4, 10))
    _, body = world.call("GET", "/models")
    assert [model["id"] for model in body["models"]] == [PROFILE.id, "small"]
    assert [model["state"]["status"] for model in body["models"]] == ["ready", "asleep"]
    assert body["models"][1]["state"]["wake_minutes"] == [4, 10]
    assert body["models"][1]["defaults"]["width"] == 256


def test_the_health_is_that_of_every_model(world: World) -> None:
    world.endpoints["small"].known_state = EndpointState("broken", "It is gone.")
    _, health = world.call("GET", "/health")
    assert (health["status"], health["model"], health["endpoint"]["status"]) == ("degraded", PROFILE.id, "ready")
    assert {id: state["status"] for id, state in health["models"].items()} == {PROFILE.id: "ready", "small": "broken"}


def test_a_waiting_job_explains_the_state_of_its_own_model(world: World) -> None:
    world.endpoints["small"].known_state = EndpointState("asleep", "", (4, 10))
    messages = {
        model: world.call("POST", "/jobs", APPLE | {"model": model})[1]["message"] for model in (PROFILE.id, "small")
    }
    assert "4 to 10 minutes" in messages["small"]
    assert "4 to 10 minutes" not in messages[PROFILE.id]
    _, listed = world.call("GET", "/jobs")
    assert {job["model"]: job["message"] for job in listed["jobs"]} == messages


def test_every_model_has_a_schema_in_the_document(world: World) -> None:
    _, document = world.call("GET", "/openapi.json")
    default, small = document["components"]["schemas"]["GenerationRequest"]["anyOf"]
    assert (default["required"], small["required"]) == (["prompt"], ["prompt", "model"])
    assert small["properties"]["width"]["oneOf"][0]["maximum"] == 256


# --- a model that was removed ---------------------------------------------------------------------


def test_a_job_of_a_removed_model_fails_by_name(world: World) -> None:
    _, job = world.call("POST", "/jobs", APPLE | {"model": "small"})
    status, view = World(store=world.store).call("GET", f"/jobs/{job['id']}")
    assert (status, view["status"], view["model"]) == (200, "failed", "small")
    assert (view["error"]["code"], "small" in view["error"]["message"]) == ("endpoint_missing", True)


def test_the_finished_images_of_a_removed_model_remain(world: World) -> None:
    _, job = world.call("POST", "/jobs", APPLE | {"model": "small"})
    world.endpoints["small"].generate_all()
    _, view = World(store=world.store).call("GET", f"/jobs/{job['id']}")
    assert (view["status"], len(view["images"])) == ("succeeded", 1)


def test_a_job_of_an_older_version_has_no_model(world: World) -> None:
    _, job = world.call("POST", "/jobs", APPLE)
    key = f"jobs/{world.endpoint.submitted[0].owner}/{job['id']}/job.json"
    record = json.loads(world.store.objects[key])
    del record["model"]
    world.store.objects[key] = json.dumps(record).encode()
    world.endpoint.generate_all()
    _, view = world.call("GET", f"/jobs/{job['id']}")
    assert (view["status"], view["model"]) == ("succeeded", None)


# --- the container --------------------------------------------------------------------------------


def test_the_container_takes_its_own_model_only() -> None:
    request = parse_request(json.dumps(APPLE | {"model": "small"}), SMALL)
    assert parameters_of(request)["model"] == "small"
    with pytest.raises(EaselError) as error:
        parse_request(json.dumps(APPLE | {"model": "small"}), PROFILE)
    assert (error.value.code, error.value.param) == ("unknown_value", "model")


def test_the_parameters_of_a_request_without_a_model_have_none() -> None:
    assert "model" not in parameters_of(parse_request(json.dumps(APPLE), SMALL))


def test_the_first_model_is_the_default() -> None:
    assert chosen_profile({}, (PROFILE, SMALL)) == PROFILE
    assert chosen_profile({"model": "small"}, (PROFILE, SMALL)) == SMALL


# --- other APIs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "chosen"), [("small", "small"), (PROFILE.id, PROFILE.id), ("dall-e-3", PROFILE.id)])
def test_clients_of_openai_choose_by_the_field_model(world: World, model: str, chosen: str) -> None:
    body = {"prompt": "a red apple", "model": model, "response_format": "b64_json"}
    _, response = world.call("POST", "/v1/images/generations", body)
    assert (response["model"], submitted(world)) == (chosen, {chosen: 1})
    assert bool(response["warnings"]) is (model == "dall-e-3")


def test_clients_of_openai_see_all_models(world: World) -> None:
    assert [model["id"] for model in world.call("GET", "/v1/models")[1]["data"]] == [PROFILE.id, "small"]
    assert world.call("GET", "/v1/models/small")[1]["id"] == "small"
    status, error = world.call("GET", "/v1/models/other")
    assert (status, "small" in error["error"]["message"]) == (404, True)


def test_clients_of_hugging_face_choose_by_the_path(world: World) -> None:
    response = world.send(event("POST", "/hf/small/text-to-image", {"inputs": "a red apple"}))
    assert (response["statusCode"], response["headers"]["x-model"]) == (200, "small")
    assert submitted(world) == {"small": 1}
    world.endpoints["small"].known_state = EndpointState("asleep")
    assert world.call("GET", "/hf/small/text-to-image/health")[1]["endpoint"] == "asleep"
    assert world.call("GET", "/hf/text-to-image/health")[1]["endpoint"] == "ready"
    assert world.call("POST", "/hf/other/text-to-image", {"inputs": "a red apple"})[0] == 404


def test_clients_of_replicate_choose_by_path_or_version(world: World) -> None:
    _, small = world.call("GET", "/v1/models/easel/small")
    version = small["latest_version"]["id"]
    for path, sent in (("/v1/models/easel/small/predictions", {}), ("/v1/predictions", {"version": version}),
                       ("/v1/predictions", {"version": "easel/small"})):  # fmt: skip
        _, prediction = world.call("POST", path, {"input": {"prompt": "a red apple"}, **sent})
        assert (prediction["model"], prediction["version"]) == ("easel/small", version)
    assert submitted(world) == {"small": 3}
    _, other = world.call("POST", "/v1/models/stability-ai/sdxl/predictions", {"input": {"prompt": "a red apple"}})
    assert (other["model"], "is not deployed" in other["logs"]) == (f"easel/{PROFILE.id}", True)


def test_clients_of_automatic1111_choose_in_a_request(world: World) -> None:
    settings = {"override_settings": {"sd_model_checkpoint": "Small Model"}}
    _, body = world.call("POST", "/sdapi/v1/txt2img", {"prompt": "a red apple", **settings})
    assert (json.loads(body["info"])["sd_model_name"], submitted(world)) == ("small", {"small": 1})


def test_clients_of_automatic1111_keep_their_choice(world: World) -> None:
    listed = [model["title"] for model in world.call("GET", "/sdapi/v1/sd-models")[1]]
    assert listed == [PROFILE.id, "small"]
    assert world.call("POST", "/sdapi/v1/options", {"sd_model_checkpoint": "small"})[0] == 200
    assert world.call("GET", "/sdapi/v1/options")[1]["sd_model_checkpoint"] == "small"
    world.call("POST", "/sdapi/v1/txt2img", {"prompt": "a red apple"})
    assert submitted(world) == {"small": 1}
    assert [key for key in world.store.objects if key.startswith("options/")]
    other = event("GET", "/sdapi/v1/options", key="another")
    assert json.loads(world.send(other)["body"])["sd_model_checkpoint"] == PROFILE.id
    status, error = world.call("POST", "/sdapi/v1/options", {"sd_model_checkpoint": "other"})
    assert (status, error["errors"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("first", "second", "body"),
    [
        ("/hf/text-to-image", "/hf/small/text-to-image", {"inputs": "a red apple"}),
        ("/v1/predictions", "/v1/models/easel/small/predictions", {"input": {"prompt": "a red apple"}}),
    ],
)
def test_an_idempotency_key_is_for_one_model(world: World, first: str, second: str, body: dict[str, Any]) -> None:
    """The body is the same: the model is in the path."""
    key = {"Idempotency-Key": "k"}
    statuses = [world.send(event("POST", path, body, headers=key))["statusCode"] for path in (first, first, second)]
    assert statuses[:2] == [statuses[0]] * 2
    assert (statuses[0] < 300, statuses[2], submitted(world)) == (True, 409, {PROFILE.id: 1})


def test_an_idempotency_key_is_for_one_choice_of_a_client_of_automatic1111(world: World) -> None:
    def generate() -> int:
        headers = {"Idempotency-Key": "k"}
        return int(world.send(event("POST", "/sdapi/v1/txt2img", {"prompt": "a"}, headers=headers))["statusCode"])

    assert generate() == 200
    world.call("POST", "/sdapi/v1/options", {"sd_model_checkpoint": "small"})
    assert (generate(), submitted(world)) == (409, {PROFILE.id: 1})


@pytest.mark.parametrize("kept", [b"", b"[]", b"{}", b'{"model": "gone"}'])
def test_an_unusable_choice_is_the_default(world: World, kept: bytes) -> None:
    world.call("POST", "/sdapi/v1/options", {"sd_model_checkpoint": "small"})
    (key,) = (key for key in world.store.objects if key.startswith("options/"))
    world.store.objects[key] = kept
    assert world.call("GET", "/sdapi/v1/options")[1]["sd_model_checkpoint"] == PROFILE.id


# --- prices ---------------------------------------------------------------------------------------


def used(total: float, **models: float) -> Usage:
    return Usage(limits=Limits(), images_today=0, images_this_month=0, images_reserved=0, gpu_seconds=total,
                 model_seconds=models, day_ends_at=0, month_ends_at=0)  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "prices", "usd"),
    [
        (used(3600, a=3600), {"a": 1.0, "b": 5.0}, 1.0),
        (used(3600, b=3600), {"a": 1.0, "b": 5.0}, 5.0),
        (used(7200, a=1800, b=3600), {"a": 1.0, "b": 5.0}, 0.5 + 5.0 + 2.5),  # half an hour is reserved
        (used(3600), {"a": 1.0, "b": 5.0}, 5.0),  # of an older version
        (used(3600, gone=3600), {"a": 1.0, "b": 5.0}, 5.0),
        (used(3600, a=3600), {"": 2.0}, 2.0),  # `easel keys` of a deploy with one model
        (used(3600, a=3600), {"a": 1.0, "b": None}, 1.0),
        (used(0.8, a=0.7, b=0.1), {"a": 9.0, "b": 9.0, "c": None}, 0.002),  # no rest of 1e-16 s
        (used(3600, b=3600), {"a": 1.0, "b": None}, None),
        (used(3601, a=3600), {"a": 1.0, "b": None}, None),
        (used(0), {"a": None}, None),
        (used(0), {"a": 1.0}, 0.0),
        (used(3600, a=3600), {}, None),
    ],
)
def test_gpu_time_has_the_price_of_its_model(usage: Usage, prices: Any, usd: float | None) -> None:
    assert usage.usd(prices) == usd


@pytest.mark.parametrize("ended_by", ["reporter", "usage"])
def test_the_gpu_time_of_a_job_is_that_of_its_model(
    world: World, monkeypatch: pytest.MonkeyPatch, ended_by: str
) -> None:
    """Also if its process died before it could settle, and the next request does."""
    prices = Model(profile=PROFILE, usd_per_hour=0.36), Model(profile=SMALL, usd_per_hour=3600.0)
    monkeypatch.setattr(world.generations, "models", prices)
    if ended_by == "usage":
        monkeypatch.setattr(world.accounting, "on_end", lambda *_: None)
    jobs = [world.call("POST", "/jobs", APPLE | model)[1]["id"] for model in ({}, {"model": "small"})]
    for endpoint in world.endpoints.values():
        endpoint.generate_all()
    for job in jobs:
        world.call("GET", f"/jobs/{job}")
    world.clock.time += 3600
    _, body = world.call("GET", "/usage")
    (month,) = world.ledger.months.values()
    assert month.models.keys() == {PROFILE.id, "small"}
    assert sum(month.models.values()) == month.gpu_ms > 0
    usd = month.models[PROFILE.id] * 0.36 / 3_600_000 + month.models["small"] / 1000
    assert body["usd_this_month"] == pytest.approx(usd, abs=1e-6)
