"""The order for a fork, and for its end, of a loop that runs."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbtoolkit.capture import orders
from nbtoolkit.capture.busy import another_training
from nbtoolkit.capture.changes import Changes
from nbtoolkit.errors import TrainingStopped, WatchError

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

NOT_SAID = (
    "needs a step that can be made again: begin the cell with %%landscape --forkable, or let the loop call what "
    "step = run.forkable(step) gives back"
)
A_FORK = "is a fork itself; fork the run that it left"
SETTINGS = ("steps", "lr", "seed", "perturb", "name", "every")
NO_STEPS = "{name}: a fork is made between two steps, and none are being made now; give the step: run.fork(step)."


@dataclass
class Fork(orders.Order):
    """A twin of the training; see `Run.fork`.

    Args:
        steps: of the twin.
        lr: another learning rate.
        seed: begins random numbers anew.
        perturb: moves the parameters.
        name: of its run.
        every: steps between copies of its parameters.
        started: told of its run when it begins.
    """

    takes_long = True
    steps: Any = 100
    lr: Any = None
    seed: Any = None
    perturb: Any = None
    name: Any = None
    every: Any = None
    started: "Callable[[Run], None] | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Nothing has been made."""
        self.child: Run | None = None

    def given(self) -> dict[str, Any]:
        """As a command asks for it."""
        asked = {key: getattr(self, key) for key in SETTINGS}
        return {"what": "fork", **{key: value for key, value in asked.items() if value is not None}}

    def check(self, run: "Run") -> None:
        """Refuse what is no fork of this run."""
        from nbtoolkit.capture.copies import planned
        from nbtoolkit.capture.fork import check_alone, check_extent

        check_alone(run)
        if reason := obstacle(run):
            raise WatchError(f"{run.name} {reason}.")
        check_extent(self.steps, self.name)
        self.steps = orders.whole("steps", self.steps)
        loop = orders.loop_of(run)
        Changes(self.lr, self.seed, self.perturb).rates(loop.optimizer)
        planned(run.step, self.steps, self.every, loop.tensors)

    def carry_out(self, run: "Run", *, own: bool = False) -> str | None:
        """Train the twin, then let the loop go on, or wait on, as if there had been none."""
        maker = run.control.maker
        if maker is None:
            raise WatchError(f"{run.name} {NOT_SAID}.")
        if run.steps is not None and not run.steps.belongs_here():
            raise WatchError(NO_STEPS.format(name=run.name))
        if not maker.ready():
            return None
        changes = Changes(self.lr, self.seed, self.perturb)
        settings = {"steps": self.steps, "name": self.name, "every": self.every}
        run.control.fork = self
        try:
            with another_training():
                child = maker.make(changes, **settings, started=lambda child: self._began(run, child))
        except TrainingStopped as stopped:  # of something that the step works on; this training goes on
            raise WatchError(f"the fork was ended: {stopped}") from None
        finally:
            run.control.fork = None
        made = child.step - run.step
        extent = f"{made} steps" if made == self.steps else f"ended after {made} of {self.steps} steps"
        text = f"forked at step {run.step}: {child.name}, {extent}"
        run.control.log("fork", text, new=child.name)
        return text

    def _began(self, run: "Run", child: "Run") -> None:
        """The twin begins: those who show the run are told how far it is, and heard while it is made."""
        self.child = child
        child.listeners.append(lambda _: run.tell())
        child.ears.append(run.hear)
        run.tell()
        if self.started is not None:
            try:
                self.started(child)
            except Exception as error:
                child.note(f"it could not be shown: {type(error).__name__}: {error}")


@dataclass
class EndFork(orders.Order):
    """No more steps of the fork that is being made; the training goes on."""

    ends_fork = True

    def __str__(self) -> str:
        """As one would ask for it."""
        return "end_fork"

    def check(self, run: "Run") -> None:
        """Refuse where there is none."""
        if run.control.fork is None:
            raise WatchError(f"no fork of {run.name} is being made.")

    def carry_out(self, run: "Run", *, own: bool = False) -> str:
        """It was ended by the order itself."""
        return f"the fork has ended, after step {run.step} the training goes on"


def obstacle(run: "Run") -> str:
    """Why a run cannot be forked when that is asked for: "needs ..."; empty if it can."""
    if run.ranks is not None:
        return f"is trained by {run.ranks.count} processes together, and a fork would need them all"
    if "parent" in run.record.attrs:
        return A_FORK
    maker = run.control.maker
    return NOT_SAID if maker is None else maker.obstacle()


def progress(run: "Run") -> str:
    """How far the fork is that is being made at this moment; empty if none is."""
    order = run.control.fork
    if order is None:
        return ""
    if order.child is not None:
        return f"step {order.child.step - run.step} of {order.steps}"
    return "" if run.twin is None else f"step {run.twin.step} of the {run.step} before it is made again"


def asked(run: "Run", order: Fork) -> "Run":
    """Let the thread that trains make a fork, and wait for it; at once where this is that thread.

    Raises:
        WatchError: it cannot be made.
    """
    from nbtoolkit.capture.expecting import expect

    orders.loop_of(run)
    order.check(run)
    if run.steps is not None and run.steps.belongs_here():
        raise WatchError("run.fork() needs the step on the thread that makes the steps: run.fork(step).")
    over, outcome = threading.Event(), []

    def answer(done: bool, text: str) -> None:
        outcome.append((done, text))
        over.set()

    run.control.give(order, answer)
    expect(run.control, over, answer)
    done, text = outcome[0]
    if not done or order.child is None:
        raise WatchError(text)
    return order.child
