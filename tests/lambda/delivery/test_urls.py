"""Which webhooks are accepted, in every spelling of a forbidden address."""

from typing import Any

import pytest

from contract import WEBHOOK_CHARS, EaselError
from webhooks.addresses import is_public
from webhooks.url import UrlRules, parse_origin, parse_webhook

PUBLIC = UrlRules()
BOTH = ("start", "completed")

NOT_PUBLIC = [
    "0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
    "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2606:4700::1111%eth0", "", "localhost", "127.1", "2130706433",
]  # fmt: skip
PUBLIC_ADDRESSES = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2606:4700::1111", "2a00:1450::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_of_the_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_addresses_of_the_internet_beside_the_others(address: str) -> None:
    assert is_public(address)


ACCEPTED = {
    "https://example.com": ("example.com", 443, "/"),
    "https://Example.COM/Hook?token=a%20b&c=@:[]": ("example.com", 443, "/Hook?token=a%20b&c=@:[]"),
    "https://example.com?a=1": ("example.com", 443, "/?a=1"),
    "https://xn--bcher-kva.example:8443/": ("xn--bcher-kva.example", 8443, "/"),
    "https://a-b.c_d.example.com:1024/x/../y": ("a-b.c_d.example.com", 1024, "/x/../y"),
    "https://example.com:65535//evil.example/": ("example.com", 65535, "//evil.example/"),
    "https://127.0.0.1.nip.io/": ("127.0.0.1.nip.io", 443, "/"),
}
REFUSED = [
    "", "example.com", "//example.com/", "http://example.com/", "HTTPS://example.com/", "ftp://example.com/",
    "file:///etc/passwd", "https:/example.com/", "https:///example.com", "https://", "https://?x", "https://.",
    "https://localhost/", "https://metadata/", "https://example/", "https://example.com./", "https://localhost./",
    "https://.example.com/", "https://example..com/", "https://-a.example.com/", "https://a-.example.com/",
    "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/",
    "https://017700000001/", "https://0177.0.0.01/", "https://127.0.0.0x1/", "https://1.1.1.1/", "https://0/",
    "https://example.0x7f/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[2606:4700::1111]/",
    "https://[fe80::1%25eth0]/", "https://[64:ff9b::7f00:1]/", "https://[v1.x]/",
    "https://user@example.com/", "https://user:password@example.com/", "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/", "https://example.com:pw@127.0.0.1/", "https://@example.com/",
    "https://example.com#@127.0.0.1/", "https://example.com/#fragment", "https://example.com\\@127.0.0.1/",
    "https://example.com/\\..", "https://127.0.0.1\\.example.com/", "https://127.0.0.1%2f.example.com/",
    "https://127.0.0.1%00.example.com/", "https://exa mple.com/", "https://example.com/a b", " https://example.com/",
    "https://example.com/\n", "https://example.com/\r\nHost: x", "https://example.com\t/", "https://example.com/\0",
    "https://bücher.example/", "https://example。com/", "https://１２７.0.0.1/", "https://ⓔxample.com/",
    "https://①②⑦.0.0.1/", "https://example.com/ü", "https://example.com:0/", "https://example.com:22/",
    "https://example.com:80/", "https://example.com:1023/", "https://example.com:65536/", "https://example.com:99999/",
    "https://example.com:443:443/", "https://example.com:/", "https://example.com:٤٤٣/",
    f"https://{'a' * 64}.example.com/", f"https://{'a.' * 127}example.com/", "https://example.com/\ud800",
]  # fmt: skip


@pytest.mark.parametrize("url", sorted(ACCEPTED))
def test_public_https_urls_are_accepted(url: str) -> None:
    target = PUBLIC.target(url)
    assert (target.host, target.port, target.path) == ACCEPTED[url]
    assert not target.trusted


@pytest.mark.parametrize("url", REFUSED, ids=ascii)
def test_other_urls_are_refused_without_a_quote(url: str) -> None:
    with pytest.raises(EaselError) as error:
        PUBLIC.target(url)
    assert (error.value.code, error.value.param) == ("bad_text", "webhook")
    assert "127" not in f"{error.value.message} {error.value.hint}"
    assert "user:" not in error.value.message


