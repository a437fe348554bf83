"""A fit of Lightning with ``strategy="ddp"``, unwatched and watched, in the processes of one job."""

import os
import sys
import warnings
from typing import Any

import torch
from torch import nn

from nbtoolkit.bridges.lightning import LandscapeCallback
from tests.bridges import lit
from tests.ranks.launch import joined, leave


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


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
