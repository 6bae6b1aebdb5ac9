"""A caller of the deployed API, over TLS, as API Gateway would be reached."""

import http.client
import json
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any

from tests.deploy.cloud import Cloud


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Calls the one API of `cloud`. The gateway knows an API by the name of the host, which need not resolve."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        outputs = cloud.outputs()
        told = urllib.parse.urlsplit(outputs["ApiUrl"])
        self.host = f"{told.netloc.partition('.')[0]}.execute-api.localhost:{cloud.port}"
        self.base = told.path.rstrip("/")
        self.site = urllib.parse.urlsplit(outputs.get("SiteUrl", "")).netloc
        key = outputs["ApiKeyCommand"].split("--api-key ")[1].split()[0]
        self.key: str = cloud.client("apigateway").get_api_key(apiKey=key, includeValue=True)["value"]

    def through_site(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """As `fetch`, but to the host of `SiteUrl`, which the emulated CloudFront knows its distribution by."""
        return self.fetch(method, path, body, host=self.site, **headers)

    @property
    def url(self) -> str:
        return f"https://{self.host}{self.base}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.fetch(method, self.base + path, body, **{"x-api-key": self.key, **headers})

    def fetch(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPSConnection("127.0.0.1", self.cloud.port, timeout=60, context=self.cloud.tls)
        sent = {"host": self.host, "content-type": "application/json", **headers}
        try:
            connection.request(method, target, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read())
        finally:
            connection.close()

    def finished(self, path: str, seconds: float = 60) -> Any:
        """The job at `path` once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.call("GET", path).json
            if job["status"] in ("succeeded", "failed", "cancelled"):
                return job
            time.sleep(0.3)
        raise AssertionError(f"the job did not end in {seconds} s: {job}")
