"""Read and validate `models/*.json`, the catalogue. No CDK: `easel` and the notebook read it, too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
    model_validator,
)

from model_importer.model_folder import (
    CLIP_PIPELINES,
    CONTROL_PIPELINES,
    EDITORS,
    EXTRAS,
    PIPELINES,
    WITHOUT_NEGATIVE_PROMPT,
    ControlFamily,
    extra_path,
)
from stacks.config.validation import ConfigError, Location, explain, failure, matches

PROFILE = (
    "id", "name", "licence", "sizes", "max_side", "steps", "guidance_scale", "scheduler", "schedulers",
    "upscales", "image_to_image", "edits", "takes_negative_prompt", "takes_guidance_scale", "clip_layers",
    "content", "max_pixel_steps", "max_steps", "loras", "controls", "most_controls", "control_cost_percent",
    "control_without", "embeddings", "licence_url", "suggestions", "subjects", "prompt_tokens", "presets",
)  # fmt: skip
"""The keys of an entry that a request needs: the fields of the contract's `ModelProfile`."""
CONTAINER_PROFILE = PROFILE[:-5]
"""The container needs none of the last keys, from the link of the licence on. It also gets `dtype` and `variant`."""
_NEEDED = {"id", "token", "scale", "scheduler", "steps", "guidance_scale", "preprocess"}
_SHOWN = _NEEDED | {"name", "name_zh", "words"}
"""Fields of an extra that a request needs, and those that people see."""
VARIABLE_BYTES = 1024
"""SageMaker's limit for one variable of a container."""
CONTAINER_BYTES = 16 * 1024
"""Half of what SageMaker allows for all variables of a container."""

SIDES, STEPS, GUIDANCE = (64, 2048), (1, 150), (0, 30)
LORA_SCALE, CONTROL_SCALE, MOST_LORAS, MOST_CONTROLS = (-4, 4), (0, 2), 16, 8
MOST_EMBEDDINGS = 32
CONTROLS, CONTROL_COST_PERCENT = 2, 35
SCHEDULERS = (
    "ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_karras", "euler", "euler_a", "heun", "lcm", "lms", "pndm", "unipc",
    "flow_euler", "flow_heun",
)  # fmt: skip
SCHEDULER_STEPS: Mapping[str, int] = {"lcm": 50}
"""The bounds and the schedulers of the contract."""

CONTENT = ("refuse", "flag")
"""What requests may choose for images that a safety checker flags; what the contract has."""

S = TypeVar("S")
Dtype = Literal["float16", "bfloat16", "float32"]
Variant = Annotated[str, matches(r"[A-Za-z0-9_-]{0,40}", "like fp16, bf16 or non_ema")]
Component = Annotated[str, matches(r"[a-z][a-z0-9_]{0,39}", "a folder of the pipeline, like unet")]
Gibibytes = Annotated[StrictFloat, Field(allow_inf_nan=False)]


Prediction = Literal["epsilon", "v_prediction"]
Checkpoint = Annotated[
    str, matches(r"(?!.*\.\.)[\w-][\w ./()+-]{0,240}\.safetensors", "a path that ends with .safetensors")
]


class CatalogueError(ConfigError):
    """A model that cannot be released: which, why, and what to do."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HubFiles(_Entry):
    """Files of one repository of the hub: the safetensors of one variant, its configs and tokenizers."""

    repository: Annotated[str, matches(r"[\w-][\w.-]*/[\w-][\w.-]*", "owner/name")]
    """`owner/name`."""
    revision: Annotated[str, matches(r"(?!.*\.\.)[A-Za-z0-9][\w./-]{0,254}", "a commit, a branch or a tag")]
    """A commit, or a branch or tag that the import resolves once."""
    variant: Variant = ""
    """The part of the file name before `.safetensors`, as in `model.fp16.safetensors`. A component without such a file
    uses the plain file."""


class HubSource(HubFiles):
    """A diffusers repository of the hub."""

    kind: Literal["hub"] = "hub"
    parts: Mapping[Component, HubFiles] = Field(default_factory=dict)
    """Component of the pipeline (`unet`, `vae`) to the repository that replaces it."""
    file: Checkpoint | None = None
    """A single-file checkpoint of the repository, which is converted; default: its diffusers folder."""
    prediction: Prediction | None = None
    """What a checkpoint's UNet predicts, where the file does not say it: all of Stable Diffusion 2."""


