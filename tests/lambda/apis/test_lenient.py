"""Values of compatible APIs: changed to the nearest that the model takes, with a warning, or refused by name."""

from dataclasses import replace
from typing import Any

import pytest
from fakes import PROFILE

from contract import GUIDANCE, IMAGES, SEED, SIDE, STRENGTH, EaselError, validate_request
from routes.lenient import LenientFields


def lenient(**calls: tuple[Any, ...]) -> LenientFields:
    fields = LenientFields(PROFILE)
    for name, arguments in calls.items():
        getattr(fields, name)(*arguments)
    return fields


@pytest.mark.parametrize(
    ("sent", "size"),
    [
        ((None, None), PROFILE.sizes[0]),
        ((64, 64), (64, 64)),
        ((63, 65), (64, 64)),
        (("128", "72.0"), (128, 72)),
        ((0, -5), (SIDE.minimum, SIDE.minimum)),
        ((PROFILE.max_side, 64), (PROFILE.max_side, 64)),
        ((PROFILE.max_side * 4, PROFILE.max_side * 2), (PROFILE.max_side, PROFILE.max_side // 2)),
        ((10**300, 10**300), (PROFILE.max_side, PROFILE.max_side)),
    ],
)
def test_sizes_become_the_nearest_that_the_model_takes(sent: tuple[Any, Any], size: tuple[int, int]) -> None:
    fields = lenient(size=sent)
    request = validate_request({"prompt": "a", **fields.fields}, replace(PROFILE, max_pixel_steps=2**60))
    assert (request.width, request.height) == size
    changed = [None if side is None else float(side) for side in sent] not in ([None, None], [*map(float, size)])
    assert bool(fields.warnings) == changed


@pytest.mark.parametrize(
    ("method", "field", "minimum", "maximum"),
    [
        ("guidance", "guidance_scale", GUIDANCE.minimum, GUIDANCE.maximum),
        ("strength", "strength", STRENGTH.minimum, STRENGTH.maximum),
        ("images", "num_images_per_prompt", IMAGES.minimum, IMAGES.maximum),
        ("steps", "num_inference_steps", 1, PROFILE.max_steps),
    ],
)
def test_numbers_are_kept_within_their_bounds(method: str, field: str, minimum: float, maximum: float) -> None:
    for sent, used in ((minimum, minimum), (maximum, maximum), (minimum - 1, minimum), (maximum + 1, maximum)):
        for value in (sent, str(sent)):
            fields = lenient(**{method: (value, "their_name")})
            assert fields.fields == {field: used}
            assert len(fields.warnings) == (sent != used)
            assert all("their_name" in warning for warning in fields.warnings)


@pytest.mark.parametrize(
    ("sent", "seed"),
    [
        (0, 0),
        ("7", 7),
        (SEED.maximum, SEED.maximum),
        (SEED.maximum + 1, 0),
        (2**63 - 1, SEED.maximum),
        (-1, None),
        (None, None),
        ("", None),
    ],
)
def test_seeds_keep_their_low_32_bits(sent: Any, seed: int | None) -> None:
    fields = lenient(seed=(sent, "seed"))
    assert fields.fields.get("seed") == seed
    assert bool(fields.warnings) == (type(sent) is int and sent > SEED.maximum)


@pytest.mark.parametrize("value", ["many", "nan", "inf", [], {}, True, "1" * 400])
@pytest.mark.parametrize("method", ["guidance", "images", "seed", "steps", "strength"])
def test_what_is_no_number_is_refused_by_its_name(method: str, value: Any) -> None:
    with pytest.raises(EaselError) as raised:
        lenient(**{method: (value, "their_name")})
    assert (raised.value.code, raised.value.param) == ("wrong_type", "their_name")


def test_an_unknown_scheduler_is_replaced_and_bounds_the_steps() -> None:
    profile = replace(PROFILE, scheduler="ddim", schedulers=("ddim", "lcm"))
    fields = LenientFields(profile)
    fields.scheduler(None, "Restart", "sampler_name")
    assert "scheduler" not in fields.fields and "Restart" in fields.warnings[0]
    fields = LenientFields(profile)
    fields.scheduler("lcm", "LCM", "sampler_name")
    fields.steps(51, "steps")
    assert fields.fields == {"scheduler": "lcm", "num_inference_steps": 50}
