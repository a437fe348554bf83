"""When each instrument is due, and how a budget stretches the costly ones."""

import functools
import math
from collections.abc import Sequence
from typing import Any

from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.stretch import Labels
from nbtoolkit.instruments import Instrument

SMOOTHING = 0.3  # weight of the newest timing


class Attached:
    """An instrument at work in one run: its cadence now, the seconds it takes, what it is given.

    Args:
        instrument: what is attached.
        loop: gives what it needs.
    """

    def __init__(self, instrument: Instrument, loop: Loop) -> None:
        self.instrument = instrument
        self.name = instrument.name
        self.function = functools.partial(instrument.function, **instrument.settings)
        self.memory: dict[str, Any] = {}
        self.gives = [self._own if need == "memory" else getattr(loop, need) for need in instrument.needs]
        self.labels: Labels = {}
        self.labels_version = -1
        self.every = instrument.every
        self.due_at = 0
        self.seconds: float | None = None
        self.exempt = instrument.forward_passes() == 0
        self.always = self.exempt and instrument.every == 1
        self.wants_loss = "loss" in instrument.needs
        self.wants_updates = "updates" in instrument.needs
        self.wants_clock = "clock" in instrument.needs
        self.after_step = self.wants_updates or self.wants_clock
        self.wants_grads_after = self.after_step and "grads" in instrument.needs
        self.is_live = "live_loss" in instrument.needs or ("curvature" in instrument.needs and loop.probe is None)

    def outputs(self) -> Any:
        """Measure: what the instrument's function returns."""
        return self.function(*[give() for give in self.gives])

    def _own(self) -> dict[str, Any]:
        return self.memory

    def timed(self, seconds: float) -> None:
        """Take note of what one measurement took."""
        self.seconds = seconds if self.seconds is None else self.seconds + SMOOTHING * (seconds - self.seconds)


class Due:
    """What is to be measured at one step, split by the moment at which it can be."""

    def __init__(self, items: Sequence[Attached]) -> None:
        self.before = [item for item in items if not item.after_step]
        self.after = [item for item in items if item.after_step]
        self.wants_loss = any(item.wants_loss for item in items)
        self.wants_updates = any(item.wants_updates for item in items)
        self.wants_grads_after = any(item.wants_grads_after for item in items)


class Schedule:
    """Decides what is measured at a step.

    Args:
        instruments: what is attached.
        loop: gives what they need.
        budget: the largest share of training time that the costly instruments may take together.
    """

    def __init__(self, instruments: Sequence[Instrument], loop: Loop, budget: float) -> None:
        self.attached = [Attached(instrument, loop) for instrument in instruments]
        self.budget = budget
        self.stretches = not all(item.exempt for item in self.attached)
        self._always = Due([item for item in self.attached if item.always and not item.is_live])
        self._sometimes = [item for item in self.attached if not item.always and not item.is_live]
        self._live = [item for item in self.attached if item.is_live]
        self._next = 0.0
        self._next_live = 0.0 if self._live else math.inf
        self.has_live = bool(self._live)

    def due(self, step: int) -> Due:
        """What is to be measured at ``step``."""
        if step < self._next:
            return self._always
        due = [item for item in self._sometimes if step >= item.due_at]
        for item in due:
            item.due_at = (step // item.every + 1) * item.every
        self._next = min((item.due_at for item in self._sometimes), default=math.inf)
        return Due([item for item in self.attached if not item.is_live and (item.always or item in due)])

    def live_due(self, step: int) -> bool:
        """Whether anything is to be measured on the graph of the loss of ``step``."""
        return step >= self._next_live

    def take_live(self, step: int) -> list[Attached]:
        """What is to be measured on the graph of the loss of ``step``; it is then due no more."""
        due = [item for item in self._live if step >= item.due_at]
        for item in due:
            item.due_at = (step // item.every + 1) * item.every
        self._next_live = min(item.due_at for item in self._live)
        return due

    def not_taken(self, items: Sequence[Attached], step: int) -> None:
        """What could not be measured at ``step`` after all is due again."""
        for item in items:
            item.due_at = self._next_live = step

    def measured(self, item: Attached, step: int, seconds: float, step_seconds: float | None) -> None:
        """Note what a measurement by a costly instrument took, and fix the next one.

        Args:
            item: what was measured.
            step: where.
            seconds: what it took.
            step_seconds: what a training step takes without measuring, once known.
        """
        item.timed(seconds)
        if step_seconds:
            self._stretch(step_seconds)
        item.due_at = (step // item.every + 1) * item.every
        if item.is_live:
            self._next_live = min(live.due_at for live in self._live)
        else:
            self._next = step + 1

    def _stretch(self, step_seconds: float) -> None:
        """Lengthen the cadence of all costly instruments alike, so that together they keep the budget."""
        costly = [item for item in self.attached if not item.exempt and item.seconds is not None]
        share = sum(item.seconds / (item.instrument.every * step_seconds) for item in costly if item.seconds)
        for item in costly:
            item.every = math.ceil(item.instrument.every * max(1.0, share / self.budget))
