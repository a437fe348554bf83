"""MNIST-1D, made here: ten short curves, padded, scaled, moved, sheared and hidden in noise."""

from functools import cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

CURVES = (
    "5 6 6.5 6.75 7 7 7 7 6.75 6.5 6 5", "5 3 3 3.4 3.8 4.2 4.6 5 5.4 5.8 5 5",
    "5 6 6.5 6.5 6 5.25 4.75 4 3.5 3.5 4 5", "5 6 6.5 6.5 6 5 5 6 6.5 6.5 6 5",
    "5 4.4 3.8 3.2 2.6 2.6 5 5 5 5 5 5", "5 3 3 3 3 5 6 6.5 6.5 6 4.5 5",
    "5 4 3.5 3.25 3 3 3 3 3.25 3.5 4 5", "5 7 7 6.6 6.2 5.8 5.4 5 4.6 4.2 5 5",
    "5 4 3.5 3.5 4 5 5 4 3.5 3.5 4 5", "5 4 3.5 3.5 4 5 5 5 5 4.7 4.3 5",
)  # fmt: skip
EXAMPLES, TRAINED, SEED = 5000, 4000, 42
PADDING, LENGTH, SHIFTS, SEEN = (36, 60), 72, 48, 40
SCALE, SHEAR, SMOOTH_NOISE, NOISE, WIDTH = 0.4, 0.75, 0.25, 0.02, 2


@cache
def mnist1d() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training inputs ``(4000, 40)`` and labels, then those of 1,000 test examples.

    Source: Greydanus & Kobak (2020), Scaling down deep learning, arXiv:2011.14439, section 2: the draws come in the
    order of their code, from its seed, so that these are the published numbers.
    """
    draw = np.random.RandomState(SEED)
    curves = np.array([[float(height) for height in curve.split()] for curve in CURVES])
    curves = (curves - curves.mean(1, keepdims=True)) / curves.std(1, keepdims=True)
    curves = (curves - curves[:, :1]) / 6
    x = np.stack([_example(curve, draw) for curve in curves for _ in range(EXAMPLES // len(curves))])
    order = draw.permutation(EXAMPLES)
    x, y = x[order], np.repeat(np.arange(len(curves)), EXAMPLES // len(curves))[order]
    inputs, labels = torch.tensor((x - x.mean()) / x.std(), dtype=torch.float32), torch.tensor(y)
    return inputs[:TRAINED], labels[:TRAINED], inputs[TRAINED:], labels[TRAINED:]


def _example(curve: np.ndarray, draw: np.random.RandomState) -> np.ndarray:
    low, high = PADDING
    padded = np.append(curve + 1e-8, np.zeros(low + int(draw.rand() * (high - low + 1))))
    signal = _resampled(padded, LENGTH) * (1 + SCALE * (draw.rand() - 0.5))
    signal = np.roll(signal, draw.choice(SHIFTS))
    smooth = gaussian_filter1d(SMOOTH_NOISE * draw.randn(LENGTH), WIDTH)
    signal = np.where(signal != 0, signal, smooth) + NOISE * draw.randn(LENGTH)
    return _resampled(signal - SHEAR * (draw.rand() - 0.5) * np.linspace(-0.5, 0.5, LENGTH), SEEN)


def _resampled(signal: np.ndarray, length: int) -> np.ndarray:
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(signal)), signal)
