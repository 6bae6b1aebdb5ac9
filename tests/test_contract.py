"""The contract: golden messages, round trips, and both ends of every bound."""

import base64
import dataclasses
import hashlib
import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import contract

ROOT = Path(__file__).parent.parent
PROFILE = contract.parse_profile((ROOT / "examples/profile.json").read_text())
UNLIMITED = dataclasses.replace(PROFILE, max_side=contract.SIDE.maximum, max_pixel_steps=10**12)


def golden(name: str) -> Any:
    return [pytest.param(case, id=case["name"]) for case in json.loads((ROOT / f"examples/{name}.json").read_text())]


def parse(body: dict[str, Any], profile: contract.ModelProfile = UNLIMITED) -> contract.GenerationRequest:
    return contract.parse_request(json.dumps(body), profile, lambda: 7)


def png(ihdr: bytes = b"IHDR" + b"\0\0\0\x08" * 2, size: int = 0) -> str:
    """Return base64 of at least `size` bytes with the header of a PNG."""
    return base64.b64encode((b"\x89PNG\r\n\x1a\n\0\0\0\r" + ihdr).ljust(size, b"x")).decode()


def png_of(width: int, height: int) -> str:
    return png(b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big"))


def test_mirrors() -> None:
    mirrors = (
        ("model_code/contract.py", "lambda"),
        ("model_code/contract.py", "easel/client"),
        ("model_code/images/infotext.py", "lambda/routes/automatic1111"),
        ("models/emoji/vocabulary.json", "lambda"),
        ("stacks/config/names.py", "custom_resources"),
        ("easel/client/deadline.py", "cloud9"),
    )
    for file, folder in mirrors:
        assert (ROOT / folder / Path(file).name).read_bytes() == (ROOT / file).read_bytes(), "make mirror"
    rules, copied = (
        {file.relative_to(ROOT / room): file.read_bytes() for file in (ROOT / room / "model_folder").rglob("*.py")}
        for room in ("model_code", "model_importer")
    )
    assert rules == copied, "make mirror"


@pytest.mark.parametrize("case", golden("accepted"))
def test_accepted(case: Any) -> None:
    assert json.loads(contract.render_request(parse(case["body"], PROFILE))) == case["request"]


@pytest.mark.parametrize("case", golden("rejected"))
@pytest.mark.parametrize("encode", [str, lambda body: body.encode("utf-8", "surrogatepass")], ids=["text", "bytes"])
def test_rejected(case: Any, encode: Any) -> None:
    with pytest.raises(contract.EaselError) as error:
        contract.parse_request(encode(case["body"]), PROFILE)
    assert (error.value.code, error.value.param) == (case["code"], case["param"])
    assert error.value.message
    assert error.value.kind.status == 400


@pytest.mark.parametrize("case", golden("responses"))
def test_responses(case: Any) -> None:
    if case["code"] is None:
        result = contract.parse_response(case["body"])
        assert json.loads(contract.render_result(result)) == json.loads(case["body"])
    else:
        with pytest.raises(contract.EaselError) as error:
            contract.parse_response(case["body"])
        assert error.value.code == case["code"]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40).filter(
    str.strip
)
SIDES = st.integers(contract.SIDE.minimum // 8, contract.SIDE.maximum // 8).map(lambda n: n * 8)
REQUESTS = st.builds(
    contract.GenerationRequest,
    prompt=st.lists(TEXT, min_size=1, max_size=2).map(tuple),
    negative_prompt=st.just("") | TEXT,
    width=SIDES,
    height=SIDES,
    num_images_per_prompt=st.integers(1, 4),
    num_inference_steps=st.integers(contract.STEPS.minimum, contract.STEPS.maximum),
    guidance_scale=st.floats(contract.GUIDANCE.minimum, contract.GUIDANCE.maximum),
    seed=st.integers(contract.SEED.minimum, contract.SEED.maximum),
    scheduler=st.sampled_from(UNLIMITED.schedulers),
    output_format=st.sampled_from(list(contract.OUTPUT_FORMATS)),
    deadline_ms=st.none() | st.integers(contract.DEADLINE_MS.minimum, contract.DEADLINE_MS.maximum),
    embed_parameters=st.booleans(),
    clip_skip=st.none() | st.integers(1, 12),
) | st.builds(
    contract.GenerationRequest,
    prompt=st.just(("a",)),
    width=SIDES,
    height=SIDES,
    num_inference_steps=st.integers(contract.STEPS.minimum, contract.STEPS.maximum),
    guidance_scale=st.just(1.0),
    seed=st.just(7),
    scheduler=st.just("ddim"),
    init_image=st.binary(max_size=99).map(lambda more: png(b"IHDR" + b"\0\0\0\x08" * 2 + more)),
    strength=st.floats(contract.STRENGTH.minimum, contract.STRENGTH.maximum),
)


@given(REQUESTS)
def test_parse_is_the_inverse_of_render(request: contract.GenerationRequest) -> None:
    assert contract.parse_request(contract.render_request(request), UNLIMITED) == request


@given(REQUESTS)
def test_every_image_has_its_seed(request: contract.GenerationRequest) -> None:
    seeds = request.seeds()
    assert len(seeds) == len(request.prompt) * request.num_images_per_prompt
    assert seeds[0] == request.seed
    assert all(contract.SEED.minimum <= seed <= contract.SEED.maximum for seed in seeds)
    assert all((b - a) % 2**32 == 1 for a, b in itertools.pairwise(seeds))


@given(st.text() | st.binary(), st.text(max_size=20))
def test_any_body_is_parsed_or_rejected(body: str | bytes, key: str) -> None:
    for attempt in (body, json.dumps({"prompt": "a", key: 1})):
        try:
            contract.parse_request(attempt, PROFILE)
        except contract.EaselError as error:
            assert error.kind.status in {400, 413}


@pytest.mark.parametrize("encode", [str, str.encode])
def test_a_byte_order_mark_is_named(encode: Any) -> None:
    with pytest.raises(contract.EaselError, match="byte order mark") as error:
        contract.parse_request(encode('\ufeff{"prompt": "a"}'), PROFILE)
    assert error.value.code == "invalid_json"


def test_deep_nesting_and_long_numbers_are_rejected() -> None:
    for value in ("[" * 30_000, "9" * 5_000):
        with pytest.raises(contract.EaselError) as error:
            contract.parse_request('{"prompt": "a", "seed": ' + value + "}", PROFILE)
        assert error.value.code == "invalid_json"


BOUNDS = [
    ("num_inference_steps", contract.STEPS, 1),
    ("guidance_scale", contract.GUIDANCE, 1),
    ("num_images_per_prompt", contract.IMAGES, 1),
    ("seed", contract.SEED, 1),
    ("deadline_ms", contract.DEADLINE_MS, 1),
    ("width", contract.SIDE, contract.SIDE_MULTIPLE),
    ("height", contract.SIDE, contract.SIDE_MULTIPLE),
]


@pytest.mark.parametrize(("name", "bound", "step"), BOUNDS, ids=[name for name, *_ in BOUNDS])
def test_bounds_of_numbers(name: str, bound: contract.Bound, step: int) -> None:
    for value in (bound.minimum, bound.maximum):
        assert getattr(parse({"prompt": "a", name: value}), name) == value
    for value in (bound.minimum - step, bound.maximum + step):
        with pytest.raises(contract.EaselError) as error:
            parse({"prompt": "a", name: value})
        assert (error.value.code, error.value.param) == ("out_of_range", name)
        assert str(bound.maximum) in error.value.hint


STEPS_OF = [
    ("ddim", contract.STEPS.maximum, 150),
    ("lcm", contract.STEPS.maximum, 50),
    ("ddim", 30, 30),
    ("lcm", 30, 30),
    ("lcm", 50, 50),
]


@pytest.mark.parametrize(("scheduler", "max_steps", "limit"), STEPS_OF)
@pytest.mark.parametrize("is_default", [True, False])
def test_the_bound_of_steps_is_that_of_model_and_scheduler(
    scheduler: str, max_steps: int, limit: int, is_default: bool
) -> None:
    default = scheduler if is_default else "euler"
    profile = dataclasses.replace(
        UNLIMITED, schedulers=("lcm", "ddim", "euler"), scheduler=default, max_steps=max_steps, name="Tiny"
    )
    body = {"prompt": "a"} if is_default else {"prompt": "a", "scheduler": scheduler}
    assert contract.steps_bound(profile, scheduler) == contract.Bound(1, limit)
    assert parse(body, dataclasses.replace(profile, steps=150)).num_inference_steps == limit
    assert parse({**body, "num_inference_steps": limit}, profile).num_inference_steps == limit
    with pytest.raises(contract.EaselError) as error:
        parse({**body, "num_inference_steps": limit + 1}, profile)
    assert (error.value.code, error.value.param) == ("out_of_range", "num_inference_steps")
    assert all(part in error.value.message for part in (scheduler, "Tiny", str(limit)))


@pytest.mark.parametrize("image", [{}, {"strength": 0.5}])
def test_the_strength_does_not_raise_the_bound_of_steps(image: dict[str, Any]) -> None:
    """The scheduler makes its whole schedule before the first steps are skipped."""
    profile = dataclasses.replace(UNLIMITED, schedulers=("lcm",), scheduler="lcm", steps=4)
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", "init_image": png(), "num_inference_steps": 51, **image}, profile)
    assert error.value.code == "out_of_range"


@pytest.mark.parametrize(
    ("name", "bound"), [("prompt", contract.PROMPT_CHARS), ("negative_prompt", contract.NEGATIVE_PROMPT_CHARS)]
)
def test_bounds_of_texts(name: str, bound: contract.Bound) -> None:
    parse({"prompt": "a", name: "é" * bound.maximum})
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", name: "é" * (bound.maximum + 1)})
    assert (error.value.code, error.value.param) == ("out_of_range", name)
    assert str(bound.maximum) in error.value.hint


def test_bound_of_prompts() -> None:
    assert parse({"prompt": ["a"] * contract.PROMPTS.maximum}).image_count == contract.PROMPTS.maximum
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": ["a"] * (contract.PROMPTS.maximum + 1)})
    assert (error.value.code, error.value.param) == ("out_of_range", "prompt")


def test_bound_of_the_body() -> None:
    body = '{"prompt": "a"' + " " * contract.BODY_BYTES.maximum
    fitting = body[: contract.BODY_BYTES.maximum - 1] + "}"
    assert contract.parse_request(fitting, PROFILE).prompt == ("a",)
    with pytest.raises(contract.EaselError) as error:
        contract.parse_request(fitting[:-1] + " }", PROFILE)
    assert error.value.code == "payload_too_large"


def test_the_largest_allowed_prompts_and_init_image_fit_the_body() -> None:
    prompts = ["熊" * contract.PROMPT_CHARS.maximum] * contract.PROMPTS.maximum
    largest = {"prompt": prompts, "init_image": png(size=contract.INIT_IMAGE_BYTES)}
    body = json.dumps(largest, ensure_ascii=False).encode()
    assert contract.parse_request(body, UNLIMITED).image_count == contract.PROMPTS.maximum
    assert len(base64.b64encode(body)) < 6_000_000  # limit of a Lambda event, where the body may be base64


def test_bound_of_the_init_image_in_bytes() -> None:
    parse({"prompt": "a", "init_image": png(size=contract.INIT_IMAGE_BYTES)})
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", "init_image": png(size=contract.INIT_IMAGE_BYTES + 1)})
    assert (error.value.code, error.value.param) == ("out_of_range", "init_image")
    assert str(contract.INIT_IMAGE_BYTES) in error.value.hint


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x24ftypheic", "HEIC"),
        (b"\0\0\0\x1cftypmif1", "HEIC"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"GIF89a", "GIF"),
        (b"II*\0", "TIFF"),
        (b"BM", "unknown image format"),
    ],
)
def test_format_that_is_not_read_is_named(start: bytes, name: str) -> None:
    with pytest.raises(contract.EaselError, match=name) as error:
        parse({"prompt": "a", "init_image": base64.b64encode(start + bytes(99)).decode()})
    assert (error.value.code, error.value.param) == ("bad_image", "init_image")
    assert "png, webp, jpeg" in error.value.hint


