"""``python -m tests.benchmarks.ddp``: cost of watching a training that two processes share, beside that of one.

A block of watched steps stands between two blocks of bare ones, in the same processes; the ratio is that of the first
process, which keeps what belongs to all. Beside the time that passes stands that of the processor, all threads of the
process together, which other programs on the machine disturb less.
"""

import itertools
import json
import math
import statistics
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import nbtoolkit
from tests.ranks.launch import SCRIPTS, Job, joined, leave

WHAT = ("passed", "worked")
BLOCKS, SECONDS = 80, 0.5  # short blocks: a machine that others share changes its speed from second to second
WIDTH, DEPTH, BATCH = 512, 4, 128
LIMIT = 900.0


class Training:
    """A wide network on random data, 1.3 million parameters."""

    def __init__(self, *, shared: bool) -> None:
        torch.manual_seed(0)
        layers = [module for _ in range(DEPTH) for module in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
        self.net = nn.Sequential(nn.Linear(64, WIDTH), *layers, nn.Linear(WIDTH, 10))
        self.model = DistributedDataParallel(self.net) if shared else self.net
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4)
        self.x, self.y = torch.randn(BATCH, 64), torch.randint(0, 10, (BATCH,))

    def step(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss


def block(training: Training, steps: int, *, watched: bool) -> tuple[float, float]:
    """Seconds of a step, and of the processor; the first steps of a watch are not timed, nor its end."""
    with nbtoolkit.watch(training.net, training.optimizer) if watched else nullcontext():
        for _ in range(12):
            training.step()
        if dist.is_initialized():
            dist.barrier()
        began, worked = perf_counter(), process_time()
        for _ in range(steps):
            training.step()
        return (perf_counter() - began) / steps, (process_time() - worked) / steps


def ratios(*, shared: bool) -> dict[str, Any]:
    """Of watched to bare steps, block by block."""
    training = Training(shared=shared)
    seconds, _ = block(training, 20, watched=False)
    if shared:
        times = [seconds]
        dist.broadcast_object_list(times, src=0)
        (seconds,) = times
    steps = max(10, int(SECONDS / seconds))
    bare, watched = [block(training, steps, watched=False)], []
    for _ in range(BLOCKS):
        watched.append(block(training, steps, watched=True))
        bare.append(block(training, steps, watched=False))
    found: dict[str, Any] = {"steps": steps}
    for place, what in enumerate(WHAT):
        pairs = itertools.pairwise(one[place] for one in bare)
        found[what] = [one[place] / statistics.mean(pair) for one, pair in zip(watched, pairs, strict=True)]
        found[f"{what}_ms"] = 1e3 * statistics.median(one[place] for one in bare)
    return found


def work() -> None:
    """In one process of the job."""
    with joined() as (_, count):
        leave("ratios", ratios(shared=count > 1))


def measured(count: int) -> dict[str, Any]:
    """The job with so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(str(Path("..") / "benchmarks" / "ddp.py"), count, Path(folder), "work")
        try:
            codes = job.wait(LIMIT)
            assert not any(codes), "\n".join(job.said(rank) for rank in range(count))
            return job.left("ratios")
        finally:
            job.kill()


def median(values: list[float]) -> tuple[float, float, float]:
    """The median between the ends of its interval of 95 %, which are values themselves (of a sign test)."""
    ordered, reach = sorted(values), 0.98 * math.sqrt(len(values))
    middle = len(values) / 2
    return ordered[int(middle - reach)], statistics.median(values), ordered[math.ceil(middle + reach) - 1]


def main() -> None:
    """One process, then two; the difference is what sharing costs."""
    assert (SCRIPTS / ".." / "benchmarks" / "ddp.py").exists()
    medians: dict[str, list[float]] = {what: [] for what in WHAT}
    for count in (1, 2):
        found = measured(count)
        for what in WHAT:
            low, middle, high = median(found[what])
            medians[what].append(middle)
            print(f"{count} of {what} time: {middle:.4f} [{low:.4f}, {high:.4f}] of {found[f'{what}_ms']:.2f} ms")
        print(json.dumps({"ranks": count, **found}))
    for what, (one, two) in medians.items():
        print(f"two processes over one, {what} time: {100 * (two - one):+.2f} % (at most +1 %)")


if __name__ == "__main__":
    work() if sys.argv[1:] == ["work"] else main()
