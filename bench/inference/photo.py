"""An image with the statistics of a photograph: encoders need other times for it than for noise or flat areas."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray


@functools.cache
def photo(width: int, height: int) -> NDArray[np.uint8]:
    """Return (height, width, 3) RGB: amplitudes fall with the frequency, as in photographs, and a sensor's noise."""
    random = np.random.default_rng(1)
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    amplitudes = 1 / np.maximum(frequencies, 1 / max(width, height)) ** 1.5

    def field() -> NDArray[Any]:
        values = np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, width))) * amplitudes, s=(height, width))
        return np.asarray(values / values.std())

    light = field()
    channels = np.stack([128 + 45 * light + 12 * field() for _ in range(3)], axis=2)
    return np.clip(channels + random.normal(0, 1.2, channels.shape), 0, 255).astype(np.uint8)
