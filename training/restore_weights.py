"""Restore the training state from the released weights if `work/` is lost: `python restore_weights.py`.

Run `prepare.py` first.
"""

import shutil

import torch
from dataset import WORK
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusion import STATE
from export import RELEASE
from transformers import CLIPTextModel


def main() -> None:
    unet = UNet2DConditionModel.from_pretrained(RELEASE / "unet", dtype=torch.float32)
    average = [p.detach().clone() for p in unet.parameters()]
    torch.save({"unet": unet.state_dict(), "average": average, "optimizer": None, "step": 0}, STATE)
    AutoencoderKL.from_pretrained(RELEASE / "vae", dtype=torch.float32).save_pretrained(WORK / "autoencoder")
    CLIPTextModel.from_pretrained(RELEASE / "text_encoder", dtype=torch.float32).save_pretrained(WORK / "text_encoder")
    (WORK / "tokenizer").mkdir(exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(RELEASE / "tokenizer" / name, WORK / "tokenizer" / name)


if __name__ == "__main__":
    main()