class S3Source(_Entry):
    """A diffusers folder, or a single-file checkpoint, in S3."""

    kind: Literal["s3"] = "s3"
    uri: Annotated[
        str,
        matches(
            r"s3://[a-z0-9.-]{3,63}/((\S*[^/\s]/)?|\S*[^/\s]\.safetensors)",
            "like s3://bucket/prefix/ or s3://bucket/file.safetensors",
        ),
    ]
    """`s3://bucket/prefix/`, or `s3://bucket/file.safetensors`."""
    variant: Variant | None = None
    """As for a hub; default: fp16 where there is such a file, else the plain file, else the only variant."""
    prediction: Prediction | None = None
    """As for a hub."""


def is_address(url: str) -> bool:
    """Return whether a URL has a host and a port that a request can be sent to."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.hostname.encode("idna")) and parts.port != 0
    except ValueError:  # UnicodeError, too: an empty or a long label
        return False


def _link(url: str) -> str:
    if not is_address(url):
        raise failure("wrong_form", "source.url", "source.url has a host or a port that cannot be. Correct the link.")
    return url


Link = Annotated[
    str,
    matches(r"(https://|http://(127\.0\.0\.1|localhost)(:\d+)?/)[^\s@]+", "a link that starts with https://"),
    AfterValidator(_link),
]


class UrlSource(_Entry):
    """A single-file checkpoint at a URL, which is converted."""

    kind: Literal["url"] = "url"
    url: Link
    """The link of the download."""
    sha256: Annotated[str, matches(r"[0-9a-f]{64}", "64 hexadecimal digits")] | None = None
    """SHA-256 of the file. An import in the cloud needs it; `easel models pull` computes it."""
    prediction: Prediction | None = None
    """As for a hub."""

    @property
    def variant(self) -> None:
        """What was converted has no variants."""


class FolderSource(_Entry):
    """A diffusers folder on this machine."""

    kind: Literal["folder"] = "folder"
    path: Path
    """In the entry: relative to the entry's own folder."""
    variant: Variant | None = None
    """As for S3."""
    checkpoint: Path | None = None
    """The single-file checkpoint that `easel models pull` makes the folder of, relative to the entry's own folder."""
    prediction: Prediction | None = None
    """As for a hub."""


Source = HubSource | S3Source | UrlSource | FolderSource


class Preset(_Entry):
    """Settings with a name, for users to choose from. A setting that is missing is the model's default."""

    name: Annotated[str, matches(r"\S(.{0,38}\S)?", "1 to 40 characters without spaces around them")]
    """Name that people read, in English."""
    name_zh: Annotated[str, matches(r"\S(.{0,38}\S)?", "1 to 40 characters without spaces around them")] | None = None
    """Its Chinese name; default: the English one."""
    size: tuple[StrictInt, StrictInt] | None = None
    """(width, height) in pixels; default: the size stays as it is."""
    steps: Annotated[StrictInt | None, Field(ge=STEPS[0], le=STEPS[1])] = None
    """Number of inference steps."""
    guidance_scale: Annotated[StrictFloat | None, Field(ge=GUIDANCE[0], le=GUIDANCE[1])] = None
    """Guidance scale."""
    scheduler: str | None = None
    """One of the entry's `schedulers`."""
    negative_prompt: Annotated[str, Field(max_length=2000)] | None = None
    """What the image should not contain."""


class ExtraFile(_Entry):
    """A file of a repository of the hub."""

    kind: Literal["hub"] = "hub"
    repository: Annotated[str, matches(r"[\w-][\w.-]*/[\w-][\w.-]*", "owner/name")]
    """`owner/name`."""
    revision: Annotated[str, matches(r"(?!.*\.\.)[A-Za-z0-9][\w./-]{0,254}", "a commit, a branch or a tag")]
    """A commit, or a branch or tag that the import resolves once."""
    file: Annotated[str, matches(r"(?!.*\.\.)[\w-][\w ./-]{0,254}\.safetensors", "a path that ends with .safetensors")]
    """Path in the repository."""


