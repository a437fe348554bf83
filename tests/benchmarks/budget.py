"""Whether the budget is kept: the CNN's training with sharpness every 50 steps, under two budgets."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

import nbtoolkit
from nbtoolkit.instruments import default, sharpness
from tests.benchmarks import problems, sides
from tests.benchmarks.interleave import Ratio, Side, Step, compare
from tests.benchmarks.problems import Problem

STEPS = 600  # of a block: room for a cadence that the budget has stretched
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


def table(device: str = "cpu") -> list[Ratio]:
    """Time over that of the bare loop for budgets of 10 % and 2 %."""
    compared = {"sharpness, budget 10 %": with_sharpness(0.10), "sharpness, budget 2 %": with_sharpness(0.02)}
    return compare("CNN", lambda: problems.cnn(device), sides.bare, compared, blocks=BLOCKS, steps=STEPS)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(ratio.row() for ratio in table("cuda" if torch.cuda.is_available() else "cpu")))
    print("measurements in each block:", measured)
