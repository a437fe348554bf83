"""Time that a look at all findings takes on long records: ``python -m tests.benchmarks.findings``."""

from statistics import median
from time import perf_counter

import numpy as np

from nbtoolkit import instruments
from nbtoolkit.analysis import diagnose
from nbtoolkit.store.columns import Record

STEPS = (1_000, 100_000, 1_000_000)
PARAMS = 50
REPEATS = 7
CHUNK = 10_000


def record(steps: int, params: int = PARAMS) -> Record:
    """Losses, learning rates and gradient norms at every step, updates at every tenth, of so many parameters."""
    made = Record()
    draw = np.random.default_rng(0)
    names = [f"{place // 2}.{'bias' if place % 2 else 'weight'}" for place in range(params)]
    known = instruments.known()
    groups = {name: made.group(name, known[name].outputs) for name in ("loss", "lr", "grad_norm", "update_ratio")}
    for begin in range(0, steps, CHUNK):
        now = np.arange(begin, min(begin + CHUNK, steps))
        level = np.exp(-3 * now / steps) * (1 + 0.1 * draw.normal(size=len(now)))
        norms = level[:, None] * draw.uniform(0.5, 1.5, (len(now), params))
        groups["loss"].append(now, {"loss": level})
        groups["lr"].append(now, {"lr": np.full((len(now), 1), 0.1)}, {"group": [0]})
        groups["grad_norm"].append(now, {"total": level, "grad_norm": norms}, {"param": names})
        tenth = now % 10 == 0
        sizes = {"ratio": 1e-3 * norms[tenth], "update_norm": 1e-2 * norms[tenth], "total": level[tenth]}
        groups["update_ratio"].append(now[tenth], sizes, {"param": names})
    return made


def run(steps: tuple[int, ...] = STEPS) -> dict[str, float]:
    """Milliseconds, the median of seven, by the number of steps."""
    found = {}
    for count in steps:
        made = record(count)
        times = []
        for _ in range(REPEATS):
            started = perf_counter()
            diagnose(made)
            times.append(perf_counter() - started)
        found[f"{count:.0e}"] = 1e3 * median(times)
        print(f"{count:>9,} steps x {PARAMS} parameters: {found[f'{count:.0e}']:.2f} ms a look", flush=True)
    return found


if __name__ == "__main__":
    run()
