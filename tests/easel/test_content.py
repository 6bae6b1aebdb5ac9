"""`easel up --content`: what requests may choose for images that the model's safety checker flags."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stacks.config.catalogue import read_model
from tests.easel.running import EASEL, ROOT, Laptop
from tests.model_code import tiny
from tests.model_code.every_pipeline import stable_diffusion_with_all_parts

SERVER = "easel.laptop.container.server"


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entry of a tiny model whose checker flags every image."""
    import torch

    folder, pipeline = tmp_path_factory.mktemp("models"), stable_diffusion_with_all_parts()
    with torch.no_grad():
        pipeline.safety_checker.concept_embeds_weights.fill_(-2)
    tiny.save(pipeline, folder / "checked")
    usual = json.loads((ROOT / "models/sd-1.5.json").read_text())
    changed = {"id": "checked", "sizes": [[64, 64]], "steps": 2, "gpu_memory_gib": 0, "clip_layers": 2}
    del usual["source"], usual["presets"]
    path = folder / "checked.json"
    path.write_text(json.dumps(usual | changed))
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EASEL, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=400)


@pytest.mark.laptop
def test_flagged_images_where_they_are_allowed(entry: Path, tmp_path: Path) -> None:
    options = ("--model", str(entry), "--content", "flag")
    with Laptop(tmp_path / "data", *options, container=SERVER) as laptop:
        assert laptop.http.get("/models").json()["models"][0]["content"] == ["refuse", "flag"]
        refused = laptop.http.post("/generate", json={"prompt": "a"})
        assert (refused.status_code, refused.json()["code"]) == (422, "content_filtered")
        out = tmp_path / "out"
        done = run("generate", "a", "--content", "flag", "--url", laptop.url, "-o", str(out), "--json")
    (image,) = json.loads(done.stdout)["images"]
    assert (image["flagged"], image["flagged_reason"]) == (True, "safety_checker")
    assert Path(image["path"]).stat().st_size > 5000, "noise does not compress, as a black image would"


@pytest.mark.laptop
def test_flagged_images_where_they_are_not(entry: Path, tmp_path: Path) -> None:
    with Laptop(tmp_path / "data", "--model", str(entry)) as laptop:  # the API refuses it
        assert laptop.http.get("/models").json()["models"][0]["content"] == ["refuse"]
        response = laptop.http.post("/generate", json={"prompt": "a", "content": "flag"}).json()
    assert (response["code"], response["invalid_params"][0]["name"]) == ("not_supported", "content")


@pytest.mark.parametrize("content", ["flag", "blur"])
def test_a_choice_that_has_no_effect_is_a_usage_error(content: str, tmp_path: Path) -> None:
    done = run("up", "--model", "emoji", "--content", content, "--data", str(tmp_path / "data"))
    assert done.returncode == 2
    assert f"--content {content}" in done.stderr
    assert not (tmp_path / "data").exists()


def test_only_models_with_a_checker_have_a_choice() -> None:
    checked, other = read_model("sd-1.5", ROOT), read_model("emoji", ROOT)
    for model, content, expected in (
        (checked, "refuse", ["refuse"]), (checked, "flag", ["refuse", "flag"]), (other, "flag", None),
    ):  # fmt: skip
        allowed = model.allowing(content)
        for profile in (allowed.profile, allowed.container_profile):
            assert json.loads(profile).get("content") == expected
    assert json.loads(checked.profile)["content"] == ["refuse"]
