"""When each instrument is due, and how a budget stretches the costly ones."""

import math
from collections.abc import Sequence

from nbtoolkit.instruments import Instrument

SMOOTHING = 0.3  # weight of the newest timing


class Attached:
    """An instrument at work in one run: its cadence now, and the seconds it takes."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.every = instrument.every
        self.due_at = 0
        self.seconds: float | None = None
        self.exempt = instrument.forward_passes() == 0
        self.wants_updates = "updates" in instrument.needs
        self.after_step = self.wants_updates or "clock" in instrument.needs

    def timed(self, seconds: float) -> None:
        """Take note of what one measurement took."""
        self.seconds = seconds if self.seconds is None else self.seconds + SMOOTHING * (seconds - self.seconds)


class Schedule:
    """Decides what is measured at a step.

    Args:
        instruments: what is attached.
        budget: the largest share of training time that the costly instruments may take together.
    """

    def __init__(self, instruments: Sequence[Instrument], budget: float) -> None:
        self.attached = [Attached(instrument) for instrument in instruments]
        self.budget = budget
        self.stretches = not all(item.exempt for item in self.attached)

    def due(self, step: int) -> list[Attached]:
        """What is to be measured at ``step``."""
        return [item for item in self.attached if step >= item.due_at]

    def measured(self, item: Attached, step: int, seconds: float, step_seconds: float | None) -> None:
        """Note a measurement that took ``seconds``, and fix the next one.

        Args:
            item: what was measured.
            step: where.
            seconds: what it took.
            step_seconds: what a training step takes without measuring, once known.
        """
        if not item.exempt:
            item.timed(seconds)
            if step_seconds:
                self._stretch(step_seconds)
        item.due_at = (step // item.every + 1) * item.every

    def _stretch(self, step_seconds: float) -> None:
        """Lengthen the cadence of all costly instruments alike, so that together they keep the budget."""
        costly = [item for item in self.attached if not item.exempt and item.seconds is not None]
        share = sum(item.seconds / (item.instrument.every * step_seconds) for item in costly if item.seconds)
        for item in costly:
            item.every = math.ceil(item.instrument.every * max(1.0, share / self.budget))