def test_bound_of_the_init_image_in_pixels() -> None:
    parse({"prompt": "a", "init_image": png_of(1, contract.INIT_IMAGE_PIXELS)})
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", "init_image": png_of(1, contract.INIT_IMAGE_PIXELS + 1)})
    assert (error.value.code, error.value.param) == ("out_of_range", "init_image")


def test_bound_of_strength() -> None:
    for strength in (contract.STRENGTH.minimum, contract.STRENGTH.maximum):
        assert parse({"prompt": "a", "init_image": png(), "strength": strength}).strength == strength
    for strength in (contract.STRENGTH.minimum - 1e-9, contract.STRENGTH.maximum + 1e-9):
        with pytest.raises(contract.EaselError) as error:
            parse({"prompt": "a", "init_image": png(), "strength": strength})
        assert (error.value.code, error.value.param) == ("out_of_range", "strength")


FORMATS = [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {}), ("WEBP", {"lossless": True})]


@given(st.sampled_from(FORMATS), st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_image_size_reads_the_header(kind: Any, width: int, height: int, exif: bool) -> None:
    """With EXIF a WebP has the extended header, and a JPEG another segment before the frame."""
    file, block = io.BytesIO(), Image.Exif()
    block[0x010E] = "a description"
    Image.new("RGB", (width, height)).save(file, kind[0], **kind[1], **({"exif": block} if exif else {}))
    assert contract.image_size(file.getvalue()) == (width, height)


@given(st.sampled_from([b"\xff\xd8\xff", b"RIFF1234WEBPVP8 ", b"RIFF1234WEBPVP8L", b"RIFF1234WEBPVP8X"]), st.binary())
def test_image_size_accepts_any_bytes(start: bytes, rest: bytes) -> None:
    size = contract.image_size(start + rest)
    assert size is None or all(size)


@pytest.mark.parametrize(("strength", "steps"), [(None, 20), (1, 20), (0.8, 16), (0.5, 10), (0.07, 1), (0.01, 1)])
def test_steps_that_run(strength: float | None, steps: int) -> None:
    image = {} if strength is None else {"init_image": png(), "strength": strength}
    assert parse({"prompt": "a", "num_inference_steps": 20, **image}).steps == steps


def test_with_an_init_image_only_the_steps_that_run_count() -> None:
    body = {"prompt": "a", "init_image": png(), "strength": 0.5}
    requested = contract.pixel_steps(512, 512, 10, 1)
    parse(body, dataclasses.replace(PROFILE, max_pixel_steps=requested))
    with pytest.raises(contract.EaselError) as error:
        parse(body, dataclasses.replace(PROFILE, max_pixel_steps=requested - 1))
    assert error.value.code == "job_too_large"


def test_a_model_without_image_to_image_rejects_an_init_image() -> None:
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", "init_image": png()}, dataclasses.replace(PROFILE, image_to_image=False))
    assert (error.value.code, error.value.param) == ("not_supported", "init_image")


MASK = {"init_image": png(), "mask_image": png()}


def test_a_mask_generates_the_masked_part_anew() -> None:
    request = parse({"prompt": "a", **MASK})
    assert (request.has_mask, request.strength, request.mask_mode, request.mask_blur) == (True, 1.0, "white", 4)
    request = parse({"prompt": "a", **MASK, "strength": 0.5, "mask_mode": "transparent", "mask_blur": 0})
    assert (request.strength, request.mask_mode, request.mask_blur) == (0.5, "transparent", 0)
    assert contract.parse_request(contract.render_request(request), PROFILE) == request


def test_outpaint_extends_the_init_image() -> None:
    body = {"prompt": "a", "init_image": png_of(500, 256)}
    request = parse({**body, "outpaint": {"left": 8, "bottom": 100, "right": None}})
    assert request.outpaint == {"left": 8, "right": 0, "top": 0, "bottom": 100}
    assert (request.width, request.height, request.has_mask, request.strength) == (512, 360, True, 1.0)
    request = parse({**body, "outpaint": {"top": 64}, "width": 512, "height": 128})
    assert (request.width, request.height) == (512, 128)
    assert contract.parse_request(contract.render_request(request), PROFILE) == request


def test_outpaint_extends_the_upright_image() -> None:
    """A phone stores a portrait lying, with orientation 6."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("RGB", (256, 128)).save(file, "JPEG", exif=exif)
    request = parse({"prompt": "a", "init_image": base64.b64encode(file.getvalue()).decode(), "outpaint": {"left": 64}})
    assert (request.width, request.height) == (192, 256)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"mask_image": png()}, "missing_field", "init_image"),
        ({"outpaint": {"left": 8}}, "missing_field", "init_image"),
        ({"init_image": png(), "mask_mode": "black"}, "missing_field", "mask_image"),
        ({"init_image": png(), "mask_blur": 4}, "missing_field", "mask_image"),
        ({**MASK, "mask_image": "?"}, "bad_image", "mask_image"),
        ({**MASK, "mask_image": 1}, "wrong_type", "mask_image"),
        ({**MASK, "mask_image": "data:image/png;base64,AAAA"}, "bad_image", "mask_image"),
        ({**MASK, "mask_mode": "gray"}, "unknown_value", "mask_mode"),
        ({**MASK, "mask_blur": contract.MASK_BLUR.maximum + 1}, "out_of_range", "mask_blur"),
        ({**MASK, "mask_blur": contract.MASK_BLUR.minimum - 1}, "out_of_range", "mask_blur"),
        ({**MASK, "mask_blur": 1.5}, "wrong_type", "mask_blur"),
        ({"init_image": png(), "outpaint": []}, "wrong_type", "outpaint"),
        ({"init_image": png(), "outpaint": {}}, "out_of_range", "outpaint"),
        ({"init_image": png(), "outpaint": {"left": 0}}, "out_of_range", "outpaint"),
        ({"init_image": png(), "outpaint": {"up": 8}}, "unknown_field", "outpaint"),
        ({"init_image": png(), "outpaint": {"left": -1}}, "out_of_range", "outpaint"),
        ({"init_image": png(), "outpaint": {"left": contract.OUTPAINT.maximum + 1}}, "out_of_range", "outpaint"),
        ({"init_image": png(), "outpaint": {"left": "8"}}, "wrong_type", "outpaint"),
        ({"init_image": png(), "outpaint": {"left": 449}, "width": 512, "height": 64}, "out_of_range", "outpaint"),
        ({"init_image": png_of(contract.SIDE.maximum, 64), "outpaint": {"left": 1}}, "out_of_range", "width"),
    ],
)  # fmt: skip
def test_fields_about_masks_are_checked(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", **fields})
    assert (error.value.code, error.value.param) == (code, param)


def test_bounds_of_masks_are_accepted() -> None:
    for blur in (contract.MASK_BLUR.minimum, contract.MASK_BLUR.maximum):
        assert parse({"prompt": "a", **MASK, "mask_blur": blur}).mask_blur == blur
    rest = {"init_image": png(), "outpaint": {"left": 448}, "width": 512, "height": 512}
    assert parse({"prompt": "a", **rest}).outpaint == {"left": 448, "right": 0, "top": 0, "bottom": 0}


# --- weighted prompts, clip_skip, hires ----------------------------------------------------------

PARSED = [
    ("normal text", [[("normal text", 1.0)]]),
    ("an (important) word", [[("an ", 1.0), ("important", 1.1), (" word", 1.0)]]),
    ("(unbalanced", [[("unbalanced", 1.1)]]),
    (r"\(literal\]", [[("(literal]", 1.0)]]),
    ("(unnecessary)(parens)", [[("unnecessaryparens", 1.1)]]),
    (
        "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
        [[("a ", 1.0), ("house", 1.573), (" ", 1.1), ("on", 1.0), (" a ", 1.1), ("hill", 0.55), (", sun, ", 1.1),
          ("sky", 1.4641), (".", 1.1)]],
    ),
    ("[less] and ((more))", [[("less", 1 / 1.1), (" and ", 1.0), ("more", 1.21)]]),
    ("a cat BREAK (a dog BREAK a bus:1.5)", [[("a cat", 1.0)], [("a dog", 1.5)], [("a bus", 1.5)]]),
    ("BREAK a BREAK BREAK", [[("a", 1.0)]]),
    (r"4:3, x:1.3) ] \\ \a (b:c)", [[(r"4:3, x:1.3) ] \ \a ", 1.0), ("b:c", 1.1)]]),
    ("()", []),
]  # fmt: skip
"""The first six are the examples in the documentation of AUTOMATIC1111's `parse_prompt_attention`."""


@pytest.mark.parametrize(("text", "sections"), PARSED)
def test_prompts_are_parsed_as_automatic1111_parses_them(text: str, sections: Any) -> None:
    parsed = contract.parse_prompt(text).sections
    texts = [[part.text for part in section] for section in parsed]
    assert texts == [[part for part, _ in section] for section in sections]
    weights = [part.weight for section in parsed for part in section]
    assert weights == pytest.approx([weight for section in sections for _, weight in section])


@given(st.text(st.sampled_from("ab ()[]\\:.19BREAK\n熊")))
def test_any_text_is_a_weighted_prompt(text: str) -> None:
    prompt = contract.parse_prompt(text)
    assert all(part.text and math.isfinite(part.weight) for section in prompt.sections for part in section)
    if not set(text) & set("()[]\\") and "BREAK" not in text:
        assert prompt.text == text


def test_longest_prompts_are_parsed_in_time() -> None:
    """Each bracket multiplies what is in it: the deepest nesting stays far under the time of one step."""
    for text in ("(a" * 1000, "(" * 2000, ":" * 2000, ":1" * 1000, "BREAK " * 333):
        contract.parse_prompt(text)
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "(a" * 1000, "prompt_syntax": "weighted"})
    assert error.value.code == "out_of_range"


