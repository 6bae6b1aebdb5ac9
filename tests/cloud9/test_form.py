"""The form and its responses, by Flask's test client and a backend in memory."""

import json
import logging
import re
import string
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

import contract
from backends import STATUS, GeneratedImage, GenerationError, ImageRequest, Limits
from cloud9.app import BODY_BYTES, TEXTS, choose_backend, create_app
from contract import parse_profile
from easel_api import is_loopback
from generation import generate, prompt_length
from generation.vocabulary import Vocabulary
from stacks.config.catalogue import read_model
from tests.cloud9.images import image_in, png

ROOT = Path(__file__).parents[2]
FORM = {"inputContent": "A cute panda is sitting on the sofa", "width": "512", "length": "256"}
STUDIO = "d-0123456789ab.studio.us-east-1.sagemaker.aws"
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
LANGUAGES: tuple[tuple[str, dict[str, str]], ...] = (("en", {}), ("zh", CHINESE))
NAVIGATION = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class MemoryBackend:
    def __init__(self) -> None:
        self.requests: list[ImageRequest] = []
        self.error: Exception | None = None
        self.warnings: tuple[str, ...] = ()

    def limits(self) -> Limits:
        return Limits(maximum=1024)

    def generate(self, request: ImageRequest) -> GeneratedImage:
        if self.error:
            raise self.error
        self.requests.append(request)
        return GeneratedImage(png(request.width, request.height), "image/png", 7, self.warnings)


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def browser(backend: MemoryBackend) -> FlaskClient:
    return create_app(backend).test_client()


def error_code(html: str) -> str:
    (code,) = re.findall(r'data-code="(\w+)"', html)
    return str(code)


def test_form_has_the_fields_of_the_article(browser: FlaskClient) -> None:
    page = browser.get("/").text
    assert '<form method="post" action="/predictor#result" enctype="multipart/form-data">' in page
    for name in ("width", "length"):
        assert f'name="{name}" value="512"' in page
    assert 'name="inputContent"' in page
    assert page.count('min="64" max="1024" step="8"') == 2


def test_response_is_a_fragment_with_the_image(browser: FlaskClient, backend: MemoryBackend) -> None:
    response = browser.post("/predictor", data=FORM, content_type="multipart/form-data")
    assert response.status_code == 200
    assert response.mimetype == "text/html"
    assert response.text.startswith("<figure>")
    assert "<html" not in response.text
    assert image_in(response.text).size == (512, 256)
    assert backend.requests == [ImageRequest(FORM["inputContent"], 512, 256)]


def test_browser_without_script_gets_the_whole_page(browser: FlaskClient) -> None:
    response = browser.post("/predictor", data=FORM, headers=NAVIGATION)
    assert response.text.startswith("<!doctype html>")
    assert 'name="length" value="256"' in response.text
    assert "A cute panda is sitting on the sofa</textarea>" in response.text
    assert image_in(response.text).size == (512, 256)


def test_payload_is_that_of_the_article(browser: FlaskClient, backend: MemoryBackend) -> None:
    browser.post("/predictor", data=FORM)
    assert json.dumps(backend.requests[0].payload()) == (
        '{"prompt": ["A cute panda is sitting on the sofa"], "num_images_per_prompt": 1, "height": 256, "width": 512}'
    )


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN", "zh-CN"),
        ("zh", "zh-CN"),
        ("zh-TW,en;q=0.5", "zh-CN"),
        ("fr,zh-Hans-CN;q=0.8,en;q=0.5", "zh-CN"),
        ("en-GB,zh;q=0.5", "en"),
        ("fr", "en"),
        ("", "en"),
        ("*;q=x,,;", "en"),
    ],
)
def test_language(browser: FlaskClient, accepted: str, language: str) -> None:
    page = browser.get("/", headers={"Accept-Language": accepted}).text
    assert f'<html lang="{language}">' in page
    assert TEXTS[language[:2]]["submit"] in page


def test_both_languages_have_the_same_texts() -> None:
    english, chinese = TEXTS["en"], TEXTS["zh"]
    assert english.keys() == chinese.keys()
    assert english["problems"].keys() == chinese["problems"].keys()
    assert STATUS.keys() <= english["problems"].keys()
    for code, sentences in english["problems"].items():
        assert placeholders(sentences) == placeholders(chinese["problems"][code]), code


