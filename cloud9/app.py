"""The article's SampleWebApp: a form, and POST /predictor that answers HTML with the picture.

`python cloud9/app.py` draws with Easel on this machine; EASEL_URL or EASEL_ENDPOINT name another place.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, g, render_template, request
from httpx import InvalidURL
from werkzeug.exceptions import HTTPException

import form
from backends import LENGTH, PROMPT, WIDTH, Backend, DrawError, Limits
from easel_api import EaselApi, is_loopback
from sagemaker_endpoint import AsyncEndpoint, RealtimeEndpoint

LAPTOP = "http://127.0.0.1:7860"
PRESET = 512
BODY_BYTES = 64 * 1024
"""What the API takes beside a picture to start from, which this form does not send."""
TEXTS: Mapping[str, Any] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in (Path(__file__).parent / "texts").glob("*.json")
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self' https://*.console.aws.amazon.com",  # the preview pane of the Cloud9 IDE
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept, Accept-Language",
    "X-Content-Type-Options": "nosniff",
}
HTTP_CODES = {400: "refused", 404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}
OPEN_WARNING = """\
Warning: {host} is not loopback. Whoever reaches port {port} can draw at your cost: there is no password.
The IDE's preview and SSM port forwarding need no open port; see docs/cloud9.md."""


def create_app(backend: Backend | None = None) -> Flask:
    """`backend` is where pictures are drawn; from the environment if none is given."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = BODY_BYTES
    app.extensions["backend"] = backend or choose_backend(os.environ)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/predictor", view_func=predictor, methods=["POST"])
    app.register_error_handler(DrawError, answer_problem)
    app.register_error_handler(HTTPException, answer_http)
    app.register_error_handler(Exception, answer_bug)
    app.after_request(secure)
    return app


def choose_backend(environment: Mapping[str, str]) -> Backend:
    endpoint, bucket = environment.get("EASEL_ENDPOINT"), environment.get("EASEL_BUCKET")
    if endpoint and environment.get("EASEL_URL"):
        raise SystemExit("Set EASEL_URL or EASEL_ENDPOINT, not both.")
    if endpoint:
        return AsyncEndpoint(endpoint, bucket) if bucket else RealtimeEndpoint(endpoint)
    try:
        return EaselApi(environment.get("EASEL_URL") or LAPTOP, environment.get("EASEL_KEY", ""))
    except (ImportError, ValueError, InvalidURL) as error:
        raise SystemExit(
            f"EASEL_URL, EASEL_KEY or a proxy variable (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) cannot be used: {error}. "
            "An address is like http://127.0.0.1:7860, a key is ASCII, and a proxy is like http://127.0.0.1:3128."
        ) from None


def index() -> str:
    try:
        g.limits = backend().limits()
    except DrawError as problem:
        return page(result=problem_fragment(problem))
    return page()


def predictor() -> str:
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise DrawError("cross_site")
    g.limits = backend().limits()
    order = form.parse(request.form, g.limits)
    picture = backend().draw(order)
    warnings = [worded(warning) for warning in picture.warnings]
    fragment = render_template("image.html", text=text(), order=order, picture=picture, warnings=warnings)
    return page(result=fragment) if wants_page() else fragment


def backend() -> Backend:
    chosen: Backend = current_app.extensions["backend"]
    return chosen


def text() -> Mapping[str, Any]:
    wanted = (tag.replace("_", "-").split("-")[0].lower() for tag in request.accept_languages.values())
    found: Mapping[str, Any] = TEXTS[next((tag for tag in wanted if tag in TEXTS), "en")]
    return found


def worded(warning: str) -> str:
    """A warning of the model in the page's language; in its own words where texts/ does not know it."""
    for pattern, words in text()["warnings"].items():
        if found := re.fullmatch(pattern, warning):
            return str(words.format(**found.groupdict()))
    return warning


def wants_page() -> bool:
    """A browser that sends the form itself names text/html; axios, curl and Postman take anything."""
    return any(kind == "text/html" for kind, _ in request.accept_mimetypes)


def page(result: str = "", invalid: str = "") -> str:
    limits: Limits = g.get("limits", Limits())
    preset = min(PRESET, limits.maximum)
    values = {name: request.form.get(name, preset) for name in (WIDTH, LENGTH)}
    values[PROMPT] = request.form.get(PROMPT, "")
    return render_template("index.html", text=text(), limits=limits, values=values, result=result, invalid=invalid)


def problem_fragment(problem: DrawError) -> str:
    problems = text()["problems"]
    what, way_out = problems.get(problem.code) or problems["refused" if problem.status < 500 else "failed"]
    words = {"what": what.format(**problem.values), "way_out": way_out.format(**problem.values)}
    return render_template("problem.html", text=text(), problem=problem, **words)


def answer_problem(problem: DrawError) -> tuple[str, int]:
    fragment = problem_fragment(problem)
    return (page(result=fragment, invalid=problem.field) if wants_page() else fragment), problem.status


def answer_http(error: HTTPException) -> Response:
    status = error.code or 500
    response = current_app.make_response(answer_problem(DrawError(HTTP_CODES.get(status, "refused"), status=status)))
    if allow := error.get_response().headers.get("Allow"):
        response.headers["Allow"] = allow
    return response


def answer_bug(error: Exception) -> tuple[str, int]:
    """The log shows where it happened, not the message: that could hold a prompt."""
    where = "".join(traceback.format_tb(error.__traceback__))
    current_app.logger.error("%s\n%s", type(error).__name__, where)
    return answer_problem(DrawError("internal"))


def secure(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: %(default)s)")
    arguments = parser.parse_args()
    app = create_app()
    if is_loopback(arguments.host):
        app.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]", ".amazonaws.com"]
    else:
        print(OPEN_WARNING.format(host=arguments.host, port=arguments.port), file=sys.stderr)
    app.run(host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
