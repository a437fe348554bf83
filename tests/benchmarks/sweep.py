"""``python -m tests.benchmarks.sweep``: a sweep on two workers against the same cells one after another."""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nbtoolkit.bridges import cluster
from nbtoolkit.bridges.dask import map_runs
from tests.benchmarks import report

SECONDS = 2.0  # of a cell
WORKERS = 2


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sweep", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which both take turns (default 3)")
    parser.add_argument("--cells", type=int, default=8, help="cells of a sweep (default 8)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-sweep.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    report.write(options.out, run(options.rounds, options.cells))


def train(seed: int, steps: int) -> dict[str, float]:
    """A small network on random data; the final loss."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, targets = torch.randn(256, 64), torch.randint(10, (256,))
    loss = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    return {"loss": loss.item()}


def run(rounds: int = 3, cells: int = 8) -> dict[str, Any]:
    """Efficiencies: the time of all cells here, over the time of the sweep and the number of workers."""
    steps = _steps()
    grid = {"seed": range(cells), "steps": [steps]}
    alone, swept, ratios = [], [], []
    with cluster.local(WORKERS, 1) as client:
        map_runs(train, {"seed": range(WORKERS), "steps": [1]}, client=client).wait()  # workers load torch
        for _ in range(rounds):
            begun = time.perf_counter()
            here = [train(seed, steps)["loss"] for seed in range(cells)]
            alone.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            sweep = map_runs(train, grid, client=client).wait()
            swept.append(time.perf_counter() - begun)
            if sweep.data["loss"].values[:, 0].tolist() != here:
                raise ValueError("the sweep's losses are not those of the same cells here")
            ratios.append(alone[-1] / (WORKERS * swept[-1]))
    begun = time.perf_counter()
    map_runs(train, grid, workers=WORKERS).wait()
    cold = time.perf_counter() - begun
    found = {
        "cells": cells, "seconds_per_cell": statistics.median(alone) / cells, "alone": alone, "swept": swept,
        "efficiency": statistics.median(ratios), "efficiencies": ratios, "seconds_with_start_and_end": cold,
    }  # fmt: skip
    print(
        f"\n{cells} cells of {found['seconds_per_cell']:.2f} s on {WORKERS} workers: efficiency "
        f"{found['efficiency']:.3f} [{min(ratios):.3f}, {max(ratios):.3f}] of ideal; {statistics.median(swept):.1f} s, "
        f"with workers that start and end {cold:.1f} s"
    )
    return found


def _steps() -> int:
    """As many as a cell of that length has."""
    train(0, 50)
    begun = time.perf_counter()
    train(0, 500)
    return max(1, int(500 * SECONDS / (time.perf_counter() - begun)))


if __name__ == "__main__":
    main()
