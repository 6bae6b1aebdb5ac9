"""The article's SampleWebApp: a form, and POST /predictor, which returns HTML with the image.

`python cloud9/app.py` uses Easel on this machine. EASEL_URL or EASEL_ENDPOINT selects another backend.
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
from access import Access
from backends import LENGTH, PROMPT, WIDTH, Backend, GenerationError, Limits
from easel_api import EaselApi, is_loopback
from sagemaker_endpoint import AsyncEndpoint, RealtimeEndpoint

LAPTOP = "http://127.0.0.1:7860"
PRESET = 512
BODY_BYTES = 64 * 1024
"""Maximum size of a request: the API's without an init image, which this form does not send."""
TEXTS: Mapping[str, Any] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in (Path(__file__).parent / "texts").glob("*.json")
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self' https://*.console.aws.amazon.com",  # the preview pane of the Cloud9 IDE
    "Referrer-Policy": "same-origin",  # with "no-referrer" a form sends "Origin: null"
    "Vary": "Accept, Accept-Language",
    "X-Content-Type-Options": "nosniff",
}
HTTP_ERROR_CODES = {400: "refused", 404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}
NOT_LOOPBACK_WARNING = """\
Warning: {host} is not loopback. There is no password: anybody who reaches port {port} generates images at your cost.
Use the IDE's preview or SSM port forwarding, which need no open port; see docs/how-to/flask-app.md."""


def create_app(backend: Backend | None = None) -> Flask:
    """Create the app. Without `backend`, the environment selects one."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = BODY_BYTES
    app.extensions["backend"] = backend or choose_backend(os.environ)
    app.extensions["access"] = access = read_access(os.environ)
    app.wsgi_app = access.keep_prefix(app.wsgi_app)  # type: ignore[assignment, method-assign]
    app.before_request(check_host)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/predictor", view_func=predictor, methods=["POST"])
    app.register_error_handler(GenerationError, handle_generation_error)
    app.register_error_handler(HTTPException, handle_http_error)
    app.register_error_handler(Exception, handle_unexpected_error)
    app.after_request(add_headers)
    return app


def choose_backend(environment: Mapping[str, str]) -> Backend:
    """Return the backend that the environment variables select. Raises SystemExit if they cannot be used."""
    endpoint, bucket = environment.get("EASEL_ENDPOINT"), environment.get("EASEL_BUCKET")
    if endpoint and environment.get("EASEL_URL"):
        raise SystemExit("Set EASEL_URL or EASEL_ENDPOINT, not both.")
    if endpoint:
        return AsyncEndpoint(endpoint, bucket) if bucket else RealtimeEndpoint(endpoint)
    try:
        return EaselApi(environment.get("EASEL_URL") or LAPTOP, environment.get("EASEL_KEY", ""))
    except OSError as error:  # httpx reads the certificates when a client is created
        raise SystemExit(
            f"The certificates of SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error}. "
            "Set SSL_CERT_FILE to a file with PEM certificates, or unset it."
        ) from None
    except (ImportError, ValueError, InvalidURL) as error:
        raise SystemExit(
            f"EASEL_URL, EASEL_KEY or a proxy variable (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) cannot be used: {error}. "
            "Set EASEL_URL like http://127.0.0.1:7860, EASEL_KEY to ASCII, and a proxy like http://127.0.0.1:3128."
        ) from None


def read_access(environment: Mapping[str, str]) -> Access:
    """Read EASEL_PUBLIC_URL. Raises SystemExit if it cannot be used."""
    try:
        return Access(environment.get("EASEL_PUBLIC_URL", ""))
    except ValueError as error:
        raise SystemExit(f"{error}. Set it like https://name.example/path, or unset it.") from None


def check_host() -> None:
    if not access().allows_host(request.host):
        raise GenerationError("host_refused", host=request.host[:100])


def index() -> str:
    try:
        g.limits = backend().limits()
    except GenerationError as error:
        return page(result=error_fragment(error))
    return page()


def predictor() -> str:
    if not access().allows_sender(request.headers, request.host):
        raise GenerationError("cross_site")
    g.limits = backend().limits()
    image_request = form.parse(request.form, g.limits)
    image = backend().generate(image_request)
    warnings = [translate_warning(warning) for warning in image.warnings]
    fragment = render_template("image.html", text=text(), parameters=image_request, image=image, warnings=warnings)
    return page(result=fragment) if wants_page() else fragment


def backend() -> Backend:
    current: Backend = current_app.extensions["backend"]
    return current


def access() -> Access:
    current: Access = current_app.extensions["access"]
    return current


def text() -> Mapping[str, Any]:
    """Return the texts in the first accepted language that exists, or in English."""
    languages = (tag.replace("_", "-").split("-")[0].lower() for tag in request.accept_languages.values())
    texts: Mapping[str, Any] = TEXTS[next((language for language in languages if language in TEXTS), "en")]
    return texts


def translate_warning(warning: str) -> str:
    """Translate a warning of the model. A warning that texts/ does not know is returned unchanged."""
    for pattern, translation in text()["warnings"].items():
        if match := re.fullmatch(pattern, warning):
            return str(translation.format(**match.groupdict()))
    return warning


def wants_page() -> bool:
    """Return whether a browser submits the form without script. Only then does Accept name text/html."""
    return any(kind == "text/html" for kind, _ in request.accept_mimetypes)


def page(result: str = "", invalid: str = "") -> str:
    limits: Limits = g.get("limits", Limits())
    preset = min(PRESET, limits.maximum)
    values = {name: request.form.get(name, preset) for name in (WIDTH, LENGTH)}
    values[PROMPT] = request.form.get(PROMPT, "")
    names = {"text": text(), "limits": limits, "values": values, "result": result, "invalid": invalid}
    return render_template("index.html", root=request.script_root, **names)


def error_fragment(error: GenerationError) -> str:
    problems = text()["problems"]
    message, remedy = problems.get(error.code) or problems["refused" if error.status < 500 else "failed"]
    sentences = {"message": message.format(**error.values), "remedy": remedy.format(**error.values)}
    return render_template("problem.html", text=text(), error=error, **sentences)


def handle_generation_error(error: GenerationError) -> tuple[str, int]:
    fragment = error_fragment(error)
    return (page(result=fragment, invalid=error.field) if wants_page() else fragment), error.status


def handle_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    code = HTTP_ERROR_CODES.get(status, "refused")
    response = current_app.make_response(handle_generation_error(GenerationError(code, status=status)))
    if allow := error.get_response().headers.get("Allow"):
        response.headers["Allow"] = allow
    return response


def handle_unexpected_error(error: Exception) -> tuple[str, int]:
    """Log the traceback without the message, which could contain a prompt."""
    traceback_lines = "".join(traceback.format_tb(error.__traceback__))
    current_app.logger.error("%s\n%s", type(error).__name__, traceback_lines)
    return handle_generation_error(GenerationError("internal"))


def add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: %(default)s)")
    arguments = parser.parse_args()
    app = create_app()
    if not is_loopback(arguments.host):
        print(NOT_LOOPBACK_WARNING.format(host=arguments.host, port=arguments.port), file=sys.stderr)
    app.run(host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
