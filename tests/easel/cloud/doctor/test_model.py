"""Checks of the model: hub, local folder, files in S3, hub token, import."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from easel.cloud.doctor import model
from easel.cloud.doctor.plan import Plan, read_plan
from model_folder import PIPELINES
from stacks.config.catalogue import ExtraObject, HubSource, Lora, Model, S3Source, UrlSource, read_model
from stacks.config.model_folder import CONTENT_HELP
from tests.easel.cloud.doctor.conftest import RunDoctor
from tests.easel.cloud.doctor.results import assert_result
from tests.easel.cloud.fake_aws import REGION, FakeAws, client_error
from tests.easel.cloud.fake_deployment import NOW, healthy_deployment
from tests.easel.running import ROOT
from tests.easel.tls import write_certificate
from tests.model_files import lora as lora_file
from tests.model_files import stable_diffusion
from tests.model_importer.example import write_files
from tests.model_importer.hub import HubServer, Repository
from tests.model_importer.site import Site

SDXL = read_model("sdxl", ROOT)
assert isinstance(SDXL.source, HubSource)
REPOSITORY, REVISION = SDXL.source.repository, SDXL.source.revision


@pytest.fixture(scope="module")
def sdxl() -> Plan:
    return read_plan(["model=sdxl"], ROOT)


def with_model(plan: Plan, **changes: Any) -> Plan:
    """Return `plan` with changed fields of its model."""
    assert isinstance(plan.model, Model)
    return replace(plan, model=plan.model.model_copy(update=changes))


def own_model(tmp_path: Path) -> Plan:
    """Create a valid model folder with its entry, and return the plan for it."""
    shutil.copytree(ROOT / "models/emoji", tmp_path / "own")
    entry = json.loads((ROOT / "models/emoji.json").read_text())
    entry |= {"id": "own", "source": {"kind": "folder", "path": "own"}}
    (tmp_path / "own.json").write_text(json.dumps(entry))
    return read_plan([f"model={tmp_path / 'own'}"], ROOT)


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for a hub whose files the import would take."""
    monkeypatch.setattr(model, "imported_bytes", lambda *_: 7 * model.GB)


def test_a_model_that_does_not_exist(doctor: RunDoctor) -> None:
    plan = read_plan(["model=nope"], ROOT)
    results = doctor(healthy_deployment(), plan=plan)
    assert_result(results["model"], "failed", "'nope'", remedy="easel models")
    for code in ("region", "endpoint_quota"):
        assert_result(results[code], "unknown", "instance type")


# --- hub -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "token", "expected", "message", "remedy"),
    [
        (200, "", "ok", REVISION[:12], ""),
        (401, "", "failed", "401", f"https://hub.test/{REPOSITORY}"),
        (403, "hf_x", "failed", "403", f"https://hub.test/{REPOSITORY}"),
        (404, "", "failed", REVISION[:12], "-c model="),
        (500, "", "unknown", "500", ""),
    ],
)
@pytest.mark.usefixtures("contents")
def test_status_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, status: int, token: str, expected: Any, message: str, remedy: str
) -> None:
    requests: list[tuple[str, Any]] = []

    def head(url: str, **more: Any) -> httpx.Response:
        requests.append((url, more["headers"]))
        return httpx.Response(status)

    monkeypatch.setattr(httpx, "head", head)
    monkeypatch.setenv("HF_TOKEN", token)
    result = model.model.run(read_plan(["model=sdxl", "hub_url=https://hub.test/"], ROOT))
    assert_result(result, expected, "sdxl", SDXL.licence, SDXL.licence_url, message, remedy=remedy)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    assert requests[0] == (f"https://hub.test/{REPOSITORY}/resolve/{REVISION}/model_index.json", headers)


