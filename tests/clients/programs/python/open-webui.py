"""Open WebUI's router of images, as its package has it. The rest of that server needs several GB of packages: its
database, users, events and stored files are replaced here."""

import base64
import importlib
import importlib.abc
import importlib.machinery
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import aiohttp
from fastapi import FastAPI
from fastapi.testclient import TestClient
from serve import serve

OWN = ("open_webui.routers.images", "open_webui.constants", "open_webui.utils.json_codec")
"""The modules that are those of the package."""
DEFAULTS = {
    "ENABLE_IMAGE_PROMPT_GENERATION": True, "IMAGE_SIZE": "512x512", "IMAGE_STEPS": 50, "USER_PERMISSIONS": {},
    "IMAGES_OPENAI_API_VERSION": "", "IMAGES_OPENAI_API_PARAMS": {}, "AUTOMATIC1111_PARAMS": {},
    "IMAGE_EDIT_SIZE": "", "IMAGES_EDIT_OPENAI_API_VERSION": "",
}  # fmt: skip
"""Settings that it has without a variable."""


class Replaced(ModuleType):
    """A module in which every name is a function that does nothing, unless it was set."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        async def nothing(*_: Any, **__: Any) -> None: ...

        return nothing


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Replaces all modules of the package but `OWN`."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name in OWN or not name.startswith("open_webui"):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> ModuleType:
        return Replaced(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """A package in which `OWN` are found, and the names that the router reads."""
        parts = module.__name__.split(".")[1:]
        module.__path__ = [str(PACKAGE.joinpath(*parts))]
        for name, value in NAMES.get(".".join(parts), {}).items():
            setattr(module, name, value)


class Config:
    """The settings of one call, by the names of the database."""

    values: ClassVar[dict[str, Any]] = {}

    @classmethod
    async def get_many(cls, *keys: str) -> dict[str, Any]:
        names = {key: name for name, key in router().IMAGE_CONFIG_KEYS.items()}
        return {key: cls.values[names[key]] for key in keys if names[key] in cls.values}


class Sessions:
    """The connections to Easel."""

    session: aiohttp.ClientSession | None = None

    @classmethod
    async def get(cls) -> aiohttp.ClientSession:
        cls.session = cls.session or aiohttp.ClientSession()
        return cls.session


FILES: dict[str, bytes] = {}


async def keep(request: Any, file: Any, **_: Any) -> SimpleNamespace:
    FILES[id := str(len(FILES))] = await file.read()
    return SimpleNamespace(id=id, filename=file.filename, meta={})


def refuse(url: str) -> None:
    raise ValueError(f"the URL {url} has a private address")


def user() -> SimpleNamespace:
    return SimpleNamespace(id="1", role="admin")


def router() -> Any:
    return importlib.import_module("open_webui.routers.images")


spec = find_spec("open_webui")
assert spec and spec.submodule_search_locations
PACKAGE = Path(spec.submodule_search_locations[0])
NAMES: dict[str, dict[str, Any]] = {
    "config": {
        "CACHE_DIR": Path(tempfile.mkdtemp()),
        "ENABLE_OPENAI_IMAGE_EDIT_NORMALIZATION": True,
        "IMAGE_AUTO_SIZE_MODELS_REGEX_PATTERN": "^gpt-image",
        "IMAGE_URL_RESPONSE_MODELS_REGEX_PATTERN": "^gpt-image",
    },
    "env": {
        "AIOHTTP_CLIENT_ALLOW_REDIRECTS": False,
        "AIOHTTP_CLIENT_SESSION_SSL": True,
        "ENABLE_FORWARD_USER_INFO_HEADERS": False,
    },
    "models.config": {"Config": Config},
    "events": {"EVENTS": SimpleNamespace(IMAGE_GENERATED="", IMAGE_EDITED="", CONFIG_UPDATED="")},
    "retrieval.web.utils": {"validate_url": refuse},
    "routers.files": {"upload_file_handler": keep},
    "utils.auth": {"get_verified_user": user, "get_admin_user": user},
    "utils.session_pool": {"get_session": Sessions.get},
}
sys.meta_path.insert(0, Finder())
app = FastAPI()
app.include_router(router().router, prefix="/api/v1/images")
app.get("/api/v1/files/{id}/content", name="get_file_content_by_id")(lambda id: None)
http = TestClient(app)
http.__enter__()  # one event loop for all calls


def run(call: dict[str, Any]) -> dict[str, Any]:
    flags = {"true": True, "false": False}
    Config.values = DEFAULTS | {name: flags.get(text, text) for name, text in call.pop("settings").items()}
    action = call.pop("action")
    if action == "models":
        return {"models": [model["id"] for model in http.get("/api/v1/images/models").json()]}
    response = http.post(f"/api/v1/images/{action}", json=call)
    if response.status_code != 200:
        return {"error": response.json()["detail"]}
    if action == "verify":
        return {"verified": response.json()}
    files = [FILES[item["url"].split("/")[-2]] for item in response.json()]
    return {"images": [base64.b64encode(file).decode() for file in files]}


serve(run)
