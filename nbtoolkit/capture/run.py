"""A run: one optimizer's training, watched or read back, and all that was measured of it."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from nbtoolkit.capture import acts, between, forkable, intake, stream, taking, taps
from nbtoolkit.capture.busy import attention
from nbtoolkit.capture.control import Control
from nbtoolkit.capture.drafts import Drafts
from nbtoolkit.capture.rows import Rows
from nbtoolkit.capture.status import Status, ended_by
from nbtoolkit.capture.stretch import Labels
from nbtoolkit.errors import TrainingStopped
from nbtoolkit.instruments import Instrument
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var

if TYPE_CHECKING:
    import xarray

    from nbtoolkit.capture.copies import Copies
    from nbtoolkit.capture.exchange import Exchange
    from nbtoolkit.capture.once import Subject
    from nbtoolkit.capture.ranks import Ranks
    from nbtoolkit.capture.steps import Steps
    from nbtoolkit.store.files import Appender

FLUSH_SECONDS = 0.1
LOOK_SECONDS = 1 / 30  # between two looks at what the user wants
NO_LABELS: Labels = {}


class Run(stream.Streaming):
    """One watched training run. Made by `watch` or `open_run`; a context manager that detaches.

    ``run.data`` is everything measured as an `xarray.DataTree`, ``run["grad_norm"]`` the Dataset
    of one instrument. ``run.listeners`` are called with the run after new rows have arrived, ``run.ears`` without
    arguments between two steps, 30 times a second at most and also while it is paused: what they hear can act on it.
    """

    def __init__(self, name: str, record: Record, instruments: Sequence[Instrument] = (), state: str = "saved") -> None:
        self.name = name
        self.record = record
        self.attached = tuple(instruments)
        self.instruments: dict[str, Instrument] = {}
        self.state = state
        self.step = int(record.attrs.get("steps", 0))
        self.rows = Rows()
        self.lock = threading.RLock()
        self.listeners: list[Callable[[Run], None]] = []
        self.ears: list[Callable[[], None]] = []
        self.failures: dict[str, str] = {}  # why the last measurement by an instrument has no value, by its name
        self.steps: Steps | None = None
        self.subject: Subject | None = None
        self.appender: Appender | None = None
        self.ranks: Ranks | None = None  # where several processes train together
        self.exchange: Exchange | None = None
        self.drafts = Drafts(record, self.tell)
        self.forks: list[Run] = []
        self.twin: Run | None = None  # the fork that is being trained at this moment
        self.copies: Copies | None = None  # of a fork: its parameters along the way
        self.control = Control(self)
        self._started = self.next_flush = self.next_look = perf_counter()
        self._asleep_since: float | None = None
        self._elapsed = float(record.attrs.get("elapsed", 0.0))
        self._measuring = float(record.attrs.get("measuring", 0.0))
        for item in instruments:
            self.declare(item)

    # -- reading ---------------------------------------------------------------------------

    @property
    def data(self) -> "xarray.DataTree":
        """Everything measured so far: one group for each instrument, arrays not copied."""
        with self.lock:
            self.gather(wait=True)
            return self.record.tree()

    def __getitem__(self, name: str) -> "xarray.Dataset":
        """The Dataset of one instrument or logged value."""
        with self.lock:
            self.gather(wait=True)
            if name not in self.record.groups:
                known = ", ".join(self.record.groups) or "nothing yet"
                raise KeyError(f"{self.name} has no {name!r}; it has: {known}.")
            return self.record.groups[name].dataset()

    def status(self) -> Status:
        """Step, rate, elapsed time, share of time spent measuring, state, and notes."""
        paused = self.control.paused_since
        now = self._asleep_since or paused or perf_counter()
        began = self.record.attrs.get("fork_step", self.record.attrs.get("first_step", 0))
        elapsed = now - self._started if self.state == "watching" else self._elapsed
        measuring = self.steps.clock.measuring if self.steps else self._measuring
        return Status(
            step=self.step,
            steps_per_second=(self.step - began) / elapsed if elapsed else 0.0,
            elapsed=elapsed,
            share=min(1.0, measuring / elapsed) if elapsed else 0.0,
            state=self.state if paused is None else "paused",
            notes=list(self.notes),
        )

    @property
    def notes(self) -> list[str]:
        """What went wrong or deserves attention, in words; part of the record."""
        return self.record.attrs.setdefault("notes", [])

    @property
    def commands(self) -> list[dict[str, Any]]:
        """What was done to the training from outside: dicts of step (the first that feels it), what, text, old, new."""
        return list(self.record.attrs.get("commands", ()))

    def __repr__(self) -> str:
        """One line: name, state, step, and what is measured."""
        return f"<Run {self.name!r}: {self.state}, step {self.step}, {', '.join(self.record.groups) or 'empty'}>"

    # -- the user's own values -------------------------------------------------------------

    def log(self, **values: Any) -> None:
        """Record scalars of your own at the present step; each becomes a variable like any other.

        Args:
            values: numbers or one-element tensors by name, e.g. ``run.log(val_accuracy=0.93)``.

        Raises:
            WatchError: a value is not a scalar, or its name is that of an instrument.
        """
        if self.twin is not None:
            return self.twin.log(**values)
        scalars = intake.scalars(values, self.instruments)
        with self.lock:
            for name, scalar in scalars.items():
                self.record.group(name, {name: Var((), units="1", long_name=name)}, {"reference": "run.log"})
                self.rows.add(name, self.step, {name: scalar}, NO_LABELS)
            self.kept()

    log_terms = taking.log_terms

    # -- keeping and ending ----------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write everything measured so far to a new Zarr store; returns its path.

        Raises:
            StoreError: the path exists or cannot be written.
        """
        from nbtoolkit.store.files import save

        with self.lock:
            self.gather(wait=True)
            self._stamp()
            return save(self.record, path)

    pause = acts.pause
    resume = acts.resume
    advance = acts.advance
    stop = acts.stop
    set_lr = acts.set_lr
    every = acts.every
    measure = between.measure
    fork = between.fork
    forkable = forkable.forkable
    task = stream.task
    begin_task = stream.begin_task
    end_task = stream.end_task
    task_now = property(stream.now)

    def detach(self, state: str = "finished") -> None:
        """Stop watching: remove all hooks, keep everything measured. Safe to repeat."""
        if self.steps is None or self.state != "watching":
            return
        elapsed = self.status().elapsed  # of which a pause that this ends is no part
        interrupt = stream.ended(self) if state in ("finished", "stopped") else None
        self.steps.detach()
        if self.exchange is not None:
            self.exchange.close()
        with self.lock:
            try:
                self.gather(wait=True)
            except Exception as error:
                self.note(f"the last rows could not be read: {type(error).__name__}: {error}")
            self._elapsed = elapsed
            self.state = state
            # Letting go of the loop lets go of the model.
            self._measuring, self.steps = self.steps.clock.measuring, None
            self._stamp()
            self.control.close()
            self.tell()
        self.control.leave()
        if self.appender is not None:
            self.appender.close()
        if interrupt is not None:
            raise interrupt

    def __enter__(self) -> Self:
        """Watch until the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Detach; an exception goes on its way with our own frames taken out of its traceback."""
        self.detach(ended_by(error))
        taps.hide_frames(tb, last=isinstance(error, TrainingStopped | KeyboardInterrupt))

    # -- resting while a fork is trained ---------------------------------------------------

    def fall_asleep(self) -> None:
        """See no step for a while; nothing that has been measured refers to the loop's tensors any more."""
        with self.lock:
            self.gather(wait=True)
        if self.steps is not None:
            self.steps.asleep, self._asleep_since = True, perf_counter()

    def wake(self, seconds: float) -> None:
        """See steps again; the ``seconds`` between were no part of this run."""
        self.twin = self._asleep_since = None
        self.passed(seconds)
        if self.steps is not None:
            self.steps.asleep = False

    def passed(self, seconds: float) -> None:
        """So many seconds have passed that were no part of this run."""
        if self.steps is not None:
            self._started += seconds
            self.steps.clock.passed(seconds, within=self.steps.schedule.stretches)

    # -- what Steps tells ------------------------------------------------------------------

    def boundary(self, now: float) -> None:
        """A step has ended: hear what the user wants and pass on what has gathered, each a few times a second."""
        if now < self.next_look:
            return
        self.hear()
        if now >= self.next_flush:
            self.report()
        self.next_look = min(self.next_flush, perf_counter() + LOOK_SECONDS) if self.ears else self.next_flush

    def hear(self) -> None:
        """Let in what comes from outside; it asks, and is not carried out here."""
        self._call(self.ears)

    def report(self) -> None:
        """Pass on what has gathered."""
        self.gather()
        self.tell()
        self.next_flush = perf_counter() + FLUSH_SECONDS

    declare = taking.declare
    draft = taking.draft
    measured = taking.measured
    missing_loss = taking.missing_loss

    def give_up(self, error: Exception) -> None:
        """Our own code failed: stop watching rather than disturb the training."""
        self.note(f"watching ended at step {self.step} by an error of nbtoolkit: {type(error).__name__}: {error}")
        self.detach("failed")

    def note(self, text: str) -> None:
        """Keep a remark, unless the same one (up to its step) is there already."""
        subject = text.split(" step ")[0]
        if not any(old.split(" step ")[0] == subject for old in self.notes):
            self.notes.append(text)

    # -- moving rows -----------------------------------------------------------------------

    gather = intake.gather
    kept = intake.kept

    def collect(self) -> None:
        """Bring what has arrived into the columns; for the thread that writes the store."""
        with self.lock:
            self.gather()
            self._stamp()

    def tell(self) -> None:
        """Call the listeners."""
        self._call(self.listeners, self)

    def _call(self, callbacks: list[Callable[..., None]], *args: Any) -> None:
        with attention():
            for callback in tuple(callbacks):
                try:
                    callback(*args)
                except Exception as error:
                    if callback in callbacks:
                        callbacks.remove(callback)
                    self.note(f"a listener was dropped: {type(error).__name__}: {error}")

    def _stamp(self) -> None:
        status = self.status()
        self.record.attrs |= {
            "name": self.name, "steps": self.step, "elapsed": status.elapsed, "state": status.state,
            "measuring": status.share * status.elapsed,
        }  # fmt: skip