class ExtraLink(_Entry):
    """A file behind a link."""

    kind: Literal["url"]
    url: Link
    """The link of the download."""


class ExtraObject(_Entry):
    """An object of S3."""

    kind: Literal["s3"]
    uri: Annotated[str, matches(r"s3://[a-z0-9.-]{3,63}/\S*[^/\s]\.safetensors", "like s3://bucket/file.safetensors")]
    """`s3://bucket/file.safetensors`."""


def _with_kind(source: Any) -> Any:
    """Return a source with its kind, which a file of a hub need not have."""
    return {"kind": "hub"} | source if isinstance(source, dict) else source


ExtraSource = Annotated[ExtraFile | ExtraLink | ExtraObject, Field(discriminator="kind")]


class Extra(_Entry):
    """A file beside the model's own that requests may use."""

    id: Annotated[str, matches(r"[a-z0-9][a-z0-9._-]{0,39}", "lower-case letters, digits, dots and dashes")]
    """By which a request names it. The file is `<key>/<id>.safetensors` in the model's folder or release."""
    sha256: Annotated[str, matches(r"[0-9a-f]{64}", "64 hexadecimal digits, as sha256sum prints")]
    """Digest of the file. Another file is refused."""
    source: Annotated[ExtraSource | None, BeforeValidator(_with_kind)] = None
    """Where an import or `easel models pull` gets the file: a file of a hub, a link, or an object of S3; default: it is
    beside the model's own files, which a single-file checkpoint has not."""
    name: Annotated[str, matches(r"\S(.{0,38}\S)?", "1 to 40 characters without spaces around them")] | None = None
    """Name that people read, in English; default: the id."""
    name_zh: Annotated[str, matches(r"\S(.{0,38}\S)?", "1 to 40 characters without spaces around them")] | None = None
    """Its Chinese name; default: the English one."""
    licence: str | None = None
    """Name of the licence."""


class Lora(Extra):
    """A LoRA that requests may use. Its settings replace the model's defaults in a request that has the LoRA."""

    scale: Annotated[StrictFloat, Field(ge=LORA_SCALE[0], le=LORA_SCALE[1])] = 1.0
    """The scale of a request that sets none."""
    words: tuple[Annotated[str, Field(max_length=100)], ...] = ()
    """Trigger words: what a prompt should contain."""
    scheduler: str | None = None
    """One of the entry's `schedulers`."""
    steps: Annotated[StrictInt | None, Field(ge=STEPS[0], le=STEPS[1])] = None
    """Number of inference steps."""
    guidance_scale: Annotated[StrictFloat | None, Field(ge=GUIDANCE[0], le=GUIDANCE[1])] = None
    """Guidance scale."""


class Control(Extra):
    """A ControlNet that requests may use."""

    scale: Annotated[StrictFloat, Field(ge=CONTROL_SCALE[0], le=CONTROL_SCALE[1])] = 1.0
    """The scale of a request that sets none."""
    preprocess: Literal["canny"] | None = None
    """What makes its map of an ordinary image, if a request says so; default: requests send maps."""
    inputs: str | None = None
    """An item of its family's `inputs`, if that has any: what its tensors do not say."""


class Embedding(Extra):
    """A textual-inversion embedding, which a prompt uses by its token."""

    token: (
        Annotated[str, matches(r"(?=.*\w)[\w<>.-]{1,40}", "1 to 40 letters, digits, and _ . - < >, without spaces")]
        | None
    ) = None
    """What a prompt has where the embedding belongs, in upper or lower case; default: the id."""


