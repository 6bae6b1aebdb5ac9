"""The form and its answers, by Flask's test client and a backend in memory."""

import json
import logging
import re
import string
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

import contract
from backends import STATUS, DrawError, Limits, Order, Picture
from cloud9.app import BODY_BYTES, TEXTS, choose_backend, create_app
from contract import GenerationRequest, parse_profile
from easel_api import is_loopback
from generation.generate import scaling_warnings
from generation.pipeline_arguments import truncation_warnings
from generation.vocabulary import Vocabulary
from stacks.config.catalogue import read_model
from tests.cloud9.pictures import png, shown

ROOT = Path(__file__).parents[2]
FORM = {"inputContent": "A cute panda is sitting on the sofa", "width": "512", "length": "256"}
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
NAVIGATION = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Memory:
    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.problem: Exception | None = None
        self.warnings: tuple[str, ...] = ()

    def limits(self) -> Limits:
        return Limits(maximum=1024)

    def draw(self, order: Order) -> Picture:
        if self.problem:
            raise self.problem
        self.orders.append(order)
        return Picture(png(order.width, order.height), "image/png", 7, self.warnings)


@pytest.fixture
def backend() -> Memory:
    return Memory()


@pytest.fixture
def browser(backend: Memory) -> FlaskClient:
    return create_app(backend).test_client()


def test_form_has_the_fields_of_the_article(browser: FlaskClient) -> None:
    page = browser.get("/").text
    assert '<form method="post" action="/predictor" enctype="multipart/form-data">' in page
    for name in ("width", "length"):
        assert f'name="{name}" value="512"' in page
    assert 'name="inputContent"' in page
    assert page.count('min="64" max="1024" step="8"') == 2


def test_answer_is_a_fragment_with_the_picture(browser: FlaskClient, backend: Memory) -> None:
    answer = browser.post("/predictor", data=FORM, content_type="multipart/form-data")
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert answer.text.startswith("<figure>")
    assert "<html" not in answer.text
    assert shown(answer.text).size == (512, 256)
    assert backend.orders == [Order(FORM["inputContent"], 512, 256)]


def test_browser_without_script_gets_the_whole_page(browser: FlaskClient) -> None:
    answer = browser.post("/predictor", data=FORM, headers=NAVIGATION)
    assert answer.text.startswith("<!doctype html>")
    assert 'name="length" value="256"' in answer.text
    assert "A cute panda is sitting on the sofa</textarea>" in answer.text
    assert shown(answer.text).size == (512, 256)


def test_payload_is_the_articles(browser: FlaskClient, backend: Memory) -> None:
    browser.post("/predictor", data=FORM)
    assert json.dumps(backend.orders[0].payload()) == (
        '{"prompt": ["A cute panda is sitting on the sofa"], "num_images_per_prompt": 1, "height": 256, "width": 512}'
    )


