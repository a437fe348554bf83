"""What can be asked of a running loop: checked where it is asked, carried out between two steps."""

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from nbtoolkit.capture import asking
from nbtoolkit.errors import TrainingStopped, WatchError
from nbtoolkit.numerics.given import is_whole, shown

if TYPE_CHECKING:
    from nbtoolkit.capture.loop import Loop
    from nbtoolkit.capture.run import Run
    from nbtoolkit.instruments import Instrument

MOST = 10**9  # steps


class Order:
    """One thing that is asked for."""

    at_once: ClassVar[bool] = False  # may be done between two steps wherever the thread that trains is
    waits: ClassVar[bool] = False  # is about when the loop goes on
    holds: ClassVar[bool] = False  # lets the loop wait
    ends: ClassVar[bool] = False  # ends it
    ends_fork: ClassVar[bool] = False  # ends a fork of it that is being made
    takes_long: ClassVar[bool] = False  # so that something else may have been asked for meanwhile

    def __str__(self) -> str:
        """As one would ask for it."""
        return type(self).__name__.lower()

    def given(self) -> dict[str, Any]:
        """As a command asks for it, for another process; see `commands.order`."""
        return {"what": str(self)}

    def check(self, run: "Run") -> None:
        """Refuse what can never be carried out.

        Raises:
            WatchError: what was got, what was expected.
        """

    def carry_out(self, run: "Run", *, own: bool = False) -> str | None:
        """Do it, between two steps of ``run``: what was done, in words; None if it takes another step.

        Raises:
            WatchError: why it cannot be done.
        """
        raise NotImplementedError


@dataclass
class Hold(Order):
    """Wait after this step."""

    waits = holds = True

    def __str__(self) -> str:
        """As one would ask for it."""
        return "pause"

    def carry_out(self, run: "Run", *, own: bool = False) -> str:
        """The thread waits when this and all that was asked before it is done."""
        text = f"paused after step {run.step}"
        if run.control.pause is not None:
            return text
        run.control.holding, run.control.until = True, None
        run.control.log("pause", text)
        return text


@dataclass
class Release(Order):
    """Go on."""

    waits = True

    def __str__(self) -> str:
        """As one would ask for it."""
        return "resume"

    def carry_out(self, run: "Run", *, own: bool = False) -> str:
        """Let the thread go, whichever of its runs holds it."""
        seconds = let_go(run)
        if seconds is None:
            return f"{run.name} is not paused"
        text = f"resumed after step {run.step}, {seconds:.1f} s later"
        run.control.log("resume", text, seconds=seconds)
        return text


@dataclass
class Advance(Order):
    """Make some steps, then wait.

    Args:
        steps: to be made.
    """

    steps: Any
    waits = holds = True

    def __str__(self) -> str:
        """As one would ask for it."""
        return f"advance {self.steps}"

    def given(self) -> dict[str, Any]:
        """As a command asks for it."""
        return {"what": "advance", "steps": self.steps}

    def check(self, run: "Run") -> None:
        """Refuse what is no number of steps."""
        self.steps = whole("steps", self.steps)

    def carry_out(self, run: "Run", *, own: bool = False) -> str:
        """Let the thread go, and leave an order to wait later."""
        let_go(run)
        run.control.until = run.step + self.steps
        run.control.orders.append((HoldLater(), lambda *_: None))
        text = f"{self.steps} {'step' if self.steps == 1 else 'steps'} from step {run.step}, then paused"
        run.control.log("advance", text, new=self.steps)
        return text


@dataclass
class HoldLater(Order):
    """Wait after the step that `Advance` was for."""

    waits = True

    def carry_out(self, run: "Run", *, own: bool = False) -> str | None:
        """Wait, unless something else was asked for since."""
        control = run.control
        if control.until is None or control.holding:
            return ""
        if run.step < control.until:
            return None
        control.holding, control.until = True, None
        return ""


@dataclass
class Stop(Order):
    """End the training."""

    waits = ends = ends_fork = True

    def carry_out(self, run: "Run", *, own: bool = False) -> str:
        """Raise what ends it."""
        let_go(run)
        run.control.log("stop", f"stopped after step {run.step}")
        text = f"{run.name} was stopped after step {run.step}, as asked; what was measured is kept."
        raise TrainingStopped(text, name=run.name, step=run.step)


