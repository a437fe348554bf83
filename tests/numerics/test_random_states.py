"""Generators that belong to a loader have afterwards the states from before."""

import contextlib
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Sampler, TensorDataset

from nbtoolkit.numerics import random_states

DRAWN = {
    "torch": (lambda: torch.Generator().manual_seed(1), lambda g: float(torch.rand((), generator=g))),
    "numpy": (lambda: np.random.default_rng(1), lambda g: float(g.random())),
    "numpy, old": (lambda: np.random.RandomState(1), lambda g: float(g.random_sample())),
    "python": (lambda: random.Random(1), lambda g: g.random()),
}


class Shuffled(Sampler):
    def __init__(self, generator: Any) -> None:
        self.mine = generator

    def __iter__(self) -> Any:
        return iter(range(4))

    def __len__(self) -> int:
        return 4


class Noisy(Dataset):
    def __init__(self, generator: Any) -> None:
        self.settings = {"noise": generator, "self": self}  # a ring, too

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(1), torch.zeros(1)

    def __len__(self) -> int:
        return 4


@pytest.mark.parametrize("place", ["sampler", "data set", "part of a data set", "loader"])
@pytest.mark.parametrize("kind", DRAWN)
def test_wherever_it_is_held(kind: str, place: str) -> None:
    made, draw = DRAWN[kind]
    generator = made()
    plain = TensorDataset(torch.zeros(4, 1), torch.zeros(4, 1))
    holders = {
        "sampler": lambda: DataLoader(plain, batch_size=2, sampler=Shuffled(generator)),
        "data set": lambda: DataLoader(Noisy(generator)),
        "part of a data set": lambda: DataLoader(ConcatDataset([plain, Noisy(generator)])),
        "loader": lambda: type("Loader", (), {})(),
    }
    holder = holders[place]()
    if place == "loader":
        holder.generator = generator
    inside = []
    with contextlib.suppress(KeyError), random_states.kept(holder):
        inside = [draw(generator) for _ in range(3)]
        raise KeyError
    assert [draw(generator) for _ in range(3)] == inside
    assert draw(generator) != inside[0]
