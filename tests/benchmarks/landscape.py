"""``python -m tests.benchmarks.landscape``: slices of the loss landscape beside other tools, on one thread."""

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks import curvature_problems, landscape_peers, problems, report
from tests.benchmarks.curvature_problems import Curved

SAMPLES = 1000


@dataclass(frozen=True)
class Row:
    """Seconds of one tool for one point, over ours in the same round: median and quartiles."""

    work: str
    tool: str
    ratio: float
    quartiles: tuple[float, float]
    milliseconds: float

    def line(self) -> str:
        """One line of the table."""
        low, high = self.quartiles
        return (
            f"{self.work:<22} {self.tool:<22} {self.ratio:7.2f} x  [{low:.2f}, {high:.2f}]  "
            f"{self.milliseconds:9.3f} ms a point"
        )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.landscape", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all tools take turns (default 3)")
    parser.add_argument("--full", action="store_true", help="also the CNN at 25 x 25 (minutes)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-landscape.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = run(options.rounds, full=options.full)
    report.write(options.out, results)


def run(rounds: int = 3, *, full: bool = False) -> dict[str, object]:
    """All tables, printed as they are made."""
    print(f"\nslices of the loss over {SAMPLES} examples: seconds over ours")
    rows = compare(mlp(), 25, 25, rounds)
    rows += compare(cnn(), 25 if full else 13, 3, rounds)
    return {"slices": [asdict(row) for row in rows], "linear": linear(mlp)}


def mlp(samples: int = SAMPLES, device: str = "cpu") -> Curved:
    """784-128-10."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(samples, 784), torch.randint(10, (samples,))
    return Curved("MLP 784-128-10", problems.mlp(device).model.eval(), inputs.to(device), targets.to(device))


def cnn(samples: int = SAMPLES, device: str = "cpu") -> Curved:
    """Three convolutions with BatchNorm in eval mode, images of 32 x 32."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(samples, 3, 32, 32), torch.randint(10, (samples,))
    model = problems.cnn(device).model.eval()
    with torch.no_grad():
        for param in model.parameters():
            if not param.any():  # biases of zeros are more than loss-landscapes bears
                param.add_(0.01)
    return Curved("CNN 308k, BatchNorm", model, inputs.to(device), targets.to(device))


def resnet18(samples: int = SAMPLES, device: str = "cuda") -> Curved:
    """ResNet-18 for images of 32 x 32."""
    return curvature_problems.resnet18(samples, device)


def compare(problem: Curved, size: int, other: int, rounds: int) -> list[Row]:
    """Ours at ``size`` points a side; the others, whose cost is the same at each point, at ``other``."""
    taken: dict[str, list[float]] = {}
    moments: list[tuple[float, int]] = []
    for index in range(-1, rounds):  # one round to warm up
        side, few = (size, other) if index >= 0 else (3, 2)
        for name, tool in {"nbtoolkit": landscape_peers.ours, **landscape_peers.available()}.items():
            points = side if name == "nbtoolkit" else few
            seconds, found = seconds_of(tool, problem, points)
            moments = found if name == "nbtoolkit" else moments
            if index >= 0:
                taken.setdefault(name, []).append(seconds / points**2)
    rows = [_row(f"{problem.name}, {size} x {size}", name, taken[name], taken["nbtoolkit"]) for name in taken]
    print("\n".join(row.line() for row in rows))
    coarse = 49 if size > 7 else size**2
    first = next(seconds for seconds, points in moments if points >= coarse)
    print(f"the picture of 7 x 7 is there after {first / moments[-1][0]:.1%} of the time", flush=True)
    return rows


def linear(make: Callable[[int], Curved]) -> dict[str, float]:
    """Exponents of the cost in examples and in points."""
    counts, sizes = (500, 1000, 2000, 4000), (13, 25, 49)
    samples = [_median(make(count), 13) for count in counts]
    points = [_median(make(SAMPLES), size) for size in sizes]
    found = {"samples": _slope(counts, samples), "points": _slope([size**2 for size in sizes], points)}
    print(f"MLP: cost grows as samples^{found['samples']:.2f} and as points^{found['points']:.2f}", flush=True)
    return found


def _median(problem: Curved, size: int) -> float:
    return statistics.median(seconds_of(landscape_peers.ours, problem, size)[0] for _ in range(5))


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _row(work: str, tool: str, seconds: Sequence[float], first: Sequence[float]) -> Row:
    ratios = [a / b for a, b in zip(seconds, first, strict=True)]
    low, high = np.quantile(ratios, [0.25, 0.75])
    return Row(work, tool, statistics.median(ratios), (float(low), float(high)), 1e3 * statistics.median(seconds))


def seconds_of(tool: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds of one call, the device included, and what it gave."""
    settle()
    begun = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # progress bars
        found = tool(*arguments)
    settle()
    return time.perf_counter() - begun, found


def settle() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