@pytest.mark.parametrize(
    ("language", "told"),
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
def test_language(browser: FlaskClient, language: str, told: str) -> None:
    page = browser.get("/", headers={"Accept-Language": language}).text
    assert f'<html lang="{told}">' in page
    assert TEXTS[told[:2]]["submit"] in page


def test_texts_are_the_same_in_both_languages() -> None:
    english, chinese = TEXTS["en"], TEXTS["zh"]
    assert english.keys() == chinese.keys()
    assert english["problems"].keys() == chinese["problems"].keys()
    assert STATUS.keys() <= english["problems"].keys()
    for code, words in english["problems"].items():
        assert places(words) == places(chinese["problems"][code]), code


def test_warnings_of_the_model_are_worded_in_chinese(browser: FlaskClient, backend: Memory) -> None:
    """The sentences are the container's own, so that the page keeps up with them."""
    emoji = parse_profile(read_model("emoji", ROOT).profile)
    square = GenerationRequest(
        prompt=("a",), width=512, height=512, num_inference_steps=1, guidance_scale=1, seed=7, scheduler="ddim"
    )
    long = SimpleNamespace(tokenizer=_Letters(12))
    backend.warnings = (
        *scaling_warnings(square, 128, 128, emoji),
        *scaling_warnings(replace(square, height=256), 128, 128, emoji),
        *truncation_warnings(long, {}, ["b" * 11]),
        *Vocabulary((("panda", "熊猫"), ("cat", "猫"))).advice(["木琴"]),
        "Something new.",
    )
    page = browser.post("/predictor", data=FORM, headers=CHINESE).text
    assert re.findall(r"<br>(.*?)(?=<br>|</small>)", page) == [
        "Emoji 以 128x128 绘制，图像已缩放到 512x512。",
        "Emoji 以 128x128 绘制，图像已缩放到 512x256，并延伸边缘补满画面。",
        "提示词有 11 个词元，此模型只读取前 10 个。",
        "此模型能画 2 种事物，提示词中一种也没有找到。可以试试：熊猫, 猫。完整列表见 GET /models。",
        "Something new.",
    ]
    assert "the image was scaled to 512x512." in browser.post("/predictor", data=FORM).text


class _Letters:
    """A tokenizer that makes a token of each letter."""

    def __init__(self, room: int) -> None:
        self.model_max_length = room

    def num_special_tokens_to_add(self) -> int:
        return 2

    def __call__(self, text: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(input_ids=list(text))


def test_a_form_may_be_as_long_as_what_the_api_takes_beside_a_picture() -> None:
    assert contract.BODY_BYTES.maximum - 4 * contract.INIT_IMAGE_BYTES // 3 == BODY_BYTES


def places(words: list[str]) -> set[str]:
    return {name for word in words for _, name, _, _ in string.Formatter().parse(word) if name}


@pytest.mark.parametrize("headers", [{}, NAVIGATION])
def test_everything_is_escaped(browser: FlaskClient, backend: Memory, headers: dict[str, str]) -> None:
    evil = "\"><img src=x onerror=alert(1)></textarea><script>alert(1)</script>' {{ 7*7 }}"
    backend.warnings = (evil,)
    answer = browser.post("/predictor", data={**FORM, "inputContent": evil}, headers=headers).text
    backend.problem = DrawError("content_filtered", evil)
    answer += browser.post("/predictor", data={**FORM, "inputContent": evil}, headers=headers).text
    answer += browser.post("/predictor", data={**FORM, "width": evil, "length": evil}, headers=headers).text
    assert "<img src=x" not in answer
    assert "<script>alert" not in answer
    assert "{{ 7*7 }}" in answer


@pytest.mark.parametrize(
    ("field", "value", "english", "chinese"),
    [
        ("inputContent", "", "Prompts: The field is empty.", "提示词: 此项为空。"),
        ("inputContent", " \n ", "Prompts: The field is empty.", "提示词: 此项为空。"),
        ("inputContent", "a\0b", "Prompts: The prompt holds a character", "提示词: 提示词中含有"),
        ("inputContent", "x" * 2001, "has 2001 characters", "有 2001 个字符"),
        ("width", "", "Width: The field is empty.", "宽度: 此项为空。"),
        ("length", "", "Length: The field is empty.", "长度: 此项为空。"),
        ("width", "a", "Width: This is not a whole number.", "宽度: 这不是整数。"),
        ("width", "512.0", "not a whole number", "不是整数"),
        ("width", "-512", "not a whole number", "不是整数"),
        ("width", "５１２", "not a whole number", "不是整数"),
        ("width", "9" * 5000, "not a whole number", "不是整数"),
        ("width", "56", "64 to 1024 pixels", "64 到 1024 像素"),
        ("length", "1032", "64 to 1024 pixels", "64 到 1024 像素"),
        ("length", "511", "The nearest one below is 504.", "向下最接近的是 504。"),
    ],
)
def test_values_of_the_form(
    browser: FlaskClient, backend: Memory, field: str, value: str, english: str, chinese: str
) -> None:
    for headers, told in (({}, english), (CHINESE, chinese)):
        answer = browser.post("/predictor", data={**FORM, field: value}, headers=headers)
        assert (answer.status_code, backend.orders) == (400, [])
        assert told in answer.text
    page = browser.post("/predictor", data={**FORM, field: value}, headers=NAVIGATION).text
    assert page.count('aria-invalid="true"') == 1


@pytest.mark.parametrize("missing", FORM)
def test_a_field_is_missing(browser: FlaskClient, missing: str) -> None:
    answer = browser.post("/predictor", data={name: value for name, value in FORM.items() if name != missing})
    assert answer.status_code == 400
    assert "The field is empty." in answer.text


@pytest.mark.parametrize("size", ["64", "1024"])
def test_both_ends_are_allowed(browser: FlaskClient, size: str) -> None:
    assert browser.post("/predictor", data={**FORM, "width": size, "length": size}).status_code == 200


@pytest.mark.parametrize("code", STATUS)
def test_every_problem_says_what_happened_and_what_to_do(browser: FlaskClient, backend: Memory, code: str) -> None:
    for language, headers in (("en", {}), ("zh", CHINESE)):
        backend.problem = DrawError(code)
        answer = browser.post("/predictor", data=FORM, headers=headers)
        assert answer.status_code == STATUS[code]
        for words in TEXTS[language]["problems"][code]:
            assert words in unescape(answer.text)


def test_a_code_without_words_of_ours_is_told_in_the_services(browser: FlaskClient, backend: Memory) -> None:
    backend.problem = DrawError("nan_output", "the numbers overflowed", status=500)
    answer = browser.post("/predictor", data=FORM)
    assert answer.status_code == 500
    assert "The service failed." in answer.text
    assert "the numbers overflowed" in answer.text


def test_404(browser: FlaskClient) -> None:
    assert "404: there is nothing at this address." in browser.get("/api/predictor").text
    assert "404：此地址没有内容。" in browser.get("/nowhere", headers={**CHINESE, **NAVIGATION}).text
    assert browser.get("/nowhere").status_code == 404


def test_405(browser: FlaskClient) -> None:
    answer = browser.get("/predictor")
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, {"POST", "OPTIONS"})
    assert "Open the form at /" in answer.text


def test_500_tells_the_log_where_and_not_what(
    browser: FlaskClient, backend: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    backend.problem = ValueError("secret prompt")
    answer = browser.post("/predictor", data=FORM)
    assert answer.status_code == 500
    assert "500: the app itself failed." in answer.text
    assert "ValueError" in caplog.text
    assert "in draw" in caplog.text
    assert "secret" not in caplog.text + answer.text


def test_prompts_are_not_logged(browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        browser.post("/predictor", data=FORM)
        browser.post("/predictor", data={**FORM, "width": "7"})
    assert "panda" not in caplog.text


def test_large_bodies_are_refused(browser: FlaskClient, backend: Memory) -> None:
    answer = browser.post("/predictor", data={**FORM, "inputContent": "x" * 70_000})
    assert (answer.status_code, backend.orders) == (413, [])
    assert "The form is too large." in answer.text


def test_other_sites_cannot_draw(browser: FlaskClient, backend: Memory) -> None:
    answer = browser.post("/predictor", data=FORM, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, backend.orders) == (403, [])


def test_bodies_that_are_no_form(browser: FlaskClient) -> None:
    for body, kind in ((b"{}", "application/json"), (b"--x", "multipart/form-data"), (b"\xff\xfe", "text/plain")):
        answer = browser.post("/predictor", data=body, content_type=kind)
        assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/", "/nowhere", "/predictor", "/static/page.css"])
def test_security_headers(browser: FlaskClient, path: str) -> None:
    with browser.get(path) as answer:
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_page_opens_while_the_backend_is_down(backend: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> Limits:
        raise DrawError("upstream_unreachable")

    monkeypatch.setattr(backend, "limits", down)
    answer = create_app(backend).test_client().get("/")
    assert answer.status_code == 200
    assert "start it with make up" in answer.text
    assert "<form" in answer.text


def test_one_backend_at_a_time() -> None:
    with pytest.raises(SystemExit, match="not both"):
        choose_backend({"EASEL_URL": "http://127.0.0.1:7860", "EASEL_ENDPOINT": "easel"})


def test_what_cannot_be_sent_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_templates_have_no_script_or_style_of_their_own() -> None:
    for template in (ROOT / "cloud9/templates").glob("*.html"):
        text = template.read_text()
        assert "<style" not in text
        assert " style=" not in text
        assert not re.search(r"<[^>]+ on\w+=|<script>", text)