class Model(_Entry):
    """One entry of the catalogue."""

    id: Annotated[str, matches(r"[a-z0-9][a-z0-9._-]{0,39}", "lower-case letters, digits, dots and dashes")]
    """The name of the file without `.json`."""
    name: str
    """Name that people read."""
    licence: str
    """Name of the licence."""
    licence_url: Annotated[str, matches(r"https://\S+", "a link that starts with https://")]
    """Link to the licence."""
    gated: StrictBool = False
    """True: the hub requires the token of an account that accepted the licence."""
    source: Annotated[Source, Field(discriminator="kind")]
    """Where the files are; default: the folder beside the entry that has its name."""
    pipeline: Annotated[str, matches(r"[A-Z]\w+Pipeline", "a class of diffusers, like StableDiffusionPipeline")]
    """The class in diffusers."""
    diffusers: Annotated[str, matches(r"\d+\.\d+\.\d+", "a version, like 0.37.0")]
    """The oldest version of diffusers that has the class and what else the model needs."""
    dtype: Dtype
    """Number format on a GPU. bfloat16 needs a GPU that supports it."""
    gpu_memory_gib: Annotated[Gibibytes, Field(ge=0)]
    """GPU memory for the weights and one image of the first size; 0: the model is fast enough on a CPU."""
    host_memory_gib: Annotated[Gibibytes, Field(gt=0)]
    """Host memory for loading and generating."""
    sizes: Annotated[tuple[tuple[StrictInt, StrictInt], ...], Field(min_length=1)]
    """(width, height) in pixels that the model is trained for; the first is the default."""
    max_side: Annotated[StrictInt, Field(ge=SIDES[0], le=SIDES[1])]
    """Longest side in pixels."""
    steps: Annotated[StrictInt, Field(ge=STEPS[0], le=STEPS[1])]
    """Default number of inference steps."""
    guidance_scale: Annotated[StrictFloat, Field(ge=GUIDANCE[0], le=GUIDANCE[1])]
    """Default guidance scale."""
    scheduler: str
    """Default scheduler."""
    schedulers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Schedulers that a request may choose."""
    upscales: StrictBool | None = None
    """True: it generates at the first size, and the container scales the image to the requested size."""
    image_to_image: StrictBool | None = None
    """True: a request may start from an image."""
    edits: Annotated[StrictInt | None, Field(gt=0)] = None
    """Images that a request may have to look at, for pipelines that edit by instruction."""
    clip_layers: Annotated[StrictInt | None, Field(gt=0)] = None
    """Layers of the smallest text encoder (`num_hidden_layers` of its config.json), for pipelines with CLIP's alone: a
    request may weigh parts of a prompt and choose a layer."""
    learned_guidance: StrictBool | None = None
    """True: the UNet has learned its guidance (`time_cond_proj_dim` of its config.json is a number), so that a negative
    prompt has no effect."""
    fixed_guidance: StrictBool | None = None
    """True: the model was distilled without an input for guidance, so that a guidance scale has no effect
    (`is_distilled` of its model_index.json is true or, for FLUX, `guidance_embeds` of the transformer's config.json is
    false)."""
    safety_checker: StrictBool | None = None
    """True: the pipeline has a safety checker. The setting `content` says what requests may choose."""
    max_pixel_steps: Annotated[StrictInt | None, Field(gt=0)] = None
    """Largest width x height x steps x images of a request; default: the contract's."""
    max_steps: Annotated[StrictInt | None, Field(ge=STEPS[0], le=STEPS[1])] = None
    """Most inference steps of a request with any scheduler; default: 150. lcm allows 50."""
    suggestions: tuple[str, ...] = ()
    """Example prompts."""
    subjects: tuple[str, ...] = ()
    """Names of everything that a small model can generate; empty: anything."""
    prompt_tokens: Annotated[StrictInt | None, Field(gt=0)] = None
    """Tokens of a prompt that the text encoder reads, without its own; the page warns of longer prompts."""
    presets: tuple[Preset, ...] = ()
    """Named settings that the page offers."""
    loras: Annotated[tuple[Lora, ...], Field(max_length=MOST_LORAS)] = ()
    """LoRAs that requests may use."""
    controls: Annotated[tuple[Control, ...], Field(max_length=MOST_CONTROLS)] = ()
    """ControlNets that requests may use."""
    embeddings: Annotated[tuple[Embedding, ...], Field(max_length=MOST_EMBEDDINGS)] = ()
    """Textual-inversion embeddings that prompts may use."""
    _allowed: str = PrivateAttr(CONTENT[0])

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_dtype(self)
        _check_clip_layers(self)
        _check_edits(self)
        _check_schedulers(self)
        _check_steps(self)
        _check_sizes(self)
        _check_presets(self)
        _check_extras(self)
        _check_loras(self)
        _check_controls(self)
        _check_embeddings(self)
        _check_length(self)
        return self

    def allowing(self, content: str) -> Self:
        """Return the entry for a service whose requests may choose `content`, an item of `CONTENT`, or less."""
        copied = self.model_copy()
        copied._allowed = content
        return copied

    @property
    def content(self) -> tuple[str, ...]:
        """What requests may choose for images that the safety checker flags; empty: the model has none."""
        return CONTENT[: CONTENT.index(self._allowed) + 1] if self.safety_checker else ()

    @property
    def takes_negative_prompt(self) -> bool | None:
        """False: a negative prompt has no effect; None: it has."""
        return False if self.learned_guidance or self.pipeline in WITHOUT_NEGATIVE_PROMPT else None

    @property
    def takes_guidance_scale(self) -> bool | None:
        """False: a guidance scale has no effect; None: it has."""
        return False if self.fixed_guidance else None

    @property
    def most_controls(self) -> int | None:
        """ControlNets of one request; None: the contract's."""
        family = self._control_family
        return family.most if family and family.most != CONTROLS else None

    @property
    def control_cost_percent(self) -> int | None:
        """What each ControlNet adds to the work of a job; None: the contract's."""
        family = self._control_family
        return family.cost_percent if family and family.cost_percent != CONTROL_COST_PERCENT else None

    @property
    def control_without(self) -> tuple[str, ...]:
        """What does not go together with control."""
        family = self._control_family
        return family.without if family else ()

    @property
    def _control_family(self) -> ControlFamily | None:
        return CONTROL_PIPELINES.get(self.pipeline) if self.controls else None

    @property
    def profile(self) -> str:
        """JSON for the functions: what a request needs."""
        return self._render(PROFILE, _SHOWN)

    @property
    def container_profile(self) -> str:
        """JSON for the container: what a request needs, and how the model is loaded."""
        return self._render(CONTAINER_PROFILE, _NEEDED | {"inputs"}, dtype=self.dtype, variant=self.source.variant)

    @property
    def source_fields(self) -> dict[str, Any]:
        """The source for the importer, with those of the extras. Only the variant may have no value."""
        keys = {"id", "sha256", "source"}
        extras = {
            folder: [extra.model_dump(include=keys, exclude_none=True) for extra in found]
            for folder, found in self.extras.items()
        }
        fields = {
            key: value for key, value in self.source.model_dump().items() if value is not None or key == "variant"
        }
        return fields | extras

    @property
    def extras(self) -> dict[str, tuple[Extra, ...]]:
        """Key of the entry, which is also the folder of their files, to its extras, if there are any."""
        found = {folder: getattr(self, folder) for folder in EXTRAS}
        return {folder: extras for folder, extras in found.items() if extras}

    def extra_sources(self, kind: type[S]) -> list[S]:
        """Return the sources of extras that are of a kind."""
        sources = (extra.source for found in self.extras.values() for extra in found)
        return [source for source in sources if isinstance(source, kind)]

    @property
    def extra_digests(self) -> dict[str, str]:
        """Path of each extra to the sha256 of its file."""
        return {extra_path(folder, extra.id): extra.sha256 for folder, found in self.extras.items() for extra in found}

    @property
    def brought_extras(self) -> list[str]:
        """Paths of the extras that have a source."""
        found = ((folder, extra) for folder, extras in self.extras.items() for extra in extras)
        return [extra_path(folder, extra.id) for folder, extra in found if extra.source]

    def _render(self, keys: tuple[str, ...], extra_keys: set[str], **more: str | None) -> str:
        fields = {key: getattr(self, key) for key in keys} | more
        value = {key: value for key, value in fields.items() if value not in (None, ())}
        if "presets" in value:
            value["presets"] = [preset.model_dump(exclude_none=True) for preset in self.presets]
        for folder, extras in self.extras.items():
            value[folder] = [extra.model_dump(include=extra_keys, exclude_defaults=True) for extra in extras]
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def profile_parts(profile: str) -> list[str]:
    """Return the texts of at most `VARIABLE_BYTES` that together are the profile, for variables of a container."""
    if len(profile.encode()) > VARIABLE_BYTES:
        profile = json.dumps(json.loads(profile), separators=(",", ":"))  # ASCII can be cut anywhere
    return [profile[start : start + VARIABLE_BYTES] for start in range(0, len(profile), VARIABLE_BYTES)]


