"""The custom resource that writes the page, against moto's S3."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest

from custom_resources import page

ROOT = Path(__file__).parents[2]
CACHED = "public, max-age=31536000, immutable"


def test_files_are_written_with_media_type_and_cache_time(s3: Any) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("index.html", "assets/", "assets/a-B1.js", "assets/a-B1.css", "favicon.svg", "theme.js"):
            archive.writestr(name, name)
    s3.put_object(Bucket="assets", Key="p.zip", Body=out.getvalue())
    boto3.client("s3").create_bucket(Bucket="page")
    s3.put_object(Bucket="page", Key="assets/a-A0.js", Body=b"from the previous deploy")
    properties = {"Bucket": "page", "Source": {"Bucket": "assets", "Key": "p.zip"}}
    assert page.publish({"ResourceProperties": properties}) == ("page", {})
    listed = s3.list_objects_v2(Bucket="page")["Contents"]
    heads = {item["Key"]: s3.head_object(Bucket="page", Key=item["Key"]) for item in listed}
    assert {key: (head["ContentType"], head.get("CacheControl")) for key, head in heads.items()} == {
        "index.html": ("text/html; charset=utf-8", "no-cache"),
        "theme.js": ("text/javascript; charset=utf-8", "no-cache"),
        "favicon.svg": ("image/svg+xml", "no-cache"),
        "assets/a-B1.js": ("text/javascript; charset=utf-8", CACHED),
        "assets/a-B1.css": ("text/css; charset=utf-8", CACHED),
        "assets/a-A0.js": ("binary/octet-stream", None),
    }


def test_index_html_is_written_last() -> None:
    names = ["index.html", "assets/b.js", "theme.js", "assets/a.css"]
    assert sorted(names, key=page.write_order) == ["assets/b.js", "assets/a.css", "theme.js", "index.html"]


def test_only_the_folder_of_hashed_names_is_cached_for_long() -> None:
    """Vite puts a hash of the content into every name below assets/, and into no other name."""
    assert "assetsDir" not in (ROOT / "web" / "vite.config.ts").read_text()
    assert page.cache_control("assets.html") == "no-cache"


def test_the_configuration_of_the_sign_in_goes_into_the_index(s3: Any) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("index.html", "<html><head></head><body></head></body>")
        archive.writestr("theme.js", "</head>")
    s3.put_object(Bucket="assets", Key="p.zip", Body=out.getvalue())
    boto3.client("s3").create_bucket(Bucket="page")
    properties = {"Bucket": "page", "Source": {"Bucket": "assets", "Key": "p.zip"}, "SignIn": {"url": 'https://"<a>'}}
    page.publish({"ResourceProperties": properties})
    read = {key: s3.get_object(Bucket="page", Key=key)["Body"].read().decode() for key in ("index.html", "theme.js")}
    assert read == {
        "index.html": '<html><head><meta name="easel-sign-in" content="{&quot;url&quot;: '
        '&quot;https://\\&quot;&lt;a&gt;&quot;}" /></head><body></head></body>',
        "theme.js": "</head>",
    }
    with pytest.raises(ValueError, match=r"index\.html"):
        page.configured(b"<html>", {})
