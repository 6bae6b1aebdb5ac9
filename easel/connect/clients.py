"""The clients whose settings `easel connect` prints, and their settings as templates.

Marks of a template: {{root}}, {{openai}}, {{automatic1111}}, {{huggingface}}, {{replicate}} and {{generate}} are
addresses, {{key}} and {{login}} the key, {{model}} the model's name; `Settings` fills them in as strings of the
template's language.
"""

from __future__ import annotations

from dataclasses import dataclass

_CONTAINER = (
    "If it runs in a container, 127.0.0.1 is that container: start Easel with --host 0.0.0.0 --key …, and use the "
    "machine's address."
)
_ASSISTANT = 'Its tools are generate_image, edit_image and list_models. They need `pip install "easel[mcp]"`.'


@dataclass(frozen=True)
class Client:
    """A client. language: of the template. at_root: it replaces the path of its URL. install: shell command, if any."""

    name: str
    title: str
    api: str
    language: str
    template: str
    install: str = ""
    notes: tuple[str, ...] = ()
    at_root: bool = False


PYTHON = Client(
    "python",
    "Easel's Python client",
    "native",
    "python",
    """
import os
from easel.client import Easel

with Easel({{root}}, api_key={{key}}) as easel:
    easel.generate("a red apple", seed=7).images[0].save("apple.png")
""",
    install="pip install .",
)

CURL = Client(
    "curl",
    "curl",
    "native",
    "sh",
    """
curl -s {{generate}} -H x-api-key:{{key}} -H 'content-type: application/json' \\
  -d '{"prompt": "a red apple", "seed": 7}' -o response.json
python3 -c 'import base64, json; image = json.load(open("response.json"))["generated_images"][0]
open("apple.png", "wb").write(base64.b64decode(image))'
""",
    notes=("A response 202 has a job instead of images: it takes longer than 25 seconds. Get its `urls.get`.",),
)

OPENAI_PYTHON = Client(
    "openai-python",
    "OpenAI for Python",
    "OpenAI",
    "python",
    """
import base64
import os
from pathlib import Path
from openai import OpenAI

client = OpenAI(base_url={{openai}}, api_key={{key}})
result = client.images.generate(model={{model}}, prompt="a red apple", size="512x512", extra_body={"seed": 7})
Path("apple.png").write_bytes(base64.b64decode(result.data[0].b64_json))
""",
    install="pip install openai",
    notes=("Programs that read the environment need only OPENAI_BASE_URL and OPENAI_API_KEY.",),
)

OPENAI_JS = Client(
    "openai-js",
    "OpenAI for JavaScript",
    "OpenAI",
    "js",
    """
import { writeFile } from 'node:fs/promises'
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: {{openai}}, apiKey: {{key}} })
const result = await client.images.generate({ model: {{model}}, prompt: 'a red apple', size: '512x512', seed: 7 })
await writeFile('apple.png', Buffer.from(result.data[0].b64_json, 'base64'))
""",
    install="npm install openai",
)

LITELLM = Client(
    "litellm",
    "LiteLLM",
    "OpenAI",
    "python",
    """
import base64
import os
from pathlib import Path
import litellm

openai = {"api_base": {{openai}}, "api_key": {{key}}}
result = litellm.image_generation(model={{openai_model}}, prompt="a red apple", **openai)
Path("apple.png").write_bytes(base64.b64decode(result.data[0].b64_json))
""",
    install="pip install litellm",
)

LITELLM_PROXY = Client(
    "litellm-proxy",
    "LiteLLM proxy",
    "OpenAI",
    "yaml",
    """
model_list:
  - model_name: easel
    litellm_params:
      model: {{openai_model}}
      api_base: {{openai}}
      api_key: {{key}}
    model_info:
      mode: image_generation
router_settings:
  num_retries: 0
""",
    install="pip install 'litellm[proxy]'",
    notes=(
        "Write it to config.yaml, set LITELLM_MASTER_KEY to a key of your own, which its users send, and start "
        "`litellm --config config.yaml`.",
        "Without num_retries it sends a failed request three times, and each is a job of the GPU.",
        "`os.environ/EASEL_KEY` as api_key makes the proxy read the variable.",
    ),
)

AI_SDK = Client(
    "ai-sdk",
    "AI SDK",
    "OpenAI",
    "js",
    """
import { writeFile } from 'node:fs/promises'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateImage } from 'ai'

const easel = createOpenAICompatible({ name: 'easel', baseURL: {{openai}}, apiKey: {{key}} })
const { image } = await generateImage({
  model: easel.imageModel({{model}}),
  prompt: 'a red apple',
  size: '512x512',
  providerOptions: { easel: { seed: 7 } },
})
await writeFile('apple.png', image.uint8Array)
""",
    install="npm install ai @ai-sdk/openai-compatible",
)

LLM = Client(
    "llm",
    "llm with llm-openai-images",
    "OpenAI",
    "sh",
    """
export OPENAI_BASE_URL={{openai}} OPENAI_API_KEY={{key}}
llm -m openai/gpt-image-1.5 -o output apple.png 'a red apple'
""",
    install="llm install llm-openai-images",
    notes=("The plugin knows names of OpenAI only; every name that Easel does not know means its model.",),
)

HUGGINGFACE_HUB = Client(
    "huggingface-hub",
    "huggingface_hub",
    "Hugging Face",
    "python",
    """
import os
from huggingface_hub import InferenceClient

client = InferenceClient(base_url={{huggingface}}, api_key={{key}}, timeout=120)
client.text_to_image("a red apple", seed=7).save("apple.png")
""",
    install="pip install huggingface_hub pillow",
)

