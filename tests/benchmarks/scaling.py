"""``python -m tests.benchmarks.scaling``: what watching adds to a step, by tensors and by their elements.

Each is fitted by a line, from which README's section "Scaling" is computed; on a GPU where there is one.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import nbtoolkit
from tests.benchmarks.problems import Problem
from tests.benchmarks.report import write

TENSORS = (4, 16, 64, 256)
ELEMENTS = (10**5, 10**6, 10**7)
ON_A_GPU = (10**6, 10**7, 10**8, 10**9)
BLOCK_SECONDS = 0.4


def problem(tensors: int, elements: int, device: str) -> Problem:
    """So many tensors with so many elements together; the gradient of each is itself, by the cheapest loss there is."""
    size = elements // tensors
    model = nn.ParameterList(nn.Parameter(torch.randn(size, device=device)) for _ in range(tensors))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    return Problem(
        model, optimizer, lambda: sum((param.square().sum() for param in model), torch.zeros((), device=device))
    )


def seconds(one: Problem, steps: int) -> float:
    """Of one step, the mean over a block."""
    settle()
    began = time.perf_counter()
    for _ in range(steps):
        one.step()
    settle()
    return (time.perf_counter() - began) / steps


def settle() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def added(make: Callable[[], Problem], blocks: int) -> tuple[float, float]:
    """Seconds that watching adds to a step: the median over interleaved blocks, and half the quartiles' distance."""
    one = make()
    seconds(one, 3)
    steps = max(3, int(BLOCK_SECONDS / seconds(one, 3)))
    differences = []
    for _ in range(blocks):
        bare = seconds(one, steps)
        with nbtoolkit.watch(one.model, one.optimizer):
            seconds(one, 12)
            differences.append(seconds(one, steps) - bare)
    low, middle, high = statistics.quantiles(differences, n=4, method="inclusive")
    return middle, (high - low) / 2


def line(x: list[float], y: list[float]) -> tuple[float, float]:
    """Offset and slope by least squares of relative errors, so that small ones count as much as large ones."""
    weights = 1 / np.maximum(np.asarray(y), 1e-6)
    design = np.stack([np.ones(len(x)), np.asarray(x, float)], 1) * weights[:, None]
    offset, slope = np.linalg.lstsq(design, np.asarray(y) * weights, rcond=None)[0]
    return float(offset), float(slope)


def sweep(name: str, values: tuple[int, ...], make: Callable[[int], Problem], blocks: int) -> dict[str, Any]:
    """What watching adds over a range of one size, and the line through it."""
    rows = [(value, *added(lambda value=value: make(value), blocks)) for value in values]
    offset, slope = line([row[0] for row in rows], [row[1] for row in rows])
    for value, middle, spread in rows:
        print(f"{name} {value:>11,}: {1e6 * middle:9.1f} us a step  (+- {1e6 * spread:.1f})", flush=True)
    print(f"{name}: {1e6 * offset:.1f} us + {1e9 * slope:.4g} ns each\n", flush=True)
    return {"rows": rows, "offset": offset, "slope": slope}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scaling", description=__doc__)
    parser.add_argument("--blocks", type=int, default=7, help="pairs of blocks for each point (default 7)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-scaling.json"))
    options = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    print(torch.cuda.get_device_name() if device == "cuda" else "one CPU thread", torch.__version__)
    results = {
        "tensors": sweep("tensors", TENSORS, lambda count: problem(count, 256 * 64, device), options.blocks),
        "elements": sweep(
            "elements",
            ON_A_GPU if device == "cuda" else ELEMENTS,
            lambda size: problem(64, size, device),
            options.blocks,
        ),
    }
    write(options.out, {"device": device, **results})


if __name__ == "__main__":
    main()
