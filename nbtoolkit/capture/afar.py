"""The control of a training that another process makes, through the files beside its store."""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nbtoolkit.capture.control import Answer, Control
from nbtoolkit.capture.lines import Lines
from nbtoolkit.capture.listening import ACKS, COMMANDS
from nbtoolkit.errors import WatchError
from nbtoolkit.store.places import Place

if TYPE_CHECKING:
    from nbtoolkit.capture.following import Followed
    from nbtoolkit.capture.orders import Order

ANSWER_SECONDS = 30.0  # in which the job says that it has heard
AGAIN_SECONDS = 5.0  # after which a command is written once more where another one may have taken its place
LOOK_SECONDS = (0.1, 1.0)  # between two looks for an answer that is waited for: at a local file, at another
REST_SECONDS = 2.0  # after which what a paused job has heard, and not done, waits for a step
LONGEST = 1 << 20  # bytes that a job says at once
TEXT = 2000  # characters of an answer
FORBIDDEN = "this job takes no commands; it was started without watch(..., commands=True)"
UNHEARD = "no answer from the job within {seconds:.0f} s; is it running, was it started with commands=True?"
GONE = "the job has written nothing for {seconds:.0f} s; it may be gone"
OVER = "{name} is {state}: nobody is there to take a command."
ENDED = "{name} has ended before {order} could be done"
BY_NAME = "a job that is followed measures an instrument by its name, with the settings and the probe that it has there"
TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "title": (str,),
    "attached": (bool,),
    "every": (int, type(None)),
    "cannot": (str,),
}


@dataclass
class Sent:
    """A command that was written."""

    order: "Order"
    message: dict[str, Any]
    answer: Answer
    since: float = field(default_factory=monotonic)
    again: float = field(default_factory=lambda: monotonic() + AGAIN_SECONDS)
    heard_at: float = 0.0


