"""Instruments asked for while a loop runs: what can be measured in it, and how."""

import difflib
from typing import TYPE_CHECKING, Any

from nbtoolkit.capture import once
from nbtoolkit.capture.loop import NO_PROBE, NO_TASKS, NO_TERMS, Loop
from nbtoolkit.capture.schedule import Attached
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument, known
from nbtoolkit.numerics.given import shown

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

NO_FORKS = "compares the run with its forks, and there is none; make one by run.fork()"
TOO_LATE = "needs the parameters at the beginning, which were not kept; name it when watching begins"
AT_BOUNDARIES = "is measured when a task begins or ends, and has no other cadence"
AT_COPIES = "is measured where a fork has left copies, and has no other cadence"
OTHERS = "is the name of something else in this run; rename one"


def found(run: "Run", name: Any) -> Instrument:
    """An instrument of the run, or on the shelf, by its name; as it is if it is one.

    Raises:
        WatchError: there is none.
    """
    if isinstance(name, Instrument):
        return name
    shelf = {**known(), **run.instruments}
    if isinstance(name, str) and name in shelf:
        return shelf[name]
    close = difflib.get_close_matches(name[:100], list(shelf), n=1) if isinstance(name, str) else []
    hint = f"did you mean {close[0]!r}?" if close else "nbtoolkit.instruments.known() has all of them."
    raise WatchError(f"{shown(name)} is no instrument; {hint}")


def name_of(instrument: Any) -> Any:
    """The name of an instrument, or what stands for one."""
    return instrument.name if isinstance(instrument, Instrument) else instrument


def obstacle(run: "Run", instrument: Instrument, *, cadence: bool = False) -> str:
    """Why an instrument cannot be measured in this loop, at a ``cadence`` or at all: "needs ..."; empty if it can."""
    steps = run.steps
    if steps is None:
        return f"needs a loop, and {run.name} is {run.state}"
    loop, needs = steps.loop, instrument.needs
    attached = steps.schedule.of(instrument.name)
    held = run.record.groups.get(instrument.name)
    reason = ""
    if held is not None and held.variables.keys() != instrument.outputs.keys():
        reason = OTHERS
    elif "loss_at" in needs and loop.probe is None:
        reason = NO_PROBE
    elif "tasks" in needs and run.subject is not None and run.subject.probing["tasks"] is None:
        reason = NO_TASKS
    elif "term_grads" in needs and not loop.loss_terms():
        reason = NO_TERMS
    elif "forks" in needs and (run.subject is None or not run.subject.forks):
        reason = NO_FORKS
    elif "initial_params" in needs and run.step and not loop.initial_params():
        reason = TOO_LATE
    elif cadence and instrument.at_boundaries:
        reason = AT_BOUNDARIES
    elif cadence and attached is not None and type(attached) is not Attached:
        reason = AT_COPIES
    return reason


def attach(run: "Run", instrument: Instrument) -> int | None:
    """Measure an instrument at its cadence from the next step on; the cadence that it had, if it had one."""
    steps = run.steps
    assert steps is not None
    assert run.subject is not None
    with run.lock:
        run.declare(instrument)
        old = steps.schedule.of(instrument.name)
        memory = run.subject.memories.setdefault(instrument.name, {}) if old is None else old.memory
        item = Attached(instrument, steps.loop, run.draft, memory)
        item.since = run.step
        if old is not None:
            item.measured_at, item.seconds, item.dense_until = old.measured_at, old.seconds, old.dense_until
            steps.schedule.remove(old)
        for asked in steps.schedule.asked(instrument.name):  # is measured with it in the next step
            steps.schedule.remove(asked)
        steps.schedule.attach(item)
        run.attached = (*(one for one in run.attached if one.name != instrument.name), instrument)
        run.record.groups[instrument.name].attrs["every"] = instrument.every
    steps.more(instrument)
    return None if old is None else old.instrument.every


class Once(Attached):
    """An instrument that is measured in one step, and then no more."""

    once = True

    @property
    def due_at(self) -> float:  # type: ignore[override]
        """The next step, until it has been measured; one later where that came too late for the forward pass."""
        if self.measured_at is None:
            return 0
        return self.measured_at + 1 if self.measured_at + 1 < self.dense_until else float("inf")


class Asked:
    """One measurement that was asked for.

    Args:
        run: in whose loop it is made.
        instrument: what is measured.
        loop: the run's, with another probe.
    """

    def __init__(self, run: "Run", instrument: Instrument, loop: Loop | None = None) -> None:
        self.run, self.instrument, self.loop = run, instrument, loop
        self._item: Attached | None = None
        self._began = run.step

    def measure(self) -> int | None:
        """Between two steps: the step that it was measured at; None as long as it has to wait for one.

        Raises:
            WatchError: it cannot be measured.
        """
        run, name, steps = self.run, self.instrument.name, self.run.steps
        assert steps is not None
        schedule = steps.schedule
        if self._item is not None and self._item.measured_at is None and self._item not in schedule.attached:
            self._item = schedule.of(name)  # it has got another cadence since
        if self._item is not None:
            once_more = self._item.once and self._item.due_at <= run.step
            if (self._item.measured_at is None or once_more) and name not in run.failures:
                return None
            if self._item.once:
                schedule.remove(self._item)
                steps.less()
            return run.step - 1
        run.failures.pop(name, None)
        attached = schedule.of(name)
        if attached is not None and attached.always:
            return run.step - 1 if run.step > self._began else None
        last = run.control.measured.get(name)
        if last is not None and last[0] == run.step and last[1] is self.instrument and self.loop is None:
            return run.step
        if self.loop is not None or not within_step(self.instrument, steps.loop):
            once.measure(run, self.loop or steps.loop, self.instrument)
            if attached is not None:  # and not again before the step that follows
                attached.measured_at = run.step
                schedule.plan()
            run.control.measured[name] = run.step, self.instrument
            return run.step
        waiting = [item for item in schedule.asked(name) if item.instrument is self.instrument]
        if attached is not None:
            self._item = attached
            schedule.not_taken([attached])
        elif waiting:  # it has been asked for already
            self._item = waiting[0]
        else:
            with run.lock:
                run.declare(self.instrument)
                self._item = Once(self.instrument, steps.loop, run.draft)
                schedule.attach(self._item)
            steps.more(self.instrument)
        return None


def within_step(instrument: Instrument, loop: Loop) -> bool:
    """Whether what it needs exists only while a step is made."""
    needs = instrument.needs
    seen = loop.probe is None and ("curvature" in needs or "activations" in needs)
    return seen or "grads" in needs or any(need in once.WITHIN_STEP for need in needs)