@dataclass
class Every(Order):
    """Another cadence of an instrument.

    Args:
        instrument: or the name of one; it need not be attached.
        steps: between measurements.
    """

    instrument: Any
    steps: Any
    at_once = True

    def __str__(self) -> str:
        """As one would ask for it."""
        return f"every {asking.name_of(self.instrument)} {self.steps}"

    def given(self) -> dict[str, Any]:
        """As a command asks for it."""
        return {"what": "every", "name": asking.name_of(self.instrument), "steps": self.steps}

    def check(self, run: "Run") -> None:
        """Refuse what cannot be measured in this loop, and what is no cadence."""
        self.steps = whole("every", self.steps)
        self.instrument = asking.found(run, self.instrument)
        refuse(self.instrument, asking.obstacle(run, self.instrument, cadence=True))

    def carry_out(self, run: "Run", *, own: bool = False) -> str:
        """Measure it so from the next step on."""
        self.check(run)
        old = asking.attach(run, self.instrument.using(every=self.steps))
        name, how = self.instrument.name, "every step" if self.steps == 1 else f"every {self.steps} steps"
        before = "" if old is None else f", before every {old}"
        text = f"{name} is measured {how} from step {run.step}{before}"
        run.control.log("every", text, old, self.steps, name=name)
        return text


@dataclass
class Measure(Order):
    """One measurement.

    Args:
        instrument: or the name of one; it need not be attached.
        loop: the run's, with another probe.
    """

    instrument: Any
    loop: "Loop | None" = None
    at_once = True

    def __str__(self) -> str:
        """As one would ask for it."""
        return f"measure {asking.name_of(self.instrument)}"

    def __post_init__(self) -> None:
        """Nothing has been begun."""
        self._asked: asking.Asked | None = None

    def given(self) -> dict[str, Any]:
        """As a command asks for it."""
        return {"what": "measure", "name": asking.name_of(self.instrument)}

    def check(self, run: "Run") -> None:
        """Refuse what cannot be measured in this loop."""
        self.instrument = asking.found(run, self.instrument)
        if self.loop is None:
            refuse(self.instrument, asking.obstacle(run, self.instrument))

    def carry_out(self, run: "Run", *, own: bool = False) -> str | None:
        """Measure now, or in the next step what exists only within one."""
        began = perf_counter()
        if self._asked is None:
            self.check(run)
            self._asked = asking.Asked(run, self.instrument, self.loop)
        step = self._asked.measure()
        if step is None:
            return None
        if run.steps is not None and run.control.pause is None:
            run.steps.clock.measuring += perf_counter() - began
        reason = run.failures.get(self.instrument.name)
        if reason is not None:
            raise WatchError(f"{self.instrument.name} could not be measured at step {step}: {reason}")
        text = f"{self.instrument.name} measured at step {step}"
        run.control.log("measure", text, name=self.instrument.name, step=step)
        return text


def let_go(run: "Run") -> float | None:
    """End the wait of the thread, and what would let it wait again; the seconds it has waited, if it did."""
    pause, run.control.until = run.control.pause, None
    was_to_wait, run.control.holding = run.control.holding, False
    if pause is None:
        return 0.0 if was_to_wait else None
    pause.by.holding = False
    return perf_counter() - pause.began


def loop_of(run: "Run") -> "Loop":
    """The loop of a run that goes on."""
    steps = run.steps
    if steps is None:
        raise WatchError(f"{run.name} is {run.state}: there is no training to act on.")
    return steps.loop


def whole(name: str, value: Any) -> int:
    """A number of steps.

    Raises:
        WatchError: it is none.
    """
    if not is_whole(value, 1) or value > MOST:
        raise WatchError(f"{name}={shown(value)}: expected a whole number of steps from 1 to {MOST:.0e}.")
    return int(value)


def refuse(instrument: "Instrument", reason: str) -> None:
    """Raise the reason, if there is one."""
    if reason:
        raise WatchError(f"{instrument.name} {reason}")
