"""Scenes: the subjects of an image, captions for it in two languages, and its composition from cut-outs."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from cutouts.whole_images import FURS
from dataset import SIZE, Subject
from PIL import Image

ALONE, BESIDE, ABOVE = range(3)
SMALL, NORMAL, BIG = range(3)
COLOURS: Final = {
    "white": ("白", (255, 255, 255)),
    "red": ("红", (226, 62, 62)),
    "orange": ("橙", (248, 158, 60)),
    "yellow": ("黄", (252, 220, 84)),
    "green": ("绿", (96, 186, 98)),
    "blue": ("蓝", (74, 142, 230)),
    "purple": ("紫", (150, 100, 212)),
    "pink": ("粉", (250, 164, 196)),
    "grey": ("灰", (160, 164, 170)),
    "black": ("黑", (28, 28, 32)),
}
COLOUR_NAMES: Final = list(COLOURS)
SINGLE_EN: Final = (
    ["{n}"] * 6
    + ["{a} {n}"] * 3
    + ["a cute {n}", "one {n}", "{n}s", "picture of {a} {n}", "a picture of {a} {n}", "photo of {a} {n}"]
    + ["a photograph of {a} {n}", "an image of {a} {n}", "draw {a} {n}", "{a} {n}.", "the {n}"]
    + ["a beautiful {n}", "a drawing of {a} {n}", "my {n}", "a nice {n}", "cute {n}", "{n} emoji"]
)
SINGLE_ZH: Final = (
    ["{n}"] * 9
    + ["一只{n}", "一个{n}", "可爱的{n}", "一只可爱的{n}", "一张{n}的图片", "{n}的照片", "画一个{n}"]
    + ["一个可爱的{n}", "{n}图片", "漂亮的{n}", "{n}。", "一张{n}的照片", "这个{n}"]
)
SIZED_EN: Final = {
    SMALL: ["a small {n}", "a tiny {n}", "a little {n}"],
    BIG: ["a big {n}", "a large {n}", "a huge {n}"],
}
SIZED_ZH: Final = {SMALL: ["一个很小的{n}", "小小的{n}"], BIG: ["一个很大的{n}", "巨大的{n}"]}
# {1} is the left or upper object, {2} the other one.
PAIR_EN: Final = {
    BESIDE: ["{1} and {2}"] * 3
    + ["{1} next to {2}", "{1} beside {2}", "{1} with {2}", "{1} to the left of {2}", "{2} to the right of {1}"]
    + ["{1} left of {2}", "{2} right of {1}", "{1} near {2}", "{1} is next to {2}"],
    ABOVE: ["{1} on {2}"] * 3
    + ["{1} on top of {2}", "{1} sitting on {2}", "{1} is sitting on {2}", "{1} riding {2}", "{1} above {2}"]
    + ["{2} under {1}", "{2} below {1}", "{1} over {2}", "{1} sits on {2}", "{1} standing on {2}"],
}
PAIR_ZH: Final = {
    BESIDE: ["{1}和{2}"] * 3 + ["{1}在{2}旁边", "{1}与{2}", "{1}在{2}左边", "{2}在{1}右边", "{2}旁边有{1}"],
    ABOVE: ["{1}在{2}上", "{1}坐在{2}上", "{1}骑着{2}", "{2}上的{1}", "{1}在{2}上面", "{2}在{1}下面", "{1}骑{2}"],
}
GROUND_EN: Final = ["{s} on a {c} background", "{s}, {c} background", "{s} with a {c} background", "{s} {c} background"]
GROUND_ZH: Final = ["{s}，{c}色背景", "{c}色背景的{s}", "{c}色背景上的{s}", "{s} {c}色背景", "{s}，{c}背景"]


Place = tuple[float, tuple[float, float]]
"""Scale and centre."""
Box = tuple[float, float, float, float]
"""Left, upper, right, lower, in fractions of the image."""
Near = Callable[[float, float], float]
"""Returns a value that differs from the first by no more than the second."""


class Seat(NamedTuple):
    """Scale of a seat, and the height of its centre; the same of what sits on it."""

    seat: tuple[float, float]
    sitter: tuple[float, float]


SEATS: Final = {
    "sofa": Seat((0.92, 0.62), (0.5, 0.45)),
    "bed": Seat((0.92, 0.6), (0.48, 0.39)),
    "chair": Seat((0.8, 0.59), (0.46, 0.38)),
}
"""By their usual names. What is on another subject hardly covers it."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One or two subjects by index. `second` is -1 if there is only one."""

    first: int
    second: int = -1
    relation: int = ALONE
    ground: int = 0
    size: int = NORMAL


