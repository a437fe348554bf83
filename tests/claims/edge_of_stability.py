"""The claims of notebooks/02_edge_of_stability.ipynb, each a function of the seed."""

from functools import cache
from math import inf

import numpy as np
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Run
from nbtoolkit.instruments import landscape_slice, loss, preconditioned_sharpness, trajectory_pca
from nbtoolkit.interventions import sam
from tests.claims.claim import Claim
from tests.claims.trainings import digits, full_batch, half_square, one_hot, tanh_network

# The smallest eigenvalue, which is not looked at here, would cost six times the products of the largest.
sharpness = nbtoolkit.instruments.sharpness.using(smallest=False)
LAST = 10  # readings


def _problem(seed: int):
    x, labels = digits(1200, seed, standardised=True)
    return x, labels, one_hot(labels), tanh_network(seed)


def _last(run: Run, name: str = "sharpness", variable: str = "instability_ratio") -> float:
    return float(run[name][variable][-LAST:].mean())


@cache
def _descent(seed: int, lr: float, steps: int) -> Run:
    x, _, y, model = _problem(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    with nbtoolkit.watch(model, optimizer, instruments=[loss, sharpness], budget=1.0) as run:
        full_batch(model, optimizer, half_square, x, y, steps)
    return run


def gradient_descent_settles_at_its_line(seed: int) -> list[Claim]:
    claims = []
    for lr, steps in ((0.5, 1500), (0.25, 2500)):
        run = _descent(seed, lr, steps)
        losses = run["loss"]["loss"].values
        claims += [
            Claim(f"lr {lr}: last ten readings of the sharpness, over 2/lr", _last(run), 0.9, 1.15),
            Claim(f"lr {lr}: the loss falls by a factor of", losses[0] / losses[-1], 20),
            Claim(f"lr {lr}: share of steps that go up", float(np.mean(np.diff(losses) > 0)), 0.1),
        ]
    return claims


def sam_finds_flatter_minima(seed: int) -> list[Claim]:
    x, _, y, model = _problem(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    seldom = [sharpness.using(every=100)]  # of the probe: the loss of the step is that of the perturbed parameters
    with nbtoolkit.watch(model, optimizer, instruments=seldom, loss=half_square, probe=(x, y), budget=1.0) as run:
        for _ in range(1500):
            optimizer.zero_grad()
            with sam(model, lambda: half_square(model(x), y), rho=0.2):
                half_square(model(x), y).backward()
            optimizer.step()
    late = slice(1000, 1500)
    plain = _descent(seed, 0.25, 2500)["sharpness"]["sharpness"].sel(step=late).mean()
    flat = run["sharpness"]["sharpness"].sel(step=late)
    gradient = torch.autograd.grad(half_square(model(x), y), list(model.parameters()))
    line = _edge_of_sam(0.25, 0.2, torch.cat([part.flatten() for part in gradient]).norm().item())
    return [
        Claim("lr 0.25: sharpness without SAM over that with rho = 0.2", float(plain / flat.mean()), 4),
        Claim("lr 0.25, rho = 0.2: last reading of the sharpness, over SAM's line", float(flat[-1]) / line, 0.85, 1.25),
    ]


def _edge_of_sam(lr: float, rho: float, norm: float) -> float:
    """Where the curvature h (1 + rho h / norm) that SAM feels is 2/lr: Long & Bartlett (2024), arXiv:2309.12488."""
    return norm / (2 * rho) * (np.sqrt(1 + 8 * rho / (lr * norm)) - 1)


def _from_a_tenth(seed: int, lr: float, warm_up: int, steps: int) -> Run:
    """The learning rate rises to ``lr`` from a tenth of it over ``warm_up`` steps; 0 begins with all of it."""
    x, _, y, model = _problem(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=warm_up) if warm_up else None
    with nbtoolkit.watch(model, optimizer, instruments=[loss, sharpness], budget=1.0) as run:
        full_batch(model, optimizer, half_square, x, y, steps, scheduler)
    return run


def warm_up_leads_the_sharpness_down_with_the_line(seed: int) -> list[Claim]:
    run = _from_a_tenth(seed, 1.0, 600, 1200)
    found, line = run["sharpness"]["sharpness"], run["sharpness"]["edge"]
    return [
        Claim("warm-up to lr 1: the line falls by a factor of", float(line[0] / line[-1]), 9.9, 10.1),
        Claim("warm-up to lr 1: largest reading of the sharpness, over the last", float(found.max() / found[-1]), 2),
        Claim("warm-up to lr 1: last ten readings of the sharpness, over the line", _last(run), 0.9, 1.15),
    ]


def warm_up_trains_where_a_bare_start_diverges(seed: int) -> list[Claim]:
    bare = _from_a_tenth(seed, 1.75, 0, 100)["loss"]["loss"].values
    warm = _from_a_tenth(seed, 1.75, 600, 900)["loss"]["loss"].values
    end = float(bare[-1]) if np.isfinite(bare[-1]) else inf
    return [
        Claim("lr 1.75 from the first step: loss at step 100 over the first", end / bare[0], 100),
        Claim("lr 1.75 after warm-up: the loss falls by a factor of", warm[0] / np.median(warm[-50:]), 5),
    ]


def cross_entropy_sees_no_edge(seed: int) -> list[Claim]:
    x, labels, _, model = _problem(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with nbtoolkit.watch(model, optimizer, instruments=[loss, sharpness], budget=1.0) as run:
        full_batch(model, optimizer, F.cross_entropy, x, labels, 1500)
    found = run["sharpness"]["sharpness"]
    return [
        Claim("cross-entropy, lr 0.5: largest reading of the sharpness, over 2/lr", float(found.max()) / 4, 0, 0.99),
        Claim("cross-entropy, lr 0.5: largest reading over the last", float(found.max() / found[-1]), 4),
    ]


def adam_settles_at_its_own_line(seed: int) -> list[Claim]:
    x, _, y, model = _problem(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    seldom = preconditioned_sharpness.using(every=50)
    with nbtoolkit.watch(model, optimizer, instruments=[seldom], budget=1.0) as run:
        full_batch(model, optimizer, half_square, x, y, 1000)
    return [
        Claim(
            "Adam, lr 0.003: last ten readings of the preconditioned sharpness, over 38/lr",
            _last(run, "preconditioned_sharpness"), 0.85, 1.15,
        ),
    ]  # fmt: skip


def quadratics_diverge_beyond_the_line(seed: int) -> list[Claim]:
    """L = (h x^2 + y^2) / 2 with lr 0.1, whose line is at h = 20, from a random start."""
    claims = []
    for h, low, high in ((19.0, 0.0, 1e-3), (21.0, 1e3, inf)):
        point = torch.nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            point.weight.copy_(torch.randn(1, 2, generator=torch.Generator().manual_seed(seed)))
        optimizer = torch.optim.SGD(point.parameters(), lr=0.1)
        curvatures = torch.tensor([h, 1.0])
        with nbtoolkit.watch(point, optimizer, instruments=[loss, sharpness]) as run:
            for _ in range(200):
                optimizer.zero_grad()
                (0.5 * curvatures * point.weight.square()).sum().backward()
                optimizer.step()
        losses = run["loss"]["loss"].values
        claims += [
            Claim(f"quadratic, h = {h:g}: last loss over the first", float(losses[-1] / losses[0]), low, high),
            Claim(f"quadratic, h = {h:g}: sharpness", float(run["sharpness"]["sharpness"][0]), h - 1e-3, h + 1e-3),
        ]
    return claims


def the_iterate_jumps_across_a_valley(seed: int) -> list[Claim]:
    """At the edge: 60 steps after the first 600, the plane of their path, the slice along the sharpest directions."""
    x, _, y, model = _problem(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    full_batch(model, optimizer, half_square, x, y, 600)
    every_step = [trajectory_pca.using(every=1)]
    with nbtoolkit.watch(model, optimizer, instruments=every_step, loss=half_square, probe=(x, y), budget=inf) as run:
        full_batch(model, optimizer, half_square, x, y, 60)
        plane = run.measure(landscape_slice, directions="eigenvectors", extent=0.12).isel(step=-1)
        now = float(run.measure(sharpness)["sharpness"][-1])
        fitted = run.measure(landscape_slice, directions="trajectory", points=7).isel(step=-1)
    across = run["trajectory_pca"].isel(step=-1)["coordinates"].sel(pc=1).dropna("snapshot").values
    moves = np.diff(across)
    slice_ = plane["loss_slice"].dropna("alpha", how="all").dropna("beta", how="all").sortby(["alpha", "beta"])
    line, unit = slice_.sel(beta=0, method="nearest").values, float(np.diff(slice_["alpha"])[0])
    curvature = (line[13] - 2 * line[12] + line[11]) / unit**2
    gap = float((fitted["path_loss"] - fitted["plane_loss"]).max()) / float(fitted["path_loss"].min())
    return [
        Claim("valley: share of steps that turn back", float(np.mean(moves[1:] * moves[:-1] < 0)), 0.7),
        Claim("valley: curvature of the slice over the sharpness", curvature / now, 0.999, 1.001),
        Claim("valley: largest gap between path and plane, over the loss", gap, 0.01),
    ]


CLAIMS = (
    gradient_descent_settles_at_its_line,
    the_iterate_jumps_across_a_valley,
    sam_finds_flatter_minima,
    warm_up_leads_the_sharpness_down_with_the_line,
    warm_up_trains_where_a_bare_start_diverges,
    cross_entropy_sees_no_edge,
    adam_settles_at_its_own_line,
    quadratics_diverge_beyond_the_line,
)