@pytest.mark.parametrize("param", ["prompt", "negative_prompt"])
def test_bounds_of_weights(param: str) -> None:
    bound = contract.PROMPT_WEIGHT
    for weight in (bound.minimum, bound.maximum):
        request = parse({"prompt": "a", param: f"(b:{weight})", "prompt_syntax": "weighted"})
        assert contract.parse_request(contract.render_request(request), PROFILE) == request
    for outside in (bound.minimum - 0.01, bound.maximum + 0.01):
        body = {"prompt": "a", param: f"(secret:{outside})"}
        assert parse(body).prompt_syntax == "plain"
        with pytest.raises(contract.EaselError) as error:
            parse({**body, "prompt_syntax": "weighted"})
        assert (error.value.code, error.value.param) == ("out_of_range", param)
        assert f"{outside:g}" in error.value.message
        assert "secret" not in error.value.message


def test_bounds_of_clip_skip() -> None:
    smaller = dataclasses.replace(UNLIMITED, clip_layers=4)
    larger = dataclasses.replace(UNLIMITED, clip_layers=32)
    for profile, limit in ((smaller, 4), (UNLIMITED, 12), (larger, contract.CLIP_SKIP.maximum)):
        for value in (1, limit):
            assert parse({"prompt": "a", "clip_skip": value}, profile).clip_skip == value
        for value in (0, limit + 1):
            with pytest.raises(contract.EaselError) as error:
                parse({"prompt": "a", "clip_skip": value}, profile)
            assert (error.value.code, error.value.param) == ("out_of_range", "clip_skip")


