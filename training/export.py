"""Release of the model: `python export.py` writes the newest average of the weights to models/emoji, in fp16."""

import json
import shutil
from pathlib import Path

import torch
from dataset import HERE, WORK, load_subjects
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

RELEASE = HERE.parent / "models" / "emoji"
PIPELINE = WORK / "pipeline"


def new_scheduler() -> DDIMScheduler:
    """Return a scheduler with zero terminal SNR and trailing steps (Lin et al. 2023, arXiv:2305.08891)."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        clip_sample=False,
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
    )


def save_pipeline(
    unet: UNet2DConditionModel, vae: AutoencoderKL, encoder: CLIPTextModel, tokenizer: CLIPTokenizer, scale: float
) -> StableDiffusionPipeline:
    vae.register_to_config(scaling_factor=scale)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(PIPELINE)
    return pipeline


def support_old_readers(folder: Path) -> None:
    """Add CLIP's two tokenizer files, set the text encoder to fp32 and name its weights for every transformers."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(WORK / "tokenizer" / name, folder / "tokenizer" / name)
    config = folder / "text_encoder" / "config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "dtype": "float32"}, indent=2, sort_keys=True) + "\n")
    name_weights(folder / "text_encoder" / "model.safetensors")


def name_weights(file: Path) -> None:
    """Name the weights as CLIP's checkpoints do, with `text_model.`.

    New versions of transformers omit it. Older versions, such as the serving image's 5.5, then use random weights.
    """
    weights = {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})


def remove_paths(folder: Path) -> None:
    """Remove the local folders that diffusers writes into the configurations."""
    for config in (folder / "model_index.json", *folder.glob("*/config.json")):
        lines = config.read_text().splitlines(keepends=True)
        config.write_text("".join(line for line in lines if '"_name_or_path"' not in line))


def write_vocabulary(folder: Path) -> None:
    """Write the names that the model knows. The container warns of a prompt that has none of them."""
    names = [d.en + d.zh + d.keywords_en + d.keywords_zh for d in load_subjects()]
    lines = [json.dumps(n, ensure_ascii=False) for n in names]
    (folder / "vocabulary.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(PIPELINE, safety_checker=None, dtype=torch.float16)
    scale = pipeline.vae.config.scaling_factor
    pipeline.vae = AutoencoderKL.from_pretrained(WORK / "autoencoder", dtype=torch.float16)
    pipeline.vae.register_to_config(scaling_factor=scale)
    pipeline.save_pretrained(RELEASE)
    support_old_readers(RELEASE)
    remove_paths(RELEASE)
    write_vocabulary(RELEASE)
    size = sum(f.stat().st_size for f in RELEASE.rglob("*") if f.is_file())
    print(f"{size:,} bytes")


if __name__ == "__main__":
    main()
