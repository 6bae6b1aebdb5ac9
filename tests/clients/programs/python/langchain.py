"""LangChain's wrapper of DALL-E, which reads URLs only."""

import sys
from pathlib import Path
from typing import Any

sys.path.remove(str(Path(__file__).parent))  # this file has the name of the package
from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

sys.path.append(str(Path(__file__).parent))
from serve import serve


def run(call: dict[str, Any]) -> dict[str, Any]:
    wrapper = DallEAPIWrapper(api_key=call["key"], base_url=f"{call['url']}/v1")
    return {"urls": wrapper.run(call["prompt"]).split("\n")}


serve(run)
