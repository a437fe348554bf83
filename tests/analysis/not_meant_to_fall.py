"""Healthy trainings whose loss is not a quantity that must fall: ``python -m tests.analysis.not_meant_to_fall``.

A GAN's players come to an equilibrium, a reward is maximised, a term's weight is raised, values are bootstrapped from
a target network. Their configurations are of our own choice, so that they make no rate; each is looked at in the course
of its training as those of `healthy` are.
"""

import copy
import sys
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Run
from tests.analysis.healthy import seen

ADAM = {"lr": 2e-3, "betas": (0.5, 0.99)}


def gan(seed: int) -> list[Run]:
    """Generator and discriminator of points on a circle, with the non-saturating loss: log 2 and 2 log 2 in the end."""
    torch.manual_seed(seed)
    generator = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    judge = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    makes, judges = torch.optim.Adam(generator.parameters(), **ADAM), torch.optim.Adam(judge.parameters(), **ADAM)
    with nbtoolkit.watch(generator, makes) as one, nbtoolkit.watch(judge, judges) as other:
        for _ in range(900):
            noise, angle = torch.randn(64, 2), 2 * torch.pi * torch.rand(64)
            real = 2 + torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(64, 2)
            judges.zero_grad()
            (F.softplus(-judge(real)) + F.softplus(judge(generator(noise).detach()))).mean().backward()
            judges.step()
            makes.zero_grad()
            F.softplus(-judge(generator(noise))).mean().backward()
            makes.step()
    return [one, other]


def maximised(seed: int) -> list[Run]:
    """A reward that rises from about 0.2 to 1.6."""
    torch.manual_seed(seed)
    model = nn.Linear(4, 1)
    nn.init.constant_(model.weight, -0.2)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, maximize=True)
    with nbtoolkit.watch(model, optimizer) as run:
        for _ in range(400):
            optimizer.zero_grad()
            (0.6 + torch.tanh(model(0.5 + 0.01 * torch.randn(8, 4)))).mean().backward()
            optimizer.step()
    return [run]


def annealed(seed: int) -> list[Run]:
    """A variational autoencoder without its reconstruction: what is learned falls, and a term rises from 0 to 4."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.randn(256, 10)
    y = x[:, :3].argmax(dim=1)
    with nbtoolkit.watch(model, optimizer) as run:
        for step in range(800):
            optimizer.zero_grad()
            (F.cross_entropy(model(x), y) + 4 * min(1.0, step / 500)).backward()
            optimizer.step()
    return [run]


def bootstrapped(seed: int) -> list[Run]:
    """Temporal differences to a target network that is copied every 100 steps: the error grows with the values."""
    torch.manual_seed(seed)
    values = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(values.parameters(), lr=1e-3)
    target = copy.deepcopy(values)
    with nbtoolkit.watch(values, optimizer) as run:
        for step in range(2000):
            if step % 100 == 0:
                target.load_state_dict(values.state_dict())
            state = torch.randn(64, 4)
            with torch.no_grad():
                aim = 0.1 * (state[:, :1] > 0).float() + 0.95 * target(state + 0.1 * torch.randn(64, 4))
            optimizer.zero_grad()
            F.mse_loss(values(state), aim).backward()
            optimizer.step()
    return [run]


TRAININGS: Sequence[Callable[[int], list[Run]]] = (gan, maximised, annealed, bootstrapped)


def main(seeds: range) -> int:
    """Trainings in which a rule spoke at some moment; the number of those with more than notes."""
    torch.set_num_threads(1)
    wrong = 0
    for train in TRAININGS:
        told: Counter[tuple[str, str]] = Counter()
        for seed in seeds:
            found = [finding for run in train(seed) for _, finding in seen(run)]
            told.update({(finding.severity, finding.rule) for finding in found})
            wrong += any(finding.severity != "note" for finding in found)
        print(f"{train.__name__:<16}" + (", ".join(f"{s} {r}: {n}" for (s, r), n in sorted(told.items())) or "nothing"))
    return wrong


if __name__ == "__main__":
    sys.exit(min(1, main(range(int(sys.argv[1]) if len(sys.argv) > 1 else 3))))
