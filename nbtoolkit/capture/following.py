"""A run that another process makes, followed through the store that it writes."""

import threading
import weakref
from dataclasses import replace
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any

from nbtoolkit.capture import asking, orders
from nbtoolkit.capture.afar import BY_NAME, Afar
from nbtoolkit.capture.run import Run
from nbtoolkit.capture.saved import clean
from nbtoolkit.capture.status import Status
from nbtoolkit.errors import StoreError, WatchError
from nbtoolkit.instruments import Instrument
from nbtoolkit.store.columns import Record
from nbtoolkit.store.places import Place
from nbtoolkit.store.reading import Reader

if TYPE_CHECKING:
    import xarray

FOLLOW_SECONDS = 1.0  # between two looks
SLOWER = 4  # times as long as a look took, where that is more
SILENT_SECONDS = 10.0  # after which the writer is taken for gone
BEGIN_SECONDS = 2.0  # in which a store that is there can be read, or is none
ROW_SECONDS = 5.0  # in which a row that was measured is stored
ENDS = ("finished", "stopped", "failed", "interrupted")
WAITING = "there is no store at {place} yet{why}; as soon as a job writes one, it is shown"
SILENT = "the writer has written nothing for {seconds:.0f} s{why}; what it wrote is all here"
AGAIN = "the writer went on after {seconds:.0f} s of silence at step {step}"
ANOTHER = "another run is written at {place} from now on; the rows of the earlier one are no longer shown"
LATER = "{name}: the job has heard, but has made no step since in which to measure it; it is measured in the next."
LOG = "{name} is followed: it is written by its job, and values are logged there."