def test_hires_has_defaults_and_a_size() -> None:
    request = parse({"prompt": "a", "width": 512, "height": 768, "num_inference_steps": 20, "hires": {}})
    assert request.hires == contract.Hires(scale=2.0, strength=0.5, steps=20)
    assert (request.width, request.height, request.result_size) == (512, 768, (1024, 1536))
    request = parse({"prompt": "a", "width": 64, "height": 72, "hires": {"scale": 1.5, "steps": 9, "strength": None}})
    assert request.hires == contract.Hires(scale=1.5, strength=0.5, steps=9)
    assert (request.result_size, request.hires.steps_that_run) == ((96, 112), 5)
    assert contract.parse_request(contract.render_request(request), UNLIMITED) == request


HIRES = [
    ("scale", contract.HIRES_SCALE, 1e-9),
    ("strength", contract.STRENGTH, 1e-9),
    ("steps", contract.STEPS, 1),
]


@pytest.mark.parametrize(("name", "bound", "step"), HIRES, ids=[name for name, *_ in HIRES])
def test_bounds_of_hires(name: str, bound: contract.Bound, step: float) -> None:
    for value in (bound.minimum, bound.maximum):
        assert getattr(parse({"prompt": "a", "hires": {name: value}}).hires, name) == value
    for outside in (bound.minimum - step, bound.maximum + step):
        with pytest.raises(contract.EaselError) as error:
            parse({"prompt": "a", "hires": {name: outside}})
        assert (error.value.code, error.value.param) == ("out_of_range", f"hires.{name}")


