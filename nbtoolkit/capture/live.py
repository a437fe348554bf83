"""Measurements on the graph of a step's own loss, made just before backward() uses it up.

Before, and not on a graph that is kept: nothing that the loop would have freed is held, and a backward pass that
does not allow its graph to be kept (compiled models) is not asked to.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nbtoolkit.capture import whole
from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.losses import Losses
from nbtoolkit.capture.schedule import Attached, Schedule
from nbtoolkit.errors import WatchError
from nbtoolkit.numerics.curvature import GIVE_PROBE

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

NOT_YET = {"grads", "updates", "clock", "loss"}  # what a step gives only later
SEVERAL = f"the loss of a step comes in {{count}} backward passes, so that no one graph holds it; {GIVE_PROBE}"
LATER = "{name} needs {needs}, which exist only after backward(), when the graph of the loss is used up; " + GIVE_PROBE
NOT_TWICE = f"the loss of this step cannot be differentiated twice ({{error}}); {GIVE_PROBE}"
UNSEEN = "no backward() on a loss of these parameters was seen in this step"


class Live:
    """The measurements on one optimizer's live losses; a value counts once its step is made by this loss alone.

    Args:
        run: takes what is measured.
        loop: gives what instruments need.
        losses: know whose a loss is.
        schedule: says what is due.
        measured: measures one item: its outputs, or the exception that it raised.
    """

    def __init__(
        self, run: "Run", loop: Loop, losses: Losses, schedule: Schedule, measured: Callable[[Attached], Any]
    ) -> None:
        self.run, self.loop, self.losses, self.schedule, self.measured = run, loop, losses, schedule, measured
        self._waiting: list[tuple[Attached, Any]] = []
        self._passes = 1  # in the step before
        self._first = True
        self._early = False  # the backward passes of this step began before anything was due
        self._due = False

    def wants(self, step: int) -> bool:
        """Whether anything is to be measured in the backward pass that begins."""
        self._due = self._due or self.schedule.live_due(step)
        self._early = not self._due
        return self._due

    def measure(self, losses: Sequence[Tensor]) -> None:
        """Measure what is due, if backward is about to be called on this step's first loss."""
        if self.losses.pending or self._passes > 1:
            return
        try:
            loss = self.losses.live(losses)
        except WatchError as error:
            self._waiting = [(item, error) for item in self.schedule.take_live(self.run.step)]
            return
        if loss is None:
            return
        self.drop()
        self.loop.current_live_loss = loss
        try:
            for item in self.schedule.take_live(self.run.step):
                later = [need for need in item.instrument.needs if need in NOT_YET]
                wrong = WatchError(LATER.format(name=item.name, needs=", ".join(later)))
                self._waiting.append((item, wrong if later else _explained(self.measured(item))))
        finally:
            self.loop.let_go()
            if self.loop.ranks is not None:
                whole.of(self.loop).let_go()

    def drop(self) -> None:
        """The gradients were thrown away, and with them the loss that was measured."""
        if self._waiting:
            self.schedule.not_taken([item for item, _ in self._waiting])
            self._waiting = []

    def settle(self) -> None:
        """The step is about to be made: keep what was measured, or say why not."""
        passes, first = self.losses.pending, self._first
        self._passes, self._first = max(passes, 1), False
        reason = WatchError(SEVERAL.format(count=passes) if passes > 1 else UNSEEN)
        early, self._early, self._due = self._early, False, False
        if not self._waiting and self.schedule.live_due(self.run.step) and not (early or (first and passes <= 1)):
            # The first loss of a run found by itself is seen too late, and so is one that was not yet due.
            self._waiting = [(item, reason) for item in self.schedule.take_live(self.run.step)]
        waiting, self._waiting = self._waiting, []
        for item, outputs in waiting:
            self.run.measured(item.instrument, reason if passes > 1 else outputs, self.loop.labels(item.instrument))


def _explained(outputs: Any) -> Any:
    """What was measured; autograd's own errors with what to do about them."""
    if isinstance(outputs, RuntimeError) and not isinstance(outputs, torch.OutOfMemoryError):
        return WatchError(NOT_TWICE.format(error=str(outputs).splitlines()[0]))
    return outputs
