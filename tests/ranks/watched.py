"""Every case of `problems`, with DDP and FSDP2: watched and unwatched, in the processes of one job."""

import sys
import warnings
from typing import Any

import torch
from torch.distributed import distributed_c10d

import nbtoolkit
from tests.ranks.launch import joined, leave
from tests.ranks.problems import CASES, Training

STEPS = 12


def collectives() -> int:
    """How many this process has begun so far, in all groups and threads."""
    known: list[Any] = list(distributed_c10d._world.pg_map)
    return sum(group._get_backend(torch.device("cpu"))._get_sequence_number_for_group() for group in known)


def trained(case: str, kind: str, place: tuple[int, int], *, watched: bool) -> tuple[Training, Any, int]:
    training = Training(CASES[case], kind, *place)
    training.train(1)  # what is made once and for all
    known = (*nbtoolkit.instruments.default(), nbtoolkit.instruments.step_alignment)
    run = nbtoolkit.watch(training.net, training.optimizer, instruments=known, name=case) if watched else None
    before = collectives()
    training.train(STEPS)
    calls = collectives() - before
    if run is not None:
        run.detach()
    return training, run, calls


def main(chosen: list[str]) -> None:
    with joined() as place:
        for one in chosen:
            kind, case = one.split("-")
            plain, _, calls = trained(case, kind, place, watched=False)
            seen, run, more = trained(case, kind, place, watched=True)
            state, other = plain.state(), seen.state()
            same = state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)
            leave(
                one,
                {
                    "same": same, "tensors": len(state), "calls": (calls, more), "data": run.data.to_dict(),
                    "notes": run.notes, "attrs": dict(run.record.attrs),
                },
            )  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("error", UserWarning)
    main(sys.argv[1:])
