"""Haystack's generator of images."""

import sys
from pathlib import Path
from typing import Any

sys.path.remove(str(Path(__file__).parent))  # this file has the name of the package
from haystack.components.generators import OpenAIImageGenerator
from haystack.utils import Secret

sys.path.append(str(Path(__file__).parent))
from serve import serve


def run(call: dict[str, Any]) -> dict[str, Any]:
    generator = OpenAIImageGenerator(api_key=Secret.from_token(call["key"]), api_base_url=f"{call['url']}/v1")
    return {"images": generator.run(prompt=call["prompt"])["images"]}


serve(run)