@pytest.mark.parametrize(
    ("status", "token", "expected"), [(401, "", "unknown"), (403, "hf_x", "failed"), (200, "", "ok")]
)
@pytest.mark.usefixtures("contents")
def test_access_with_a_secret_that_only_the_import_reads_is_unknown(
    monkeypatch: pytest.MonkeyPatch, status: int, token: str, expected: Any
) -> None:
    monkeypatch.setattr(httpx, "head", lambda *_, **__: httpx.Response(status))
    monkeypatch.setenv("HF_TOKEN", token)
    settings = ["model=sdxl", "hub_url=https://hub.test", "hub_token_secret=hub-token"]
    result = model.model.run(read_plan(settings, ROOT))
    if expected == "unknown":
        assert_result(result, expected, "hub-token", remedy="export HF_TOKEN=")
    else:
        assert_result(result, expected)


def test_a_part_without_its_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    source = read_model("sdxl-lcm", ROOT).source
    assert isinstance(source, HubSource)
    *_, part = source.parts.values()
    missing = f"https://huggingface.co/{part.repository}/resolve/{part.revision}/config.json"
    monkeypatch.setattr(httpx, "head", lambda url, **_: httpx.Response(404 if url == missing else 200))
    assert_result(model.model.run(read_plan(["model=sdxl-lcm"], ROOT)), "failed", part.repository)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, "ok", ["0.00 GB", "known classes"]),
        ({"unet/config.json": b'{"block_out_channels": null}'}, "failed", ["unet/config.json", "block_out_channels"]),
        ({"scheduler/scheduler_config.json": b"[]"}, "failed", ["scheduler/scheduler_config.json"]),
    ],
)
def test_what_the_import_would_refuse_is_found_on_the_hub(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sdxl: Plan,
    changes: dict[str, bytes],
    status: Any,
    words: list[str],
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = write_files(tmp_path / "model", stable_diffusion() | changes)
    source = HubSource(repository="org/model", revision="c" * 40)
    plan = with_model(sdxl, source=source, pipeline="StableDiffusionPipeline")
    assert plan.model
    with HubServer(Repository(folder)) as server:
        settings = plan.settings.model_copy(update={"hub_url": server.url})
        finding = model._hub(plan.model, source, settings)
        assert (finding.status, [word for word in words if word not in finding.message]) == (status, [])
        server.repository.removed = True
        assert model._contents(plan.model, finding, settings).status == "unknown"


def test_an_unreachable_hub_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = read_plan(["model=sdxl", "hub_url=https://127.0.0.1:1"], ROOT)
    assert_result(model.model.run(plan), "unknown", "https://127.0.0.1:1", "ConnectError", remedy="hub_url")
    monkeypatch.setenv("ALL_PROXY", "socks9://127.0.0.1:1")
    assert_result(model.model.run(plan), "unknown", "socks9://127.0.0.1:1")


def test_certificates_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An unknown authority is no network error, and a file without certificates is named."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = write_certificate(tmp_path / "ca.pem").wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        plan = read_plan(["model=sdxl", f"hub_url=https://127.0.0.1:{server.server_port}"], ROOT)
        assert_result(model.model.run(plan), "unknown", remedy="SSL_CERT_FILE")
        server.shutdown()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    assert_result(model.model.run(plan), "unknown", f"SSL_CERT_FILE={tmp_path}/missing.pem")


# --- folder --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda at: (at / "unet/weights.bin").write_bytes(b""), []),
        (lambda at: (at / "unet/diffusion_pytorch_model.safetensors").rename(at / "unet/weights.bin"),
         ["unet", "'fp16'", "weights.bin", CONTENT_HELP]),
        (lambda at: (at / "model_index.json").write_text('{"_class_name": "Evil"}'),
         ["'Evil'", ", ".join(PIPELINES), CONTENT_HELP]),
        (lambda at: (at / "out").symlink_to("/etc/hosts"), ["out", "symbolic link", CONTENT_HELP]),
        (lambda at: (at / "unet/diffusion_pytorch_model.safetensors").unlink(), ["unet", "'fp16'", CONTENT_HELP]),
        (lambda at: (at / ("x" * 255)).write_bytes(b""), []),
        (lambda at: (at / "unet/diffusion_pytorch_model.safetensors").write_text("version https://git-lfs.…/spec/v1"),
         ["unet/diffusion_pytorch_model.safetensors", "Git LFS"]),
        (lambda at: (at / "vocabulary.json").write_text("{}"), ["vocabulary.json", '[["panda", "熊猫"], ["cat"]]']),
        (lambda at: (at / "model_index.json").unlink(), ["model_index.json", CONTENT_HELP]),
    ],
    ids=["other-file", "pickle", "class", "link", "weights", "longest", "pointer", "vocabulary", "index"],
)  # fmt: skip
def test_a_folder_that_cannot_be_released_or_loaded(
    tmp_path: Path, damage: Callable[[Path], Any], message: list[str]
) -> None:
    plan, folder = own_model(tmp_path), tmp_path / "own"
    assert_result(model.model_folder.run(plan), "ok", str(folder), "0.03 GB")
    damage(folder)
    result = model.model_folder.run(plan)
    if message:
        assert_result(result, "failed", str(folder), *message, remedy="easel models")
    else:
        assert_result(result, "ok", str(folder))