def test_bound_of_the_size_of_the_second_pass() -> None:
    profile = dataclasses.replace(UNLIMITED, max_side=1024)
    assert parse({"prompt": "a", "hires": {}}, profile).result_size == (1024, 1024)
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", "height": 520, "hires": {}}, profile)
    assert (error.value.code, error.value.param) == ("out_of_range", "hires.scale")
    largest = contract.SIDE.maximum // 2
    assert parse({"prompt": "a", "width": largest, "hires": {}}).result_size[0] == contract.SIDE.maximum
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", "width": largest + 8, "hires": {}})
    assert (error.value.code, error.value.param) == ("out_of_range", "hires.scale")


def test_both_passes_count() -> None:
    body = {"prompt": "a", "num_images_per_prompt": 2, "num_inference_steps": 10, "hires": {"steps": 20}}
    first, second = contract.pixel_steps(512, 512, 10, 2), contract.pixel_steps(1024, 1024, 10, 2)
    exact = dataclasses.replace(UNLIMITED, max_pixel_steps=first + second)
    assert parse(body, exact).pixel_steps(exact) == first + second
    with pytest.raises(contract.EaselError) as error:
        parse(body, dataclasses.replace(exact, max_pixel_steps=first + second - 1))
    assert error.value.code == "job_too_large"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt_syntax": "compel"}, "unknown_value", "prompt_syntax"),
        ({"prompt_syntax": 1}, "wrong_type", "prompt_syntax"),
        ({"prompt": "((( )))", "prompt_syntax": "weighted"}, "bad_text", "prompt"),
        ({"clip_skip": "2"}, "wrong_type", "clip_skip"),
        ({"hires": 2}, "wrong_type", "hires"),
        ({"content": "blur"}, "unknown_value", "content"),
        ({"content": True}, "wrong_type", "content"),
        ({"hires": {"upscaler": "x"}}, "unknown_field", "hires"),
        ({"hires": {"scale": "2"}}, "wrong_type", "hires.scale"),
        ({"hires": {}, "init_image": png()}, "not_supported", "hires"),
    ],
)
def test_fields_about_prompts_are_checked(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", **fields})
    assert (error.value.code, error.value.param) == (code, param)


def test_content_is_what_the_service_allows() -> None:
    for allowed in (contract.CONTENT, contract.CONTENT[:1], ()):
        profile = dataclasses.replace(UNLIMITED, content=allowed)
        assert parse({"prompt": "a", "content": None}, profile).content is None
        for value in contract.CONTENT:
            if value in allowed:
                assert parse({"prompt": "a", "content": value}, profile).content == value
                continue
            with pytest.raises(contract.EaselError) as error:
                parse({"prompt": "a", "content": value}, profile)
            assert (error.value.code, error.value.param) == ("not_supported", "content")
            assert ("safety checker" in error.value.message) == (not allowed)


@pytest.mark.parametrize("fields", [{"prompt_syntax": "weighted"}, {"clip_skip": 1}, {"hires": {}}])
def test_other_models_refuse_what_they_have_not(fields: dict[str, Any]) -> None:
    other = dataclasses.replace(UNLIMITED, clip_layers=None, image_to_image=False)
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", **fields}, other)
    assert (error.value.code, error.value.param) == ("not_supported", next(iter(fields)))
    assert parse({"prompt": "a", "prompt_syntax": "plain"}, other).prompt_syntax == "plain"


def test_both_images_share_the_largest_size() -> None:
    def padded(size: int) -> str:
        return base64.b64encode(base64.b64decode(png()).ljust(size, b"\0")).decode()

    half = contract.INIT_IMAGE_BYTES // 2  # of a file, before base64
    parse({"prompt": "a", "init_image": padded(half), "mask_image": padded(half)})
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": "a", "init_image": padded(half), "mask_image": padded(half + 1)})
    assert (error.value.code, error.value.param) == ("out_of_range", "mask_image")


def test_without_image_replaces_the_init_image_by_its_hash() -> None:
    request = parse({"prompt": "a", "init_image": png()})
    hashed = hashlib.sha256(base64.b64decode(png())).hexdigest()
    assert contract.without_image(request) == dataclasses.replace(request, init_image=f"sha256:{hashed}")
    assert png() not in repr(request)
    plain = parse({"prompt": "a"})
    assert contract.without_image(plain) == plain


def test_bound_of_pixel_steps() -> None:
    requested = contract.pixel_steps(512, 512, 20, 2)
    exact, less = (dataclasses.replace(PROFILE, max_pixel_steps=limit) for limit in (requested, requested - 1))
    assert parse({"prompt": ["a", "b"]}, exact).image_count == 2
    with pytest.raises(contract.EaselError) as error:
        parse({"prompt": ["a", "b"]}, less)
    assert error.value.code == "job_too_large"
    assert str(requested) in error.value.message
    assert str(less.max_pixel_steps) in error.value.message


@given(
    st.sampled_from(list(contract.ERRORS)), st.text(max_size=50), st.text(max_size=50), st.none() | st.text(max_size=9)
)
def test_errors_survive_a_round_trip(code: str, message: str, hint: str, param: str | None) -> None:
    with pytest.raises(contract.EaselError) as raised:
        contract.parse_response(contract.render_error(contract.EaselError(code, message, hint=hint, param=param)))
    error = raised.value
    assert (error.code, error.message, error.hint, error.param) == (code, message, hint, param)


def test_profile_round_trip() -> None:
    presets = contract.Preset(name="Photo", size=(768, 512)), contract.Preset(name="Quick", name_zh="快速", steps=4)
    profile = dataclasses.replace(PROFILE, presets=presets)
    assert contract.parse_profile(contract.render_profile(profile)) == profile
    assert '"presets":[{"name":"Photo","size":[768,512]},' in contract.render_profile(profile)
    assert contract.parse_profile(contract.render_profile(PROFILE)) == PROFILE


LORAS = tuple(contract.ProfileLora(id=f"l{i}") for i in range(5))
FAST_LORA = contract.ProfileLora(id="fast", scale=0.5, scheduler="euler", steps=4, guidance_scale=1.0)
WITH_LORAS = dataclasses.replace(UNLIMITED, loras=(*LORAS, FAST_LORA))


def loras(*items: Any, **fields: Any) -> contract.GenerationRequest:
    return parse({"prompt": "a", "loras": [*items], **fields}, WITH_LORAS)


def test_a_request_has_its_loras() -> None:
    request = loras({"id": "l1", "scale": 4}, {"id": "l0", "scale": -4}, {"id": "l2"}, {"id": "l3", "scale": None})
    assert request.loras == tuple(
        contract.Lora(id, scale) for id, scale in zip(("l1", "l0", "l2", "l3"), (4, -4, 1, 1), strict=True)
    )
    assert contract.parse_request(contract.render_request(request), WITH_LORAS) == request
    assert loras().loras is None
    assert parse({"prompt": "a", "loras": []}).loras is None
    assert contract.parse_profile(contract.render_profile(WITH_LORAS)) == WITH_LORAS


def test_a_lora_brings_defaults_that_a_request_can_replace() -> None:
    def settings(request: contract.GenerationRequest) -> Any:
        return request.scheduler, request.num_inference_steps, request.guidance_scale

    assert settings(loras({"id": "l1"})) == ("dpmpp_2m", 20, 7.5)
    assert settings(loras({"id": "l1"}, {"id": "fast"})) == ("euler", 4, 1.0)
    assert settings(loras({"id": "fast"}, num_inference_steps=9, scheduler="ddim")) == ("ddim", 9, 1.0)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("l1", "wrong_type"),
        ({"id": "l1"}, "wrong_type"),
        (["l1"], "wrong_type"),
        ([{"scale": 1}], "wrong_type"),
        ([{"id": 1}], "wrong_type"),
        ([{"id": "l1", "scale": "1"}], "wrong_type"),
        ([{"id": "l1", "scale": True}], "wrong_type"),
        ([{"id": "l1", "weight": 1}], "unknown_field"),
        ([{"id": "L1"}], "unknown_value"),
        ([{"id": "../l1"}], "unknown_value"),
        ([{"id": "l1"}, {"id": "l1"}], "unknown_value"),
        ([{"id": "l1", "scale": 4.01}], "out_of_range"),
        ([{"id": "l1", "scale": -4.01}], "out_of_range"),
        ([{"id": f"l{i}"} for i in range(5)], "out_of_range"),
    ],
)
def test_loras_that_are_refused(sent: Any, code: str) -> None:
    with pytest.raises(contract.EaselError) as caught:
        parse({"prompt": "a", "loras": sent}, WITH_LORAS)
    assert (caught.value.code, caught.value.param) == (code, "loras")


