"""The claims of notebooks/06_loss_of_plasticity.ipynb, each a function of the seed."""

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Run
from nbtoolkit.instruments import accuracy_matrix, effective_rank, unit_activity
from nbtoolkit.interventions import ContinualBackprop, L2Init, NaP, SpectralReg
from tests.claims.claim import Claim
from tests.claims.trainings import digits

IMAGES, TASKS, STEPS, BATCH, LR = 400, 60, 150, 128, 3e-3
FIRST, LAST = slice(0, 5), slice(-5, None)  # tasks


def relabelled(seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """The same images in every task, with labels drawn at random."""
    x, _ = digits(IMAGES, seed, standardised=True)
    generator = torch.Generator().manual_seed(seed)
    return {f"task {task + 1}": (x, torch.randint(0, 10, (IMAGES,), generator=generator)) for task in range(TASKS)}


def network(seed: int, *, normalised: bool = False) -> nn.Sequential:
    """Three hidden layers of 64 ReLU units."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Linear(64, 64), *([nn.LayerNorm(64)] if normalised else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


@cache
def trained(method: str, seed: int) -> Run:
    """One network on all tasks in turn."""
    tasks = relabelled(seed)
    model = network(seed, normalised=method == "NaP")
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    to_start = L2Init(model, 5e-3) if method == "L2-init" else None
    spectral = SpectralReg(model, 1e-2) if method == "spectral" else None
    nap = NaP(model) if method == "NaP" else None
    renew = ContinualBackprop(model, optimizer, rate=1e-3) if method == "continual backprop" else None
    with nbtoolkit.watch(
        model, optimizer, instruments=[accuracy_matrix], tasks=tasks, loss=F.cross_entropy, probe=tasks["task 1"],
        budget=math.inf,
    ) as run:  # fmt: skip
        for name, (x, y) in tasks.items():
            if method == "optimizer reset":
                optimizer.state.clear()
            with run.task(name):
                for _ in range(STEPS):
                    batch = torch.randint(0, IMAGES, (BATCH,))
                    loss = F.cross_entropy(model(x[batch]), y[batch])
                    if to_start is not None:
                        loss = loss + to_start.penalty()
                    if spectral is not None:
                        loss = loss + spectral.penalty()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    if nap is not None:
                        nap.project()
                    if renew is not None:
                        renew.step()
        run.measure(unit_activity)
        run.measure(effective_rank)
    return run


def learned(method: str, seed: int, tasks: slice) -> float:
    """Mean accuracy on the labels of a task when it ends."""
    matrix = trained(method, seed)["accuracy_matrix"]["accuracy"].isel(step=-1).values
    return float(matrix.diagonal()[tasks].mean())


def plasticity_is_lost(seed: int) -> list[Claim]:
    run = trained("plain", seed)
    # Behind a silent layer no gradient comes back, so that the first one stays as it is.
    deep = run["unit_activity"]["dormant"].isel(step=-1, layer=slice(-2, None)).mean()
    last = run["effective_rank"]["effective_rank"].isel(step=-1, layer=-1)
    return [
        Claim("plain: accuracy at the end of tasks 1 to 5", learned("plain", seed, FIRST), 0.8, 1),
        Claim("plain: accuracy at the end of tasks 56 to 60", learned("plain", seed, LAST), 0, 0.2),
        Claim("plain: dormant units of the hidden layers behind the first, after task 60", float(deep), 0.5, 1),
        Claim("plain: effective rank of the last hidden layer after task 60", float(last), 1, 2),
    ]


def a_new_optimizer_does_not_help(seed: int) -> list[Claim]:
    value = learned("optimizer reset", seed, LAST)
    return [Claim("Adam's state reset at each task: accuracy, tasks 56 to 60", value, 0, 0.35)]


def cures_keep_it(seed: int) -> list[Claim]:
    bounds = {"NaP": 0.9, "spectral": 0.8, "L2-init": 0.75}
    return [
        Claim(f"{method}: accuracy at the end of tasks 56 to 60", learned(method, seed, LAST), least, 1)
        for method, least in bounds.items()
    ]


def continual_backprop_is_between(seed: int) -> list[Claim]:
    value = learned("continual backprop", seed, LAST)
    return [Claim("continual backprop, rate 1e-3: accuracy, tasks 56 to 60", value, 0.3, 0.8)]


CLAIMS = (plasticity_is_lost, a_new_optimizer_does_not_help, cures_keep_it, continual_backprop_is_between)