def model_ids(root: Path) -> list[str]:
    """Return the ids of the catalogue in the checkout `root`."""
    return sorted(path.stem for path in (root / "models").glob("*.json"))


def read_model(name: str, root: Path) -> Model:
    """Return the entry `models/<name>.json` below `root` or, for a name with a slash, the entry `<name>.json` itself.

    Raises CatalogueError.
    """
    path = entry_path(name, root)
    if not _is_file(path):
        raise CatalogueError(
            f"There is no model {name!r}: {path} does not exist. The catalogue has: {', '.join(model_ids(root))}.",
            code="missing",
        )
    try:
        return _read(path)
    except CatalogueError as error:
        raise CatalogueError(f"{path}: {error}", code=error.code, key=error.key) from None


def read_models(names: Sequence[str], root: Path) -> tuple[Model, ...]:
    """Return the entries of these names. Raises CatalogueError: also if two have the same id."""
    models = tuple(read_model(name, root) for name in names)
    ids = [model.id for model in models]
    if repeated := [id for i, id in enumerate(ids) if id in ids[:i]]:
        raise CatalogueError(f"model has {repeated[0]!r} twice. Name each model once.", code="conflict", key="model")
    return models


def entry_path(name: str, root: Path) -> Path:
    """Return the file of an entry that `read_model` reads."""
    file = f"{name.removesuffix('.json')}.json"
    return Path(file) if "/" in name else root / "models" / file


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # longer than a file name can be
        return False