HUGGINGFACE_JS = Client(
    "huggingface-js",
    "@huggingface/inference",
    "Hugging Face",
    "js",
    """
import { writeFile } from 'node:fs/promises'
import { InferenceClient } from '@huggingface/inference'

const client = new InferenceClient({{key}}).endpoint({{huggingface}})
const image = await client.textToImage({ inputs: 'a red apple', parameters: { seed: 7 } })
await writeFile('apple.png', Buffer.from(await image.arrayBuffer()))
""",
    install="npm install @huggingface/inference",
)

WEBUIAPI = Client(
    "webuiapi",
    "webuiapi",
    "AUTOMATIC1111",
    "python",
    """
import os
import webuiapi

api = webuiapi.WebUIApi(baseurl={{automatic1111}})
api.set_auth("easel", {{key}})
api.txt2img(prompt="a red apple", seed=7).image.save("apple.png")
""",
    install="pip install webuiapi",
    notes=("The user name is free; the password is the API key.",),
)

REPLICATE_PYTHON = Client(
    "replicate-python",
    "Replicate for Python",
    "Replicate",
    "python",
    """
import os
from pathlib import Path
import replicate

client = replicate.Client(api_token={{key}}, base_url={{root}})
images = client.run({{replicate_model}}, input={"prompt": "a red apple", "seed": 7})
Path("apple.png").write_bytes(images[0].read())
""",
    install="pip install replicate",
)

REPLICATE_JS = Client(
    "replicate-js",
    "Replicate for JavaScript",
    "Replicate",
    "js",
    """
import { writeFile } from 'node:fs/promises'
import Replicate from 'replicate'

const client = new Replicate({ auth: {{key}}, baseUrl: {{replicate}} })
const [image] = await client.run({{replicate_model}}, { input: { prompt: 'a red apple', seed: 7 } })
await writeFile('apple.png', image)
""",
    install="npm install replicate",
)

OPEN_WEBUI = Client(
    "open-webui",
    "Open WebUI",
    "OpenAI",
    "env",
    """
ENABLE_IMAGE_GENERATION=true
IMAGE_GENERATION_ENGINE=openai
IMAGE_GENERATION_MODEL={{model}}
IMAGES_OPENAI_API_BASE_URL={{openai}}
IMAGES_OPENAI_API_KEY={{key}}
ENABLE_IMAGE_EDIT=true
IMAGE_EDIT_ENGINE=openai
IMAGE_EDIT_MODEL={{model}}
IMAGES_EDIT_OPENAI_API_BASE_URL={{openai}}
IMAGES_EDIT_OPENAI_API_KEY={{key}}
""",
    notes=(
        "Variables of its start; later they are in Admin Panel, Settings, Images.",
        _CONTAINER,
    ),
)

SILLYTAVERN = Client(
    "sillytavern",
    "SillyTavern",
    "AUTOMATIC1111",
    "text",
    """
Extensions, Image Generation
  Source            Stable Diffusion Web UI (AUTOMATIC1111)
  SD Web UI URL     {{root}}
  Authentication    {{login}}
""",
    notes=("The user name is free; the password is the API key.",),
    at_root=True,
)

LIBRECHAT = Client(
    "librechat",
    "LibreChat",
    "OpenAI",
    "env",
    """
IMAGE_GEN_OAI_BASEURL={{openai}}
IMAGE_GEN_OAI_API_KEY={{key}}
IMAGE_GEN_OAI_MODEL={{model}}
""",
    notes=(
        "Variables of its .env. Then add the tool OpenAI Image Tools to an agent.",
        _CONTAINER,
    ),
)

CLAUDE_DESKTOP = Client(
    "claude-desktop",
    "Claude Desktop",
    "MCP",
    "json",
    """
{
  "mcpServers": {
    "easel": {
      "command": {{command}},
      "args": {{arguments}},
      "env": { "EASEL_URL": {{root}}, "EASEL_KEY": {{key}} }
    }
  }
}
""",
    notes=("Settings, Developer, Edit Config: claude_desktop_config.json. Then start Claude again.", _ASSISTANT),
)

VSCODE = Client(
    "vscode",
    "VS Code",
    "MCP",
    "json",
    """
{
  "servers": {
    "easel": {
      "type": "stdio",
      "command": {{command}},
      "args": {{arguments}},
      "env": { "EASEL_URL": {{root}}, "EASEL_KEY": {{key}} }
    }
  }
}
""",
    notes=(
        "Write it to .vscode/mcp.json, or run MCP: Open User Configuration.",
        'To be asked for the key: "EASEL_KEY": "${input:easel-key}", and beside "servers" an entry "inputs" with '
        '{"type": "promptString", "id": "easel-key", "description": "Easel API key", "password": true}.',
        _ASSISTANT,
    ),
)

CURSOR = Client(
    "cursor",
    "Cursor",
    "MCP",
    "json",
    CLAUDE_DESKTOP.template,
    notes=(
        "Write it to ~/.cursor/mcp.json, or to .cursor/mcp.json of a project.",
        '"EASEL_KEY": "${env:EASEL_KEY}" makes it read the variable.',
        _ASSISTANT,
    ),
)

CLIENTS = {
    client.name: client
    for client in (
        PYTHON, CURL, OPENAI_PYTHON, OPENAI_JS, LITELLM, LITELLM_PROXY, AI_SDK, LLM, HUGGINGFACE_HUB, HUGGINGFACE_JS,
        WEBUIAPI, REPLICATE_PYTHON, REPLICATE_JS, OPEN_WEBUI, SILLYTAVERN, LIBRECHAT, CLAUDE_DESKTOP, VSCODE, CURSOR,
    )
}  # fmt: skip
"""Clients by their name on the command line."""
