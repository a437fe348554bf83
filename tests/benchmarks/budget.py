"""Whether the budget is kept: training with sharpness every 50 steps, under two budgets.

A block must hold several measurements at the cadence that the budget has stretched, or it times none: the large CNN,
whose sharpness takes seconds, is there to be seen left alone; the small one for the share that is kept.
"""

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import default, sharpness
from tests.benchmarks import problems, sides
from tests.benchmarks.curvature_problems import digits, digits_cnn_net
from tests.benchmarks.interleave import Ratio, Side, Step, compare
from tests.benchmarks.problems import Problem

BLOCKS = 3


def with_sharpness(budget: float) -> Side:
    """The default instruments and sharpness."""

    @contextmanager
    def side(problem: Problem) -> Iterator[Step]:
        instruments = (*default(), sharpness.using(every=50))
        with nbtoolkit.watch(problem.model, problem.optimizer, instruments=instruments, budget=budget) as run:
            yield problem.step
        measured.setdefault(budget, []).append(len(run["sharpness"]["step"]))

    def typed(problem: Problem) -> AbstractContextManager[Step]:
        return side(problem)

    return typed


measured: dict[float, list[int]] = {}


def digits_cnn(device: str = "cpu") -> Problem:
    """Two convolutions on the digits, batches of 64, SGD."""
    model, (x, y) = digits_cnn_net().to(device), digits(images=True)
    x, y = x.to(device), y.to(device)
    optimizer, draws = torch.optim.SGD(model.parameters(), lr=0.1), torch.Generator().manual_seed(0)

    def loss() -> Tensor:
        batch = torch.randint(len(x), (64,), generator=draws).to(device)
        return F.cross_entropy(model(x[batch]), y[batch])

    return Problem(model, optimizer, loss)


def table(device: str = "cpu") -> list[Ratio]:
    """Time over that of the bare loop for budgets of 10 % and 2 %."""
    compared = {"sharpness, budget 10 %": with_sharpness(0.10), "sharpness, budget 2 %": with_sharpness(0.02)}
    rows = []
    for name, make, steps in (("digits CNN", digits_cnn, 8000), ("CNN", problems.cnn, 600)):
        measured.clear()
        rows += compare(name, functools.partial(make, device), sides.bare, compared, blocks=BLOCKS, steps=steps)
        print(name, "measurements in each block:", dict(measured), flush=True)
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(ratio.row() for ratio in table("cuda" if torch.cuda.is_available() else "cpu")))
