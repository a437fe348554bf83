"""A fit of Lightning with ``strategy="ddp"``, unwatched and watched, in the processes of one job."""

import os
import sys
import threading
import warnings
from typing import Any

import torch
from torch import nn

from nbtoolkit.bridges.lightning import LandscapeCallback
from tests.bridges import lit
from tests.ranks.launch import joined, leave

STEPS = 3  # after which it is to stop


def model() -> lit.Lit:
    one = lit.Lit()
    one.net[1] = nn.Identity()  # statistics of a part of the batch are not those of the batch
    return one


def main(store: str) -> None:
    with joined() as (rank, count):
        os.environ["LOCAL_RANK"] = str(rank)
        states: list[Any] = []
        callback = LandscapeCallback(store=store)
        for callbacks in ([], [callback]):
            one = model()
            lit.fit(one, *callbacks, strategy="ddp", devices=count, use_distributed_sampler=False, part=(rank, count))
            states.append(one.state_dict())
        run = callback.run
        assert run is not None
        same = all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        leave("fit", {"same": same, "state": run.state, "notes": run.notes, "appends": run.appender is not None})
        stopped(rank, count)


def stopped(rank: int, count: int) -> None:
    """The first process alone asks for an end, as a Board does."""
    callback = LandscapeCallback()

    def ask() -> None:
        if rank == 0 and callback.run is not None:
            threading.Thread(target=callback.run.stop, daemon=True).start()

    trainer = lit.fit(
        model(), callback, lit.At(STEPS, ask), strategy="ddp", devices=count, use_distributed_sampler=False,
        part=(rank, count), max_epochs=10_000,
    )  # fmt: skip
    assert callback.run is not None
    leave("stopped", {"state": callback.run.state, "step": callback.run.step, "steps": trainer.global_step})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