class Afar(Control):
    """Asks the job that writes a store.

    Args:
        run: that follows it.
        store: which it writes.
    """

    afar = True
    run: "Followed"

    def __init__(self, run: "Followed", store: Place) -> None:
        super().__init__(run)
        self.bell = threading.Event()  # there is something to do
        self.thread: threading.Thread | None = None  # that does it
        self._commands = Lines(store.beside(COMMANDS), LONGEST)
        self._acks = Lines(store.beside(ACKS), LONGEST)
        self._outbox: deque[Sent] = deque()
        self._open: dict[str, Sent] = {}
        self._job, self._described = "", ""

    @property
    def deaf(self) -> str:
        """Why nothing can be asked; empty if it can."""
        return "" if self._job else FORBIDDEN

    @property
    def look_seconds(self) -> float:
        """Until the next look for answers."""
        return LOOK_SECONDS[self._commands.place.is_url] if self._open else float("inf")

    def described(self) -> str:
        """What can be controlled, as JSON; see `controls.described`."""
        return (self._described or json.dumps({"groups": 1, "instruments": []})) if self._goes_on else ""

    def standing(self) -> tuple[Any, ...]:
        """What `described` depends on."""
        return (self._described, self._goes_on)

    def rates(self) -> list[float | None]:
        """The learning rates of the last step that was stored."""
        columns = self.run.record.groups.get("lr")
        if columns is None or not len(columns) or "lr" not in columns.variables:
            return []
        return [float(rate) for rate in columns.rows(len(columns) - 1)[1]["lr"].ravel()]

    def give(
        self, order: "Order", answer: Answer, queued: Callable[[], None] = lambda: None, *, own: bool = False
    ) -> None:
        """Write a command; the answer is told on the thread that follows.

        Raises:
            WatchError: nobody would read it.
        """
        if not self._goes_on:
            raise WatchError(OVER.format(name=self.run.name, state=self.run.state))
        if self.deaf:
            raise WatchError(f"{self.run.name}: {self.deaf}.")
        given = json.loads(json.dumps(order.given(), default=_number))
        name, at = uuid4().hex, datetime.now(UTC).isoformat(timespec="seconds")
        message = {"op": "command", "id": name, "job": self._job, "at": at, **given}
        self._open[name] = sent = Sent(order, message, answer)
        self._outbox.append(sent)
        queued()
        self.bell.set()

    def ask(self, order: "Order") -> bool:
        """Write a command and wait until the job has carried it out, or at least heard it where a step takes long.

        Returns:
            Whether it was carried out by now.

        Raises:
            WatchError: nobody reads it, nobody answers, or it was refused.
        """
        over, outcome = threading.Event(), []

        def answer(done: bool, text: str) -> None:
            outcome.append((done, text))
            if not done and over.is_set():
                self.run.note(f"{order}: {text}")
            over.set()

        self.give(order, answer)
        if threading.current_thread() is self.thread:  # which would wait for itself
            over.set()
            return False
        end = monotonic() + ANSWER_SECONDS + LOOK_SECONDS[1]
        while not over.wait(LOOK_SECONDS[0]) and monotonic() < end and not self._rests(order):
            pass
        if outcome and not outcome[0][0]:
            raise WatchError(f"{self.run.name}: {outcome[0][1].rstrip('.')}.")
        over.set()
        return bool(outcome)

    def turn(self) -> None:
        """Write what was asked, take in what was answered; on the thread that follows.

        Raises:
            Exception: as the file system raises it.
        """
        while self._outbox:
            self._commands.append([self._outbox[0].message])
            self._outbox.popleft()
        for one in self._acks.fresh():
            self._hear(one)
        now = monotonic()
        for name, sent in tuple(self._open.items()):
            if sent.heard_at:
                continue
            if self.run.state == "lost":
                self._over(name, False, GONE.format(seconds=self.run.silent))
            elif now - sent.since > ANSWER_SECONDS:
                self._over(name, False, UNHEARD.format(seconds=ANSWER_SECONDS))
            elif now > sent.again and self._commands.place.is_url:
                sent.again = now + AGAIN_SECONDS
                if name not in self._commands.place.read_text():
                    self._outbox.append(sent)

    def close(self) -> None:
        """The job has ended, or is followed no more."""
        for name, sent in tuple(self._open.items()):
            self._over(name, False, ENDED.format(name=self.run.name, order=sent.order))
        self._outbox.clear()
        super().close()

    def _rests(self, order: "Order") -> bool:
        """Whether a command was heard, and waits for a step that a paused job does not make."""
        heard = [sent.heard_at for sent in tuple(self._open.values()) if sent.order is order]
        paused = self.run.status().state == "paused"
        return paused and bool(heard) and 0 < heard[0] < monotonic() - REST_SECONDS

    @property
    def _goes_on(self) -> bool:
        return self.run.state == "following"

    def _hear(self, one: dict[str, Any]) -> None:
        what, job = one.get("op"), one.get("job")
        if what == "controls" and isinstance(job, str):
            self._job, self._described = job, _checked(one.get("controls"))
        elif what == "end" and job == self._job:
            self._job = ""
        elif what == "ack":
            name, state = one.get("id"), one.get("state")
            sent = self._open.get(name) if isinstance(name, str) else None
            if sent is not None and state == "queued":
                sent.heard_at = sent.heard_at or monotonic()
            elif sent is not None and state in ("done", "refused"):
                self._over(sent.message["id"], state == "done", str(one.get("text", ""))[:TEXT])

    def _over(self, name: str, done: bool, text: str) -> None:
        sent = self._open.pop(name, None)
        if sent is None:
            return
        try:
            sent.answer(done, text)
        except Exception as error:
            self.run.note(f"an answer could not be told: {type(error).__name__}: {error}")


def _checked(told: Any) -> str:
    """What can be controlled, as JSON, of what somebody says about it."""
    try:
        given = json.loads(told)
        items = [{key: one[key] for key in TYPES} for one in given["instruments"]]
        fits = all(type(one[key]) in types for one in items for key, types in TYPES.items())
        fork = {"fork": given["fork"]} if isinstance(given.get("fork"), str) else {}
        return json.dumps({"groups": int(given["groups"]), "instruments": items, **fork}) if fits else ""
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def _number(value: Any) -> Any:
    """A number of NumPy or torch as JSON knows it; text of anything else, which the job will refuse."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "size", 0) == 1 else str(value)