def test_the_folder_check_works_without_torch() -> None:
    program = (
        "import sys; sys.modules.update(torch=None, diffusers=None)\n"
        "from easel import ROOT; from easel.cloud.doctor import model\n"
        "from easel.cloud.doctor.plan import read_plan\n"
        "print(model.model_folder.run(read_plan(['model=emoji'], ROOT)).status)"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert process.stdout == "ok\n"


# --- AWS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "status"), [(1.0, "ok"), (0.0, "failed")])
def test_the_import_needs_one_codebuild_build(plan: Plan, sdxl: Plan, value: float, status: Any) -> None:
    quota = {"QuotaName": model.BUILD_QUOTA, "QuotaCode": "L-2", "Value": value}
    aws = FakeAws(**{"service-quotas.ListServiceQuotas": {"Quotas": [quota]}})
    page = f"https://{REGION}.console.aws.amazon.com/servicequotas/home/services/codebuild/quotas/L-2"
    result = model.model_import.run(aws.account(), sdxl)
    assert_result(result, status, f"{value:g}", remedy=page if status == "failed" else "")
    assert model.model_import.run(aws.account(), plan) is None


def test_the_import_quota_is_not_listed(sdxl: Plan) -> None:
    empty: dict[str, Any] = {"Quotas": []}
    aws = FakeAws(**{"service-quotas.ListServiceQuotas": empty, "service-quotas.ListAWSDefaultServiceQuotas": empty})
    assert_result(model.model_import.run(aws.account(), sdxl), "unknown", model.BUILD_QUOTA, REGION)


@pytest.mark.parametrize(
    ("secret", "response", "status", "remedy"),
    [
        ("", {}, "failed", f"{model.CREATE_COMMAND}, then -c hub_token_secret=hub-token"),
        ("hub-token", {"Name": "hub-token"}, "ok", ""),
        ("hub-token", {"Name": "hub-token", "DeletedDate": NOW}, "failed",
         "aws secretsmanager restore-secret --secret-id hub-token"),
        ("hub-token", client_error("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
         "failed", model.CREATE_COMMAND),
    ],
)  # fmt: skip
def test_a_gated_model_needs_a_hub_token(sdxl: Plan, secret: str, response: Any, status: Any, remedy: str) -> None:
    gated = with_model(read_plan(["model=sdxl", f"hub_token_secret={secret}"], ROOT), gated=True)
    aws = FakeAws(**{"secretsmanager.DescribeSecret": response})
    assert_result(model.hub_token.run(aws.account(), gated), status, secret, remedy=remedy)
    assert model.hub_token.run(aws.account(), sdxl) is None


def test_the_token_of_a_link_is_looked_for(sdxl: Plan) -> None:
    aws = FakeAws(**{"secretsmanager.DescribeSecret": {"Name": "model-token"}})
    named = read_plan(["model=sdxl", "model_token_secret=model-token"], ROOT)
    assert_result(model.model_token.run(aws.account(), named), "ok", "model-token")
    assert model.model_token.run(aws.account(), sdxl) is None


def in_s3(files: dict[str, bytes]) -> FakeAws:
    """Return an S3 with objects below s3://mine/a/."""
    listed = [{"Key": f"a/{path}", "Size": len(content), "ETag": '"1"'} for path, content in files.items()]

    def read(request: dict[str, Any]) -> dict[str, Any]:
        first, _, last = request["Range"].removeprefix("bytes=").partition("-")
        return {"Body": io.BytesIO(files[request["Key"].removeprefix("a/")][int(first) : int(last) + 1])}

    responses: dict[str, Any] = {"s3.HeadObject": {}, "s3.ListObjectsV2": {"Contents": listed}, "s3.GetObject": read}
    return FakeAws(**responses)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({}, "ok", "0.00 GB"),
        ({"vae/config.json": b'{"scaling_factor": null}'}, "failed", "scaling_factor"),
        ({"unet/config.json": b"{"}, "failed", "unet/config.json"),
    ],
)
def test_files_of_a_model_in_s3(sdxl: Plan, changes: dict[str, bytes], status: Any, message: str) -> None:
    aws = in_s3(stable_diffusion() | changes)
    plan = with_model(sdxl, source=S3Source(uri="s3://mine/a/"), pipeline="StableDiffusionPipeline")
    remedy = "source.uri" if status == "failed" else ""
    assert_result(model.model_files.run(aws.account(), plan), status, message, remedy=remedy)
    assert aws.calls("s3.HeadObject") == [{"Bucket": "mine", "Key": "a/model_index.json"}]