def test_warnings_of_the_model_are_translated(browser: FlaskClient, backend: MemoryBackend) -> None:
    """The warnings come from model_code, so the patterns of texts/zh.json must match them."""
    profile = parse_profile(read_model("emoji", ROOT).profile)
    pipeline = SimpleNamespace(tokenizer=_LetterTokenizer(12))
    backend.warnings = (
        *generate.scaling_warnings((512, 512), (128, 128), profile),
        *generate.scaling_warnings((512, 256), (128, 128), profile),
        *prompt_length.truncation_warnings(pipeline, {}, {"Prompt 1": "b" * 11}),
        *Vocabulary((("panda", "熊猫"), ("cat", "猫"))).advice(["木琴"]),
        *Vocabulary((("panda", "大熊猫"), ("bus", "巴士"))).advice(["一只小熊猫"]),
        *Vocabulary((("steam train", "蒸汽火车"), ("cat", "猫"))).advice(["a fast train"]),
        "Something new.",
    )
    english = browser.post("/predictor", data=FORM).text
    chinese = re.findall(r"<br>(.*?)(?=<br>|</small>)", browser.post("/predictor", data=FORM, headers=CHINESE).text)
    assert len(chinese) == len(backend.warnings) == 7
    for warning, translation in zip(backend.warnings, chinese, strict=True):
        assert warning in unescape(english)
        assert (translation == warning) == (warning == "Something new.")
        values = re.findall(r"\d+x\d+|\d{2,}|熊猫", warning)
        assert re.findall(r"\d+x\d+|\d{2,}|熊猫", translation) == values


