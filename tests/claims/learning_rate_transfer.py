"""What is claimed of the maximal update parametrisation in the README's sweep, each a function of the seed."""

from functools import cache

import numpy as np
import torch
import xarray
from torch import nn
from torch.nn import functional as F

from nbtoolkit import analysis
from nbtoolkit.interventions import coordinate_check, mup
from tests.claims.claim import Claim
from tests.claims.trainings import digits

BASE, WIDTHS = 64, [64, 256, 1024]
RATES = [2.0**power for power in (-11, -9, -7, -5, -3)]  # a factor of four apart: more than the noise of one seed
WAYS = ["standard", "muP"]
TRAINED, STEPS, BATCH = 1200, 60, 64


def network(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )  # fmt: skip


def made(way: str, width: int, lr: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = network(width)
    scaled = way == "muP"
    return model, torch.optim.Adam(mup(model, network(BASE), lr=lr) if scaled else model.parameters(), lr=lr)


def train(way: str, lr: float, width: int, seed: int) -> dict[str, float]:
    """The loss on all that was trained on, after Adam on batches of 64."""
    x, y = digits(TRAINED, 0, standardised=True)
    torch.manual_seed(seed)
    model, optimizer = made(way, width, lr)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        batch = torch.randint(0, TRAINED, (BATCH,), generator=draw)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        return {"loss": F.cross_entropy(model(x), y).item()}


def swept(seeds: list[int]) -> xarray.Dataset:
    """All learning rates at all widths in both parametrisations, on Dask."""
    from nbtoolkit.bridges.dask import map_runs

    grid = {"way": WAYS, "lr": RATES, "width": WIDTHS, "seed": seeds}
    with map_runs(train, grid, workers=2) as sweep:
        pass
    data = sweep.data
    data["loss"].attrs.update(long_name="training loss after 60 steps", units="nat")
    return data


@cache
def sweep_of(seed: int) -> xarray.Dataset:
    return swept([seed]).isel(seed=0)


@cache
def checked(way: str, seed: int) -> xarray.Dataset:
    x, y = digits(BATCH * 4, seed, standardised=True)
    return coordinate_check(
        lambda width: made(way, width, 2.0**-7), WIDTHS, lambda model: F.cross_entropy(model(x), y), steps=4,
        seeds=[seed],
    )  # fmt: skip


def one_learning_rate_for_all_widths(seed: int) -> list[Claim]:
    best = np.log2(analysis.optimum(sweep_of(seed)).best)
    falls = best.sel(way="standard", width=1024) - best.sel(way="standard", width=64)
    moved = analysis.lr_transfer(sweep_of(seed)).slope
    return [
        Claim("muP: best learning rates at widths 64, 256, 1024", len(np.unique(best.sel(way="muP"))), 1, 1),
        Claim("muP: log2 of it", float(best.sel(way="muP").mean()), -7, -7),
        Claim("muP: slope of log2 of the fitted best on log2 of the width", float(moved.sel(way="muP")), -0.2, 0.2),
        Claim("standard: log2 of the best at width 1024, less that at 64", float(falls), high=-2),
    ]


def wider_is_not_worse(seed: int) -> list[Claim]:
    loss = sweep_of(seed).loss.sel(lr=2.0**-7)
    ratio = loss.sel(width=1024) / loss.sel(width=64)
    return [
        Claim("muP: loss at width 1024 over that at 64, at 2^-7", float(ratio.sel(way="muP")), high=1.2),
        Claim("standard: the same", float(ratio.sel(way="standard")), 1.5),
    ]


def the_coordinate_check_tells_them_apart(seed: int) -> list[Claim]:
    slopes = {way: checked(way, seed).change_slope.sel(step=slice(1, None)) for way in WAYS}
    logits = slopes["standard"].isel(layer=-1)
    return [
        Claim("muP: largest slope of a layer's change on the width", float(abs(slopes["muP"]).max()), high=0.1),
        Claim("standard: smallest slope of the logits' change", float(logits.min()), 0.3),
    ]


CLAIMS = (one_learning_rate_for_all_widths, wider_is_not_worse, the_coordinate_check_tells_them_apart)
