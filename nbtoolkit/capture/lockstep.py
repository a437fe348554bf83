"""Measurements that all processes of a job make together, at the same step and in the same order."""

import contextlib
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.capture.ranks import Ranks
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument
from nbtoolkit.numerics.graphs import nodes

MORE, DONE, FAILED = 1.0, 2.0, 3.0  # what a process says of itself: it sums on, has measured, cannot
NUMBERS = 4  # that each says: one of these, the size of what it sums, seconds of the measurement and of a step
TOLD = 160  # bytes of the reason that a process has
MISSES = 2  # meetings in a row to which not all came, after which there are no more
APART = "the processes went different ways within the measurement, so that nothing can be summed"
OVER = "{reason}; nothing is measured by all processes together any more"
CLOSED = "sums over processes are made only while an instrument measures"
ENQUEUED = "_static_graph_delay_allreduce_enqueued"  # of DistributedDataParallel

_known: "weakref.WeakKeyDictionary[Ranks, Lockstep]" = weakref.WeakKeyDictionary()


class Outcome:
    """The outcome of one measurement by all processes.

    Attributes:
        outputs: of this one, or the exception that is the reason why there are none.
        seconds: that it took; None where they did not meet.
        step_seconds: of a training step of the first process, if it knows.
    """

    def __init__(self, outputs: Any, seconds: float | None = None, step_seconds: float | None = None) -> None:
        self.outputs, self.seconds, self.step_seconds = outputs, seconds, step_seconds


class Lockstep:
    """What all processes measure together.

    Before every sum, and at the end of a measurement, each tells the others how it stands: where one has failed, or
    took another way, all end the measurement there, and nobody waits for a sum that never comes.

    Args:
        ranks: the processes.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.over = ""  # why nothing is measured together any more
        self._misses = 0
        self._table: Tensor | None = None  # what all have said last
        self._ended: WatchError | None = WatchError(CLOSED)  # None while a measurement is under way

    def measure(self, what: str, work: Callable[[], Any], step_seconds: float | None = None) -> Outcome:
        """Let all processes do the same work, which may call `total`.

        Args:
            what: they do; the same words in every process.
            work: returns the outputs.
            step_seconds: of a training step of this process, if known.
        """
        if self.over:
            return Outcome(WatchError(self.over))
        try:
            self.ranks.meet(what)
        except WatchError as error:
            self._misses += 1
            if self._misses >= MISSES:
                self.over = OVER.format(reason=error)
            return Outcome(error)
        self._misses, self._ended, self._table = 0, None, None
        started = perf_counter()
        try:
            outputs = work()
        except BaseException as error:
            outputs = error
        self._close(outputs, perf_counter() - started, step_seconds)
        if isinstance(outputs, BaseException) and not isinstance(outputs, Exception):
            raise outputs
        if self._ended is not None and not isinstance(outputs, Exception):
            outputs = self._ended
        self._ended = WatchError(CLOSED)
        if self._table is None:
            return Outcome(outputs)
        step = float(self._table[0, 3])
        return Outcome(outputs, float(self._table[:, 2].max()), None if math.isnan(step) else step)

    def total(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Sums over all processes, the same bits in each.

        Raises:
            WatchError: another process cannot give its part.
        """
        self.agree(sum(tensor.numel() for tensor in tensors))
        return self._summed(tensors)

    def agree(self, size: int) -> None:
        """Hear that all are ready for the same collective, of this size.

        Raises:
            WatchError: another process is not.
        """
        if self._ended is not None:
            raise self._ended
        self._tell(MORE, size)

    def _close(self, outputs: Any, seconds: float, step_seconds: float | None) -> None:
        """The end of a measurement, unless it has ended already."""
        if self._ended is not None:
            return
        failed = isinstance(outputs, BaseException)
        step = math.nan if step_seconds is None else step_seconds
        why = f"{type(outputs).__name__}: {outputs}" if failed else ""
        try:
            self._tell(FAILED if failed else DONE, 0, seconds, step, why=why)
        except WatchError as error:
            self._ended = error

    def _tell(self, how: float, size: int, seconds: float = 0.0, step: float = math.nan, why: str = "") -> None:
        """Say how this process stands, and hear how all do.

        Raises:
            WatchError: not all say the same; the measurement ends here, in every process.
        """
        table = torch.zeros(self.ranks.count, NUMBERS, dtype=torch.float64)
        table[self.ranks.rank] = torch.tensor([how, size, seconds, step], dtype=torch.float64)
        (table,) = self._summed([table])
        self._table = table
        said = table[:, :2]
        if bool((said == said[0]).all()) and how != FAILED:
            return
        reason = APART
        if bool((said[:, 0] == FAILED).any()):
            told = torch.zeros(self.ranks.count, TOLD, dtype=torch.int64)
            words = list(why.splitlines()[0].encode()[:TOLD]) if why else []
            told[self.ranks.rank, : len(words)] = torch.tensor(words, dtype=torch.int64)
            (told,) = self._summed([told])
            reason = _words(said[:, 0], told)
        self._ended = WatchError(reason)
        raise self._ended

    def _summed(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        try:
            return self.ranks.total(tensors)
        except RuntimeError as error:  # a process has died, or the network has
            self.over = OVER.format(reason=f"the processes cannot sum: {str(error).splitlines()[0]}")
            self._ended = WatchError(self.over)
            raise self._ended from None


def of(ranks: Ranks) -> Lockstep:
    """What these processes measure together."""
    return _known.setdefault(ranks, Lockstep(ranks))


def is_joint(instrument: Instrument, ranks: Ranks | None) -> bool:
    """Whether all processes measure it together: it is costly, or needs tensors of which each holds a part."""
    if ranks is None:
        return False
    return instrument.forward_passes() != 0 or needs_whole(instrument, ranks)


def needs_whole(instrument: Instrument, ranks: Ranks | None) -> bool:
    """Whether it is given tensors gathered from all processes: it does not say how to combine what each has."""
    return ranks is not None and ranks.sharded and not instrument.combine and bool(TENSORS & {*instrument.needs})


TENSORS = {
    "params", "initial_params", "grads", "updates", "optimizer_state", "curvature", "loss_at", "loss_at_or_none",
    "activations", "trajectory", "tasks", "forks", "term_grads",
}  # fmt: skip


@contextlib.contextmanager
def reducers_at_rest(loss: Tensor) -> Iterator[None]:
    """Data-parallel wrappers in the graph of a loss do not take our derivatives for the training's.

    In the first pass of ``static_graph=True`` any derivative would call for a reduction of the gradients.
    """
    found = {id(one): one for node in nodes([loss]) if (one := _wrapper(node)) is not None}
    before = {key: vars(one)[ENQUEUED] for key, one in found.items() if ENQUEUED in vars(one)}
    try:
        for key in before:
            setattr(found[key], ENQUEUED, True)
        yield
    finally:
        for key, value in before.items():
            setattr(found[key], ENQUEUED, value)


def _wrapper(node: Any) -> Any:
    refers = getattr(node, "ddp_weakref", None)
    return None if refers is None else refers()


def _words(said: Tensor, told: Tensor) -> str:
    """Which processes could not measure, and why the first of them could not."""
    failed = (said == FAILED).nonzero().flatten().tolist()
    text = bytes(int(byte) for byte in told[failed[0]].tolist() if byte).decode(errors="replace")
    return f"rank{'s' * (len(failed) > 1)} {', '.join(map(str, failed))} could not measure: {text}"