def test_a_model_without_loras_refuses_them() -> None:
    with pytest.raises(contract.EaselError) as caught:
        parse({"prompt": "a", "loras": [{"id": "l1"}]})
    assert (caught.value.code, caught.value.param) == ("not_supported", "loras")


@pytest.mark.parametrize("count", range(5))
def test_loras_count_in_the_budget(count: int) -> None:
    work = contract.pixel_steps(512, 512, 20, 1, count)
    assert work == 512 * 512 * 20 * (100 + count * contract.LORA_COST_PERCENT) // 100
    chosen = [{"id": f"l{i}"} for i in range(count)]
    body = {"prompt": "a", "loras": chosen}
    assert parse(body, dataclasses.replace(WITH_LORAS, max_pixel_steps=work)).image_count == 1
    with pytest.raises(contract.EaselError, match=str(work)):
        parse(body, dataclasses.replace(WITH_LORAS, max_pixel_steps=work - 1))


CANNY = contract.ProfileControl(id="canny", scale=0.5, preprocess="canny")
WITH_CONTROLS = dataclasses.replace(
    UNLIMITED, image_to_image=False, controls=(CANNY, *(contract.ProfileControl(id=f"c{i}") for i in range(2)))
)
POSE = {"id": "c1", "image": png_of(8, 8)}


