"""Slices of the loss landscape as other tools and a plain loop make them; seconds for one point."""

# pyright: reportMissingImports=false
# The peers come with the bench group alone.

import functools
import importlib
import importlib.util
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from nbtoolkit.numerics.directions import filter_normalised, gaussian
from nbtoolkit.numerics.points import Points
from nbtoolkit.numerics.slices import grid
from tests.benchmarks.curvature_problems import Curved

Slice = Callable[[Curved, int], object]  # of a problem and the points a side


def ours(problem: Curved, size: int) -> list[tuple[float, int]]:
    """The whole of it: directions, choice of the way, error rates; seconds and points of each stage."""
    begun, moments = time.perf_counter(), []
    params = {name: param.detach() for name, param in problem.params.items()}
    pair = [filter_normalised(gaussian(params, seed), params, problem.model) for seed in (0, 1)]
    for values in grid(Points(problem.loss_at(), params, pair), size=size):
        moments.append((time.perf_counter() - begun, int(values.loss.isfinite().sum())))
    return moments


def naive(problem: Curved, size: int) -> object:
    """What one writes in a notebook: move the weights, one pass of all examples, read the loss."""
    origin = [param.detach().clone() for param in problem.model.parameters()]
    pair = [[torch.randn_like(param) * 0.05 for param in origin] for _ in range(2)]
    axis, found = torch.linspace(-1, 1, size).tolist(), []
    with torch.no_grad():
        for a in axis:
            for b in axis:
                for param, at, d, e in zip(problem.model.parameters(), origin, *pair, strict=True):
                    param.copy_(at + a * d + b * e)
                found.append(problem.loss().item())
        for param, at in zip(problem.model.parameters(), origin, strict=True):
            param.copy_(at)
    return found


def loss_landscapes(problem: Curved, size: int) -> object:
    """loss-landscapes 3.0.6."""
    from loss_landscapes import metrics, random_plane

    metric = metrics.Loss(F.cross_entropy, problem.inputs, problem.targets)
    with torch.no_grad():
        return random_plane(problem.model, metric, 1, size, normalization="filter", deepcopy_model=True)


def landscaper(problem: Curved, size: int) -> object:
    """landscaper 1.3.1, without its plots and their dependencies."""
    pair = [[torch.randn_like(param) for param in problem.model.parameters()] for _ in range(2)]
    data: Any = (problem.inputs, problem.targets)
    return _landscaper().compute_loss_landscape(
        problem.model, data, pair, lambda model, data: F.cross_entropy(model(data[0]), data[1]).item(),
        steps=size, distance=0.01, dim=2, device=problem.device,
    )  # fmt: skip


@functools.cache
def _landscaper() -> Any:
    found = importlib.util.find_spec("landscaper")
    assert found is not None
    package = types.ModuleType("landscaper")
    package.__path__ = list(found.submodule_search_locations or [])
    sys.modules["landscaper"] = package
    return importlib.import_module("landscaper.compute")


@functools.cache
def available() -> dict[str, Slice]:
    """The plain loop, and what is installed."""
    tools: list[tuple[str, str, Slice]] = [
        ("loss-landscapes 3.0.6", "loss_landscapes", loss_landscapes),
        ("landscaper 1.3.1", "landscaper", landscaper),
    ]
    return {"plain loop": naive, **{name: run for name, module, run in tools if importlib.util.find_spec(module)}}
