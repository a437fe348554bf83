"""When what is asked of a loop is carried out: after a step, and not while a GradScaler is still at work on it."""

import sys
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from torch.amp.grad_scaler import GradScaler

if TYPE_CHECKING:
    from nbtoolkit.capture.clock import Clock
    from nbtoolkit.capture.control import Control


class Turns:
    """The moments of one run at which its thread may wait or be stopped.

    An exception within ``scaler.step()`` would leave the scaler in the middle of a step, of which only
    ``scaler.update()`` is the end.

    Args:
        control: of the run.
        optimizer: whose steps are made.
        clock: of the steps.
    """

    def __init__(self, control: "Control", optimizer: Any, clock: "Clock") -> None:
        self._control, self._clock, self._place = control, clock, id(optimizer)
        self.scaler: GradScaler | None = None  # that was at work when something was asked for
        self.deferred = False  # until the end of a call that makes a step

    def step_made(self) -> None:
        """The optimizer's own work is done."""
        if self.deferred:
            return
        self.scaler = at_work()
        if self.scaler is None:
            self._obey()

    def updated(self, stepped: Container[int]) -> None:
        """A GradScaler is done with a step of these optimizers, made or skipped."""
        if self._place in stepped and not self.deferred:
            self._obey()

    def call_ended(self) -> None:
        """A call that makes a step is over, with all that belongs to the step."""
        if self._control.orders:
            self._obey()

    def backward_comes(self) -> None:
        """The next step begins; a scaler with an ``update()`` of its own has told nobody."""
        if self.scaler is not None and self._place not in self.scaler._per_optimizer_states:
            self._obey()

    def _obey(self) -> None:
        self.scaler = None
        try:
            self._control.obey()
        finally:
            self._clock.step_ended()


def at_work() -> GradScaler | None:
    """The GradScaler within whose ``step()`` this thread is."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "step" and frame.f_globals.get("__name__") == GradScaler.__module__:
            scaler = frame.f_locals.get("self")
            return scaler if isinstance(scaler, GradScaler) and scaler.is_enabled() else None
        frame = frame.f_back
    return None
