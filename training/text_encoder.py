"""The tokenizer and the text encoder: `python text_encoder.py --minutes 6`. The same command resumes later.

The encoder is trained first, alone, to predict the subjects, places, ground and size that a caption means. A step costs
a hundredth of a diffusion step, and the diffusion model then starts from states that it can use.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
from dataset import WORK, Subject, half_is_faster, load_subjects
from scenes import ABOVE, COLOURS, Scene, Weights, caption, pair_weights, random_scene
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

LENGTH = 40
"""Tokens. The last `MAP` of a short caption are padding, which attends to the whole caption."""
MAP = 16
"""The last states are a sketch of the image: one for each of its 4×4 patches."""
WIDTH = 192
READER = WORK / "reader.pt"
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def corpus(subjects: list[Subject], count: int = 12_000) -> list[str]:
    rng = random.Random(0)
    names = [n for d in subjects for n in (d.en + d.zh) * 4 + d.keywords_en + d.keywords_zh]
    weights = pair_weights(subjects)
    return names + [caption(rng, random_scene(rng, weights, 0.3), subjects) for _ in range(count)]


def train_tokenizer(texts: list[str], folder: Path, entries: int = 3000) -> None:
    """Write a byte-level BPE in CLIP's file format."""
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=entries, initial_alphabet=alphabet, special_tokens=special, end_of_word_suffix="</w>"
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    for letter in sorted(alphabet):
        for entry in (letter, letter + "</w>"):
            vocabulary.setdefault(entry, len(vocabulary))
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")


def load_tokenizer() -> CLIPTokenizer:
    files = WORK / "tokenizer"
    return CLIPTokenizer(
        str(files / "vocab.json"),
        str(files / "merges.txt"),
        model_max_length=LENGTH,
        pad_token="<|endoftext|>",
    )


def new_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=6,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    options = {"padding": "max_length", "truncation": True, "max_length": LENGTH, "return_tensors": "pt"}
    ids: Tensor = tokenizer(texts, **options).input_ids
    return ids


class SceneReader(nn.Module):
    """Predicts the scene from the states by one cross-attention, as the diffusion model will."""

    def __init__(self, subjects: int) -> None:
        super().__init__()
        sizes = [subjects, subjects + 1, 3, len(COLOURS), 3]
        self.queries = nn.Parameter(torch.randn(len(sizes), WIDTH) * 0.5)
        self.attention = nn.MultiheadAttention(WIDTH, 6, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, n) for n in sizes)
        self.patch = nn.Linear(WIDTH, 64)

    def forward(self, states: Tensor) -> list[Tensor]:
        queries = self.queries.expand(len(states), -1, -1)
        read, _ = self.attention(queries, states, states, need_weights=False)
        return [head(read[:, i]) for i, head in enumerate(self.heads)]

    def latents(self, states: Tensor) -> Tensor:
        """Return the scene's latents, a patch from each of the last states: (n, 16, 64)."""
        return self.patch(states[:, -MAP:])  # type: ignore[no-any-return]


def patches(latents: Tensor) -> Tensor:
    """Cut latents into 4×4 patches, row by row: (…, 4, 16, 16) to (…, 16, 64)."""
    grid = latents.unflatten(-2, (4, 4)).unflatten(-1, (4, 4))
    return grid.movedim((-4, -2), (-5, -4)).flatten(-3).flatten(-3, -2)


class UsualLatents:
    """Latents of a scene with its subjects at their usual places, on white."""

    def __init__(self) -> None:
        stored = torch.load(WORK / "usual_latents.pt")
        scale = stored["latents"][stored["latents"].abs().sum((1, 2, 3, 4)) > 0].std()
        self.places = patches(stored["latents"] / scale)
        self.seats = {seat: patches(latents / scale) for seat, latents in stored["seats"].items()}

    def __call__(self, scene: Scene) -> Tensor:
        if scene.second < 0:
            return self.places[scene.first, 0]
        if scene.relation == ABOVE and scene.second in self.seats:
            return self.seats[scene.second][scene.first]
        return self.places[scene.first, 2 * scene.relation - 1] + self.places[scene.second, 2 * scene.relation]


def scene_labels(scenes: list[Scene], subjects: int) -> Tensor:
    rows = [(s.first, s.second % (subjects + 1), s.relation, s.ground, s.size) for s in scenes]
    return torch.tensor(rows).T


def batch(
    rng: random.Random, subjects: list[Subject], weights: Weights, size: int, usual_latents: UsualLatents
) -> tuple[list[str], Tensor, Tensor]:
    scenes = [random_scene(rng, weights, 0.45) for _ in range(size)]
    latents = torch.stack([usual_latents(s) for s in scenes])
    return [caption(rng, s, subjects) for s in scenes], scene_labels(scenes, len(subjects)), latents


def train(
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    pretrained: bool,
    subjects: list[Subject],
    minutes: float,
    peak: float,
) -> None:
    reader, frozen_share = SceneReader(len(subjects)), 0.0
    if READER.exists():
        reader.load_state_dict(torch.load(READER))
    elif pretrained:
        frozen_share = 0.1  # an untrained reader would spoil the encoder, so it is trained alone first
    parameters = [*encoder.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(parameters, peak, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    half = half_is_faster()
    rng, start, step, usual_latents = random.Random(1), time.monotonic(), 0, UsualLatents()
    weights = pair_weights(subjects)
    while (progress := (time.monotonic() - start) / 60 / minutes) < 1:
        optimizer.param_groups[0]["lr"] = peak * min(1.0, (step + 1) / 100) * (1.01 - progress)
        encoder.requires_grad_(progress >= frozen_share)
        texts, labels, latents = batch(rng, subjects, weights, 32, usual_latents)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            states = encoder(token_ids(tokenizer, texts)).last_hidden_state.float()
        logits = reader(states)
        loss = torch.stack([nn.functional.cross_entropy(a, w) for a, w in zip(logits, labels, strict=True)]).sum()
        latents_error = (reader.latents(states) - latents).square().mean()
        loss = loss + 20 * latents_error
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            accuracy = [f"{(a.argmax(1) == w).float().mean():.2f}" for a, w in zip(logits, labels, strict=True)]
            losses = f"loss {loss.item():.3f} latents {latents_error.item():.3f}"
            print(f"{progress:4.0%} step {step} {losses} accuracy {' '.join(accuracy)}", flush=True)
    torch.save(reader.state_dict(), READER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--rate", type=float, default=2e-3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    subjects = load_subjects()
    folder = WORK / "text_encoder"
    pretrained = folder.exists()
    if pretrained:
        tokenizer, encoder = load_tokenizer(), CLIPTextModel.from_pretrained(folder)
    else:
        train_tokenizer(corpus(subjects), WORK / "tokenizer")
        tokenizer = load_tokenizer()
        encoder = new_encoder(tokenizer)
    train(encoder.train(), tokenizer, pretrained, subjects, arguments.minutes, arguments.rate)
    encoder.save_pretrained(folder)


if __name__ == "__main__":
    main()