def test_a_prefix_without_a_model(sdxl: Plan) -> None:
    aws = FakeAws(**{"s3.HeadObject": client_error("404", "Not Found")})
    plan = with_model(sdxl, source=S3Source(uri="s3://mine/a/"))
    assert_result(model.model_files.run(aws.account(), plan), "failed", "s3://mine/a/", remedy="source.uri")
    assert model.model_files.run(aws.account(), sdxl) is None


def test_a_model_behind_a_link(sdxl: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header is read, as the import reads it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Site(b"no model") as site:
        plan = with_model(sdxl, source=UrlSource(url=site.link, sha256="0" * 64))
        assert_result(model.model.run(plan), "failed", "damaged or truncated", remedy="entry")
        site.status = 404
        assert_result(model.model.run(plan), "unknown", "was removed")


def test_a_link_without_a_hash(sdxl: Plan) -> None:
    """The import would refuse it, whatever the link has."""
    plan = with_model(sdxl, source=UrlSource(url="https://127.0.0.1:1/a.safetensors"))
    assert_result(model.model.run(plan), "failed", "sha256", remedy="easel models pull sdxl")


def test_an_extra_in_s3_is_read_with_the_account(sdxl: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own files are elsewhere."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    stored = ExtraObject(kind="s3", uri="s3://mine/a/flat.safetensors")
    lora = Lora(id="flat", sha256="0" * 64, source=stored)
    with Site(b"no model") as site:
        plan = with_model(sdxl, source=UrlSource(url=site.link, sha256="0" * 64), loras=(lora,))
        assert_result(model.model.run(plan), "ok", "licence")
        assert site.requests == []
        missing = model.model_files.run(in_s3({}).account(), plan)
        assert_result(missing, "failed", "a/flat.safetensors does not exist", remedy="entry")
        account = in_s3({"flat.safetensors": lora_file()}).account()
        assert_result(model.model_files.run(account, plan), "failed", "damaged or truncated", remedy="entry")
        site.status = 404
        assert_result(model.model_files.run(account, plan), "unknown", "was removed")
