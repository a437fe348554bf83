"""Costly instruments measured by all processes of one job: with DDP, with FSDP2, and where one fails or is missing."""

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import nbtoolkit
from nbtoolkit import Var, instrument
from nbtoolkit import instruments as shelf
from nbtoolkit.capture import alike, ranks
from nbtoolkit.errors import WatchError
from tests.ranks.launch import joined, leave
from tests.ranks.problems import CASES, Training

STEPS = 3
CURVED = (
    shelf.sharpness.using(every=1, products=30), shelf.top_eigenvalues.using(every=2, top=2),
    shelf.hessian_density.using(every=2, probes=2, steps=6), shelf.hessian_trace.using(every=2, probes=4),
    shelf.layer_sharpness.using(every=2, products=8), shelf.preconditioned_sharpness.using(every=1),
)  # fmt: skip
PROBED = (
    *CURVED, shelf.top_subspace_motion.using(every=2, top=2), shelf.gradient_noise_scale.using(every=2, groups=4),
    shelf.gradient_noise_scale.using(every=2, groups=3, small=4, method="two_batch", name="two_batch"),
    shelf.batch_hessian_extremes.using(every=2, sizes=(4, 8), steps=4), shelf.perturbed_loss_gap.using(every=2),
    shelf.trajectory_pca.using(every=1), shelf.weight_stats.using(every=1),
)  # fmt: skip
FEW = (*CURVED[:3], PROBED[7])
FREE = {"budget": float("inf")}


