"""The one reader of `models/*.json`, typed and strict; standard library only, so that easel/ reads with it too."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

PROFILE = (
    "id", "name", "licence", "sizes", "max_side", "steps", "guidance_scale", "scheduler", "schedulers", "enlarges",
    "image_to_image", "budget", "licence_url", "suggestions", "draws",
)  # fmt: skip
"""The keys of an entry that a request needs: the fields of the contract's `ModelProfile`."""
CONTAINER_BYTES = 1024
"""The longest value that SageMaker takes for a container's variable."""
FUNCTION_BYTES = 3072
"""Lambda takes 4 KB for all variables of a function."""

SIDES, STEPS, GUIDANCE = (64, 2048), (1, 150), (0, 30)
SCHEDULERS = (
    "ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_a", "heun", "lcm", "lms", "pndm", "unipc",
    "flow_euler", "flow_heun",
)  # fmt: skip
"""What requests can ask for: the contract's bounds and names."""

Dtype = Literal["float16", "bfloat16", "float32"]


T = TypeVar("T")


class CatalogueError(ValueError):
    """A model that cannot be released: which, why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class HubFiles:
    """Files of one repository of the hub: the safetensors of one variant, its configs and tokenizers."""

    repository: str
    """`owner/name`"""
    revision: str
    """A commit, or a branch or tag that the import resolves once."""
    variant: str = ""
    """What stands before `.safetensors`, as in `model.fp16.safetensors`; a part that has no such file has the plain."""


@dataclass(frozen=True, kw_only=True)
class HubSource(HubFiles):
    """A diffusers repository."""

    parts: Mapping[str, HubFiles] = field(default_factory=dict)
    """Folder of the pipeline (`unet`, `vae`) to the repository whose root takes its place, all of it."""


@dataclass(frozen=True, kw_only=True)
class S3Source:
    """A diffusers folder that is in S3 already: `s3://bucket/prefix/`."""

    uri: str


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A diffusers folder on this machine; in the entry `path` is relative to the entry's own folder."""

    path: Path


Source = HubSource | S3Source | FolderSource
_SOURCES: Mapping[str, type[Any]] = {"hub": HubSource, "s3": S3Source, "folder": FolderSource}


@dataclass(frozen=True, kw_only=True)
class Model:
    """One entry."""

    id: str
    name: str
    licence: str
    licence_url: str
    gated: bool = False
    """True: the hub wants a token of somebody who accepted the licence there."""
    source: Source
    pipeline: str
    """The class in diffusers."""
    diffusers: str
    """The oldest version that has the class and what else the model needs."""
    dtype: Dtype
    """What it draws in on a GPU; bfloat16 needs one that computes in it."""
    gpu_memory_gib: float
    """For weights and one picture of the first size. 0: it draws on a CPU in a time that people wait."""
    host_memory_gib: float
    """For the whole of loading and drawing."""
    sizes: tuple[tuple[int, int], ...]
    """(width, height) in pixels that it draws well; the first is the default."""
    max_side: int
    steps: int
    guidance_scale: float
    scheduler: str
    schedulers: tuple[str, ...]
    enlarges: bool | None = None
    image_to_image: bool | None = None
    budget: int | None = None
    suggestions: tuple[str, ...] = ()
    draws: tuple[str, ...] = ()
    """The names of all that it can draw; empty: whatever is asked."""

    @property
    def profile(self) -> str:
        """JSON for the functions: what a request needs."""
        return self._render(PROFILE)

    @property
    def container_profile(self) -> str:
        """JSON for the container, which tells nobody of the licence and of what there is to draw."""
        return self._render(PROFILE[:-3])

    def _render(self, keys: tuple[str, ...]) -> str:
        value = {key: told for key in keys if (told := getattr(self, key)) not in (None, ())}
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def model_ids(root: Path) -> list[str]:
    """The catalogue of the checkout `root`."""
    return sorted(path.stem for path in (root / "models").glob("*.json"))


