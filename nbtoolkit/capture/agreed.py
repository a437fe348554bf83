"""An order that several processes carry out after the same step; see `agreement`."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from nbtoolkit.capture.orders import Order
from nbtoolkit.errors import TrainingStopped, WatchError

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

REST_SECONDS = 0.25  # between two looks whether the run still goes on
UNDECIDED = "the first process did not say at which step; nothing was done here"


class End(Order):
    """The watch ends; the training goes on."""

    def carry_out(self, run: "Run", *, own: bool = False) -> str:
        """After the next step, on the thread that makes it."""
        run.detach("failed")
        return ""


class Agreed(Order):
    """An order that is carried out after the step that is agreed on.

    Args:
        order: what is wanted.
        limit: seconds that it holds the training while nothing is decided.
        begun: told when it has been carried out here, or has failed: the reason.

    Attributes:
        over: it has been carried out here, or has failed.
    """

    def __init__(self, order: Order, limit: float, begun: Callable[[str], None] = lambda reason: None) -> None:
        self.order, self._limit, self._begun = order, limit, begun
        self.waits, self.holds, self.ends = order.waits, order.holds, order.ends  # type: ignore[misc]
        self.known, self.over = threading.Event(), threading.Event()
        self.at: int | None = None
        self.reason = ""
        self._started = False

    def __str__(self) -> str:
        """As one would ask for it."""
        return str(self.order)

    def decide(self, at: int | None, reason: str = "") -> None:
        """Let it be done after step ``at``, or not at all."""
        if not self.known.is_set():
            self.at, self.reason = at, reason
            self.known.set()

    def carry_out(self, run: "Run", *, own: bool = False) -> str | None:
        """Wait until it is decided; None before the step agreed on."""
        if self._started:  # what is measured within a step
            return self.order.carry_out(run)
        try:
            self._wait(run)
        except BaseException as error:  # an interrupt: it is not done here
            self._end(type(error).__name__)
            raise
        if self.at is None:
            raise WatchError(f"{self.order}: {self.reason}")
        if run.step < self.at and not run.control.holding and run.control.pause is None:
            return None
        self._started, reason = True, ""
        try:
            return self.order.carry_out(run)
        except TrainingStopped:
            raise
        except Exception as error:
            reason = str(error)
            raise
        finally:
            self._end(reason)

    def _end(self, reason: str) -> None:
        self.over.set()
        self._begun(reason)

    def _wait(self, run: "Run") -> None:
        end = monotonic() + self._limit
        while not self.known.wait(REST_SECONDS):
            if monotonic() > end or run.state != "watching":
                self.decide(None, UNDECIDED)
