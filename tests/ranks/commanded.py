"""A training of several processes that only a command ends: which learning rate each step had, and what was done."""

import os
import random
import sys
import time
from pathlib import Path

import torch

import nbtoolkit
from tests.ranks.launch import joined, leave
from tests.ranks.problems import CASES, Training


def main(kind: str) -> None:
    with joined() as (rank, count):
        training = Training(CASES["plain"], kind, rank, count)
        generator = random.Random(rank)  # the processes come to the ends of their steps at different moments
        run = nbtoolkit.watch(
            training.net, training.optimizer, store=Path(os.environ["JOB"]) / "run.zarr", commands=True, name="ranks",
            instruments=[nbtoolkit.instruments.loss, nbtoolkit.instruments.lr],
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
        state = {key: value.clone() for key, value in training.state().items()}
        leave("told", {"stopped": stopped, "rates": rates, "commands": run.commands, "state": state, "step": run.step,
                       "notes": run.notes})  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
