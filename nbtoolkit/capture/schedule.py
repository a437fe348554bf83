"""When each instrument is due, and how a budget stretches the costly ones."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from nbtoolkit.capture import lockstep, whole
from nbtoolkit.capture.loop import Loop
from nbtoolkit.capture.stretch import Labels
from nbtoolkit.instruments import Instrument

SMOOTHING = 0.3  # weight of the newest timing
WARM = 0.25  # of the time of a first measurement, in which much is done once and for all


class Attached:
    """An instrument at work in one run: its cadence now, the seconds it takes, what it is given.

    Args:
        instrument: what is attached.
        loop: gives what it needs.
        draft: told of every stage of an instrument that has several: the instrument, its outputs, their labels; and
            of the interrupt that ended one early.
        memory: of the instrument's own.
    """

    once = False  # it is measured once, and then no more

    def __init__(
        self, instrument: Instrument, loop: Loop, draft: Callable[..., None] | None = None,
        memory: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.instrument = instrument
        self.name = instrument.name
        self.function = functools.partial(instrument.function, **instrument.settings)
        if instrument.progressive:
            self.function = functools.partial(self._last_stage, loop, draft or (lambda *_: None))
        self.memory: dict[str, Any] = {} if memory is None else memory
        self.joint = lockstep.is_joint(instrument, loop.ranks)  # all processes measure it together
        source: Any = whole.of(loop) if self.joint else loop
        self.gives = [self._own if need == "memory" else getattr(source, need) for need in instrument.needs]
        self.labels: Labels = {}
        self.labels_version = -1
        self.every = instrument.every
        self.measured_at: int | None = None
        self.seconds: float | None = None
        self.times = 0  # measured
        self.first = 0  # the step at which it is due at first
        self.since = 0  # the step from which it has been measured at this cadence
        self.dense_until = 0  # up to here it is measured at every step
        self.exempt = instrument.forward_passes() == 0
        self.always = self.exempt and instrument.every == 1
        self.wants_loss = "loss" in instrument.needs
        self.wants_updates = "updates" in instrument.needs
        self.wants_clock = "clock" in instrument.needs
        self.after_step = self.wants_updates or self.wants_clock
        self.wants_grads_after = self.after_step and "grads" in instrument.needs
        self.is_live = "live_loss" in instrument.needs or ("curvature" in instrument.needs and loop.probe is None)

    @property
    def due_at(self) -> int:
        """The next step at which it is to be measured."""
        if self.measured_at is not None and self.measured_at + 1 < self.dense_until:
            return self.measured_at + 1
        return self.first if self.measured_at is None else (self.measured_at // self.every + 1) * self.every

    def outputs(self) -> Any:
        """Measure: what the instrument's function returns."""
        return self.function(*[give() for give in self.gives])

    def begin_dense(self, step: int) -> None:
        """A task begins or ends at ``step``."""
        if self.instrument.dense is not None:
            self.dense_until = step + int(self.instrument.dense(self.instrument.settings))

    def follow(self, loop: Loop) -> None:
        """A step is about to be made."""
        assert self.instrument.follow is not None
        self.instrument.follow(loop.params(), self.memory, **self.instrument.settings)

    def _last_stage(self, loop: Loop, draft: Callable[..., None], *needs: Any) -> Any:
        """The outputs of the last stage; where an interrupt ends it early, of the last one complete."""
        outputs, labels = None, loop.labels(self.instrument)
        try:
            for outputs in self.instrument.stages(*needs):
                draft(self.instrument, outputs, labels)
        except KeyboardInterrupt as interrupt:
            if outputs is None:
                raise
            draft(self.instrument, outputs, labels, interrupt)
        return outputs

    def _own(self) -> dict[str, Any]:
        return self.memory

    def timed(self, seconds: float) -> None:
        """Take note of what one measurement took."""
        self.times += 1
        if self.seconds is None:
            self.seconds = WARM * seconds
        else:
            self.seconds = seconds if self.times == 2 else self.seconds + SMOOTHING * (seconds - self.seconds)


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
        draft: as `Attached` takes it.
        memories: of instruments by name, kept beyond the run.
    """

    def __init__(
        self, instruments: Sequence[Instrument], loop: Loop, budget: float,
        draft: Callable[..., None] | None = None, memories: dict[str, dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        kept = {} if memories is None else memories
        self.budget = budget
        self.attached: list[Attached] = []
        self.at_boundaries: list[Attached] = []
        self.followers: list[Attached] = []
        self._always = Due([])
        self._sometimes: list[Attached] = []
        self._live: list[Attached] = []
        self.stretches = self.has_live = False
        self.step_seconds: float | None = None  # of a training step without measuring, once known
        self._joins = loop.ranks is not None
        self._agreed: float | None = None  # seconds of a step as of the last measurement by all processes
        self._next = self._next_live = 0.0
        for one in instruments:
            self.attach(Attached(one, loop, draft, kept.setdefault(one.name, {})))

    def go_on_from(self, step: int) -> None:
        """Of a training that goes on after ``step``, all is due where it would have been."""
        for item in self.attached:
            item.first = -(-step // item.every) * item.every
        self.plan()

    def attach(self, item: Attached) -> None:
        """Measure one more from now on."""
        self.attached.append(item)
        if item.instrument.follow is not None:
            self.followers.append(item)
        if item.instrument.at_boundaries:
            self.at_boundaries.append(item)
        elif item.is_live:
            self._live.append(item)
        elif item.always and type(item) is Attached:
            self._always = Due([*self._always.before, *self._always.after, item])
        else:
            self._sometimes.append(item)
        self._changed()

    def remove(self, item: Attached) -> None:
        """Measure it no more."""
        for held in (self.attached, self.followers, self.at_boundaries, self._live, self._sometimes):
            held[:] = [other for other in held if other is not item]
        self._always = Due([other for other in (*self._always.before, *self._always.after) if other is not item])
        self._changed()

    def _changed(self) -> None:
        self.has_live = bool(self._live)
        self.stretches = not all(item.exempt for item in self.attached if not item.instrument.at_boundaries)
        self.plan()

    def of(self, name: str) -> Attached | None:
        """What measures this at its cadence, if anything does."""
        return next((item for item in self.attached if item.name == name and not item.once), None)

    def asked(self, name: str) -> list[Attached]:
        """What waits to measure this once."""
        return [item for item in self.attached if item.name == name and item.once and item.measured_at is None]

    def detach(self, name: str) -> Instrument | None:
        """Measure an instrument no more; returns it, if it was attached."""
        item = self.of(name)
        if item is not None:
            self.remove(item)
        return None if item is None else item.instrument

    def boundary(self, step: int) -> None:
        """A task begins or ends at ``step``."""
        for item in self.attached:
            item.begin_dense(step)
        self.plan()

    def wants(self, need: str, step: int) -> bool:
        """Whether something that needs this is to be measured at ``step``."""
        always = any(need in item.instrument.needs for item in (*self._always.before, *self._always.after))
        return always or any(
            need in item.instrument.needs and step >= item.due_at for item in (*self._sometimes, *self._live)
        )

    def due(self, step: int) -> Due:
        """What is to be measured at ``step``; it is then due no more."""
        if step < self._next:
            return self._always
        due = self._take(self._sometimes, step)
        always = (*self._always.before, *self._always.after)
        return Due([item for item in self.attached if item in always or item in due])

    def live_due(self, step: int) -> bool:
        """Whether anything is to be measured on the graph of the loss of ``step``."""
        return step >= self._next_live

    def take_live(self, step: int) -> list[Attached]:
        """What is to be measured on the graph of the loss of ``step``; it is then due no more."""
        return self._take(self._live, step)

    def not_taken(self, items: Sequence[Attached]) -> None:
        """What could not be measured after all is due again."""
        for item in items:
            item.measured_at = None
        self.plan()

    def measured(self, item: Attached, seconds: float, step_seconds: float | None = None) -> None:
        """Note what a measurement by a costly instrument took; of several processes what they agree on."""
        item.timed(seconds)
        if item.joint:
            self._agreed = step_seconds
        self._stretch()
        self.plan()

    def _take(self, items: Sequence[Attached], step: int) -> list[Attached]:
        self._stretch()  # the time of a step may be known better than when the last measurement was made
        due = [item for item in items if step >= item.due_at]
        for item in due:
            item.measured_at = step
        self.plan()
        return due

    def kept_rare(self, began: int, step: int) -> list[str]:
        """What the budget has kept from being measured as often as was asked for, in words, between these steps."""
        told = []
        for item in (*self._sometimes, *self._live):
            wanted = -(-(step - max(began, item.since)) // item.instrument.every)
            by_cadence = type(item) is Attached and not item.exempt and item.instrument.dense is None
            if by_cadence and item.times < 0.5 * wanted:
                told.append(f"{item.name} {item.times} of {wanted} times")
        return told

    def plan(self) -> None:
        """Find the steps before which nothing is due."""
        self._next = min((item.due_at for item in self._sometimes), default=math.inf)
        self._next_live = min((item.due_at for item in self._live), default=math.inf)

    def _stretch(self) -> None:
        """Lengthen the cadence of all costly instruments alike, so that together they keep the budget."""
        step_seconds = self._agreed if self._joins else self.step_seconds
        if not step_seconds:
            return
        costly = [item for item in (*self._sometimes, *self._live) if not item.exempt and item.seconds is not None]
        share = sum(item.seconds / (item.instrument.every * step_seconds) for item in costly if item.seconds)
        for item in costly:
            item.every = math.ceil(item.instrument.every * max(1.0, share / self.budget))
