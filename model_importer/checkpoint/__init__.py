"""Single-file checkpoints: one safetensors file with a whole Stable Diffusion, as people share them.

The layout is that of the first training code (CompVis's). `convert` makes an ordinary diffusers folder of it, without
torch: renaming a tensor changes the header alone, and what is split is split along its first axis, so that every new
file is made of byte ranges of the checkpoint. Tests compare the result with that of diffusers' own conversion.
Standard library only: the import runs in CodeBuild, where torch is not.
"""

from .convert import Conversion, convert
from .layout import BASES, Layout, identify

__all__ = ["BASES", "Conversion", "Layout", "convert", "identify"]