class Weights(NamedTuple):
    """How often each subject is on another, on a seat, and below another, by index; and which are seats."""

    upper: list[float]
    sitter: list[float]
    lower: list[float]
    seats: frozenset[int]


def pair_weights(subjects: list[Subject]) -> Weights:
    """Return more for what has an image of its own for this."""
    names = [subject.en[0] for subject in subjects]
    return Weights(
        upper=[5.0 if name in FURS else 1.0 for name in names],
        sitter=[30.0 if name in FURS else 1.0 for name in names],
        lower=[60.0 if name in SEATS else 1.0 for name in names],
        seats=frozenset(names.index(name) for name in SEATS),
    )


def random_pair(rng: random.Random, weights: Weights, ground: int) -> Scene:
    every, relation = range(len(weights.upper)), rng.choice((BESIDE, ABOVE))
    if relation == BESIDE:
        first, second = rng.sample(every, 2)
    else:
        first = second = rng.choices(every, weights.lower)[0]
        while first == second:
            first = rng.choices(every, weights.sitter if second in weights.seats else weights.upper)[0]
    return Scene(first=first, second=second, relation=relation, ground=ground)


def random_scene(rng: random.Random, weights: Weights, pairs: float) -> Scene:
    """Return a scene. `pairs` is the share of scenes with two subjects. Every fourth ground is coloured."""
    ground = rng.randrange(1, len(COLOURS)) if rng.random() < 0.25 else 0
    if rng.random() < pairs:
        return random_pair(rng, weights, ground)
    size = rng.choice((SMALL, BIG)) if rng.random() < 0.15 else NORMAL
    return Scene(first=rng.randrange(len(weights.upper)), ground=ground, size=size)


class Cutouts(NamedTuple):
    """RGBA images of the subjects, by index."""

    usual: list[Image.Image]
    sitting: list[Image.Image]
    """As they are on another subject."""
    seats: dict[int, Seat]


def article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


def pick_name(rng: random.Random, subject: Subject, chinese: bool, keywords: bool) -> str:
    """Return half the time the usual name, else another name or, with `keywords`, a keyword."""
    names = subject.zh if chinese else subject.en
    if rng.random() < 0.5:
        return names[0]
    extra = (subject.keywords_zh if chinese else subject.keywords_en) if keywords else []
    return rng.choice([*names, *rng.sample(extra, min(2, len(extra)))])


def noun_phrase(rng: random.Random, name: str, chinese: bool) -> str:
    if chinese:
        return rng.choice(["{n}", "{n}", "一只{n}", "一个{n}", "一只可爱的{n}", "可爱的{n}"]).format(n=name)
    form = rng.choice(["{n}", "{a} {n}", "{a} {n}", "the {n}", "a cute {n}"])
    return form.format(n=name, a=article(name))


def single_caption(rng: random.Random, scene: Scene, name: str, chinese: bool) -> str:
    if scene.size != NORMAL:
        return rng.choice((SIZED_ZH if chinese else SIZED_EN)[scene.size]).format(n=name)
    return rng.choice(SINGLE_ZH if chinese else SINGLE_EN).format(n=name, a=article(name))