def control(*items: Any, **fields: Any) -> contract.GenerationRequest:
    return parse({"prompt": "a", "control": [*items], **fields}, WITH_CONTROLS)


def test_a_request_has_its_controls() -> None:
    sent = {"id": "canny", "image": png_of(8, 16), "scale": 2, "start": 0.1, "end": 0.9, "preprocess": "canny"}
    request = control(sent, POSE)
    assert request.control == (
        contract.Control(id="canny", image=png_of(8, 16), scale=2.0, start=0.1, end=0.9, preprocess="canny"),
        contract.Control(id="c1", image=POSE["image"], scale=1.0, start=0.0, end=1.0),
    )
    assert control({**POSE, "id": "canny", "start": None}).control[0].scale == 0.5  # type: ignore[index]
    assert contract.parse_request(contract.render_request(request), WITH_CONTROLS) == request
    assert control().control is None
    assert parse({"prompt": "a", "control": []}).control is None
    assert contract.parse_profile(contract.render_profile(WITH_CONTROLS)) == WITH_CONTROLS
    embeddings = (contract.ProfileEmbedding(id="toy", token="<toy>"), contract.ProfileEmbedding(id="b", name="B"))
    with_embeddings = dataclasses.replace(UNLIMITED, embeddings=embeddings)
    assert contract.parse_profile(contract.render_profile(with_embeddings)) == with_embeddings


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (POSE, "wrong_type", "control"),
        ([{"image": POSE["image"]}], "wrong_type", "control"),
        ([{**POSE, "weight": 1}], "unknown_field", "control"),
        ([{**POSE, "id": "pose"}], "unknown_value", "control"),
        ([POSE, POSE], "unknown_value", "control"),
        ([POSE, {**POSE, "id": "c0"}, {**POSE, "id": "canny"}], "out_of_range", "control"),
        ([{"id": "c1"}], "missing_field", "control[0].image"),
        ([{**POSE, "image": 1}], "wrong_type", "control[0].image"),
        ([{**POSE, "id": "c0"}, {**POSE, "image": "x"}], "bad_image", "control[1].image"),
        ([{**POSE, "image": png_of(4096, 4097)}], "out_of_range", "control[0].image"),
        ([{**POSE, "scale": "1"}], "wrong_type", "control[0].scale"),
        ([{**POSE, "scale": -0.01}], "out_of_range", "control[0].scale"),
        ([{**POSE, "scale": 2.01}], "out_of_range", "control[0].scale"),
        ([{**POSE, "start": -0.01}], "out_of_range", "control[0].start"),
        ([{**POSE, "end": 1.01}], "out_of_range", "control[0].end"),
        ([{**POSE, "start": 0.5, "end": 0.5}], "out_of_range", "control[0].end"),
        ([{**POSE, "preprocess": "depth"}], "unknown_value", "control[0].preprocess"),
        ([{**POSE, "preprocess": "canny"}], "not_supported", "control[0].preprocess"),
    ],
)
def test_controls_that_are_refused(sent: Any, code: str, param: str) -> None:
    with pytest.raises(contract.EaselError) as caught:
        parse({"prompt": "a", "control": sent}, WITH_CONTROLS)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_model_without_controls_refuses_them() -> None:
    with pytest.raises(contract.EaselError) as caught:
        parse({"prompt": "a", "control": [POSE]})
    assert (caught.value.code, caught.value.param) == ("not_supported", "control")


