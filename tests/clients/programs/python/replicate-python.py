"""The Python client of Replicate."""

import base64
import io
from typing import Any

from replicate import Client
from serve import serve


def run(call: dict[str, Any]) -> dict[str, Any]:
    client = Client(api_token=call["key"], base_url=call["url"])
    action, inputs = call["action"], call.get("input", {})
    if "file" in call:
        inputs["image"] = io.BytesIO(base64.b64decode(call["file"]))
    if action == "run":
        return {"images": [encode(file.read()) for file in client.run(call["model"], input=inputs)]}
    if action == "model":
        model = client.models.get(call["model"])
        return {"name": f"{model.owner}/{model.name}", "versions": [version.id for version in model.versions.list()]}
    prediction = client.predictions.create(version=call["model"], input=inputs)
    states = [prediction.status]
    if action == "cancel":
        prediction.cancel()
        states.append(prediction.status)
    while prediction.status not in ("succeeded", "failed", "canceled"):
        prediction.reload()
        states.append(prediction.status)
    newest = client.predictions.list().results[0]
    progress = prediction.progress.percentage if prediction.progress else None
    return {"states": states, "error": prediction.error, "progress": progress, "newest": newest.id == prediction.id,
            "logs": prediction.logs}  # fmt: skip


def encode(file: bytes) -> str:
    return base64.b64encode(file).decode()


serve(run)
