"""Make attention heads attend to the sketch: `python focus_attention.py`, once, after some minutes of `diffusion.py`.

The last text states are a sketch of the image (text_encoder.py). By least squares over real activations, some heads get
queries and keys that encode a place, and the patch itself as value. A term of the loss in `diffusion.py` keeps them so.
"""

import torch
from diffusion import CAPTIONS, DEPTH, FOCUSED, STATE, Average, Training
from text_encoder import LENGTH, MAP, READER, WIDTH
from torch import Tensor

SHARP = 32.0
"""Logit of the own patch before the fit lowers it."""


def fit(inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the weights of a ridge regression: (n, in) and (n, out) to (out, in)."""
    inputs, targets = inputs.double(), targets.double()
    gram = inputs.T @ inputs
    gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram))
    return torch.linalg.solve(gram, inputs.T @ targets).T.float()


def activations(training: Training, count: int = 1024) -> tuple[dict[int, Tensor], Tensor]:
    """Return the input of each attention's queries, (n × MAP, WIDTH), and the text states, (n, LENGTH, WIDTH)."""
    inputs: dict[int, list[Tensor]] = {b: [] for b in FOCUSED}
    attentions = training.unet.up_blocks[0].attentions
    hooks = [
        attentions[b].transformer_blocks[0].norm2.register_forward_hook(lambda _m, _i, out, b=b: inputs[b].append(out))
        for b in FOCUSED
    ]
    rows = torch.randperm(len(training.latents))[:count]
    states = training.captions.all_states[rows * CAPTIONS].float()
    for latents, read in zip(training.latents[rows].split(128), states.split(128), strict=True):
        times = torch.randint(400, 1000, (len(latents),))
        noisy = training.scheduler.add_noise(latents, torch.randn_like(latents), times)
        training.unet(noisy, times, encoder_hidden_states=read)
    for hook in hooks:
        hook.remove()
    return {b: torch.cat(parts).reshape(-1, WIDTH) for b, parts in inputs.items()}, states


@torch.no_grad()
def main() -> None:
    training = Training(torch.device("cpu"), 0.0)
    training.resume()
    training.average.swap(training.unet)
    places, states = activations(training)
    place_codes = torch.linalg.qr(torch.randn(DEPTH, MAP))[0].T * (SHARP**2 * DEPTH) ** 0.25
    key_targets = torch.cat([torch.zeros(LENGTH - MAP, DEPTH), place_codes])
    key = fit(states.reshape(-1, WIDTH), key_targets.repeat(len(states), 1))
    value = torch.zeros(3 * DEPTH, WIDTH)
    value[:64] = torch.load(READER)["patch.weight"]
    for block, heads in FOCUSED.items():
        query = fit(places[block], place_codes.repeat(len(states), 1))
        logits = places[block].view(-1, MAP, WIDTH) @ query.T @ (states @ key.T).transpose(1, 2) / DEPTH**0.5
        own_share = logits.softmax(-1).diagonal(LENGTH - MAP, 1, 2).mean()
        print(f"attention {block}: {own_share:.0%} of the heads' attention is at the patch of their place")
        attention = training.unet.up_blocks[0].attentions[block].transformer_blocks[0].attn2
        for head, part in zip(heads, value.split(DEPTH), strict=True):
            rows = slice(DEPTH * head, DEPTH * (head + 1))
            attention.to_q.weight[rows], attention.to_k.weight[rows], attention.to_v.weight[rows] = query, key, part
            attention.to_out[0].weight[:, rows] = 0.03 * torch.randn(WIDTH, DEPTH)
    training.average = Average(training.unet)
    torch.save(training.state(), STATE)


if __name__ == "__main__":
    main()