@pytest.mark.parametrize("count", range(3))
def test_controls_count_in_the_budget_of_both_passes(count: int) -> None:
    profile = dataclasses.replace(WITH_CONTROLS, image_to_image=True)
    body = {"prompt": "a", "control": [{**POSE, "id": id} for id in ("c0", "c1")[:count]], "hires": {"strength": 1}}
    work = (512 * 512 + 1024 * 1024) * 20 * (100 + count * contract.CONTROL_COST_PERCENT) // 100
    assert parse(body, dataclasses.replace(profile, max_pixel_steps=work)).pixel_steps(profile) == work
    with pytest.raises(contract.EaselError, match=str(work)):
        parse(body, dataclasses.replace(profile, max_pixel_steps=work - 1))


@pytest.mark.parametrize("percent", [15, 100])
def test_controls_count_as_the_profile_says(percent: int) -> None:
    work = 512 * 512 * 20 * (100 + percent) // 100
    profile = dataclasses.replace(WITH_CONTROLS, control_cost_percent=percent, max_pixel_steps=work)
    assert parse({"prompt": "a", "control": [POSE]}, profile).pixel_steps(profile) == work
    with pytest.raises(contract.EaselError) as caught:
        parse({"prompt": "a", "control": [POSE]}, dataclasses.replace(profile, max_pixel_steps=work - 1))
    assert caught.value.code == "job_too_large"


MASKED = {"init_image": png(), "mask_image": png()}


@pytest.mark.parametrize(
    ("without", "fields", "param"),
    [
        ("init_image", {"init_image": png()}, "control"),
        ("mask_image", MASKED, "control"),
        ("mask_image", {"init_image": png_of(64, 64), "outpaint": {"left": 64}}, "control"),
        ("strength", {**MASKED, "strength": 0.99}, "strength"),
        ("hires", {"hires": {}}, "hires"),
        ("range", {"control": [{**POSE, "start": 0.01}]}, "control[0].start"),
        ("range", {"control": [{**POSE, "end": 0.99}]}, "control[0].end"),
    ],
)
def test_what_a_model_does_not_take_together_with_control(without: str, fields: dict[str, Any], param: str) -> None:
    profile = dataclasses.replace(WITH_CONTROLS, image_to_image=True)
    limited = dataclasses.replace(profile, control_without=(without,))
    body = {"prompt": "a", "control": [POSE], **fields}
    assert parse(body, profile).control is not None
    with pytest.raises(contract.EaselError) as caught:
        parse(body, limited)
    assert (caught.value.code, caught.value.param) == ("not_supported", param)
    if "control" not in fields:
        assert parse({"prompt": "a", **fields}, limited).control is None
    assert contract.parse_profile(contract.render_profile(limited)) == limited


def test_a_model_may_take_one_control() -> None:
    single = dataclasses.replace(WITH_CONTROLS, most_controls=1)
    assert parse({"prompt": "a", "control": [POSE]}, single).control is not None
    with pytest.raises(contract.EaselError) as caught:
        parse({"prompt": "a", "control": [POSE, {**POSE, "id": "c0"}]}, single)
    assert (caught.value.code, caught.value.param) == ("out_of_range", "control")


def test_all_files_of_a_request_count_together() -> None:
    profile = dataclasses.replace(WITH_CONTROLS, image_to_image=True)
    third = contract.INIT_IMAGE_BYTES // 3

    def sent(size: int) -> contract.GenerationRequest:
        images = {"init_image": png(size=third), "mask_image": png(size=third)}
        return parse({"prompt": "a", **images, "control": [{**POSE, "image": png(size=size)}]}, profile)

    assert sent(third).control is not None
    with pytest.raises(contract.EaselError) as caught:
        sent(third + 1)
    assert (caught.value.code, caught.value.param) == ("out_of_range", "control")


def test_records_have_the_hashes_of_all_images() -> None:
    request = control(POSE)
    hashed = contract.without_image(request)
    assert hashed.control is not None
    assert hashed.control[0].image == f"sha256:{hashlib.sha256(base64.b64decode(POSE['image'])).hexdigest()}"
    assert contract.with_images(hashed, contract.sent_images(request)) == request
    plain = control()
    assert contract.without_image(plain) == plain
