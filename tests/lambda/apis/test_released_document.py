"""The API keeps what its released OpenAPI document promises: `examples/openapi.json`.

After a release, and for additions, write it anew: `python tests/lambda/apis/test_released_document.py`.
"""

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
RELEASED = ROOT / "examples/openapi.json"


def current() -> dict[str, Any]:
    from contract import parse_profile
    from routes.openapi import document

    return document((parse_profile((ROOT / "examples/profile.json").read_text(encoding="utf-8")),))


def breaking(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Yield what a client of the old document can no longer send, or no longer finds in a response."""
    for path, item in old["paths"].items():
        for method, operation in item.items():
            where, now = f"{method.upper()} {path}", new["paths"].get(path, {}).get(method)
            if method == "parameters":
                continue
            if now is None:
                yield f"{where} is gone"
                continue
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                if media_type not in now.get("requestBody", {}).get("content", {}):
                    yield f"{where} takes no {media_type}"
                else:
                    there = now["requestBody"]["content"][media_type]
                    yield from narrowed(where, resolved(old, content["schema"]), resolved(new, there["schema"]))
            for status, response in operation["responses"].items():
                yield from fewer(f"{where} {status}", old, response, new, now["responses"].get(status))


def narrowed(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Compare schemas of requests."""
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{where} needs {name}"
    for name, schema in old.get("properties", {}).items():
        there = new.get("properties", {}).get(name)
        if there is None and not new.get("additionalProperties", True):
            yield f"{where} does not take {name}"
        elif there is not None:
            yield from bounds(f"{where} {name}", schema, there)


def bounds(where: str, old: Any, new: Any) -> Iterator[str]:
    options = zip(old.get("oneOf", [old]), new.get("oneOf", [new]), strict=False) if old and new else ()
    for before, now in options:
        for key, sign in (("maximum", 1), ("maxLength", 1), ("maxItems", 1), ("minimum", -1), ("minLength", -1)):
            if key in now and sign * now[key] < sign * before.get(key, sign * float("inf")):
                yield f"{where}: {key} {now[key]}"
        if missing := set(before.get("enum", ())) - set(now.get("enum", before.get("enum", ()))):
            yield f"{where}: no {sorted(missing)}"
        if before.get("type") != now.get("type"):
            yield f"{where}: type {now.get('type')}"


def fewer(where: str, old: Any, response: Any, new: Any, now: Any) -> Iterator[str]:
    """Compare responses."""
    if now is None:
        yield f"{where} is gone"
        return
    for media_type, content in response.get("content", {}).items():
        if media_type not in now.get("content", {}):
            yield f"{where} is no {media_type}"
            continue
        before, after = (
            resolved(old, content.get("schema", {})),
            resolved(new, now["content"][media_type].get("schema", {})),
        )
        yield from lost(where, old, before, new, after)


def lost(where: str, old: Any, before: Any, new: Any, after: Any, depth: int = 0) -> Iterator[str]:
    for name, schema in before.get("properties", {}).items():
        there = after.get("properties", {}).get(name)
        if there is None:
            yield f"{where} has no {name}"
        elif name in before.get("required", ()) and name not in after.get("required", ()):
            yield f"{where} may have no {name}"
        elif depth < 4:
            inner = resolved(old, schema), resolved(new, there)
            if inner[0].get("type") != inner[1].get("type"):
                yield f"{where} {name}: type {inner[1].get('type')}"
            yield from lost(f"{where} {name}", old, inner[0], new, inner[1], depth + 1)
    if "items" in before and depth < 4:
        yield from lost(
            f"{where} items", old, resolved(old, before["items"]), new, resolved(new, after.get("items", {})), depth + 1
        )


def resolved(document: Any, schema: Any) -> Any:
    if not isinstance(schema, dict):
        return {}
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def schema(document: Any, name: str) -> Any:
    return document["components"]["schemas"][name]


def fields(document: Any, name: str) -> Any:
    return schema(document, name)["properties"]


def test_nothing_that_was_released_is_gone() -> None:
    assert list(breaking(json.loads(RELEASED.read_text(encoding="utf-8")), current())) == []


def test_every_route_is_documented() -> None:
    from fakes import World

    described = current()["paths"]
    world = World()
    missing = []
    for route in (route for api in world.apis for route in api.routes()):
        path = route.path.replace("<", "{").replace(">", "}")
        if route.method.lower() not in described.get(path, {}):
            missing.append(f"{route.method} {path}")
    assert missing == []


IMAGES = "POST /v1/images/generations 200 data items"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d["paths"].pop("/generate"), "POST /generate is gone"),
        (lambda d: d["paths"]["/v1/models"].pop("get"), "GET /v1/models is gone"),
        (lambda d: d["paths"]["/generate"]["post"]["responses"].pop("202"), "POST /generate 202 is gone"),
        (lambda d: schema(d, "GenerationRequest")["required"].append("seed"), "POST /generate needs seed"),
        (lambda d: fields(d, "GenerationRequest").pop("seed"), "POST /generate does not take seed"),
        (lambda d: fields(d, "GenerationRequest")["seed"]["oneOf"][0].update(maximum=9),
         "POST /generate seed: maximum 9"),
        (lambda d: fields(d, "Job").pop("seeds"), "POST /generate 202 has no seeds"),
        (lambda d: fields(d, "Image").pop("url"), "POST /generate 200 images items has no url"),
        (lambda d: fields(d, "OpenAIImage").pop("url"), f"{IMAGES} has no url"),
    ],
)  # fmt: skip
def test_a_breaking_change_is_found(change: Any, expected: str) -> None:
    released = json.loads(RELEASED.read_text(encoding="utf-8"))
    changed = copy.deepcopy(released)
    change(changed)
    assert expected in list(breaking(released, changed))


def test_additions_break_nothing() -> None:
    released = json.loads(RELEASED.read_text(encoding="utf-8"))
    added = copy.deepcopy(released)
    added["paths"]["/new"] = {"get": {"responses": {}}}
    added["components"]["schemas"]["Job"]["properties"]["new"] = {"type": "string"}
    added["components"]["schemas"]["GenerationRequest"]["properties"]["new"] = {"type": "string"}
    assert list(breaking(released, added)) == []


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "lambda"))
    RELEASED.write_text(json.dumps(current(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