def test_the_header_host_has_a_port_beside_the_usual() -> None:
    rules = UrlRules(origins=frozenset({parse_origin("http://example.com")}))
    authorities = {url: rules.target(url).authority for url in ("https://a.example/", "https://a.example:8443/x")}
    assert authorities == {"https://a.example/": "a.example", "https://a.example:8443/x": "a.example:8443"}
    assert rules.target("http://example.com:80/").authority == "example.com"


def test_an_operator_can_name_origins_of_their_own_network() -> None:
    rules = UrlRules(
        public=False, origins=frozenset({parse_origin("http://127.0.0.1:9000"), parse_origin("http://[::1]:9/")})
    )
    assert rules.target("http://127.0.0.1:9000/hook").trusted
    assert rules.target("http://[::1]:9/").trusted
    for url in ("http://127.0.0.1:9001/", "https://127.0.0.1:9000/", "http://127.0.0.1/", "http://127.1:9000/",
                "https://example.com/", "http://127.0.0.1:9000@example.com/"):  # fmt: skip
        with pytest.raises(EaselError):
            rules.target(url)


@pytest.mark.parametrize("text", ["127.0.0.1:9000", "http://127.0.0.1:9000/hook", "http://u@h/", "ssh://host", ""])
def test_an_origin_has_a_scheme_and_no_path(text: str) -> None:
    with pytest.raises(EaselError):
        parse_origin(text)


URL = "https://example.com/hook"


def parse(rules: UrlRules | None = PUBLIC, events: tuple[str, ...] = BOTH, **sent: Any) -> Any:
    return parse_webhook(sent, rules, events)


def test_a_webhook_reports_the_end_unless_it_names_events() -> None:
    assert parse(webhook=URL).events == ("completed",)
    assert parse(webhook=URL, webhook_events=["start"]).events == ("start",)
    assert parse(webhook=URL, webhook_events=["completed", "start"]).events == ("completed", "start")
    assert parse(webhook=URL, webhook_events=None).events == ("completed",)


@pytest.mark.parametrize("sent", [{}, {"webhook": None}, {"webhook": None, "webhook_events": None}, {"prompt": "x"}])
def test_a_request_without_a_webhook_has_none(sent: dict[str, Any]) -> None:
    assert parse_webhook(sent, None, ()) is None


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        ({"webhook_events": ["start"]}, "missing_field", "webhook"),
        ({"webhook": 5}, "wrong_type", "webhook"),
        ({"webhook": ["https://example.com/"]}, "wrong_type", "webhook"),
        ({"webhook": ""}, "out_of_range", "webhook"),
        ({"webhook": URL, "webhook_events": "completed"}, "wrong_type", "webhook_events"),
        ({"webhook": URL, "webhook_events": [1]}, "wrong_type", "webhook_events"),
        ({"webhook": URL, "webhook_events": []}, "out_of_range", "webhook_events"),
        ({"webhook": URL, "webhook_events": ["start", "start"]}, "out_of_range", "webhook_events"),
        ({"webhook": URL, "webhook_events": ["output"]}, "unknown_value", "webhook_events"),
    ],
    ids=str,
)
def test_other_values_are_refused(sent: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(EaselError) as error:
        parse_webhook(sent, PUBLIC, BOTH)
    assert (error.value.code, error.value.param) == (code, param)


def test_the_length_is_bounded() -> None:
    longest = "https://example.com/".ljust(WEBHOOK_CHARS.maximum, "x")
    assert parse(webhook=longest).url == longest
    with pytest.raises(EaselError) as error:
        parse(webhook=f"{longest}x")
    assert error.value.code == "out_of_range"


def test_a_service_without_webhooks_or_without_the_event_says_so() -> None:
    with pytest.raises(EaselError) as error:
        parse(rules=None, webhook=URL)
    assert (error.value.code, error.value.param) == ("not_supported", "webhook")
    with pytest.raises(EaselError) as error:
        parse(events=("completed",), webhook=URL, webhook_events=["start"])
    assert (error.value.code, error.value.param) == ("not_supported", "webhook_events")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com/hook/secret", "https://example.com/…"),
        ("https://example.com:8443?token=secret", "https://example.com:8443/…"),
    ],
)
def test_responses_show_the_origin_alone(url: str, shown: str) -> None:
    webhook = parse(webhook=url)
    assert webhook.origin == shown
    assert "secret" not in repr(webhook)