def read_model(name: str, root: Path) -> Model:
    """The entry `models/<name>.json` below `root`, or, for a name with a slash, the entry `<name>.json` itself.

    Raises CatalogueError.
    """
    file = f"{name.removesuffix('.json')}.json"
    path = Path(file) if "/" in name else root / "models" / file
    if not _is_file(path):
        raise CatalogueError(
            f"There is no model {name!r}: {path} does not exist. The catalogue has: {', '.join(model_ids(root))}."
        )
    try:
        return _read(path)
    except CatalogueError as error:
        raise CatalogueError(f"{path}: {error}") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # longer than a name can be
        return False


def _read(path: Path) -> Model:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueError(f"it cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise CatalogueError(f"it is not JSON: {error}.") from None
    beside: dict[str, Any] = {"source": {"kind": "folder", "path": path.stem}}
    model = _typed(Model, beside | _object(entry, "the entry"), "the entry")
    _check(model)
    if model.id != path.stem:
        raise CatalogueError(f"id is {model.id!r}; it must be the name of the file, {path.stem!r}.")
    if isinstance(model.source, FolderSource):
        return replace(model, source=FolderSource(path=path.parent / model.source.path))
    return model


# --- typed reading -------------------------------------------------------------------------------


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CatalogueError(f"{where} must be an object.")
    return value


def _typed(kind: type[T], value: Any, where: str) -> T:
    """A dataclass of ours from JSON. Raises CatalogueError for a key that is not known, missing or of a wrong type."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for key in _object(value, where):
        if key not in known:
            raise CatalogueError(f"{where} has {key!r}, which is not known. Known: {', '.join(known)}.")
    required = [name for name, f in known.items() if f.default is f.default_factory is MISSING]
    if missing := [name for name in required if name not in value]:
        raise CatalogueError(f"{where} lacks {', '.join(missing)}.")
    hints = get_type_hints(kind)
    return kind(**{key: _convert(hints[key], told, key) for key, told in value.items()})


def _convert(hint: Any, value: Any, key: str) -> Any:
    """`value` as the type of the field `key`."""
    if hint == Source:
        return _source(value)
    if hint is Path:
        return Path(_convert(str, value, key))
    if get_origin(hint) is Mapping:
        return {name: _typed(HubFiles, part, f"the part {name!r}") for name, part in _object(value, key).items()}
    if get_origin(hint) is tuple:
        return _list(value, get_args(hint), key)
    if get_origin(hint) is Literal:
        return _one_of(value, get_args(hint), key)
    types = get_args(hint) or (hint,)  # `int | None`
    accepted = (int, float) if float in types else types
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in types):
        raise CatalogueError(f"{key} is {value!r}; it must be {_SAID[types[0]]}.")
    return value


_SAID = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _one_of(value: Any, known: tuple[str, ...], key: str) -> Any:
    if value not in known:
        raise CatalogueError(f"{key} is {value!r}; it can be {', '.join(known)}.")
    return value


def _list(value: Any, items: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    """`items`: (type, ...) for any number of them, or one type for each."""
    hints = [items[0]] * len(value) if Ellipsis in items and isinstance(value, list) else list(items)
    if not isinstance(value, list) or len(value) != len(hints):
        raise CatalogueError(f"{key} holds {value!r}; see the other entries of the catalogue for its form.")
    return tuple(_convert(hint, item, key) for hint, item in zip(hints, value, strict=True))


def _source(value: Any) -> Source:
    told = dict(_object(value, "source"))
    kind = _one_of(told.pop("kind", None), tuple(_SOURCES), "source.kind")
    source: Source = _typed(_SOURCES[kind], told, f"source ({kind})")
    return source


# --- what the types do not say -------------------------------------------------------------------

_REVISION = r"(?!.*\.\.)[A-Za-z0-9][\w./-]{0,254}"
_FORMS = {
    "id": (r"[a-z0-9][a-z0-9._-]{0,39}", "lower-case letters, digits, dots and dashes"),
    "licence_url": (r"https://\S+", "a link that starts with https://"),
    "pipeline": (r"[A-Z]\w+Pipeline", "a class of diffusers, like StableDiffusionPipeline"),
    "diffusers": (r"\d+\.\d+\.\d+", "a version, like 0.37.0"),
}
_FILES = {
    "repository": (r"[\w-][\w.-]*/[\w-][\w.-]*", "owner/name"),
    "revision": (_REVISION, "a commit, a branch or a tag"),
    "variant": (r"[a-z0-9]*", "like fp16"),
}
_PART = r"[a-z][a-z0-9_]{0,39}"


def _check(model: Model) -> None:
    _check_forms(model, _FORMS)
    if not model.sizes or not model.schedulers:
        raise CatalogueError("it needs one size and one scheduler at least.")
    _check_numbers(model)
    _check_length(model)
    if unknown := [name for name in model.schedulers if name not in SCHEDULERS]:
        raise CatalogueError(f"schedulers has {unknown[0]!r}; it can have {', '.join(SCHEDULERS)}.")
    if model.scheduler not in model.schedulers:
        raise CatalogueError(f"scheduler {model.scheduler!r} is not among its schedulers.")
    for width, height in model.sizes:
        if max(width, height) > model.max_side or min(width, height) < SIDES[0] or width % 8 or height % 8:
            raise CatalogueError(
                f"size {width}x{height}: sides are multiples of 8, {SIDES[0]} at least, at most max_side "
                f"{model.max_side}."
            )
    if isinstance(model.source, HubSource):
        _check_hub(model.source)
    if isinstance(model.source, S3Source):
        _check_forms(model.source, {"uri": (r"s3://[a-z0-9.-]{3,63}/(\S*[^/\s]/)?", "like s3://bucket/prefix/")})


def _check_numbers(model: Model) -> None:
    """JSON in Python knows NaN, which no comparison holds."""
    for key, (low, high) in {"max_side": SIDES, "steps": STEPS, "guidance_scale": GUIDANCE}.items():
        if not low <= getattr(model, key) <= high:
            raise CatalogueError(f"{key} is {getattr(model, key)}; it can be {low} to {high}.")
    if not 0 < model.host_memory_gib < math.inf:
        raise CatalogueError(f"host_memory_gib is {model.host_memory_gib}; it must be more than 0.")
    if not 0 <= model.gpu_memory_gib < math.inf:
        raise CatalogueError(f"gpu_memory_gib is {model.gpu_memory_gib}; it must be 0 (for a CPU) or more.")
    if model.budget is not None and model.budget <= 0:
        raise CatalogueError(f"budget is {model.budget}; it must be more than 0.")


def _check_length(model: Model) -> None:
    for profile, limit in ((model.profile, FUNCTION_BYTES), (model.container_profile, CONTAINER_BYTES)):
        if (size := len(profile.encode(errors="replace"))) > limit:
            raise CatalogueError(
                f"the profile has {size} bytes; AWS takes {limit} in a variable. Shorten the name, the licence, the "
                "suggestions, what it draws or the list of sizes."
            )


def _check_hub(source: HubSource) -> None:
    for files in (source, *source.parts.values()):
        _check_forms(files, _FILES)
    for name in source.parts:
        if not re.fullmatch(_PART, name):
            raise CatalogueError(f"the part {name!r} is not the name of a pipeline's folder, like unet.")


def _check_forms(value: Any, forms: Mapping[str, tuple[str, str]]) -> None:
    for key, (pattern, said) in forms.items():
        if not re.fullmatch(pattern, getattr(value, key), re.ASCII):
            raise CatalogueError(f"{key} is {getattr(value, key)!r}; it must be {said}.")
