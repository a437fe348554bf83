"""Training on the loader that is also the probe."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import nbtoolkit
from nbtoolkit.instruments import landscape_slice


def trained(watched: bool) -> tuple[dict[str, Any], torch.Tensor]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(5)
    data = TensorDataset(torch.randn(32, 8), torch.randint(0, 3, (32,)))
    loader = DataLoader(data, batch_size=8, shuffle=True, generator=generator)
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train() -> None:
        for _ in range(3):
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()

    if watched:
        item = landscape_slice.using(points=3, every=2)
        with nbtoolkit.watch(
            model, optimizer, loss=F.cross_entropy, probe=loader, instruments=[item], budget=1e9
        ) as run:
            train()
        assert run["landscape_slice"]["loss_slice"].isel(step=-1).notnull().all()
    else:
        train()
    return dict(model.state_dict()), generator.get_state()


def test_is_the_same_to_the_last_bit() -> None:
    (plain, state), (watched, state_watched) = trained(False), trained(True)
    assert torch.equal(state, state_watched)
    for name, tensor in plain.items():
        assert torch.equal(tensor, watched[name])