class _LetterTokenizer:
    """A tokenizer with a token for each letter."""

    def __init__(self, model_max_length: int) -> None:
        self.model_max_length = model_max_length

    def num_special_tokens_to_add(self) -> int:
        return 2

    def __call__(self, text: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(input_ids=list(text))


def test_maximum_size_is_that_of_the_api_without_an_init_image() -> None:
    assert contract.BODY_BYTES.maximum - 4 * contract.INIT_IMAGE_BYTES // 3 == BODY_BYTES


def placeholders(sentences: list[str]) -> set[str]:
    return {name for sentence in sentences for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("headers", [{}, NAVIGATION])
def test_everything_is_escaped(browser: FlaskClient, backend: MemoryBackend, headers: dict[str, str]) -> None:
    evil = "\"><img src=x onerror=alert(1)></textarea><script>alert(1)</script>' {{ 7*7 }}"
    backend.warnings = (evil,)
    html = browser.post("/predictor", data={**FORM, "inputContent": evil}, headers=headers).text
    backend.error = GenerationError("content_filtered", evil)
    html += browser.post("/predictor", data={**FORM, "inputContent": evil}, headers=headers).text
    html += browser.post("/predictor", data={**FORM, "width": evil, "length": evil}, headers=headers).text
    assert "<img src=x" not in html
    assert "<script>alert" not in html
    assert "{{ 7*7 }}" in html


@pytest.mark.parametrize(
    ("field", "value", "code", "values"),
    [
        ("inputContent", "", "empty", {}),
        ("inputContent", " \n ", "empty", {}),
        ("inputContent", "a\0b", "bad_text", {}),
        ("inputContent", "x" * 2001, "prompt_too_long", {"length": 2001, "maximum": 2000}),
        ("width", "", "empty", {}),
        ("length", "", "empty", {}),
        ("width", "a", "not_a_number", {}),
        ("width", "512.0", "not_a_number", {}),
        ("width", "-512", "not_a_number", {}),
        ("width", "５１２", "not_a_number", {}),
        ("width", "9" * 5000, "not_a_number", {}),
        ("width", "56", "side_range", {"minimum": 64, "maximum": 1024}),
        ("length", "1032", "side_range", {"minimum": 64, "maximum": 1024}),
        ("length", "511", "side_multiple", {"multiple": 8, "nearest": 504}),
    ],
)
def test_invalid_values(
    browser: FlaskClient, backend: MemoryBackend, field: str, value: str, code: str, values: dict[str, int]
) -> None:
    for language, headers in LANGUAGES:
        response = browser.post("/predictor", data={**FORM, field: value}, headers=headers)
        assert (response.status_code, backend.requests, error_code(response.text)) == (400, [], code)
        label = TEXTS[language]["prompts" if field == "inputContent" else field]
        assert f"<strong>{label}: " in response.text
        for sentence in TEXTS[language]["problems"][code]:
            assert sentence.format(**values) in response.text
    page = browser.post("/predictor", data={**FORM, field: value}, headers=NAVIGATION).text
    assert page.count('aria-invalid="true"') == 1


@pytest.mark.parametrize("missing", FORM)
def test_missing_field(browser: FlaskClient, missing: str) -> None:
    response = browser.post("/predictor", data={name: value for name, value in FORM.items() if name != missing})
    assert (response.status_code, error_code(response.text)) == (400, "empty")


@pytest.mark.parametrize("size", ["64", "1024"])
def test_both_bounds_are_allowed(browser: FlaskClient, size: str) -> None:
    assert browser.post("/predictor", data={**FORM, "width": size, "length": size}).status_code == 200


@pytest.mark.parametrize("code", STATUS)
def test_errors_have_a_message_and_a_remedy(browser: FlaskClient, backend: MemoryBackend, code: str) -> None:
    backend.error = GenerationError(code, host="localhost")
    for language, headers in LANGUAGES:
        response = browser.post("/predictor", data=FORM, headers=headers)
        assert response.status_code == STATUS[code]
        for sentence in TEXTS[language]["problems"][code]:
            assert sentence.format(host="localhost") in unescape(response.text)


def test_an_unknown_code_shows_the_message_of_the_service(browser: FlaskClient, backend: MemoryBackend) -> None:
    backend.error = GenerationError("nan_output", "the numbers overflowed", status=500)
    response = browser.post("/predictor", data=FORM)
    assert (response.status_code, error_code(response.text)) == (500, "nan_output")
    assert TEXTS["en"]["problems"]["failed"][0] in response.text
    assert "the numbers overflowed" in response.text


@pytest.mark.parametrize(("path", "headers"), [("/api/predictor", {}), ("/nowhere", {**CHINESE, **NAVIGATION})])
def test_404(browser: FlaskClient, path: str, headers: dict[str, str]) -> None:
    response = browser.get(path, headers=headers)
    assert (response.status_code, error_code(response.text)) == (404, "not_found")


def test_405(browser: FlaskClient) -> None:
    response = browser.get("/predictor")
    assert (response.status_code, set(response.headers["Allow"].split(", "))) == (405, {"POST", "OPTIONS"})
    assert error_code(response.text) == "method_not_allowed"


def test_500_logs_the_place_without_the_message(
    browser: FlaskClient, backend: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.error = ValueError("secret prompt")
    response = browser.post("/predictor", data=FORM)
    assert (response.status_code, error_code(response.text)) == (500, "internal")
    assert "ValueError" in caplog.text
    assert "in generate" in caplog.text
    assert "secret" not in caplog.text + response.text


def test_prompts_are_not_logged(browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        browser.post("/predictor", data=FORM)
        browser.post("/predictor", data={**FORM, "width": "7"})
    assert "panda" not in caplog.text


def test_large_bodies_are_rejected(browser: FlaskClient, backend: MemoryBackend) -> None:
    response = browser.post("/predictor", data={**FORM, "inputContent": "x" * 70_000})
    assert (response.status_code, backend.requests) == (413, [])
    assert error_code(response.text) == "payload_too_large"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://10.0.0.5:9999"},
        {"Origin": "null"},
        {"Referer": "http://evil.example/10.0.0.5:8080"},
    ],
)
def test_forms_of_other_sites_are_rejected(
    browser: FlaskClient, backend: MemoryBackend, headers: dict[str, str]
) -> None:
    response = browser.post("/predictor", data=FORM, headers={"Host": "10.0.0.5:8080", **headers})
    assert (response.status_code, backend.requests) == (403, [])
    assert error_code(response.text) == "cross_site"


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://10.0.0.5:8080"}, {}])
def test_the_own_form_is_accepted(browser: FlaskClient, headers: dict[str, str]) -> None:
    response = browser.post("/predictor", data=FORM, headers={"Host": "10.0.0.5:8080", **headers})
    assert response.status_code == 200


CLOUD9 = "0123456789abcdef0123456789abcdef.vfs.cloud9.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        (CLOUD9, 200),
        ("ec2-1-2-3-4.compute-1.amazonaws.com:8080", 200),
        (STUDIO, 400),
        ("rebound.example", 400),
        ("evil.s3.amazonaws.com", 400),
        (f"{CLOUD9}.evil.example", 400),
        ("a b", 400),
        ("[::1", 400),
    ],
)
def test_host_names(browser: FlaskClient, host: str, status: int) -> None:
    for headers in ({}, NAVIGATION):
        response = browser.get("/", headers={"Host": host, **headers})
        assert response.status_code == status
        assert status == 200 or error_code(response.text) in ("host_refused", "refused")


