"""``python -m tests.benchmarks.tasks``: cost of dense evaluation on the tasks of a stream, on one thread.

Replay on permuted digits: 64-100-100-10, SGD with momentum, 64 examples of the present task and 64 of earlier ones,
three tasks of 400 steps. Whole trainings take turns: bare, watched, and watched with tasks.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import Tasks, TasksAt, accuracy_matrix, gradient_conflict, stability_gap
from tests.benchmarks import report

STEPS, BATCH, TRAINED = 400, 64, 1300  # as in the companion on the stability gap
Data = dict[str, tuple[Tensor, Tensor]]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tasks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="trainings of each kind (default 9)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-tasks.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = run(options.rounds)
    report.write(options.out, rows)


def run(rounds: int = 9) -> dict[str, Any]:
    """Seconds of whole trainings and of single evaluations, printed as they are made."""
    seconds = trainings(rounds)
    bare, watched = seconds["bare"], seconds["watched"]
    print(f"\nreplay on three tasks, {3 * STEPS} steps: bare {statistics.median(bare):.3f} s, one thread")
    ratios = {
        "watched, over bare": _ratio(watched, bare),
        "watched with tasks, over watched": _ratio(seconds["with tasks"], watched),
        "with tasks alone, over bare": _ratio(seconds["tasks alone"], bare),
        "without the dense part, over bare": _ratio(seconds["seldom"], bare),
        "tasks and conflict, over bare": _ratio(seconds["tasks and conflict"], bare),
    }
    for name, (low, middle, high) in ratios.items():
        print(f"{name:<34} {middle:6.3f}  [{low:.3f}, {high:.3f}]")
    each = evaluations()
    for name, microseconds in each.items():
        print(f"{name:<34} {microseconds:6.0f} us")
    return {"rounds": rounds, "ratios": ratios, "evaluation_us": each, "bare_s": statistics.median(bare)}


def trainings(rounds: int) -> dict[str, list[float]]:
    """Seconds of each kind of training, taking turns."""
    training, held_out = permuted_digits()
    kinds: dict[str, Mapping[str, Any] | None] = {
        "bare": None,
        "watched": {},
        "with tasks": {"tasks": held_out},
        "tasks alone": {"tasks": held_out, "instruments": [accuracy_matrix, stability_gap]},
        "seldom": {"tasks": held_out, "instruments": [accuracy_matrix, stability_gap.using(dense=0)]},
        "tasks and conflict": {"tasks": held_out, "instruments": [accuracy_matrix, stability_gap, gradient_conflict]},
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for index in range(-1, rounds):  # one round to warm up
        for name, options in kinds.items():
            gc.collect()
            taken = train(training, options)
            if index >= 0:
                seconds[name].append(taken)
    return seconds


def train(data: Data, options: Mapping[str, Any] | None) -> float:
    """One training; attaching and detaching are not timed."""
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    watching: AbstractContextManager[Any] = nullcontext()
    if options is not None:
        watching = nbtoolkit.watch(model, optimizer, **options)
    with watching as run:
        begun = time.perf_counter()
        for place, name in enumerate(data):
            with nullcontext() if run is None else run.task(name):
                _steps(model, optimizer, list(data.values()), place)
        return time.perf_counter() - begun


def _steps(model: nn.Module, optimizer: torch.optim.Optimizer, data: list[tuple[Tensor, Tensor]], place: int) -> None:
    for _ in range(STEPS):
        x, y = _drawn(data[place])
        if place:
            old_x, old_y = _drawn(data[int(torch.randint(0, place, ()))])
            x, y = torch.cat([x, old_x]), torch.cat([y, old_y])
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def evaluations(calls: int = 300) -> dict[str, float]:
    """Microseconds of one evaluation of all tasks."""
    _, held_out = permuted_digits()
    model = network()
    params = {name: param.detach() for name, param in model.named_parameters()}
    tasks = TasksAt(model, Tasks(held_out), F.cross_entropy)
    x = torch.cat([part[0][:200] for part in held_out.values()])

    def forward() -> None:
        with torch.no_grad():
            model(x)

    return {
        "bare forward pass, 3 x 200": _microseconds(forward, calls),
        "stability_gap, 3 x 200": _microseconds(lambda: stability_gap.measure(tasks, params), calls),
        "accuracy on all, 3 x 497": _microseconds(lambda: tasks.accuracy(params), calls),
    }


def permuted_digits() -> tuple[Data, Data]:
    """Three permutations of the pixels of digits: data to train on, held-out data."""
    digits: Any = load_digits()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(digits.data), generator=generator)
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32)[order], torch.tensor(digits.target)[order]
    pixels = {name: torch.randperm(64, generator=generator) for name in ("one", "two", "three")}
    return (
        {name: (x[:TRAINED, mixed], y[:TRAINED]) for name, mixed in pixels.items()},
        {name: (x[TRAINED:, mixed], y[TRAINED:]) for name, mixed in pixels.items()},
    )


def network() -> nn.Sequential:
    """64-100-100-10."""
    return nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))


def _drawn(data: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    places = torch.randint(0, len(data[1]), (BATCH,))
    return data[0][places], data[1][places]


def _ratio(one: list[float], other: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of the ratios by round."""
    low, middle, high = statistics.quantiles([a / b for a, b in zip(one, other, strict=True)], n=4, method="inclusive")
    return low, middle, high


def _microseconds(call: Callable[[], object], calls: int) -> float:
    call()
    taken = []
    for _ in range(calls):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(taken)


if __name__ == "__main__":
    main()
