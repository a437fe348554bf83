"""A sweep: the cells of a grid that are being trained, and what came of them so far."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from nbtoolkit.bridges.assembled import NOT_RUN, dataset
from nbtoolkit.bridges.cells import Cell
from nbtoolkit.bridges.grid import Grid
from nbtoolkit.bridges.kept import Kept
from nbtoolkit.errors import LandscapeError

if TYPE_CHECKING:
    import pandas
    import xarray

TELL_SECONDS = 1.0  # between two calls of the listeners, at least
SHARE = 0.1  # of the time, that the listeners may take
CANCELLED = "cancelled"


@dataclass(frozen=True)
class SweepStatus:
    """How far a sweep is.

    Attributes:
        state: running, finished, cancelled or failed.
        cells: of the grid.
        done: with values.
        failed: with a reason instead.
        waiting: neither.
        seconds: since it began.
        left: seconds it will take at the pace so far; NaN where that is not known.
    """

    state: str
    cells: int
    done: int
    failed: int
    waiting: int
    seconds: float
    left: float


class Sweep:
    """The trainings of all cells of a grid. Made by `map_runs`; a context manager that waits for the end.

    ``sweep.data`` is an `xarray.Dataset` over the grid that fills in while it runs. ``sweep.listeners`` are called
    with the sweep when cells have come in, once a second at most, on a thread of their own.
    """

    def __init__(self, name: str, grid: Grid, kept: Kept | None = None) -> None:
        self.name, self.grid = name, grid
        self.points = grid.points()
        self.listeners: list[Callable[[Sweep], Any]] = []
        self.state, self.trouble = "running", ""
        self.notes: list[str] = []
        self._kept = kept
        self._cells: dict[int, Cell] = kept.read(self.points) if kept else {}
        self._before = len(self._cells)  # found in the store
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._wanted = threading.Event()  # to be cancelled
        self._begun = self._told = time.monotonic()
        self._seconds, self._pause, self._news = 0.0, TELL_SECONDS, False

    @property
    def data(self) -> "xarray.Dataset":
        """All cells so far: variables over the grid's axes, NaN where there is nothing, and the ``reason`` why."""
        with self._lock:
            cells = dict(self._cells)
        missing = {"running": NOT_RUN, "cancelled": CANCELLED}.get(self.state, self.trouble or NOT_RUN)
        found = dataset(self.grid, cells, missing=missing)
        found.attrs["name"] = self.name
        return found

    @property
    def failed(self) -> "pandas.DataFrame":
        """The cells that have a reason instead of values: their points, the reason, and where in the code it was."""
        import pandas

        with self._lock:
            rows = [
                {**self.points[index], "reason": cell.reason, "where": cell.where}
                for index, cell in sorted(self._cells.items())
                if cell.reason
            ]
        return pandas.DataFrame(rows, columns=[*self.grid.axes, "reason", "where"])

    def status(self) -> SweepStatus:
        """How many cells are done, have failed and wait, and for how long."""
        with self._lock:
            failed = sum(bool(cell.reason) for cell in self._cells.values())
            came, cells = len(self._cells), len(self.points)
        seconds = self._seconds if self._ended.is_set() else time.monotonic() - self._begun
        new = came - self._before
        left = (cells - came) * seconds / new if new and self.state == "running" else float("nan")
        return SweepStatus(self.state, cells, came - failed, failed, cells - came, seconds, left)

    def wait(self, timeout: float | None = None) -> Self:
        """Wait for the last cell; an interrupt ends the waiting, not the sweep.

        Args:
            timeout: in seconds; None for as long as it takes.

        Raises:
            TimeoutError: it goes on after ``timeout``.
            LandscapeError: the workers were lost.
        """
        if not self._ended.wait(timeout):
            now = self.status()
            raise TimeoutError(
                f"{now.waiting} of {now.cells} cells of {self.name!r} are not there after {timeout:g} s; it goes on."
            )
        if self.state == "failed":
            raise LandscapeError(f"the sweep {self.name!r} ended early: {self.trouble}.")
        return self

    def cancel(self) -> None:
        """Run no further cell and let go of the workers; cells that are there stay. Safe to repeat.

        Workers of a cluster of the user's go on with the cell they are at, whose result is not taken.
        """
        self._wanted.set()
        self._ended.wait()

    def figure(self) -> Any:
        """What is known so far as a Bokeh figure, see `nbtoolkit.panels.sweep_figure`."""
        from nbtoolkit import panels

        data = self.data
        if len(data.data_vars) == 1:  # only the reasons
            from bokeh.plotting import figure

            return figure(title=f"{self.name}: none of {len(self.points)} cells is there yet", height=120)
        return panels.sweep_figure(data)  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        """Wait at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Wait; after an exception, cancel."""
        self.cancel() if error is not None else self.wait()

    def __repr__(self) -> str:
        """One line: name, axes, and how far it is."""
        now = self.status()
        axes = " x ".join(f"{name} ({size})" for name, size in zip(self.grid.axes, self.grid.shape, strict=True))
        failed = f", {now.failed} failed" if now.failed else ""
        return f"<Sweep {self.name!r}: {now.state}, {axes}, {now.done} of {now.cells} cells{failed}>"

    # -- what the workers' side tells ------------------------------------------------------

    @property
    def missing(self) -> list[int]:
        """Cells of which nothing is known, by their place among the points."""
        with self._lock:
            return [index for index in range(len(self.points)) if index not in self._cells]

    @property
    def is_unwanted(self) -> bool:
        """Whether the user has cancelled it."""
        return self._wanted.is_set()

    def take(self, index: int, cell: Cell) -> None:
        """One cell has ended."""
        if self._kept is not None and not cell.reason:
            try:
                self._kept.keep(self.points[index], cell)
            except Exception as error:
                self.note(f"cells could not be kept: {type(error).__name__}: {error}".splitlines()[0])
        with self._lock:
            self._cells[index] = cell
        self._news = True

    def tell(self, *, now: bool = False) -> None:
        """Call the listeners if there is something new and it is time."""
        if not (now or (self._news and time.monotonic() - self._told >= self._pause)):
            return
        self._news, begun = False, time.monotonic()
        for listener in tuple(self.listeners):
            try:
                listener(self)
            except Exception as error:
                self.listeners.remove(listener)
                self.note(f"a listener was dropped: {type(error).__name__}: {error}")
        self._told = time.monotonic()
        self._pause = max(TELL_SECONDS, (self._told - begun) / SHARE)

    def end(self, state: str, trouble: str = "") -> None:
        """No further cell will come."""
        self._seconds = time.monotonic() - self._begun
        self.state, self.trouble = state, trouble
        self.tell(now=True)
        self._ended.set()

    def note(self, text: str) -> None:
        """Keep a remark, once."""
        if text not in self.notes:
            self.notes.append(text)
