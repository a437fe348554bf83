"""Forks of a cell that is still running: between two of its steps it is run again, within itself."""

from typing import TYPE_CHECKING, Any

from nbtoolkit.capture.changes import Changes
from nbtoolkit.capture.forkable import Maker
from nbtoolkit.errors import WatchError

if TYPE_CHECKING:
    from nbtoolkit.capture.replay import Start
    from nbtoolkit.capture.run import Run

UNWOUND = (
    "needs a cell that can be run again while it runs: {iterator} was made before it and cannot be wound back; make it "
    "within the cell"
)
WRITTEN = (
    "needs a cell that can be run again while it runs: {file} is open for writing since before it, and would be "
    "written twice; open it within the cell"
)
NO_MODULE = (
    "needs a model that is a module, at whose first call for a step a fork begins; no module holds the parameters of "
    "this optimizer"
)
FOLLOWED = (
    "{name}: its optimizer has another step hook after nbtoolkit's, which would see the hooks change under its hands; "
    "register that hook before the first step."
)


class Again(Maker):
    """The cell that began the run, from whose start all steps up to the present one are made again.

    Args:
        start: of the cell.
        run: that it began.
    """

    def __init__(self, start: "Start", run: "Run") -> None:
        self.start, self.run = start, run

    def obstacle(self) -> str:
        """What the run of the cell under way draws from or writes to, and the one within it would too; no module."""
        unwound, written = self.start.situation.unwound, self.start.situation.written
        if unwound:
            return UNWOUND.format(iterator=unwound[0])
        if written:
            return WRITTEN.format(file=written[0])
        steps = self.run.steps
        return NO_MODULE if steps is not None and not steps.loop.models else ""

    def ready(self) -> bool:
        """At the end of any ``optimizer.step()``: what belongs to the step beyond that is done again too."""
        steps = self.run.steps
        if steps is not None and not steps.last_hook():
            raise WatchError(FOLLOWED.format(name=self.run.name))
        return True

    def make(self, changes: Changes, **settings: Any) -> "Run":
        """By running the cell again."""
        from nbtoolkit.capture.replay import replay

        for name, before in self.start.rebound.items():
            if self.start.namespace.get(name) is before:  # what was to bind it has not been reached
                raise WatchError(f"{self.run.name} {UNWOUND.format(iterator=name)}.")
        return replay(self.start, self.run, self.run.step, changes, **settings)
