"""Datasets as sweeps give them: planted parabolas, holes with reasons, curves over steps."""

import numpy as np
import xarray

LRS = 2.0 ** np.arange(-9, -2)
WIDTHS = [64, 256, 1024]
BEST = (-5.3, -6.1, -6.9)  # log2


def transfer(seeds: int = 0) -> xarray.Dataset:
    """A final loss over lr and width, and of several seeds with noise."""
    u = np.log2(LRS)[:, None]
    loss = 0.3 + 0.02 * (u - np.array(BEST)) ** 2
    dims, coords = ("lr", "width"), {"lr": LRS, "width": WIDTHS}
    if seeds:
        noise = np.random.default_rng(0).normal(size=(seeds, *loss.shape))
        loss, dims, coords = loss + 1e-3 * noise, ("seed", *dims), {"seed": np.arange(seeds), **coords}
    return xarray.Dataset({"loss": (dims, loss, {"units": "nat", "long_name": "final loss"})}, coords)


def phases() -> xarray.Dataset:
    """Three rates against four rates of dropout: a cell failed, one is infinite, one gave NaN, one has not run."""
    loss = np.array([[3.0, 2.0, 1.5, 4.0], [2.0, 0.5, np.nan, np.inf], [9.0, 8.0, np.nan, np.nan]])
    reason = np.full(loss.shape, "", object)
    reason[1, 2], reason[2, 3] = "ValueError: too much", "not run yet"
    dims = ("lr", "dropout")
    variables = {"loss": (dims, loss, {"units": "nat", "long_name": "final loss"}), "reason": (dims, reason)}
    return xarray.Dataset(variables, {"lr": [0.001, 0.1, 0.01], "dropout": [0.0, 0.1, 0.2, 0.4]}).isel(lr=[0, 2, 1])


def curves(count: int = 4, steps: int = 50, seeds: int = 3) -> xarray.Dataset:
    """A loss over steps for rates of decay, in an order of their own."""
    decay = np.logspace(-3, -1, count)
    step = 2 * np.arange(steps)
    loss = np.exp(-decay[:, None, None] * step) + 0.01 * np.arange(seeds)[:, None]
    coords = {"decay": decay, "seed": np.arange(seeds), "step": step}
    made = xarray.Dataset({"loss": (("decay", "seed", "step"), loss, {"units": "nat", "long_name": "loss"})}, coords)
    return made.isel(decay=slice(None, None, -1))