@pytest.mark.parametrize("path", ["/", "/codeeditor/default/proxy/8080/"])
def test_public_url(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A proxy keeps or strips the path, and keeps or replaces the host."""
    monkeypatch.setenv("EASEL_PUBLIC_URL", f"https://{STUDIO}/codeeditor/default/proxy/8080/")
    browser = create_app(backend).test_client()
    page = browser.get(path, headers={"Host": STUDIO}).text
    links = re.findall(r'(?:action|href|src)="(/[^"]*)"', page)
    assert len(links) == 3
    assert all(link.startswith("/codeeditor/default/proxy/8080/") for link in links)
    for host in (STUDIO, "127.0.0.1:8080"):
        headers = {"Host": host, "Origin": f"https://{STUDIO}"}
        assert browser.post(f"{path}predictor", data=FORM, headers=headers).status_code == 200


def test_prefix_of_a_proxy(browser: FlaskClient) -> None:
    page = browser.get("/", headers={"X-Forwarded-Prefix": "/proxy/8080"}).text
    assert 'action="/proxy/8080/predictor#result"' in page
    for prefix in ("//evil.example", '/"><script>', "https://evil.example"):
        assert 'action="/predictor#result"' in browser.get("/", headers={"X-Forwarded-Prefix": prefix}).text


def test_invalid_public_url_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, backend: MemoryBackend) -> None:
    monkeypatch.setenv("EASEL_PUBLIC_URL", "studio.example/path")
    with pytest.raises(SystemExit, match="EASEL_PUBLIC_URL"):
        create_app(backend)


def test_unreadable_certificates_are_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(SystemExit, match="SSL_CERT_FILE"):
            choose_backend({"EASEL_URL": "https://easel.example"})


def test_bodies_that_are_not_forms(browser: FlaskClient) -> None:
    for body, content_type in ((b"{}", "application/json"), (b"--x", "multipart/form-data"), (b"\xff", "text/plain")):
        response = browser.post("/predictor", data=body, content_type=content_type)
        assert response.status_code == 400


@pytest.mark.parametrize("path", ["/", "/nowhere", "/predictor", "/static/page.css"])
def test_security_headers(browser: FlaskClient, path: str) -> None:
    with browser.get(path) as response:
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_page_opens_while_the_backend_is_down(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_error() -> Limits:
        raise GenerationError("upstream_unreachable")

    monkeypatch.setattr(backend, "limits", raise_error)
    response = create_app(backend).test_client().get("/")
    assert (response.status_code, error_code(response.text)) == (200, "upstream_unreachable")
    assert "<form" in response.text


def test_two_backends_are_a_usage_error() -> None:
    with pytest.raises(SystemExit, match="EASEL_URL or EASEL_ENDPOINT"):
        choose_backend({"EASEL_URL": "http://127.0.0.1:7860", "EASEL_ENDPOINT": "easel"})


def test_invalid_keys_and_proxies_are_usage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("schlüssel", "k\r"):
        with pytest.raises(SystemExit, match="EASEL_KEY"):
            choose_backend({"EASEL_KEY": key})
    monkeypatch.setenv("ALL_PROXY", "socks9://127.0.0.1:1")
    with pytest.raises(SystemExit, match="socks9"):
        choose_backend({"EASEL_URL": "https://easel.example"})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("cloud9", False)],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_templates_have_no_inline_script_or_style() -> None:
    for template in (ROOT / "cloud9/templates").glob("*.html"):
        text = template.read_text()
        assert "<style" not in text
        assert " style=" not in text
        assert not re.search(r"<[^>]+ on\w+=|<script>", text)
