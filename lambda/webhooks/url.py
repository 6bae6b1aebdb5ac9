"""URLs of webhooks: which are accepted, and what is called.

A URL is parsed here only. Check and call use the same host, so no second parser can read another one out of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from contract import WEBHOOK_CHARS, WEBHOOK_EVENTS, Bound, refuse
from jobs.webhook import COMPLETED, Webhook

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[^\s/?#@:\\\[\]]+|\[[0-9a-fA-F:.]+\])(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-~]*)?(?P<query>\?[!-~]*)?",
    re.ASCII,
)
"""Without credentials. `_target` refuses a fragment and a backslash."""
_NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
"""A domain name. The last label begins with a letter, so no spelling of an IPv4 address matches."""
_HTTPS = 443
_HIGH_PORTS = Bound(1024, 65_535)
"""Ports beside 443. Lower ones belong to other protocols."""
_EXAMPLE = "For example https://example.com/hook."


@dataclass(frozen=True)
class Target:
    """What is called. `trusted`: the operator has named this origin, so its address is not checked."""

    scheme: str
    host: str
    port: int
    path: str
    trusted: bool = False

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        return self.host if self.port == {"http": 80, "https": _HTTPS}[self.scheme] else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass(frozen=True)
class UrlRules:
    """Which URLs are accepted: public HTTPS ones if `public`, and those of `origins`, wherever they are."""

    public: bool = True
    origins: frozenset[str] = frozenset()

    def target(self, url: str) -> Target:
        """Return what to call. Raises EaselError; no message quotes the URL, which may contain a secret."""
        target = _target(url)
        if target.origin in self.origins:
            return Target(target.scheme, target.host, target.port, target.path, trusted=True)
        if not self.public:
            _refuse("this service sends webhooks only to the addresses that its operator has named")
        if target.scheme != "https":
            _refuse("webhook is not an https URL")
        if not _NAME.fullmatch(target.host):
            _refuse("the host of webhook is not a domain name", "Use a public host's full name; xn--… for others.")
        if target.port != _HTTPS and not _HIGH_PORTS.minimum <= target.port <= _HIGH_PORTS.maximum:
            _refuse(f"the port of webhook is not {_HTTPS} or {_HIGH_PORTS.minimum} to {_HIGH_PORTS.maximum}")
        return target


def parse_origin(text: str) -> str:
    """Return an origin for `UrlRules`, with its port. Raises EaselError if it is not `http(s)://host[:port]`."""
    target = _target(text)
    if target.path != "/":
        _refuse("an origin has no path", "For example http://127.0.0.1:9000.")
    return target.origin


def parse_webhook(sent: Mapping[str, Any], rules: UrlRules | None, events: tuple[str, ...]) -> Webhook | None:
    """Return the webhook in the fields of a request, or None if it has none.

    `rules`: None if webhooks are off. `events`: those that can be reported here. Raises EaselError.
    """
    url, wanted = sent.get("webhook"), sent.get("webhook_events")
    if url is None:
        if wanted is not None:
            refuse("missing_field", "webhook", "webhook_events needs a webhook", "Send both or neither.")
        return None
    if rules is None:
        hint = "Poll GET /jobs/{id}. Its operator can switch them on."
        refuse("not_supported", "webhook", "this service sends no webhooks", hint)
    if type(url) is not str:
        refuse("wrong_type", "webhook", "webhook must be a string", _EXAMPLE)
    if not WEBHOOK_CHARS.minimum <= len(url) <= WEBHOOK_CHARS.maximum:
        message = f"webhook has {len(url)} characters"
        refuse("out_of_range", "webhook", message, f"Send {WEBHOOK_CHARS.minimum} to {WEBHOOK_CHARS.maximum}.")
    rules.target(url)
    return Webhook(url=url, events=_events([COMPLETED] if wanted is None else wanted, events))


def _events(wanted: Any, supported: tuple[str, ...]) -> Any:
    param, hint = "webhook_events", f"Send a list of: {', '.join(supported)}."
    if type(wanted) is not list or not all(type(event) is str for event in wanted):
        refuse("wrong_type", param, "webhook_events must be a list of strings", hint)
    if not 1 <= len(wanted) <= len(WEBHOOK_EVENTS) or len(set(wanted)) != len(wanted):
        refuse("out_of_range", param, "webhook_events is empty, or names an event twice", hint)
    if unknown := [event for event in wanted if event not in WEBHOOK_EVENTS]:
        refuse("unknown_value", param, f"unknown event {unknown[0][:80]!r}", hint)
    if not set(wanted) <= set(supported):
        refuse("not_supported", param, "this service does not know when a job starts", hint)
    return tuple(wanted)


def _target(url: str) -> Target:
    match = _URL.fullmatch(url)
    if not match or "#" in url or "\\" in url:
        message = "webhook is not a URL of a scheme, a host, and maybe port, path and query, in ASCII"
        _refuse(message, f"{_EXAMPLE} Leave out user name, password and fragment; percent-encode other characters.")
    port = int(match["port"] or (_HTTPS if match["scheme"] == "https" else 80))
    path = f"{match['path'] or '/'}{match['query'] or ''}"
    return Target(match["scheme"], match["host"].lower(), port, path)


def _refuse(message: str, hint: str = _EXAMPLE) -> NoReturn:
    refuse("bad_text", "webhook", message, hint)
