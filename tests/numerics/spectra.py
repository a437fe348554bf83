"""Spectra that are known, and matrices that have them."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start(size: int, rows: int = 1, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, size, generator=generator(seed), dtype=dtype)


def diagonal(spectrum: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda block: block * spectrum


def turned(spectrum: Tensor) -> Tensor:
    """A dense matrix with this spectrum."""
    basis = torch.linalg.qr(start(len(spectrum), len(spectrum), seed=9))[0]
    return basis @ torch.diag(spectrum.double()) @ basis.T


def bulk(size: int, width: float = 0.05) -> Tensor:
    return width * torch.randn(size, generator=generator(1), dtype=torch.float64)


def marchenko_pastur(size: int, ratio: float = 0.5) -> Tensor:
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    x = torch.linspace(low, high, 20001, dtype=torch.float64)
    below = (((high - x) * (x - low)).clamp(min=0).sqrt() / x).cumsum(0)
    return torch.tensor(np.interp((np.arange(size) + 0.5) / size, below / below[-1], x))


SPECTRA = {
    "outliers": torch.cat([bulk(1500), torch.tensor([1.0, 0.8, 0.5])]),
    "pair": torch.cat([bulk(1500), torch.tensor([1.0, 0.97])]),
    "cluster": torch.cat([bulk(1500), 1 - 0.02 * torch.arange(8)]),
    "negative": torch.cat([bulk(1500), torch.tensor([1.0, 0.9, -2.0, -0.5])]),
    "bulk and spikes": torch.cat([marchenko_pastur(1500), torch.tensor([10.0, 12.0, 30.0, 200.0])]),
    "power law": 1 / torch.arange(1, 1500).double(),
    "slow power law": 1 / torch.arange(1, 1500).double() ** 0.5,
    "exponential": -torch.rand(1500, generator=generator(3), dtype=torch.float64).log(),
    "no bulk": torch.cos(math.pi * (torch.arange(400) + 0.5) / 400).double(),
    "shifted": 5 + torch.cat([bulk(1500), torch.tensor([1.0, 0.8])]),
}
