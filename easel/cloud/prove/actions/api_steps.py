"""Steps about the API and the page: every route, as a caller uses it."""

from __future__ import annotations

import base64
import re
import uuid

from easel.cloud.keys import create, deployed_place, revoke
from easel.cloud.prove.actions.observations import burst, image_for_the_page, large_body, seen
from easel.cloud.prove.run import Facts, Run
from easel.cloud.prove.service import REPORT, REQUEST, Reply
from easel.console.errors import CommandError
from jobs.accounts import Limits

START_MINUTES = 30.0
"""For the first image: the endpoint may sleep."""
KEY_MINUTES = 10.0
LONG_STEPS = 40
PAGE_MINUTES = 15.0


def generate(run: Run) -> Facts:
    """POST /generate returns an image of each model, the same again for the same seed, and nothing without a key."""
    refused = run.service.call("POST", "/generate", REQUEST, key=False).expect(401)
    each = run.generate_each(START_MINUTES)
    first, second = each.pop(run.state.models[0]), run.generate()
    run.keep("generate", first.images[0])
    for model, generated in each.items():
        run.keep(f"generate-{model}", generated.images[0])
    return {model: str(generated) for model, generated in each.items()} | {
        "without a key": f"{refused.status} {refused.json['code']}",
        "first": str(first),
        "second": str(second),
        "timings": ", ".join(f"{name} {seconds:.2f} s" for name, seconds in second.timings.items()),
        "same seed": "same image" if first.images == second.images else "another image",
    }


def jobs(run: Run) -> Facts:
    """Jobs are created once a key, read, listed and cancelled; links and the other GET routes work."""
    service, headers = run.service, {"idempotency-key": uuid.uuid4().hex}
    created = [service.call("POST", "/jobs", REQUEST, headers=headers).expect(202, 200).json["id"] for _ in range(2)]
    _hold(created[0] == created[1], "POST /jobs", "the same idempotency key made two jobs")
    job = run.finish(created[0])
    sizes = [len(image) for image in run.images(job)]
    listed = [item["id"] for item in service.call("GET", "/jobs").expect(200).json["jobs"]]
    _hold(created[0] in listed, "GET /jobs", "the newest job is not listed")
    cancelled = _cancel(run)
    models = ", ".join(model["id"] for model in service.call("GET", "/models").expect(200).json["models"])
    paths = service.call("GET", "/openapi.json").expect(200).json["paths"]
    images = f"{len(sizes)} of {sum(sizes)} bytes"
    limits = seen("a body of 11 MB", lambda: large_body(run)) | seen("requests at once", lambda: burst(run))
    return limits | {"images": images, "cancelled": cancelled, "models": models, "paths": str(len(paths))}


def _cancel(run: Run) -> str:
    """Cancel a job that waits behind another. Return its state: it may have ended before."""
    first, second = (run.service.call("POST", "/jobs", body).expect(202, 200).json for body in _long_requests())
    response = run.service.call("DELETE", second["urls"]["cancel"]).expect(200, 409)
    status = response.json["status" if response.status == 200 else "code"]
    _hold(response.status == 200 or status == "job_finished", "DELETE /jobs/<id>", f"the response is 409 {status}")
    run.finish(first["id"])
    ended = run.finish(second["id"], succeed=False)
    _hold(status != "cancelled" or ended.status == "cancelled", "DELETE /jobs/<id>", f"the job is {ended.status}")
    return f"{status}, then {ended.status}"


def keys(run: Run) -> Facts:
    """A key of its own works in each form, is limited by its quota, and ends when it is revoked."""
    service, place, name = run.service, deployed_place(run.account), f"prove-{uuid.uuid4().hex[:8]}"
    text = create(place, name, days=1, limits=Limits(images_a_day=1))
    basic = base64.b64encode(f"any:{text}".encode()).decode()
    forms = {"x-api-key": text}, {"authorization": f"Bearer {text}"}, {"authorization": f"Basic {basic}"}
    for headers in forms:
        service.call("GET", "/models", headers=headers, key=False).expect(200)
    service.call("POST", "/jobs", REQUEST, headers=forms[0], key=False).expect(202)
    refused = service.call("POST", "/jobs", REQUEST, headers=forms[0], key=False).expect(429)
    _hold(refused.json["code"] == "quota_exceeded", "POST /jobs", f"the code is {refused.json['code']}")
    used = run.wait("Waiting for the image", lambda: _settled(run, forms[0]), KEY_MINUTES)
    revoke(place, name)
    after = service.call("GET", "/usage", headers=forms[1], key=False).expect(401)
    return {"forms": str(len(forms)), "second image": f"{refused.status} {refused.json['code']}", **used,
            "revoked": f"{after.status} {after.headers.get('www-authenticate', 'without a challenge')}"}  # fmt: skip


def _settled(run: Run, key: dict[str, str]) -> Facts | None:
    """Return the use of a key once its job has ended."""
    usage = run.service.call("GET", "/usage", headers=key, key=False).expect(200).json
    if usage["images_reserved"]:
        return None
    return {"images": str(usage["images_today"]), "GPU seconds": f"{usage['gpu_seconds_this_month']:.2f}"}


def _long_requests() -> list[dict[str, object]]:
    return [{**REQUEST, "num_inference_steps": LONG_STEPS}, REQUEST]


def image_to_image(run: Run) -> Facts:
    """A request with an initial image generates another image."""
    first, *others = run.service.call("GET", "/models").expect(200).json["models"]
    able = {model["id"]: more for model, more in [(first, {}), *((model, {"model": model["id"]}) for model in others)]
            if "image_to_image" in model["features"]}  # fmt: skip
    if not able:
        return {"not tried": "no model has image to image"}
    facts = {}
    for model, more in able.items():
        (image,) = run.generate(**more).images
        changed = run.generate(init_image=base64.b64encode(image).decode(), strength=0.5, **more)
        _hold(changed.images != [image], "POST /generate", f"the image of {model} is the initial image")
        run.keep(f"image_to_image-{model}" if more else "image_to_image", changed.images[0])
        facts[model] = str(changed)
    return facts


def page(run: Run) -> Facts:
    """CloudFront serves the page with its security headers, and passes API requests on."""
    service = run.service
    if not service.site:
        return {"not tried": "no page is deployed here"}
    index = run.wait("Waiting for CloudFront", lambda: _index(run), PAGE_MINUTES)
    scripts = sorted(set(re.findall(r'src="\./(assets/index-[^"]+)"', index.body.decode())))
    _hold(len(scripts) == 1, "GET /", "the page names no script")
    script = service.call("GET", f"/{scripts[0]}", site=True, key=False).expect(200)
    service.call("GET", "/models", site=True).expect(200)
    unknown = service.call("GET", "/nothing", site=True).expect(404)
    generated = service.call("POST", "/generate", REQUEST, site=True).expect(200, 202)
    (image, *_) = run.finish(generated.json["id"]).images
    return seen("an image for the page", lambda: image_for_the_page(run, image.url)) | {
        "policy": "content-security-policy" if "content-security-policy" in index.headers else "missing",
        "script": script.headers.get("content-type", ""),
        "compressed": script.headers.get("content-encoding", "no"),
        "unknown path": f"{unknown.status} {unknown.json['code']}",
        "POST /generate": str(generated.status),
    }


def _index(run: Run) -> Reply | None:
    reply = run.service.call("GET", "/", site=True, key=False)
    return reply if reply.status == 200 else None


def _hold(fact: bool, where: str, why: str) -> None:
    if not fact:
        raise CommandError("The service does not respond as documented", where=where, why=why, fix=REPORT)
