"""What makes the forks that a running loop is asked for, said once: a function that makes one step."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nbtoolkit.capture.changes import Changes
from nbtoolkit.capture.orders import loop_of
from nbtoolkit.errors import WatchError

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

NOT_CALLED = (
    "the loop does not call what run.forkable(step) gave back, so that no moment between two steps is known; write "
    "step = run.forkable(step) before the loop."
)


class Maker:
    """What makes the forks of a run that its loop is asked for."""

    def obstacle(self) -> str:
        """Why there can be none: "needs ..."; empty if there can."""
        return ""

    def ready(self) -> bool:
        """Whether a fork can be made at this moment, between two steps; else a later one is waited for.

        Raises:
            WatchError: there will be none.
        """
        raise NotImplementedError

    def make(self, changes: Changes, **settings: Any) -> "Run":
        """A twin from the state of this moment, after which all is as it was; settings as `fork.fork` has them."""
        raise NotImplementedError


class Function(Maker):
    """A function that makes one step, which the loop calls through this.

    Args:
        run: whose step it is.
        step: the function.
        also: objects to be put back too.
    """

    def __init__(self, run: "Run", step: Callable[[], Any], also: Sequence[Any]) -> None:
        self.run, self.step, self.also = run, step, also
        self._called = self._between = False

    def __call__(self) -> Any:
        """Make a step; then do what was asked for."""
        steps = self.run.steps
        if steps is None or steps.asleep or steps.turns.deferred:
            return self.step()
        steps.turns.deferred = self._called = True
        try:
            result = self.step()
        finally:
            steps.turns.deferred = False
        self._between = True
        try:
            steps.turns.call_ended()
        finally:
            self._between = False
        return result

    def ready(self) -> bool:
        """Only when all that a step does is done, what follows ``optimizer.step()`` and calls that accumulate too."""
        if not self._called:
            raise WatchError(NOT_CALLED)
        return self._between and self.run.steps is not None and not self.run.steps.midway()

    def make(self, changes: Changes, **settings: Any) -> "Run":
        """By calling the function."""
        from nbtoolkit.capture.fork import fork

        return fork(self.run, self.step, changes, also=self.also, **settings)


def forkable(run: "Run", step: Callable[[], Any], *, also: Sequence[Any] = ()) -> Callable[[], Any]:
    """Say what makes one step, so that the running loop can be forked: from the Board, another thread, a command.

    The loop calls what this gives back::

        step = run.forkable(step)
        for _ in range(1000):
            step()

    What is asked of the run (`pause`, `stop`, `set_lr` ...) is from then on done when a call is over instead of at the
    end of ``optimizer.step()``: a fork begins when all that belongs to a step is done, schedules included. A cell under
    ``%%landscape --forkable`` needs no such function: for a fork it is run again.

    Args:
        run: this one.
        step: makes one step of the loop: a function without arguments, which draws its own batch.
        also: objects that a fork has to put back too, where ``step`` does not show that it works on them.

    Returns:
        A function that makes the same step.

    Raises:
        WatchError: the run is over, is trained by several processes, or ``step`` is no such function.
    """
    from nbtoolkit.capture.fork import check_alone, check_step

    loop_of(run)
    check_alone(run)
    check_step(step, "run.forkable()")
    maker = run.control.maker = Function(run, step, tuple(also))

    @functools.wraps(step, updated=())
    def made() -> Any:
        return maker()

    return made