class Followed(Run):
    """A run that a background thread keeps in step with a store, about a second behind its writer.

    ``state`` is ``waiting`` while there is no store yet, ``following`` while the writer lives, ``lost`` while it is
    silent, and at the end as the writer left it: ``finished``, ``stopped``, ``failed`` or ``interrupted``. Nothing that
    was read is dropped when the writer or the store vanishes. What acts on a loop (`pause`, `resume`, `advance`,
    `stop`, `set_lr`, `every`, `measure`) asks the job, where that allows it, and waits for its answer.

    Args:
        place: of the store.

    Attributes:
        silent: seconds since the writer last wrote, as of the last look.
    """

    control: Afar

    def __init__(self, place: Place) -> None:
        super().__init__(place.stem, Record(), state="waiting")
        self.place = place
        self.control = Afar(self, place)
        self._reader: Reader | None = None
        self._said: list[str] = []
        self._trouble = ""  # why the store cannot be read
        self._written = ""  # the state that the writer has left
        self.silent = 0.0
        self._since = monotonic()  # that there was a store
        self._next = 0.0
        self._over = False
        self._read()
        if self._reader is None and self._trouble:
            raise StoreError(self._trouble)
        self._judge()

    # -- what is seen ----------------------------------------------------------------------

    @property
    def notes(self) -> list[str]:  # type: ignore[override]
        """What the writer has noted, and how it is doing."""
        told = [*self.record.attrs.get("notes", ()), *self._said]
        told += [] if self._reader is None else self._reader.damaged.values()
        why = f" ({self._trouble.rstrip('.')})" if self._trouble else ""
        if self.state == "waiting":
            told.append(WAITING.format(place=self.place, why=why))
        if self.state == "lost":
            told.append(SILENT.format(seconds=self.silent, why=why))
        return told

    def note(self, text: str) -> None:
        """Keep a remark beside the writer's own, unless the same one is there already."""
        if text not in self._said:
            self._said.append(text)

    def status(self) -> Status:
        """Step, rate, elapsed time, share of time spent measuring, state, and notes, as the writer told them last."""
        status = super().status()
        paused = self.state == "following" and self._written == "paused"
        return replace(status, state="paused") if paused else status

    def log(self, **values: Any) -> None:
        """Refused: the job writes.

        Raises:
            WatchError: always.
        """
        raise WatchError(LOG.format(name=self.name))

    def measure(self, instrument: str | Instrument, **settings: Any) -> "xarray.Dataset":  # type: ignore[override]
        """Let the job measure an instrument once; its Dataset in this run, the new row last.

        Args:
            instrument: to be measured, or its name; in the job it has the settings and the probe that it has there.
            settings: none.

        Raises:
            WatchError: there are settings, the job takes no commands or does not answer, or it cannot be measured.
        """
        if settings:
            raise WatchError(f"measure got {', '.join(settings)}: {BY_NAME}.")
        name = asking.name_of(instrument)
        before = len(self.record.groups.get(name, ()))
        if not self.control.ask(orders.Measure(name)):
            raise WatchError(LATER.format(name=name))
        end = monotonic() + ROW_SECONDS
        while len(self.record.groups.get(name, ())) <= before and monotonic() < end and not self._over:
            self._next = 0.0
            self.control.bell.set()
            threading.Event().wait(FOLLOW_SECONDS / 4)
        return self[name]

    def detach(self, state: str = "saved") -> None:
        """Follow no more; all that was read is kept. Safe to repeat."""
        if self._over:
            return
        self._end("saved")
        thread = self.control.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(FOLLOW_SECONDS)

    # -- on the thread that follows --------------------------------------------------------

    def begin(self) -> None:
        """Let a thread follow, for as long as anybody holds the run."""
        if self._over:
            return
        target, args = _follow, (weakref.ref(self), self.control.bell)
        self.control.thread = threading.Thread(target=target, args=args, name="nbtoolkit follow", daemon=True)
        self.control.thread.start()

    def turn(self) -> float | None:
        """Look after commands and, when it is time, at the store; seconds until the next turn, None after the last."""
        self._exchange()
        began = monotonic()
        if began >= self._next and not self._over:
            try:
                self.look()
            except Exception as error:  # the next look may fare better
                self.note(f"a look at {self.place} failed: {type(error).__name__}: {error}")
            ended = monotonic()
            self._next = ended + max(FOLLOW_SECONDS, SLOWER * (ended - began))
        return None if self._over else min(max(0.0, self._next - monotonic()), self.control.look_seconds)

    def _exchange(self) -> None:
        try:
            self.control.turn()
        except Exception as error:
            self.note(f"commands can not be written or read beside {self.place}: {self.place.fault(error)}")

    def look(self) -> None:
        """Bring in what the writer has written since, and see how it is doing."""
        changed, before = self._read(), self.state
        self._judge()
        if not self._over and (changed or self.state != before or self.state == "lost"):
            self.tell()

    def _read(self) -> bool:
        """Whether there is anything new."""
        changed = False
        try:
            if self._reader is None:
                if not self.place.exists():
                    return False
                reader = _opened(self.place)
                reader.lock = self.lock
                with self.lock:
                    self._reader, self.record, changed = reader, reader.record, True
                self._since = monotonic()
            before = self._reader.identity
            changed = self._reader.poll() or changed
            if before not in (None, self._reader.identity):
                self._begin_anew()
        except Exception as error:
            self._trouble = str(error) if isinstance(error, StoreError) else self.place.fault(error)
            return False
        self._trouble = ""
        with self.lock:
            self._take()
        return changed

    def _begin_anew(self) -> None:
        """The store is of another training now."""
        self.note(ANOTHER.format(place=self.place))
        self._since = monotonic()
        if self.state == "lost":
            self.state = "following"

    def _take(self) -> None:
        """What the writer says of the run as a whole."""
        clean(self.record)
        attrs = self.record.attrs
        self.name = attrs.get("name", self.place.stem)
        self.step = int(attrs.get("steps", 0))
        self._elapsed, self._measuring = float(attrs.get("elapsed", 0.0)), float(attrs.get("measuring", 0.0))
        self._written = str(attrs.get("state", ""))

    def _judge(self) -> None:
        """How the writer is doing, by what it wrote last and when."""
        if self._reader is None or self._over:
            return
        silent, self.silent = self.silent, self._reader.age()
        if not isfinite(self.silent):  # the writer has not told yet, or never does
            self.silent = monotonic() - self._since
        if self._written in ENDS and not self._trouble:
            self._exchange()  # the last answers came before the end
            self._end(self._written)
            return
        if self.state == "lost" and self.silent < SILENT_SECONDS:
            self.note(AGAIN.format(seconds=silent, step=self.step))
        self.state = "lost" if self.silent > SILENT_SECONDS else "following"

    def _end(self, state: str) -> None:
        self._over = True
        self.control.bell.set()
        with self.lock:
            self.state = state
            self.control.close()
        self.tell()

    def _stamp(self) -> None:
        """What the record says of the run is the writer's."""


def follow(place: Place) -> Followed:
    """The run that is being written at a place, or will be.

    Raises:
        StoreError: there is something else.
    """
    run = Followed(place)
    run.begin()
    return run


def _opened(place: Place) -> Reader:
    """A reader of the store there; one that is just being made becomes readable within a moment."""
    end = monotonic() + BEGIN_SECONDS
    while True:
        try:
            return Reader(place, lenient=True)
        except StoreError:
            if monotonic() > end:
                raise
        threading.Event().wait(FOLLOW_SECONDS / 10)


def _follow(reference: "weakref.ref[Followed]", bell: threading.Event) -> None:
    while True:
        run = reference()
        seconds = None if run is None else run.turn()
        del run
        if seconds is None:
            return
        bell.wait(seconds)
        bell.clear()
