"""The UNet, trained on the pool's latents: `python diffusion.py --minutes 60`. The same command resumes later."""

import argparse
import math
import os
import random
import tempfile
import time
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from contact_sheet import generate_images, tile_images
from dataset import WORK, half_is_faster, load_subjects
from diffusers import AutoencoderKL, UNet2DConditionModel
from export import new_scheduler, save_pipeline
from image_pool import load_pool
from scenes import NORMAL, Scene, caption
from text_encoder import LENGTH, MAP, WIDTH, load_tokenizer, token_ids
from torch import Tensor, nn
from transformers import CLIPTextModel

STATE = WORK / "diffusion.pt"
STOP = WORK / "stop"
STATES = WORK / "states.pt"
ENCODER = WORK / "text_encoder" / "model.safetensors"
CAPTIONS, BLOCK = 2, 128
DEPTH = 24
FOCUSED = {0: (0, 4, 6), 1: (4, 7, 3)}
"""Heads, in each attention of the last 4×4 block, that must attend to the patch at their place (focus_attention.py)."""
PROMPTS = ["panda", "熊猫", "red apple", "pizza", "a cute cat", "马", "rocket", "house"]
PROMPTS += ["A cute panda is sitting on the sofa", "一只可爱的熊猫坐在沙发上"]
PROMPTS += ["a red car next to a tree", "dog on a blue background"]


def new_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(48, 96, 192),
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
    )


def sampling_weight(scene: Scene) -> float:
    """Return how often a scene is sampled, relative to one subject on white."""
    if scene.second >= 0:
        return 0.3
    return 1.0 if scene.ground == 0 and scene.size == NORMAL else 0.4


