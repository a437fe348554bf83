"""How often the rules speak in trainings that are healthy: ``python -m tests.analysis.healthy``.

Healthy are the companions' own configurations, shortened: each learns what it is meant to, which is checked too. That
does not make every finding false: full-batch training of companion 02 is at the edge of stability, and replay of
companion 05 has its stability gap. Those are what the companions show, so these rules are expected to speak there, as
notes; the loss of the warm-up may leap when the edge falls onto the sharpness, and comes back. An alarm or a warning is
false in all of them. Each training is looked at at several moments of its course, as the Board does while it runs.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
import xarray
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.analysis.findings import Finding, diagnose
from nbtoolkit.capture import Run
from nbtoolkit.instruments import (
    accuracy_matrix,
    default,
    gradient_noise_scale,
    preconditioned_sharpness,
    sharpness,
    stability_gap,
    unit_activity,
)
from nbtoolkit.interventions import NaP, Reservoir
from tests.claims import plasticity
from tests.claims import stability_gap as streams
from tests.claims.mnist1d import mnist1d
from tests.claims.trainings import digits, epochs, full_batch, half_square, one_hot, relu_network, tanh_network

SEEDS = range(20)
MOMENTS = (15, 30, 60, 100, 150, 250, 400, 600, 900, 1300, 1800)
SHARP = sharpness.using(smallest=False, every=25, tolerance=2e-2, products=40)
EXAMPLES = 300  # of full-batch descent


def first_run(seed: int) -> Run:
    """Companion 01: convolutions with batch normalisation and dropout, momentum, a cosine."""
    x, y = digits(512, seed, standardised=False)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * 4 * 4, 10),
    )  # fmt: skip
    x = x.view(-1, 8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    with nbtoolkit.watch(model, optimizer, instruments=[*default(), unit_activity], budget=inf) as run:
        for _ in range(15):
            epochs(model, optimizer, x, y, 1)
            schedule.step()
    return run


def descent(seed: int) -> Run:
    """Companion 02: full-batch descent, which ends at the edge of stability."""
    return _full_batch(seed, lambda params: torch.optim.SGD(params, lr=0.5), 400)


def warm_up(seed: int) -> Run:
    """Companion 02: the learning rate rises to 1, and the edge falls onto the sharpness."""
    return _full_batch(seed, lambda params: torch.optim.SGD(params, lr=1.0), 400, warm_up=250)


def adam(seed: int) -> Run:
    """Companion 02: full-batch Adam, at an edge of its own."""
    seldom = preconditioned_sharpness.using(every=25, tolerance=2e-2, products=40)
    return _full_batch(seed, lambda params: torch.optim.Adam(params, lr=0.003), 400, instrument=seldom)


def cross_entropy(seed: int) -> Run:
    """Companion 02: full-batch descent on the cross-entropy, whose sharpness rises and falls below the edge."""
    x, labels = digits(EXAMPLES, seed, standardised=True)
    model = tanh_network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with nbtoolkit.watch(model, optimizer, instruments=[*default(), SHARP], budget=inf) as run:
        full_batch(model, optimizer, F.cross_entropy, x, labels, 400)
    return run


def small_batches(seed: int) -> Run:
    """Companion 03: plain descent on batches of 64."""
    x, y = digits(1024, seed, standardised=False)
    model = relu_network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    noise = gradient_noise_scale.using(examples=1024, population=1024, every=100)
    with nbtoolkit.watch(
        model, optimizer, instruments=[*default(), noise, unit_activity], loss=F.cross_entropy, probe=(x, y), budget=inf
    ) as run:
        run.log(batch=64)
        epochs(model, optimizer, x, y, 40)
    return run


def momentum(seed: int) -> Run:
    """Companion 04: MNIST-1D with momentum."""
    x, y, _, _ = mnist1d()
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(40, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with nbtoolkit.watch(model, optimizer, instruments=[*default(), unit_activity], budget=inf) as run:
        epochs(model, optimizer, x, y, 10)
    return run


def replay(seed: int) -> Run:
    """Companion 05: three tasks in turn, the earlier ones replayed."""
    tasks = streams.stream("permuted", seed)
    model = streams.network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    memory = Reservoir(streams.MEMORY, seed=seed)
    held_out = {name: held for name, (_, held) in tasks.items()}
    watched = [*default(), accuracy_matrix, stability_gap.using(examples=597)]
    with nbtoolkit.watch(model, optimizer, tasks=held_out, instruments=watched, budget=inf) as run:
        for name, ((x, y), _) in tasks.items():
            with run.task(name):
                for _ in range(250):
                    batch = torch.randint(0, len(x), (streams.BATCH,))
                    loss = F.cross_entropy(model(x[batch]), y[batch])
                    if len(memory):
                        old_x, old_y = memory.sample(streams.BATCH)
                        loss = (loss + F.cross_entropy(model(old_x), old_y)) / 2
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            memory.add(x, y)
    return run


def plastic(seed: int) -> Run:
    """Companion 06: four tasks of random labels, with normalise-and-project, which keeps the network plastic."""
    tasks = dict(list(plasticity.relabelled(seed).items())[:4])
    model = plasticity.network(seed, normalised=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=plasticity.LR)
    nap = NaP(model)
    with nbtoolkit.watch(
        model, optimizer, instruments=[*default(), unit_activity], loss=F.cross_entropy, probe=tasks["task 1"],
        budget=inf,
    ) as run:  # fmt: skip
        for name, (x, y) in tasks.items():
            with run.task(name):
                for _ in range(plasticity.STEPS):
                    batch = torch.randint(0, plasticity.IMAGES, (plasticity.BATCH,))
                    optimizer.zero_grad()
                    F.cross_entropy(model(x[batch]), y[batch]).backward()
                    optimizer.step()
                    nap.project()
    return run


@dataclass(frozen=True)
class Healthy:
    """A healthy configuration and the rules that speak of what its companion shows."""

    train: Callable[[int], Run]
    shows: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.train.__name__


CONFIGURATIONS = (
    Healthy(first_run),
    Healthy(descent, ("edge of stability",)),
    Healthy(warm_up, ("edge of stability",)),
    Healthy(adam, ("edge of stability",)),
    Healthy(cross_entropy),
    Healthy(small_batches),
    Healthy(momentum),
    Healthy(replay, ("stability gap",)),
    Healthy(plastic),
)


def _full_batch(
    seed: int, make: Callable[[Any], torch.optim.Optimizer], steps: int, *, warm_up: int = 0, instrument: Any = SHARP
) -> Run:
    x, labels = digits(EXAMPLES, seed, standardised=True)
    model = tanh_network(seed)
    optimizer = make(model.parameters())
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=warm_up) if warm_up else None
    with nbtoolkit.watch(model, optimizer, instruments=[*default(), instrument], budget=inf) as run:
        full_batch(model, optimizer, half_square, x, one_hot(labels), steps, schedule)
    return run


def until(tree: xarray.DataTree, step: int) -> xarray.DataTree:
    """What had been recorded by then."""
    parts = {name: node.to_dataset() for name, node in tree.children.items()}
    kept = {name: xarray.DataTree(ds.isel(step=ds["step"].values <= step)) for name, ds in parts.items()}
    return xarray.DataTree(xarray.Dataset(attrs=tree.attrs), children=kept)


def seen(run: Run) -> Iterator[tuple[int, Finding]]:
    """What is found at each of the moments, and at the end."""
    tree = run.data
    for moment in (*(one for one in MOMENTS if one < run.step), run.step):
        for finding in diagnose(until(tree, moment)):
            yield moment, finding


def main(seeds: range = SEEDS) -> int:
    """A table of the share of trainings in which a rule spoke at some moment; the number of those with an alarm."""
    torch.set_num_threads(1)
    alarms: Counter[str] = Counter()
    every: Counter[tuple[str, str]] = Counter()
    print(f"{len(CONFIGURATIONS)} healthy configurations, {len(seeds)} seeds: trainings with at least one finding")
    for one in CONFIGURATIONS:
        told: Counter[tuple[str, str]] = Counter()
        for seed in seeds:
            found = list(seen(one.train(seed)))
            told.update({(finding.severity, finding.rule) for _, finding in found})
            for key, moment, finding in {(f.severity, f.rule): (f.severity, m, f) for m, f in found}.values():
                if key != "note":
                    print(f"    seed {seed}, step {moment}: {finding.severity} {finding.rule}: {finding.evidence}")
        every.update(told)
        alarms[one.name] += sum(count for (severity, _), count in told.items() if severity == "alarm")
        print(f"{one.name:<16}" + (", ".join(f"{s} {r}: {n}" for (s, r), n in sorted(told.items())) or "nothing"))
    trainings = len(CONFIGURATIONS) * len(seeds)
    print("\nof all:")
    for (severity, rule), count in sorted(every.items()):
        print(f"{severity:<6}{rule:<28}{count:>4} of {trainings}")
    return sum(alarms.values())


if __name__ == "__main__":
    sys.exit(min(1, main(range(int(sys.argv[1])) if len(sys.argv) > 1 else SEEDS)))
