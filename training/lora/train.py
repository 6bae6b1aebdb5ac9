"""LoRA of the embedded model in another style: `python -m lora.train --minutes 18`. The command resumes.

It needs `prepare.py` and `lora.comics`, and trains on the released weights, which stay as they are.
"""

import argparse
import random
import time
from typing import Any

import torch
from contact_sheet import RELEASE
from dataset import WORK, load_subjects
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusion import CAPTIONS, STOP, Average, noisy_times, rate, sampling_weight
from image_pool import encode_all, load_all_cutouts, pair_scenes, single_scenes
from lora.comics import SITTING, USUAL
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from scenes import Scene, caption, compose_varied, pair_weights
from torch import Tensor, nn

POOL, STATE = WORK / "comic_pool.pt", WORK / "comic_lora.pt"
FILE = RELEASE / "loras" / "comic.safetensors"
RANK = 12
LAYERS = (
    r"conv_in|conv_out|.*\.(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|net\.0\.proj|net\.2"
    r"|conv1|conv2|conv_shortcut|conv|time_emb_proj)"
)
"""All but the two of the time embedding: lines are made by the convolutions, their places by the attention."""


def scenes_and_latents(pipeline: StableDiffusionPipeline, singles: int, pairs: int) -> tuple[list[Scene], Tensor]:
    """Compose scenes as `image_pool.py` does, from the comics. Return them with their scaled latents."""
    rng, subjects, cutouts = random.Random(3), load_subjects(), load_all_cutouts(USUAL, SITTING)
    scenes = [s for i in range(len(subjects)) for s in single_scenes(rng, i, singles)]
    scenes += pair_scenes(rng, pair_weights(subjects), pairs)
    vae = pipeline.vae.to(memory_format=torch.channels_last)
    return scenes, encode_all(vae, [compose_varied(rng, s, cutouts) for s in scenes]) * vae.config.scaling_factor


@torch.inference_mode()
def text_states(pipeline: StableDiffusionPipeline, scenes: list[Scene]) -> Tensor:
    """Return the states of `CAPTIONS` captions of each scene, then those of the empty caption."""
    rng, subjects, tokenizer = random.Random(9), load_subjects(), pipeline.tokenizer
    texts, parts = [caption(rng, s, subjects) for s in scenes for _ in range(CAPTIONS)] + [""], list[Tensor]()
    for start in range(0, len(texts), 64):
        ids = tokenizer(texts[start : start + 64], padding="max_length", truncation=True, return_tensors="pt").input_ids
        parts.append(pipeline.text_encoder(ids).last_hidden_state.bfloat16())
    return torch.cat(parts)


def load_pool(pipeline: StableDiffusionPipeline, singles: int, pairs: int) -> dict[str, Tensor]:
    """Return latents (n, 4, 16, 16), text states (n × CAPTIONS + 1, 40, 192) and sampling weights (n)."""
    if not POOL.exists():
        scenes, latents = scenes_and_latents(pipeline, singles, pairs)
        weights = torch.tensor([sampling_weight(s) for s in scenes])
        torch.save({"latents": latents, "states": text_states(pipeline, scenes), "weights": weights}, POOL)
    pool: dict[str, Tensor] = torch.load(POOL)
    return pool


class Training:
    def __init__(self, pipeline: StableDiffusionPipeline, pool: dict[str, Tensor], peak: float) -> None:
        torch.manual_seed(5)
        self.unet: UNet2DConditionModel = pipeline.unet
        self.scheduler, self.pool, self.peak = pipeline.scheduler, pool, peak
        self.unet.requires_grad_(False)
        self.unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS))
        self.unet.to(memory_format=torch.channels_last)
        self.learned = nn.ParameterList([p for p in self.unet.parameters() if p.requires_grad])
        self.optimizer = torch.optim.AdamW(self.learned, peak, betas=(0.9, 0.98), weight_decay=1e-3, fused=True)
        self.average, self.step, self.seconds = Average(self.learned), 0, 0.0

    def loss(self, size: int) -> Tensor:
        chosen = torch.multinomial(self.pool["weights"], size, replacement=True)
        rows = chosen * CAPTIONS + torch.randint(0, CAPTIONS, chosen.shape)
        rows[torch.rand(size) < 0.1] = -1  # the empty caption
        latents, times = self.pool["latents"][chosen], noisy_times(size)
        noise = torch.randn_like(latents)
        noisy = self.scheduler.add_noise(latents, noise, times).contiguous(memory_format=torch.channels_last)
        output = self.unet(noisy, times, encoder_hidden_states=self.pool["states"][rows].float()).sample
        return (output - self.scheduler.get_velocity(latents, noise, times)).square().mean()

    def advance(self, progress: float, size: int) -> float:
        self.optimizer.param_groups[0]["lr"] = rate(progress, self.step, self.peak)
        loss = self.loss(size)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.learned, 1.0)
        self.optimizer.step()
        self.average.update(self.learned, self.step)
        self.step += 1
        return loss.item()

    def save(self) -> None:
        """Write the state of the training, and the average of the weights as peft names them, in fp16."""
        weights = [p.detach() for p in self.learned]
        state = {"weights": weights, "average": self.average.weights, "optimizer": self.optimizer.state_dict()}
        torch.save({**state, "step": self.step, "seconds": self.seconds}, STATE)
        self.average.swap(self.learned)
        tensors = get_peft_model_state_dict(self.unet).items()
        FILE.parent.mkdir(exist_ok=True)
        save_file({f"unet.{k}": v.half().contiguous() for k, v in tensors}, FILE, metadata={"format": "pt"})
        self.average.swap(self.learned)

    def start_from_release(self) -> None:
        weights = {name.removeprefix("unet."): tensor.float() for name, tensor in load_file(FILE).items()}
        set_peft_model_state_dict(self.unet, weights)
        self.average = Average(self.learned)

    @torch.no_grad()
    def resume(self) -> None:
        state: dict[str, Any] = torch.load(STATE)
        torch._foreach_copy_(list(self.learned), state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.weights, self.step, self.seconds = state["average"], state["step"], state["seconds"]
        torch.manual_seed(self.step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=18, help="processor time of the one thread, all runs together")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--singles", type=int, default=8, help="images of each subject alone")
    parser.add_argument("--pairs", type=int, default=1200, help="images of two subjects")
    parser.add_argument("--released", action="store_true", help="start from the released LoRA")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = StableDiffusionPipeline.from_pretrained(RELEASE, safety_checker=None, dtype=torch.float32)
    training = Training(pipeline, load_pool(pipeline, arguments.singles, arguments.pairs), arguments.rate)
    if STATE.exists():
        training.resume()
    elif arguments.released:
        training.start_from_release()
    before, start, losses = training.seconds, time.process_time(), list[float]()
    while (progress := training.seconds / 60 / arguments.minutes) < 1 and not STOP.exists():
        losses.append(training.advance(progress, arguments.batch))
        training.seconds = before + time.process_time() - start
        if training.step % 50 == 0:
            speed = len(losses) * arguments.batch / (training.seconds - before)
            mean = sum(losses[-50:]) / 50
            print(f"{progress:4.0%} step {training.step} loss {mean:.4f} {speed:.0f} samples/s", flush=True)
        if training.step % 500 == 0:
            training.save()
    training.save()


if __name__ == "__main__":
    main()