@torch.inference_mode()
def encode_captions(worker: int, workers: int, texts: list[str], states: Tensor) -> None:
    """Fill every `workers`-th block of `states`, (n, LENGTH, WIDTH) in shared memory."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer, encoder = load_tokenizer(), CLIPTextModel.from_pretrained(WORK / "text_encoder").eval().to(device)
    for start in range(BLOCK * worker, len(texts), BLOCK * workers):
        ids = token_ids(tokenizer, texts[start : start + BLOCK]).to(device)
        states[start : start + BLOCK] = encoder(ids).last_hidden_state.to(states)
        print(f"\rcaption {start} of {len(texts)}", end="", flush=True)


def encode_all_captions(scenes: list[Scene], workers: int) -> None:
    """Write the states of `CAPTIONS` captions of each scene, then those of the empty caption."""
    rng, subjects = random.Random(9), load_subjects()
    texts = [caption(rng, s, subjects) for s in scenes for _ in range(CAPTIONS)] + [""]
    states = torch.empty(len(texts), LENGTH, WIDTH, dtype=torch.bfloat16).share_memory_()
    mp.spawn(encode_captions, (workers, texts, states), nprocs=workers)
    torch.save(states, STATES)


class Captions:
    """Text states of a random caption of each scene. Every tenth caption is empty."""

    def __init__(self, device: torch.device) -> None:
        self.all_states, self.device = torch.load(STATES, mmap=True), device

    def states(self, scenes: Tensor) -> Tensor:
        rows = scenes * CAPTIONS + torch.randint(0, CAPTIONS, scenes.shape)
        rows[torch.rand(len(rows)) < 0.1] = len(self.all_states) - 1
        states: Tensor = self.all_states[rows].to(self.device, torch.float32)
        return states


def noisy_times(size: int) -> Tensor:
    """Return random time steps, more of them noisy: there the subject is decided."""
    return (1000 * torch.rand(size) ** 0.5).long().clamp(max=999)


class AttentionFocus:
    """Measures how far the heads of `FOCUSED` attend from the patch at their place."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self.queries: dict[int, Tensor] = {}
        self.keys: dict[int, Tensor] = {}
        for block in FOCUSED:
            attention = unet.up_blocks[0].attentions[block].transformer_blocks[0].attn2
            attention.to_q.register_forward_hook(partial(self._store, self.queries, block))
            attention.to_k.register_forward_hook(partial(self._store, self.keys, block))

    def _store(self, stored: dict[int, Tensor], block: int, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        stored[block] = output.unflatten(-1, (-1, DEPTH))[:, :, list(FOCUSED[block])].float().transpose(1, 2)

    def distance(self) -> Tensor:
        """Return the mean -log of the attention at the own patch."""
        shares = [
            (self.queries[b] @ self.keys[b].transpose(2, 3) / DEPTH**0.5).log_softmax(-1).diagonal(LENGTH - MAP, 2, 3)
            for b in FOCUSED
        ]
        return -torch.stack(shares).mean()


class Average:
    """Slow running average of the weights. Its time constant grows at first."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = [p.detach().clone() for p in model.parameters()]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(0.998, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.weights, list(model.parameters()), 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        for average, weight in zip(self.weights, model.parameters(), strict=True):
            copy = average.clone()
            average.copy_(weight)
            weight.copy_(copy)


def rate(progress: float, step: int, peak: float) -> float:
    """Return the learning rate: up over 100 steps, constant for half of the time, then down to zero."""
    return peak * min(1.0, (step + 1) / 100) * min(1.0, (1.01 - progress) / 0.5)


class Training:
    def __init__(self, device: torch.device, peak: float) -> None:
        torch.manual_seed(5)  # equal initial weights in every worker
        pool = load_pool()
        self.scale = pool.scale
        self.latents = (pool.latents * self.scale).to(device)
        self.weights = torch.tensor([sampling_weight(s) for s in pool.scenes])
        self.unet = new_unet().to(device, memory_format=torch.channels_last)
        self.focus = AttentionFocus(self.unet)
        self.captions, self.scheduler, self.half = Captions(device), new_scheduler(), half_is_faster()
        self.average, self.device, self.peak, self.step = Average(self.unet), device, peak, 0
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), peak, betas=(0.9, 0.98), weight_decay=1e-3, fused=True
        )

    def loss(self, size: int) -> Tensor:
        chosen = torch.multinomial(self.weights, size, replacement=True)
        latents = self.latents[chosen]
        states = self.captions.states(chosen)
        times, noise = noisy_times(size).to(self.device), torch.randn_like(latents)
        noisy = self.scheduler.add_noise(latents, noise, times).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            output = self.unet(noisy, times, encoder_hidden_states=states).sample
        error = (output.float() - self.scheduler.get_velocity(latents, noise, times)).square().mean()
        return error + 0.03 * self.focus.distance()

    def average_gradients(self) -> None:
        """Replace the gradients by their mean over the workers, in one message."""
        gradients = [p.grad for p in self.unet.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        parts = (flat / dist.get_world_size()).split([g.numel() for g in gradients])
        torch._foreach_copy_(gradients, [a.view_as(b) for a, b in zip(parts, gradients, strict=True)])

    def advance(self, progress: float, size: int) -> float:
        self.optimizer.param_groups[0]["lr"] = rate(progress, self.step, self.peak)
        loss = self.loss(size)
        self.optimizer.zero_grad()
        loss.backward()
        if dist.is_initialized():
            self.average_gradients()
        nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.unet, self.step)
        self.step += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        optimizer, average = self.optimizer.state_dict(), self.average.weights
        return {"unet": self.unet.state_dict(), "optimizer": optimizer, "average": average, "step": self.step}

    def resume(self) -> None:
        state = torch.load(STATE, map_location=self.device)
        self.unet.load_state_dict(state["unet"])
        if state["optimizer"]:
            self.optimizer.load_state_dict(state["optimizer"])
        self.average.weights, self.step = state["average"], state["step"]

    def save(self) -> None:
        torch.save(self.state(), STATE)
        vae = AutoencoderKL.from_pretrained(WORK / "autoencoder")
        self.average.swap(self.unet)
        encoder = CLIPTextModel.from_pretrained(WORK / "text_encoder").eval()
        pipeline = save_pipeline(self.unet, vae, encoder, load_tokenizer(), self.scale)
        tile_images(generate_images(pipeline, PROMPTS, steps=10, guidance=2.0), 6).save(
            WORK / f"sheet-{self.step:06d}.png"
        )
        self.average.swap(self.unet)


def train(worker: int, arguments: argparse.Namespace) -> None:
    if arguments.workers > 1:
        os.setsid()  # Linux shares the cores between sessions, so each worker counts
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo", store=dist.FileStore(arguments.store, arguments.workers), rank=worker, world_size=arguments.workers
        )
    training = Training(torch.device("cuda" if torch.cuda.is_available() else "cpu"), arguments.rate)
    if STATE.exists():
        training.resume()
    torch.manual_seed(1000 * training.step + worker)
    start, saved, losses = time.monotonic(), time.monotonic(), list[float]()
    while (progress := elapsed_seconds(start) / 60 / arguments.minutes) < 1:
        losses.append(training.advance(progress, arguments.batch // arguments.workers))
        if worker == 0 and training.step % 25 == 0:
            speed = len(losses) * arguments.batch / (time.monotonic() - start)
            mean = sum(losses[-25:]) / 25
            print(f"{progress:4.0%} step {training.step} loss {mean:.4f} {speed:.0f} samples/s", flush=True)
        if worker == 0 and time.monotonic() - saved > 420:
            training.save()
            saved = time.monotonic()
    if worker == 0:
        training.save()


def elapsed_seconds(start: float) -> float:
    """Return the seconds since the start, the same in every worker; infinite once `work/stop` exists."""
    seconds = torch.tensor(math.inf if STOP.exists() else time.monotonic() - start)
    if dist.is_initialized():
        dist.broadcast(seconds, 0)
    return seconds.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=48, help="samples a step, of all workers")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread: faster where cores are shared")
    arguments = parser.parse_args()
    if not STATES.exists() or STATES.stat().st_mtime < ENCODER.stat().st_mtime:
        encode_all_captions(load_pool().scenes, arguments.workers)
    if arguments.workers == 1:
        train(0, arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.store = f"{folder}/store"
        mp.spawn(train, (arguments,), nprocs=arguments.workers)


if __name__ == "__main__":
    main()
