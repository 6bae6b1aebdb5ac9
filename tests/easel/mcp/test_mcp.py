"""`easel mcp` with the real client of the protocol, over standard input and output, against a running service."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.dispatcher import ProgressFnT
from mcp.types import CallToolResult, ImageContent, TextContent

from easel.client.async_client import AsyncEasel
from easel.client.results import Image, Progress
from easel.connect.clients import CLIENTS
from easel.connect.settings import Settings
from easel.mcp import server
from easel.mcp.inline_images import to_webp
from tests.easel.running import EASEL, ROOT, Laptop, free_port


def text(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def images(result: CallToolResult) -> list[ImageContent]:
    return [part for part in result.content if isinstance(part, ImageContent)]


async def use(client: Client, laptop: Laptop, folder: Path, note: ProgressFnT) -> list[Any]:
    """Use the tools as an assistant does, and return what they give."""
    tools = (await client.list_tools()).tools
    models = await client.call_tool("list_models", {})
    request = {"prompt": "slow 1", "seed": 41, "n": 2, "steps": 4}
    generated = await client.call_tool("generate_image", request, progress_callback=note)
    source = next(folder.glob("41-*"))
    edited = await client.call_tool("edit_image", {"prompt": "b", "image": str(source), "strength": 0.5, "seed": 9})
    await cancel_a_call(client, laptop)
    return [tools, models, generated, edited]


async def cancel_a_call(client: Client, laptop: Laptop) -> None:
    """Cancel a call while its job runs, and wait until the job is cancelled."""
    call = asyncio.create_task(client.call_tool("generate_image", {"prompt": "slow 40 of mcp"}))
    while not (jobs := [job for job in recent(laptop) if job["parameters"]["prompt"] == ["slow 40 of mcp"]]):
        await asyncio.sleep(0.1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    for _ in range(600):
        if laptop.job(jobs[0]["id"])["status"] == "cancelled":
            return
        await asyncio.sleep(0.1)
    pytest.fail("the job goes on")


def test_an_assistant_uses_the_tools(laptop: Laptop, tmp_path: Path) -> None:
    """It starts the server as `easel connect` says. Images are written to the home folder."""
    settings = json.loads(Settings(laptop.url, command=EASEL).render(CLIENTS["claude-desktop"]))["mcpServers"]["easel"]
    environment = {**settings.pop("env"), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    parameters = StdioServerParameters(**settings, env=environment, cwd="/")
    notes: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        notes.append((progress, total))

    async def main() -> list[Any]:
        async with Client(stdio_client(parameters)) as client:
            return await use(client, laptop, tmp_path / "easel-images", note)

    tools, models, generated, edited = asyncio.run(main())
    assert [tool.name for tool in tools] == ["generate_image", "edit_image", "list_models"]
    assert all(property["description"] for tool in tools for property in tool.input_schema["properties"].values())
    assert json.loads(text(models))[0]["id"] == "emoji"
    assert not generated.is_error
    assert [image.mime_type for image in images(generated)] == ["image/webp"] * 2
    assert PIL.Image.open(io.BytesIO(base64.b64decode(images(generated)[0].data))).format == "WEBP"
    lines = text(generated).splitlines()
    assert [line.split(":")[0] for line in lines] == [f"seed {seed}, 128×128, model emoji" for seed in (41, 42)]
    assert all(Path(line.split(": ")[1]).read_bytes().startswith(b"\x89PNG") for line in lines)
    assert "seed 9" in text(edited)
    values = [value for value, _ in notes]
    assert (values == sorted(set(values)), len(values) > 1) == (True, True)


def in_memory(url: str, folder: Path, *calls: tuple[str, dict[str, Any]]) -> list[CallToolResult]:
    """Return the results of calls of a server in this process."""

    async def main() -> list[CallToolResult]:
        async with AsyncEasel(url) as easel, Client(server.make_server(easel, folder)) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(main())


def test_errors_are_readable(laptop: Laptop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    results = in_memory(
        laptop.url,
        tmp_path / "file",
        ("generate_image", {"prompt": "a", "width": 513}),
        ("generate_image", {"prompt": 7}),
        ("edit_image", {"prompt": "a", "image": "/dev/zero"}),
        ("edit_image", {"prompt": "a", "image": str(ROOT / "README.md")}),
        ("edit_image", {"prompt": "a", "image": str(ROOT / "docs/images/readme.png"), "mask": "/dev/null"}),
        ("generate_image", {"prompt": "a"}),
    )
    assert [result.is_error for result in results] == [True] * 6
    for result, words in zip(
        results, ("Send 512.", "prompt", "/dev/zero", "README.md", "/dev/null", "--out"), strict=True
    ):
        assert words in text(result)
        assert "Traceback" not in text(result)


def test_what_a_model_offers_reaches_the_api(laptop: Laptop, tmp_path: Path) -> None:
    """As the names of the API have it; the API checks the values."""
    (tmp_path / "out").mkdir()
    loras = [{"id": "comic", "scale": 0.5}]
    made: dict[str, Any] = {"prompt": "(mcp:1.3)", "seed": 5, "width": 128, "height": 128, "loras": loras}
    made |= {"prompt_syntax": "weighted", "clip_skip": 2, "hires_scale": 1.5, "model": "emoji", "steps": 2}
    generated, unknown, wrong = in_memory(
        laptop.url,
        tmp_path / "out",
        ("generate_image", made),
        ("generate_image", {"prompt": "a", "loras": [{"id": "none"}]}),
        ("generate_image", {"prompt": "a", "loras": [{"scale": 1}]}),
    )
    assert not generated.is_error, text(generated)
    sent = recent(laptop)[0]["parameters"]
    assert (sent["loras"], sent["clip_skip"], sent["prompt_syntax"]) == (loras, 2, "weighted")
    assert sent["hires"]["scale"] == 1.5
    assert (unknown.is_error, "comic" in text(unknown), wrong.is_error, "id" in text(wrong)) == (True,) * 4
    source = next((tmp_path / "out").glob("5-*"))
    size = {"width": 192, "height": 128}
    call = {"prompt": "b", "image": str(source), "outpaint": {"left": 64}, "loras": loras, "steps": 2, **size}
    (edited,) = in_memory(laptop.url, tmp_path / "out", ("edit_image", call))
    assert not edited.is_error, text(edited)
    assert recent(laptop)[0]["parameters"]["outpaint"]["left"] == 64


def test_errors_of_the_service(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (result,) = in_memory(url, tmp_path, ("generate_image", {"prompt": "a secret prompt"}))
    assert (result.is_error, "make up" in text(result)) == (True, True)
    assert "secret" not in "".join(capfd.readouterr())


def recent(laptop: Laptop) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = laptop.http.get("/jobs").json()["jobs"]
    return jobs


def test_standard_output_is_the_protocols_alone(laptop: Laptop, tmp_path: Path) -> None:
    """What is printed while the server runs does not reach its output."""
    (tmp_path / "noise.py").write_text(
        "import sys, runpy, easel.client.api as api\n"
        "models = api.Api.models\n"
        "api.Api.models = lambda self: print('noise') or models(self)\n"
        "sys.argv[0] = 'easel'\n"
        "runpy.run_module('easel', run_name='__main__')\n"
    )
    handshake = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    start = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": handshake}
    list_models = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_models"}}
    command = [sys.executable, str(tmp_path / "noise.py"), "mcp", "--url", laptop.url, "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    lines = []
    for message in (start, {"jsonrpc": "2.0", "method": "notifications/initialized"}, list_models):
        process.stdin.write(f"{json.dumps(message)}\n")
        process.stdin.flush()
        if "id" in message:
            lines.append(json.loads(process.stdout.readline()))
    rest, errors = process.communicate(timeout=400)
    assert (process.returncode, rest, "noise" in errors) == (0, "", True), errors
    assert [line["id"] for line in lines] == [1, 2]


def test_without_the_package(tmp_path: Path) -> None:
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([*EASEL, "mcp"], env=environment, capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (3, "", False)
    assert "requirements-mcp.txt" in done.stderr


def test_the_command_line_starts_without_the_package() -> None:
    code = "import sys, easel.cli; sys.exit('mcp' in sys.modules or 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=400).returncode == 0


# --- images --------------------------------------------------------------------------------------


def noise(side: int, kind: str = "PNG") -> Image:
    body = io.BytesIO()
    PIL.Image.effect_noise((side, side), 90).convert("RGB").save(body, kind)
    return Image(body.getvalue(), 1, side, side, f"image/{kind.lower()}", "a")


@pytest.mark.parametrize("limit", [100_000, 20_000, 1_000])
def test_images_are_made_small_enough(limit: int) -> None:
    body = to_webp(noise(400), limit)
    assert body is not None
    assert limit / 10 < len(body) <= limit
    assert PIL.Image.open(io.BytesIO(body)).format == "WEBP"


def test_a_small_webp_is_sent_as_it_is() -> None:
    image = noise(64, "WEBP")
    assert to_webp(image, len(image.data)) == image.data
    assert to_webp(image, len(image.data) - 1) != image.data


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xffx", noise(8).data[:60]])
def test_a_damaged_image_is_left_out(data: bytes) -> None:
    assert to_webp(Image(data, 1, 8, 8, "image/png", "a"), 10_000) is None


def test_a_silent_call_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(server, "HEARTBEAT_SECONDS", 0.03)
    values: list[float] = []

    class Context:
        async def report_progress(self, value: float, total: float | None, message: str) -> None:
            values.append(value)

    async def main() -> None:
        notifications = server.Notifications(Context())  # type: ignore[arg-type]
        async with notifications:
            notifications.take(Progress("queued", "Waiting.", None, None, None))
            async with asyncio.timeout(60):
                while len(values) < 3:
                    await asyncio.sleep(0.01)

    asyncio.run(main())
    assert len(values) > 2
    assert values == sorted(set(values))


@pytest.mark.parametrize(
    ("edits", "images", "mask", "sent"),
    [
        (10, ["/a.png", "/b.png"], None, {"images": [Path("/a.png"), Path("/b.png")]}),
        (0, ["/a.png"], "/m.png", {"init_image": Path("/a.png"), "mask_image": Path("/m.png")}),
        (0, ["/a.png", "/b.png"], None, None),
    ],
)
def test_images_are_sent_as_the_model_takes_them(
    edits: int, images: list[str], mask: str | None, sent: dict[str, Any] | None
) -> None:
    class Service:
        async def models(self) -> list[Any]:
            return [SimpleNamespace(name="a model", edits=edits)]

    sources = server.Tools(Service(), Path())._sources(images, mask)  # type: ignore[arg-type]  # models() alone is used
    if sent is None:
        with pytest.raises(ToolError, match="one image"):
            asyncio.run(sources)
    else:
        assert asyncio.run(sources) == sent


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("generate_image", {}, "prompt: Field required"),
        ("generate_image", {"prompt": "a", "width": "wide", "steps": "x"}, "width: Input should be a valid integer"),
        ("generate_image", {"prompt": "a", "loras": [{"scale": 1}]}, "loras.0.id: Field required"),
        ("generate_image", {"prompt": "a", "size": "1024x1024"}, "'size'. It takes prompt, negative_prompt, width"),
        ("list_models", {"model": "sdxl"}, "list_models has no argument 'model'. It takes none."),
        ("paint", {"prompt": "a"}, "Unknown tool"),
    ],
)
def test_wrong_arguments_are_named(tool: str, arguments: dict[str, Any], words: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncEasel("http://127.0.0.1:9") as easel:
            await server.make_server(easel, tmp_path).call_tool(tool, arguments)

    with pytest.raises(ToolError) as caught:
        asyncio.run(main())
    assert words in str(caught.value)
    assert not any(word in str(caught.value) for word in ("pydantic", "validation error", "input_value", "Value error"))