def probe(sizes: Sequence[int] = (24,), dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    """Batches of these sizes."""
    draw = torch.Generator().manual_seed(2)
    return [
        (torch.randn(n, 7, dtype=torch.float64, generator=draw).to(dtype), torch.randint(0, 3, (n,), generator=draw))
        for n in sizes
    ]


def parts(rank: int, count: int) -> list[tuple[Tensor, Tensor]]:
    """A probe that each process has a part of, none as large as another."""
    sizes = [4 + 3 * place for place in range(count)]
    every = list(zip(*(torch.cat(side).split(sizes) for side in zip(*probe((sum(sizes),)), strict=True)), strict=True))
    return [every[rank]]


@instrument(outputs={"first_product": Var((), "1", "first number of a product")}, cost=lambda s: 8)
def uneven(curvature: Any, loss: Any, /, *, fails: int = 0, longer: int = -1) -> dict[str, Any]:
    """A product; in one process it fails afterwards, or one more is made."""
    rank = torch.distributed.get_rank()
    matrix = curvature.hessian()
    found = matrix(torch.ones(matrix.size, dtype=matrix.dtype))
    if rank == fails:
        raise ValueError("this one has had enough")
    return {"first_product": found[0] + (matrix(found)[0] if rank == longer else 0)}


@instrument(outputs={"nothing": Var((), "1", "nothing")}, cost=lambda s: 8)
def slow(curvature: Any, /, *, seconds: float = 0.0, lag: float = 0.0) -> dict[str, Any]:
    """A measurement that takes long, and longer in each further process."""
    time.sleep(seconds + lag * torch.distributed.get_rank())
    return {"nothing": 0.0}


def watched(
    training: Training, instruments: Sequence[Any], steps: int = STEPS,
    after: Callable[[int], Any] = lambda step: None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """What is measured while some steps are made, and the state that they lead to."""
    run = nbtoolkit.watch(training.model, training.optimizer, instruments=instruments, **{**FREE, **options})
    training.train(steps, after)
    run.detach()
    return {"data": run.data.to_dict(), "notes": list(run.notes), "state": training.state()}


def compared(kind: str, rank: int, count: int, case: str = "clipped", **options: Any) -> dict[str, Any]:
    """The same, and whether the training is that of an unwatched one to the last bit."""
    plain = Training(CASES[case], kind, rank, count)
    plain.train(STEPS)
    some = PROBED if "probe" in options else CURVED
    some = (FEW if "probe" in options else CURVED[:3]) if count > 2 or case == "tied" else some
    found = watched(Training(CASES[case], kind, rank, count), some, **options)
    return {**found, "same": equal(plain.state(), found["state"])}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def wrapper(rank: int, count: int, **how: Any) -> dict[str, Any]:
    """Live sharpness at every step under a DDP that finds unused parameters, or whose graph is static."""

    def training() -> Training:
        made = Training(CASES["plain"], "ddp", rank, count)
        made.model = DistributedDataParallel(made.net, **how)
        return made

    plain = training()
    plain.train(STEPS)
    found = watched(training(), [shelf.sharpness.using(every=1)])
    return {**found, "same": equal(plain.state(), found["state"])}


def unlike(rank: int, count: int) -> dict[str, Any]:
    """One seed differs, and one instrument is in the first process only; the rest is measured."""
    other = [shelf.sharpness.using(every=1, seed=rank), *[shelf.hessian_trace.using(every=1)][rank:]]
    some = [*other, shelf.preconditioned_sharpness.using(every=1), shelf.loss]
    return watched(Training(CASES["plain"], "ddp", rank, count), some)


def budget(rank: int, count: int) -> dict[str, Any]:
    """A process that is slow by itself, in its steps and in its measurements."""
    lag = 0.004
    return watched(
        Training(CASES["plain"], "ddp", rank, count), [slow.using(every=2, seconds=0.01, lag=lag)], 120,
        lambda step: time.sleep(0.002 + lag * rank * (step % 2)), budget=0.1,
    )  # fmt: skip


def failing(rank: int, count: int) -> dict[str, Any]:
    data = {"loss": F.cross_entropy, "probe": probe()[0]}
    some = [
        uneven.using(every=1, fails=1), uneven.using(every=1, fails=-1, longer=1, name="apart"),
        shelf.sharpness.using(every=1),
    ]  # fmt: skip
    return watched(Training(CASES["plain"], "ddp", rank, count), some, **data)


def between(rank: int, count: int) -> dict[str, Any]:
    """Measured once between steps; a twin, which there is none of."""
    training = Training(CASES["plain"], "ddp", rank, count)
    run = nbtoolkit.watch(training.model, training.optimizer, instruments=[shelf.loss], name="many")
    training.train(1)
    run.measure("sharpness", loss=F.cross_entropy, probe=probe()[0])
    said = refused(lambda: run.fork(training.step, steps=1))
    run.detach()
    run.measure("sharpness", loss=F.cross_entropy, probe=probe()[0])
    return {"data": run.data.to_dict(), "notes": list(run.notes), "fork": said}


def missing(rank: int, count: int) -> dict[str, Any]:
    """Rank 1 measures nothing: the others wait in vain twice, and then no more."""
    ranks.MEET_SECONDS = 0.4
    alike.compared = lambda told: ""  # else this would be said at once, and nobody would wait for anybody
    some = [shelf.loss] if rank == 1 else [shelf.loss, shelf.sharpness.using(every=1)]
    training = Training(CASES["plain"], "ddp", rank, count)
    started = time.monotonic()
    return {**watched(training, some, 6, loss=F.cross_entropy, probe=probe()[0]), "took": time.monotonic() - started}


def refused(work: Callable[[], Any]) -> str:
    try:
        work()
    except WatchError as error:
        return str(error)
    return ""


def scenes(rank: int, count: int) -> dict[str, Callable[[], dict[str, Any]]]:
    data: dict[str, Any] = {"loss": F.cross_entropy}
    whole = {
        "live": lambda: compared("ddp", rank, count),
        "fsdp": lambda: compared("fsdp", rank, count, probe=probe((12, 8, 4)), **data),
    }
    if count > 2:
        return whole | {"hsdp": lambda: compared("hsdp", rank, count, probe=probe((12, 8, 4)), **data)}
    return whole | {
        "tied": lambda: compared("fsdp", rank, count, "tied", probe=probe((12, 8, 4)), **data),
        "own part": lambda: watched(
            Training(CASES["plain"], "ddp", rank, count), [shelf.effective_rank.using(every=2), shelf.loss]
        ),
        "unlike": lambda: unlike(rank, count),
        "frozen": lambda: compared("ddp", rank, count, "frozen"),
        "ddp": lambda: compared("ddp", rank, count, probe=probe((12, 8, 4)), **data),
        "cut": lambda: compared("ddp", rank, count, probe=probe(), **data),
        "parts": lambda: watched(
            Training(CASES["clipped"], "ddp", rank, count), PROBED, probe=parts(rank, count), **data
        ),
        "function": lambda: watched(
            Training(CASES["clipped"], "ddp", rank, count), CURVED, probe=of_model
        ),
        "no probe": lambda: watched(Training(CASES["plain"], "fsdp", rank, count), [shelf.sharpness]),
        "unused": lambda: wrapper(rank, count, find_unused_parameters=True),
        "static": lambda: wrapper(rank, count, static_graph=True),
        "budget": lambda: budget(rank, count), "failing": lambda: failing(rank, count),
        "between": lambda: between(rank, count), "missing": lambda: missing(rank, count),
    }  # fmt: skip


def of_model(model: nn.Module) -> Tensor:
    """A loss that is no mean over examples."""
    return model(probe()[0][0]).square().sum()


def main() -> None:
    with joined() as (rank, count):
        for name, scene in scenes(rank, count).items():
            torch.distributed.barrier()
            leave(name, scene())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