def caption(rng: random.Random, scene: Scene, subjects: list[Subject]) -> str:
    """Return one of many possible captions of the scene."""
    chinese = rng.random() < 0.5
    alone = scene.second < 0
    first = pick_name(rng, subjects[scene.first], chinese, alone)
    if alone:
        text = single_caption(rng, scene, first, chinese)
    else:
        second = pick_name(rng, subjects[scene.second], chinese, False)
        form = rng.choice((PAIR_ZH if chinese else PAIR_EN)[scene.relation])
        words = [noun_phrase(rng, n, chinese) for n in (first, second)]
        text = form.replace("{1}", words[0]).replace("{2}", words[1])
    if scene.ground or rng.random() < 0.03:
        colour = COLOUR_NAMES[scene.ground]
        if chinese:
            return rng.choice(GROUND_ZH).format(s=text, c=COLOURS[colour][0])
        return rng.choice(GROUND_EN).format(s=text, c=colour)
    return text


def paste(canvas: Image.Image, cutout: Image.Image, scale: float, centre: tuple[float, float]) -> None:
    side = round(SIZE * scale)
    small = cutout.resize((side, side), Image.Resampling.LANCZOS)
    corner = (round(centre[0] * SIZE - side / 2), round(centre[1] * SIZE - side / 2))
    canvas.paste(small, corner, small)


def exactly(value: float, _distance: float) -> float:
    return value


def places(scene: Scene, seat: Seat | None, near: Near = exactly) -> list[Place]:
    """Return the place of each subject, as near the usual one as `near` says."""
    if scene.relation == BESIDE:
        y = near(0.5, 0.02)
        return [(near(0.5, 0.03), (near(0.26, 0.015), y)), (near(0.5, 0.03), (near(0.74, 0.015), y))]
    if scene.relation == ABOVE:
        upper, lower = (seat.sitter, seat.seat) if seat else ((0.54, 0.29), (0.58, 0.71))
        x = near(0.5, 0.02)
        return [(near(scale, 0.03), (x, y)) for scale, y in (upper, lower)]
    scale, distance = {SMALL: (0.43, 0.06), NORMAL: (0.89, 0.05), BIG: (1.05, 0.05)}[scene.size]
    return [(near(scale, distance), (near(0.5, 0.025), near(0.5, 0.025)))]


def compose(scene: Scene, cutouts: Cutouts, near: Near = exactly) -> Image.Image:
    """Return an image of the scene, with its first subject in front."""
    canvas = Image.new("RGB", (SIZE, SIZE), COLOURS[COLOUR_NAMES[scene.ground]][1])
    first = (cutouts.sitting if scene.relation == ABOVE else cutouts.usual)[scene.first]
    images = [first] if scene.second < 0 else [first, cutouts.usual[scene.second]]
    seat = cutouts.seats.get(scene.second) if scene.relation == ABOVE else None
    for image, (scale, centre) in reversed(list(zip(images, places(scene, seat, near), strict=True))):
        paste(canvas, image, scale, centre)
    return canvas


def compose_varied(rng: random.Random, scene: Scene, cutouts: Cutouts) -> Image.Image:
    """Return an image of the scene, with other random places at each call.

    Larger distances from the usual places (`usual_latents.py`) make the model's images softer.
    """
    return compose(scene, cutouts, lambda value, distance: value + rng.uniform(-distance, distance))


def seat_boxes(seat: Seat) -> tuple[Box, Box]:
    """Return boxes of what sits on a seat, and of the seat."""
    return _box(*seat.sitter), _box(*seat.seat)


def _box(scale: float, centre: float) -> Box:
    half = 0.58 * scale
    return (max(0.0, 0.5 - half), max(0.0, centre - half), min(1.0, 0.5 + half), min(1.0, centre + half))


def crop_box(image: Image.Image, box: Box) -> Image.Image:
    width, height = image.size
    left, upper, right, lower = box
    return image.crop((round(left * width), round(upper * height), round(right * width), round(lower * height)))
