"""Three processes: one watches alone, all watch what the cell trains, each trains its own, and one is killed."""

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import nbtoolkit
from nbtoolkit.capture import exchange, ranks
from nbtoolkit.capture.watch import Discovery
from nbtoolkit.errors import StoreError
from tests.capture.afar import until
from tests.ranks.launch import joined, leave
from tests.ranks.problems import CASES, Training

ranks.MEET_SECONDS = 1.0
exchange.SILENT_SECONDS = 3.0
STEPS = 8
SILENT_FROM, KILLED_AT = 15, 30


def told(run: nbtoolkit.Run) -> dict[str, object]:
    return {"data": run.data.to_dict(), "notes": run.notes, "attrs": dict(run.record.attrs), "state": run.state}


def one_alone(place: tuple[int, int]) -> None:
    """The first process watches; the others do not."""
    training = Training(CASES["plain"], "ddp", *place)
    if place[0] == 0:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = nbtoolkit.watch(training.net, training.optimizer)
        training.train(STEPS)
        run.detach()
        leave("alone", {**told(run), "warned": [str(one.message) for one in caught]})
    else:
        training.train(STEPS)


def discovered(place: tuple[int, int]) -> None:
    """A block that names nothing; sharded parameters, whose losses have other tensors in their graph."""
    training = Training(CASES["accumulated"], "fsdp", *place)
    with Discovery({"model": training.model}) as found:
        training.train(STEPS)
    run, rank = found.runs[0], place[0]
    assert run.ranks is not None
    run.ranks.meet("a sum")
    parts = [torch.full((2, 3), 0.1 * (rank + 1)), torch.tensor(rank), torch.tensor([0.7], dtype=torch.float64) ** rank]
    sums, first = run.ranks.total(parts), run.ranks.first([rank + 0.25, 7.0])
    leave("discovered", {**told(run), "complaint": found.complaint, "sums": sums, "first": first})


def apart(place: tuple[int, int]) -> None:
    """Every process trains a model of its own, and two a part of one together."""
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    run = nbtoolkit.watch(net, optimizer)
    net(torch.ones(4, 3)).square().mean().backward()
    optimizer.step()
    run.detach()
    pair = torch.distributed.new_group([0, 1])
    notes = []
    if place[0] < 2:
        wrapped = DistributedDataParallel(net, process_group=pair)
        with nbtoolkit.watch(wrapped, optimizer) as few:
            notes = few.notes
    leave("apart", {**told(run), "few": notes})


def twice(place: tuple[int, int], folder: Path) -> None:
    """The same optimizer watched again, with a store that all name and one writes."""
    training = Training(CASES["plain"], "ddp", *place, dtype=torch.float32)
    run = nbtoolkit.watch(training.model, training.optimizer, store=folder / "first.zarr")
    training.train(STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = nbtoolkit.watch(training.model, training.optimizer, name="again")
    training.train(STEPS, lambda step: again.log(place=float(place[0])))
    again.detach()
    saved = again.save(folder / f"saved{place[0]}.zarr")
    leave("twice", {"first": told(run), "again": told(again), "saved": str(saved), "wrote": run.appender is not None})


def unlike(place: tuple[int, int]) -> None:
    """One process was given another cadence, and no probe."""
    training, shelf = Training(CASES["plain"], "ddp", *place), nbtoolkit.instruments
    odd = place[0] == 1
    chosen = [shelf.loss, shelf.grad_norm, shelf.hessian_trace.using(every=2 if odd else 3), shelf.logit_stats]
    probe: dict[str, object] = {} if odd else {"loss": torch.nn.functional.cross_entropy, "probe": training.batch()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = nbtoolkit.watch(training.net, training.optimizer, instruments=chosen, **probe)  # type: ignore[arg-type]
    training.train(STEPS)
    run.detach()
    leave("unlike", {**told(run), "warned": [str(one.message) for one in caught]})


def unbegun(place: tuple[int, int], folder: Path) -> None:
    """The first process cannot watch: its store is there already."""
    training = Training(CASES["plain"], "ddp", *place)
    result: dict[str, object] = {}
    try:
        run = nbtoolkit.watch(training.net, training.optimizer, store=folder / "first.zarr")
        until(lambda: any("could not begin" in note for note in run.notes))
        training.train(STEPS)
        result = told(run)
    except StoreError as error:
        result = {"error": str(error)}
        training.train(STEPS)
    leave("unbegun", result)


def killed(place: tuple[int, int], folder: Path) -> None:
    """The last process is killed in the middle; the training of the others ends by an exception of its own."""
    training = Training(CASES["plain"], "ddp", *place)
    run = nbtoolkit.watch(training.net, training.optimizer, store=folder / "killed.zarr", name="killed")

    def after(step: int) -> None:
        time.sleep(0.02)
        if place[0] == place[1] - 1 and step == SILENT_FROM:
            run.ranks.mailbox.put = lambda box, data: True  # type: ignore[union-attr, method-assign] - what is left there
        if place[0] == place[1] - 1 and step == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    began, error = 0.0, ""
    try:
        with run:
            training.train(10_000, lambda step: (after(step), times.append(time.monotonic())))
    except RuntimeError as raised:
        began, error = time.monotonic(), type(raised).__name__
    leave("killed", {**told(run), "error": error, "seconds": began - times[-1]})


times: list[float] = []


def main(folder: Path) -> None:
    with joined() as place:
        one_alone(place)
        discovered(place)
        apart(place)
        twice(place, folder)
        unlike(place)
        unbegun(place, folder)
        killed(place, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
