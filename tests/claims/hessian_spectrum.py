"""The claims of notebooks/03_hessian_spectrum_batch_size.ipynb, each a function of the seed."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Run
from nbtoolkit.instruments import batch_hessian_extremes, gradient_noise_scale, hessian_density, loss, weight_norm
from tests.claims.claim import Claim
from tests.claims.trainings import dense_hessian, digits, epochs, relu_network

EXAMPLES = 1024
CHECKPOINTS = (1, 8, 16, 32, 64, 128, 200)  # epochs of 16 steps
LEARNING = (16, 32, 64)  # epochs at which the classes are being told apart: the loss is between 1 and 0.1
SIZES = (32, 64, 128, 256)
LOW_LOSS = 0.06


class Trained(NamedTuple):
    """A run with its checkpoints measured; the model keeps `Run.measure` possible."""

    run: Run
    model: nn.Module
    optimizer: torch.optim.Optimizer
    x: Tensor
    y: Tensor


@cache
def _trained(seed: int) -> Trained:
    x, y = digits(EXAMPLES, seed, standardised=False)
    model = relu_network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    noise = gradient_noise_scale.using(examples=EXAMPLES, population=EXAMPLES)  # the gradient of all is the true one
    cheap = [loss, weight_norm, noise]
    with nbtoolkit.watch(model, optimizer, instruments=cheap, loss=F.cross_entropy, probe=(x, y), budget=1.0) as run:
        done = 0
        for checkpoint in CHECKPOINTS:
            epochs(model, optimizer, x, y, checkpoint - done)
            done = checkpoint
            run.measure(batch_hessian_extremes, sizes=SIZES)
            run.measure(hessian_density, probes=16, steps=40)
    return Trained(run, model, optimizer, x, y)


def batches_are_sharper_than_the_whole(seed: int) -> list[Claim]:
    found = _trained(seed).run["batch_hessian_extremes"]
    above = found.largest - found.full_largest
    below = found.full_smallest - found.smallest
    scaled = above * np.array(SIZES)
    factors = np.sqrt(scaled.max("batch_size") / scaled.min("batch_size"))  # from the c that fits best
    return [
        Claim("least excess of a mean batch extreme over the full one", float(min(above.min(), below.min())), 0),
        Claim("excess of the largest over c/B: worst factor", float(factors.max()), 1, 2),
    ]


def density_has_the_moments_of_the_dense_hessian(seed: int) -> list[Claim]:
    trained = _trained(seed)
    # Moments need two steps of each vector; their standard errors, which are skew, many vectors.
    found = trained.run.measure(hessian_density, probes=64, steps=4, seed=seed).isel(step=-1)
    exact = torch.linalg.eigvalsh(dense_hessian(trained.model, F.cross_entropy, trained.x, trained.y)).numpy()
    return [
        Claim(f"{name}: standard errors from the dense one", _apart(found, name, value), 0, 3)
        for name, value in {"mean_eigenvalue": exact.mean(), "mean_square": (exact**2).mean()}.items()
    ]


def _apart(found: Any, name: str, exact: float) -> float:
    error = found[name.replace("_eigenvalue", "") + "_error"]
    return float(abs(found[name] - exact) / error)


def classes_less_one_stand_out(seed: int) -> list[Claim]:
    counts = _trained(seed).run["hessian_density"]["outliers"].values[: len(CHECKPOINTS)]
    found = dict(zip(CHECKPOINTS, counts, strict=True))
    return [Claim(f"outliers at epoch {epoch}, with ten classes", found[epoch], 8, 10) for epoch in LEARNING]


def noise_scale_grows(seed: int) -> list[Claim]:
    run = _trained(seed).run
    noise = run["gradient_noise_scale"]
    batch = run["loss"]["loss"].rolling(step=64, center=True, min_periods=32).mean()  # of four epochs
    reached = int(batch.step[np.argmax(batch.values <= LOW_LOSS)])
    there = noise.sel(step=slice(reached - 250, reached + 250)).mean()
    late = float(there.gradient_variance / there.gradient_square)  # the ratio of means: a single |G|^2 fluctuates
    return [Claim(f"noise scale at loss {LOW_LOSS} over that at the start", late / float(noise.noise_scale[0]), 10)]


def distance_grows_as_the_logarithm_of_time(seed: int) -> list[Claim]:
    distance = _trained(seed).run["weight_norm"]["total_distance"]
    distance = distance.sel(step=slice(10, None))
    fits = {"log t": np.log(distance.step), "the root of t": np.sqrt(distance.step)}
    squared = {name: float(np.corrcoef(time, distance)[0, 1] ** 2) for name, time in fits.items()}
    return [
        Claim("distance from the start against log t: R^2", squared["log t"], 0.98, 1),
        Claim("the same less R^2 against the root of t", squared["log t"] - squared["the root of t"], 0, 1),
    ]


CLAIMS = (
    batches_are_sharper_than_the_whole,
    density_has_the_moments_of_the_dense_hessian,
    classes_less_one_stand_out,
    noise_scale_grows,
    distance_grows_as_the_logarithm_of_time,
)
