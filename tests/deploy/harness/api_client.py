"""Client of the deployed API over TLS, which reaches it as API Gateway is reached."""

import http.client
import json
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any

from stacks.config.names import DEFAULT, Names
from tests.deploy.harness.account import Account

ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ApiClient:
    """Calls the API of one Easel of `account`. The gateway finds an API by the host name, which need not resolve."""

    def __init__(self, account: Account, names: Names = DEFAULT) -> None:
        self.account = account
        outputs = account.outputs(names)
        address = urllib.parse.urlsplit(outputs["ApiUrl"])
        self.host = f"{address.netloc.partition('.')[0]}.execute-api.localhost:{account.port}"
        self.base = address.path.rstrip("/")
        self.site = urllib.parse.urlsplit(outputs.get("SiteUrl", "")).netloc
        key = outputs["ApiKeyCommand"].split("--api-key ")[1].split()[0]
        self.key: str = account.client("apigateway").get_api_key(apiKey=key, includeValue=True)["value"]

    @property
    def url(self) -> str:
        return f"https://{self.host}{self.base}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Send a request with the API key."""
        return self.fetch(method, self.base + path, body, **{"x-api-key": self.key, **headers})

    def call_site(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Send a request to the host of `SiteUrl`, by which the emulated CloudFront finds its distribution."""
        return self.fetch(method, path, body, host=self.site, **headers)

    def fetch(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        """Send a request without the API key."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.account.port, timeout=60, context=self.account.tls)
        all_headers = {"host": self.host, "content-type": "application/json", **headers}
        try:
            connection.request(method, target, None if body is None else json.dumps(body), all_headers)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, received, response.read())
        finally:
            connection.close()

    def follow(self, link: str) -> Response:
        """Get a signed link without the API key."""
        url = urllib.parse.urlsplit(link)
        return self.fetch("GET", f"{url.path}?{url.query}", host=url.netloc)

    def wait_for_job(self, path: str, seconds: float = 180) -> Any:
        """Return the job at `path` once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.call("GET", path).json
            if job["status"] in ENDED:
                return job
            time.sleep(0.3)
        raise AssertionError(f"the job did not end in {seconds} s: {job}")

    def generate_job(self, body: Any) -> Any:
        """Create a job and return it once it has ended."""
        created = self.call("POST", "/jobs", body)
        assert created.status == 202, created.body
        return self.wait_for_job(created.json["urls"]["get"])