def _read(path: Path) -> Model:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogueError(f"it cannot be read: {error.strerror}.", code="unreadable") from None
    except ValueError as error:
        raise CatalogueError(f"it is not JSON: {error}.", code="wrong_type") from None
    return parse_model(text, path)


def parse_model(text: str, path: Path) -> Model:
    """Return the entry with this text, which is that of the file `path` or will be. Raises CatalogueError."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CatalogueError(f"it is not JSON: {error}.", code="wrong_type") from None
    if isinstance(entry, dict):
        entry = {"source": {"kind": "folder", "path": path.stem}} | entry
    try:
        model = Model.model_validate(entry)
    except ValidationError as error:
        message, code, key = explain(error, _model_at, kind="key of an entry")
        raise CatalogueError(message, code=code, key=key) from None
    if model.id != path.stem:
        message = f"id is {model.id!r}; it must be the name of the file, {path.stem!r}."
        raise CatalogueError(message, code="conflict", key="id")
    if isinstance(model.source, FolderSource):
        places = {key: path.parent / place for key in ("path", "checkpoint") if (place := getattr(model.source, key))}
        source = model.source.model_copy(update=places)
        return model.model_copy(update={"source": source})
    return model


def _model_at(location: Location) -> type[BaseModel]:
    """Return the class of the object that has the key at `location`, such as ("source", "hub", "revision")."""
    if "parts" in location[:-1]:
        return HubFiles
    if location[0] == "presets" and len(location) > 2:
        return Preset
    if location[0] in EXTRAS and len(location) > 2:
        if len(location) > 3 and location[2] == "source":
            kinds: Mapping[int | str, type[BaseModel]] = {"url": ExtraLink, "s3": ExtraObject}
            return kinds.get(location[3], ExtraFile)
        extras: Mapping[str, type[BaseModel]] = {"loras": Lora, "controls": Control, "embeddings": Embedding}
        return extras[str(location[0])]
    sources: Mapping[int | str, type[BaseModel]] = {
        "hub": HubSource,
        "s3": S3Source,
        "url": UrlSource,
        "folder": FolderSource,
    }
    return sources.get(location[-2], Model) if len(location) > 1 else Model


# --- checks of several keys ----------------------------------------------------------------------


def _check_dtype(model: Model) -> None:
    family = PIPELINES.get(model.pipeline)
    if family and model.dtype == "float16" and "float16" not in family.dtypes:
        message = f"dtype is 'float16', in which {model.pipeline} overflows; it can be bfloat16 or float32."
        raise failure("not_allowed", "dtype", message)


def _check_clip_layers(model: Model) -> None:
    if model.clip_layers and model.pipeline not in CLIP_PIPELINES:
        message = f"clip_layers is for {', '.join(CLIP_PIPELINES)}; {model.pipeline} has other text encoders."
        raise failure("conflict", "clip_layers", message)


def _check_edits(model: Model) -> None:
    most = EDITORS.get(model.pipeline, 0)
    if model.edits and not most:
        message = f"edits is for {', '.join(EDITORS)}; {model.pipeline} looks at no images."
        raise failure("conflict", "edits", message)
    if (model.edits or 0) > most:
        raise failure("out_of_range", "edits", f"edits is {model.edits}; {model.pipeline} takes at most {most}.")


def _check_schedulers(model: Model) -> None:
    if unknown := [name for name in model.schedulers if name not in SCHEDULERS]:
        message = f"schedulers has {unknown[0]!r}; it can have {', '.join(SCHEDULERS)}."
        raise failure("not_allowed", "schedulers", message)
    if model.scheduler not in model.schedulers:
        message = f"scheduler is {model.scheduler!r}; it must be in schedulers: {', '.join(model.schedulers)}."
        raise failure("conflict", "scheduler", message)


def _check_steps(model: Model) -> None:
    limit = _most_steps(model, model.scheduler)
    if model.steps > limit:
        message = f"steps is {model.steps}; {model.scheduler} allows {STEPS[0]} to {limit}."
        raise failure("out_of_range", "steps", message)


def _most_steps(model: Model, scheduler: str) -> int:
    return min(model.max_steps or STEPS[1], SCHEDULER_STEPS.get(scheduler, STEPS[1]))


def _check_sizes(model: Model) -> None:
    for size in model.sizes:
        _check_size(model, size, "sizes")


def _check_size(model: Model, size: tuple[int, int], key: str) -> None:
    width, height = size
    if max(size) > model.max_side or min(size) < SIDES[0] or width % 8 or height % 8:
        raise failure(
            "out_of_range",
            key,
            f"{key} has {width}x{height}; sides are multiples of 8 from {SIDES[0]} to max_side, {model.max_side}.",
        )


def _check_presets(model: Model) -> None:
    names = [preset.name for preset in model.presets]
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise failure("conflict", "presets", f"presets has {repeated[0]!r} twice; each needs a name of its own.")
    for preset in model.presets:
        scheduler, steps = preset.scheduler or model.scheduler, preset.steps or model.steps
        if scheduler not in model.schedulers:
            message = f"presets: {preset.name!r} has {scheduler!r}; schedulers has {', '.join(model.schedulers)}."
            raise failure("conflict", "presets", message)
        if steps > (limit := _most_steps(model, scheduler)):
            message = f"presets: {preset.name!r} has {steps} steps; {scheduler} allows {STEPS[0]} to {limit}."
            raise failure("out_of_range", "presets", message)
        if preset.size:
            _check_size(model, preset.size, "presets")
        if preset.negative_prompt and model.takes_negative_prompt is False:
            message = f"presets: {preset.name!r} has a negative_prompt, which {model.id} does not take."
            raise failure("conflict", "presets", message)
        if preset.guidance_scale is not None and model.takes_guidance_scale is False:
            message = f"presets: {preset.name!r} has a guidance_scale, which {model.id} does not take."
            raise failure("conflict", "presets", message)


def _check_extras(model: Model) -> None:
    for key, extras in model.extras.items():
        kind = EXTRAS[key].name
        ids = [extra.id for extra in extras]
        if repeated := [id for i, id in enumerate(ids) if id in ids[:i]]:
            raise failure("conflict", key, f"{key} has {repeated[0]!r} twice; each needs an id of its own.")
        alone = next((extra.id for extra in extras if not extra.source), "")
        if alone and _is_converted(model.source):
            message = (
                f"{key}: {alone!r} has no source, and beside a single-file checkpoint there is no {kind}; it can be a "
                "file of a hub, a link, or an object of S3. Set its `source`."
            )
            raise failure("conflict", key, message)
    urls = [link.url for link in model.extra_sources(ExtraLink)]
    if isinstance(model.source, UrlSource):
        urls.append(model.source.url)
    hosts = {urlsplit(url).netloc for url in urls}
    if len(hosts) > 1:
        key = next(iter(model.extras))
        message = f"{key}: links are of {', '.join(sorted(hosts))}; they must be of one host, which gets the token."
        raise failure("conflict", key, message)


def _check_loras(model: Model) -> None:
    for lora in model.loras:
        scheduler = lora.scheduler or model.scheduler
        if scheduler not in model.schedulers:
            known = ", ".join(model.schedulers)
            message = f"loras: {lora.id!r} has {scheduler!r}, which is not in schedulers: {known}. Add it there."
            raise failure("conflict", "loras", message)
        if lora.steps and lora.steps > (limit := _most_steps(model, scheduler)):
            message = f"loras: {lora.id!r} has {lora.steps} steps; {scheduler} allows {STEPS[0]} to {limit}."
            raise failure("out_of_range", "loras", message)


def _check_controls(model: Model) -> None:
    if model.controls and model.pipeline not in CONTROL_PIPELINES:
        message = f"controls are for {', '.join(CONTROL_PIPELINES)}; {model.pipeline} takes no ControlNets."
        raise failure("conflict", "controls", message)
    for control in model.controls:
        allowed = CONTROL_PIPELINES[model.pipeline].inputs
        if allowed and control.inputs not in allowed:
            message = (
                f"controls: {control.id!r} must have inputs, one of {', '.join(allowed)} (docs/how-to/control.md)."
            )
            raise failure("not_allowed" if control.inputs else "missing", "controls", message)
        if control.inputs and not allowed:
            message = f"controls: {control.id!r} has inputs, which those of {model.pipeline} do not need. Remove it."
            raise failure("conflict", "controls", message)


def _check_embeddings(model: Model) -> None:
    if model.embeddings and model.pipeline not in CLIP_PIPELINES:
        message = f"embeddings are for {', '.join(CLIP_PIPELINES)}; {model.pipeline} has other text encoders."
        raise failure("conflict", "embeddings", message)
    tokens = [(embedding.token or embedding.id).lower() for embedding in model.embeddings]
    if repeated := [token for i, token in enumerate(tokens) if token in tokens[:i]]:
        message = f"embeddings has the token {repeated[0]!r} twice; each needs a token of its own."
        raise failure("conflict", "embeddings", message)
    if "break" in tokens:
        message = "embeddings: the token 'break' is a word of weighted prompts; set another `token`."
        raise failure("conflict", "embeddings", message)


def _is_converted(source: Source) -> bool:
    """Return whether an import converts the source."""
    name = source.file or "" if isinstance(source, HubSource) else source.uri if isinstance(source, S3Source) else ""
    return isinstance(source, UrlSource) or name.endswith(".safetensors")


def _check_length(model: Model) -> None:
    if (size := sum(map(len, profile_parts(model.container_profile)))) > CONTAINER_BYTES:
        message = f"the profile has {size} bytes; a container can have {CONTAINER_BYTES} in variables."
        raise failure("too_long", "", f"{message} Shorten the name, the licence, the LoRAs or the list of sizes.")
