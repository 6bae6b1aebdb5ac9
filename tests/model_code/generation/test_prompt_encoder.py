"""Embeddings of weighted prompts, of long ones, and of earlier layers of CLIP."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from contract import PROMPT_CHUNKS, EaselError, ModelProfile
from generation import gpu_memory
from generation.prompt_encoder import PromptEncoder, clip_layers, create_encoder
from model_folder import CLIP_PIPELINES, PIPELINES
from tests.model_code import tiny
from tests.model_code.conftest import PROFILE
from tests.model_code.generation.test_pipeline_arguments import request_of

Send = Callable[..., Any]
USABLE = tiny.TOKENS - 2
WEIGHTED: ModelProfile = replace(PROFILE, clip_layers=2, image_to_image=True)


@pytest.fixture(scope="module")
def sd() -> Any:
    return tiny.stable_diffusion()


@pytest.fixture(scope="module")
def xl() -> Any:
    return tiny.stable_diffusion_xl()


@pytest.fixture(params=["sd", "xl"])
def pipeline(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def encode(pipeline: Any, *prompts: str, negative: str | None = None, **fields: Any) -> dict[str, torch.Tensor]:
    request = request_of(prompt=prompts, prompt_syntax=fields.pop("prompt_syntax", "weighted"), **fields)
    encoder = create_encoder(pipeline, request, negative)
    assert encoder is not None
    return encoder.arguments(prompts)


def own(pipeline: Any, prompt: str, negative: str | None, clip_skip: int | None = None) -> list[torch.Tensor]:
    """Return what the pipeline computes itself: prompt, negative prompt, and with SDXL both pooled."""
    with torch.no_grad():
        return list(
            pipeline.encode_prompt(
                prompt=[prompt],
                device="cpu",
                num_images_per_prompt=1,
                do_classifier_free_guidance=True,
                negative_prompt=None if negative is None else [negative],
                clip_skip=clip_skip,
            )
        )


NAMES = "prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"


@pytest.mark.parametrize("negative", [None, "dog"])
@pytest.mark.parametrize("prompt", ["cat", "", "a" * USABLE])
def test_without_weights_it_is_what_the_pipeline_computes(pipeline: Any, prompt: str, negative: str | None) -> None:
    found = encode(pipeline, prompt, negative=negative)
    expected = dict(zip(NAMES, own(pipeline, prompt, negative), strict=False))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_weight_moves_its_tokens_away_from_an_empty_prompt(pipeline: Any) -> None:
    plain, empty = own(pipeline, "cat dog", None)[0], own(pipeline, "", None)[0]
    for weight in (-1.5, 0, 0.5, 2):
        found = encode(pipeline, f"cat (dog:{weight})")["prompt_embeds"]
        tokens = slice(4, 7)  # after the start and three letters
        expected = empty[:, tokens] + (plain[:, tokens] - empty[:, tokens]) * weight
        torch.testing.assert_close(found[:, tokens], expected)
        others = [i for i in range(tiny.TOKENS) if i not in range(4, 7)]
        assert torch.equal(found[:, others], plain[:, others])


def test_weights_do_not_change_the_pooled_embedding(xl: Any) -> None:
    found = encode(xl, "(cat:1.5) dog", negative="(bus:2)")
    assert torch.equal(found["pooled_prompt_embeds"], own(xl, "cat dog", "bus")[2])
    assert torch.equal(found["negative_pooled_prompt_embeds"], own(xl, "cat dog", "bus")[3])


def test_long_prompts_are_read_in_chunks(pipeline: Any) -> None:
    texts = ["a " * USABLE, "b " * USABLE, "c"]
    found = encode(pipeline, "".join(texts), negative="dog")
    parts = [own(pipeline, part, "dog") for part in texts]
    torch.testing.assert_close(found["prompt_embeds"], torch.cat([part[0] for part in parts], dim=1))
    empty = own(pipeline, "", None)[0]
    torch.testing.assert_close(found["negative_prompt_embeds"], torch.cat([parts[0][1], empty, empty], dim=1))
    if "pooled_prompt_embeds" in found:
        torch.testing.assert_close(found["pooled_prompt_embeds"], parts[0][2])


def test_break_begins_a_chunk(sd: Any) -> None:
    found = encode(sd, "cat BREAK dog")["prompt_embeds"]
    torch.testing.assert_close(found, torch.cat([own(sd, text, None)[0] for text in ("cat", "dog")], dim=1))


@pytest.mark.parametrize("layer", [1, 2])
def test_clip_skip_counts_layers_as_automatic1111(sd: Any, layer: int) -> None:
    """diffusers counts what is skipped: its `clip_skip` of SD is one less, and of SDXL two less."""
    found = encode(sd, "cat", negative="dog", clip_skip=layer, prompt_syntax="plain")
    for text, name in (("cat", "prompt_embeds"), ("dog", "negative_prompt_embeds")):
        inputs = sd.tokenizer(text, padding="max_length", max_length=tiny.TOKENS, return_tensors="pt")
        with torch.no_grad():
            states = sd.text_encoder(inputs.input_ids, output_hidden_states=True).hidden_states
            norm = getattr(sd.text_encoder, "text_model", sd.text_encoder).final_layer_norm
            assert torch.equal(found[name], norm(states[-layer]))


@pytest.mark.parametrize("layer", [1, 2])
def test_clip_skip_of_sdxl_counts_layers_too(xl: Any, layer: int) -> None:
    found = encode(xl, "cat", clip_skip=layer, prompt_syntax="plain")
    assert torch.equal(found["prompt_embeds"], own(xl, "cat", None, clip_skip=layer - 2)[0])


def warnings(pipeline: Any, weighted: bool, text: str) -> list[str]:
    return PromptEncoder(pipeline, weighted, None, None).warnings({"Prompt 1": text})


def test_tokens_that_are_not_read_are_counted(pipeline: Any) -> None:
    for weighted, limit in ((True, PROMPT_CHUNKS * USABLE), (False, USABLE)):
        assert warnings(pipeline, weighted, "a" * limit) == []
        (warning,) = warnings(pipeline, weighted, "a" * (limit + 1))
        assert f" {limit + 1} tokens" in warning
        assert f" {limit}." in warning
        assert (
            encode(pipeline, "a" * (PROMPT_CHUNKS * USABLE + 1))["prompt_embeds"].shape[1]
            == PROMPT_CHUNKS * tiny.TOKENS
        )


def test_a_bracket_that_is_not_closed_is_named(sd: Any) -> None:
    assert warnings(sd, True, "(cat") != []
    assert warnings(sd, True, "(cat)") == warnings(sd, False, "(cat") == []


def test_pipelines_with_other_text_encoders_are_refused_by_name() -> None:
    others = sorted(set(PIPELINES) - set(CLIP_PIPELINES))
    for name in others:
        pipeline = type(name, (), {})()
        assert clip_layers(pipeline) is None
        for fields in ({"prompt_syntax": "weighted"}, {"clip_skip": 1}):
            with pytest.raises(EaselError, match=name) as error:
                create_encoder(pipeline, request_of(**fields), None)
            assert (error.value.code, error.value.param) == ("not_supported", next(iter(fields)))
    assert "FluxPipeline" in others


# --- predict_fn ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(loaded: Any, xl: Any) -> dict[str, Any]:
    """A Stable Diffusion and an SDXL as model_fn returns them."""
    profile = replace(WEIGHTED, id="xl", guidance_scale=3.0)
    sd = replace(loaded, profile=WEIGHTED)
    return {"sd": sd, "xl": replace(loaded, pipeline=xl, profile=profile)}


SMALL = {"width": 64, "height": 64, "num_inference_steps": 1}


@pytest.mark.parametrize("name", ["sd", "xl"])
def test_a_prompt_without_syntax_gives_the_same_file(models: dict[str, Any], send: Send, name: str) -> None:
    fields = {"prompt": "cat", "negative_prompt": "dog", **SMALL}
    plain, weighted = (send(models[name], **fields, prompt_syntax=syntax) for syntax in ("plain", "weighted"))
    assert plain["generated_images"] == weighted["generated_images"]
    other = send(models[name], **fields | {"prompt": "(cat:1.3)", "prompt_syntax": "weighted"})
    assert other["generated_images"] != plain["generated_images"]
    skipped = send(models[name], **fields, clip_skip=1 if name == "xl" else 2)
    assert skipped["generated_images"] != plain["generated_images"]


@pytest.mark.parametrize("name", ["sd", "xl"])
def test_a_batch_has_prompts_of_one_length(models: dict[str, Any], send: Send, name: str) -> None:
    """A longer neighbour would extend the shorter prompt, and change its image."""
    model, long = replace(models[name], batch_size=4), "a" * (2 * USABLE)
    lengths = []
    original = PromptEncoder.arguments

    def record(self: PromptEncoder, prompts: list[str]) -> Any:
        lengths.append([self.length(prompt) for prompt in prompts])
        return original(self, prompts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PromptEncoder, "arguments", record)
        together = send(model, prompt=["cat", "(dog)", long, "cat"], prompt_syntax="weighted", **SMALL)
    assert lengths == [[1, 1], [2], [1]]
    one_by_one = replace(models[name], batch_size=1)
    alone = send(one_by_one, prompt=long, seed=7 + 2, prompt_syntax="weighted", **SMALL)
    assert together["generated_images"][2] == alone["generated_images"][0]


def test_a_text_encoder_without_memory_gets_smaller_batches(
    models: dict[str, Any], send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, original, batches = replace(models["sd"], batch_size=4), PromptEncoder.length, []
    prompts = ["cat", "dog", "(cat)", "[dog]"]
    expected = send(replace(model, batch_size=2), prompt=prompts, prompt_syntax="weighted", **SMALL)

    def length(self: PromptEncoder, prompt: str) -> int:
        batches.append(prompt)
        if batches == prompts[:3]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return original(self, prompt)

    monkeypatch.setattr(PromptEncoder, "length", length)
    found = send(model, prompt=prompts, prompt_syntax="weighted", **SMALL)
    assert found["generated_images"] == expected["generated_images"]
    assert model.healthy


@pytest.mark.parametrize(
    ("message", "code"), [("CUDA out of memory", "gpu_out_of_memory"), ("CUDA error: unspecified", "container_died")]
)
def test_a_gpu_that_fails_in_the_text_encoder_is_an_error(
    models: dict[str, Any], send: Send, monkeypatch: pytest.MonkeyPatch, message: str, code: str
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(message)

    ended = threading.Event()
    monkeypatch.setattr(gpu_memory, "GRACE_SECONDS", 0)
    monkeypatch.setattr(PromptEncoder, "_run", fail)
    model = replace(models["sd"], memory=gpu_memory.GpuMemory(ended.set))
    assert send(model, prompt="cat", prompt_syntax="weighted", **SMALL)["error"]["code"] == code
    assert model.healthy == (code == "gpu_out_of_memory")
    assert model.healthy or ended.wait(60)
