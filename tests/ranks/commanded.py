"""Trainings of several processes that only a command ends: which learning rate each step had, and what was done.

The first is asked from afar; the second has two optimizers, one of which is asked while the other one holds the loop.
"""

import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import shards
from tests.capture.afar import until
from tests.ranks.launch import joined, leave
from tests.ranks.problems import CASES, Training

ROUNDS = {"ddp": 8, "fsdp": 3}


def main(kind: str) -> None:
    with joined() as (rank, count):
        told_from_afar(kind, rank, count)
        crossed(kind, rank, count)


def told_from_afar(kind: str, rank: int, count: int) -> None:
    """The processes come to the ends of their steps at different moments."""
    training = Training(CASES["plain"], kind, rank, count)
    generator = random.Random(rank)
    run = nbtoolkit.watch(
        training.net, training.optimizer, store=Path(os.environ["JOB"]) / "run.zarr", commands=True, name="ranks",
        instruments=[nbtoolkit.instruments.loss, nbtoolkit.instruments.lr], loss=F.cross_entropy, probe=probe(),
    )  # fmt: skip
    rates: list[float] = []

    def told(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        rates.append(optimizer.param_groups[0]["lr"])
        time.sleep(generator.uniform(0, 0.004))

    training.optimizer.register_step_pre_hook(told)
    stopped = False
    try:
        with run:
            training.train(10**6)
    except nbtoolkit.TrainingStopped:
        stopped = True
    state, plain = training.state(), scheduled(Training(CASES["plain"], kind, rank, count), rates).state()
    same = state.keys() == plain.keys() and all(torch.equal(state[key], plain[key]) for key in state)
    leave("told", {"stopped": stopped, "rates": rates, "commands": run.commands, "state": whole(training),
                   "step": run.step, "notes": run.notes, "same": same})  # fmt: skip


def whole(training: Training) -> dict[str, torch.Tensor]:
    """The weights; gathered from all processes where each holds a part."""
    return {name: shards.whole(param).clone() for name, param in training.net.named_parameters()}


def probe() -> tuple[torch.Tensor, torch.Tensor]:
    """The same in every process."""
    draw = torch.Generator().manual_seed(2)
    return torch.randn(12, 7, dtype=torch.float64, generator=draw), torch.randint(0, 3, (12,), generator=draw)


def scheduled(training: Training, rates: Sequence[float]) -> Training:
    """Trained unwatched, with these learning rates."""
    left = iter(rates)

    def set_rate(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        optimizer.param_groups[0]["lr"] = next(left)

    hook = training.optimizer.register_step_pre_hook(set_rate)
    training.train(len(rates))
    hook.remove()
    return training


def crossed(kind: str, rank: int, count: int) -> None:
    """Two optimizers of one loop: a learning rate of one is set while the other holds all, which then goes on."""
    training = Training(CASES["plain"], kind, rank, count)
    parts = list(training.net.first.parameters()), list(training.net.last.parameters())
    optimizers = [torch.optim.SGD(part, lr=0.01) for part in parts]
    watched = [nbtoolkit.instruments.lr]
    one, two = (nbtoolkit.watch(training.net, optimizer, instruments=watched) for optimizer in optimizers)

    generator = random.Random(0)

    def ask() -> None:
        try:
            for number in range(ROUNDS[kind]):
                two.pause()
                until(lambda: two.status().state == "paused")
                time.sleep(generator.uniform(0, 0.5))  # the processes look for orders at different moments
                one.set_lr(0.01 * (number + 2))
                two.resume()
                until(lambda number=number: len(two.commands) == 2 * number + 2)
        finally:
            one.stop()

    if rank == 0:
        threading.Thread(target=ask, daemon=True).start()
    with contextlib.suppress(nbtoolkit.TrainingStopped):
        while True:
            inputs, targets = training.batch()
            F.cross_entropy(training.model(inputs), targets).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            time.sleep(0.002 * rank)
    two.detach()
    leave(
        "crossed",
        {
            "kind": kind,
            "commands": [one.commands, two.commands],
            "state": whole(training),
            "notes": [*one.notes, *two.notes],
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
