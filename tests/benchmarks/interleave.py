"""Cost of a side of a comparison: blocks of steps, each between two blocks of the bare loop."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

import torch

from tests.benchmarks.problems import Problem

Step = Callable[[], object]
Side = Callable[[Problem], AbstractContextManager[Step]]

WARMUP_STEPS = 12  # past the first measurement of everything that is due every 10 steps


@dataclass(frozen=True)
class Ratio:
    """Seconds a step over those of the bare loop: median and quartiles over the blocks."""

    problem: str
    side: str
    median: float
    quartiles: tuple[float, float]
    bare_ms: float
    blocks: int

    def row(self) -> str:
        """One line of the table."""
        low, high = self.quartiles
        name = f"{self.problem:<4} {self.side:<30}"
        return f"{name} {self.median:6.3f}  [{low:.3f}, {high:.3f}]  of {self.bare_ms:.3f} ms"

    def json(self) -> dict[str, object]:
        """For the file of results."""
        return asdict(self)


def seconds_per_step(make: Callable[[], Problem], side: Side, steps: int) -> float:
    """Mean over a block, with everything the side does in between; attaching and detaching are not timed."""
    gc.collect()  # the last block's model, which a finished run may still hold in a cycle
    torch.manual_seed(0)
    with side(make()) as step:
        for _ in range(WARMUP_STEPS):
            step()
        _settle()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        _settle()
        return (time.perf_counter() - start) / steps


def compare(
    problem: str, make: Callable[[], Problem], bare: Side, sides: Mapping[str, Side], *, blocks: int, steps: int
) -> list[Ratio]:
    """The ratio of every side to the bare loop, all taking turns in this process."""
    ratios: dict[str, list[float]] = {name: [] for name in sides}
    bares = [seconds_per_step(make, bare, steps) for _ in range(2)][1:]
    for _ in range(blocks):
        for name, side in sides.items():
            seconds = seconds_per_step(make, side, steps)
            bares.append(seconds_per_step(make, bare, steps))
            ratios[name].append(seconds / statistics.mean(bares[-2:]))
    bare_ms = 1e3 * statistics.median(bares)
    return [Ratio(problem, name, statistics.median(r), _quartiles(r), bare_ms, blocks) for name, r in ratios.items()]


def _quartiles(values: list[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
