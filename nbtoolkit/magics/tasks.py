"""``%landscape task NAME``: where a task of a stream begins, within a cell or between cells."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

if TYPE_CHECKING:
    from nbtoolkit.capture import Run
    from nbtoolkit.magics.landscape import LandscapeMagics

PIECES = (
    "this is another optimizer of the same model, and so another run, which sees only its part of the stream of tasks; "
    "for one matrix of all tasks keep one optimizer (optimizer.state.clear() makes it as new)"
)


class Announced:
    """The task that a cell has announced: it begins with the next step of whichever optimizer makes one.

    A cell may name its task before it has made the optimizer that trains it, and it may train several.
    """

    def __init__(self) -> None:
        self.runs: list[Run] | None = None  # of the cell that runs; None while none does
        self.name: str | None = None

    @contextlib.contextmanager
    def cell(self) -> Iterator[None]:
        """While a watched cell runs."""
        outer, self.runs, self.name = (self.runs, self.name), [], None
        try:
            yield
        finally:
            self.runs, self.name = outer

    def began(self, run: "Run") -> None:
        """A run has begun; its first step comes next."""
        if self.runs is not None and run not in self.runs:
            if self.name is not None and any(_same_model(run, other) for other in self.runs):
                run.note(PIECES)
                warnings.warn(f"nbtoolkit: {PIECES}", stacklevel=6)
            self.runs.append(run)
            if self.name is not None and run.task_now is None:
                run.upcoming = self._beginning(self.name)

    def _beginning(self, name: str) -> "Callable[[Run], None]":
        from nbtoolkit.capture import stream

        return lambda run: stream.announced(run, name)

    def announce(self, name: str | None) -> None:
        """Whatever is being trained ends; what makes the next step trains this task."""
        from nbtoolkit.capture import stream

        watched = [run for run in self.runs or () if run.state == "watching"]
        for run in watched if name is not None else ():
            stream.checked(run, name)
        self.name = name
        for run in watched:
            end(run)
            run.upcoming = None if name is None else self._beginning(name)


def _same_model(run: "Run", other: "Run") -> bool:
    return run.subject is not None and other.subject is not None and run.subject.trains_what(other.subject)


def announce(magics: "LandscapeMagics", name: str | None) -> None:
    """Let a task begin, or the present one end; see `Run.begin_task`. In the name, ``{variable}`` is its value."""
    name = None if name is None else expanded(magics, name)
    if magics.stream.runs is not None:
        magics.stream.announce(name)
        return
    run = magics.current()
    if name is not None:
        run.begin_task(name)
    elif not end(run):
        raise UsageError(f"{run.name} trains no task that could end; begin one with %landscape task NAME.")


def expanded(magics: "LandscapeMagics", name: str) -> str:
    """A name or path with the variables that stand in it, as seen where the line is."""
    depth, frame = 0, sys._getframe()
    while frame is not None and frame.f_globals is not magics.shell.user_ns:
        depth, frame = depth + 1, frame.f_back
    return name if "{" not in name and "$" not in name else magics.shell.var_expand(name, depth if frame else 0)


def end(run: "Run") -> bool:
    """End the task that a run is training, if it trains one and has made a step of it."""
    now = run.task_now
    if now is None or now.begin == run.step:
        return False
    run.end_task()
    return True
