"""The same order between the same two steps in every process that trains a model together.

Only the first process is asked. It announces the order, the n-th, to all. In each a background thread then hands the
training thread an `Agreed`, which holds it after its next step, and only then reads how many steps are done: the
training thread counts a step before it looks for orders, so it goes no further than one more. That is promised to the
first process, which decides for the largest step promised, K, when all promises are there. Whoever is held goes on to
step K, and carries the order out there. A process whose step waits for one that is held (an all-reduce) is itself at
most at its promise, so that K lets both go on: no promise waits for a step to end.

A loop that is paused makes no step; there an order is carried out where it is paused, which is after the same step
everywhere, since the pause was agreed too. For that no order is announced, to whichever run of this process, before
all processes have carried out the one before it: a thread makes the steps of several runs, and all wait in one pause.
Between orders a background thread looks into its box, and nothing else.
"""

import contextlib
import json
import threading
import warnings
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from nbtoolkit.capture import commands
from nbtoolkit.capture.agreed import UNDECIDED, Agreed, End
from nbtoolkit.capture.orders import Order
from nbtoolkit.capture.waiting_line import Waiting, WaitingLine
from nbtoolkit.errors import LandscapeError, WatchError, first_line

if TYPE_CHECKING:
    from nbtoolkit.capture.control import Answer
    from nbtoolkit.capture.ranks import Ranks
    from nbtoolkit.capture.run import Run

ORDERS, PROMISES, DECIDED, DONE = "orders", "promises", "decided", "done"
REST_SECONDS, PER_RANK = 0.25, 1 / 500  # between two looks of a process that nothing is asked of; seconds for each
LOOK_SECONDS = 0.01  # while something is being agreed
PROMISE_SECONDS = 30.0  # in which every process promises
PATIENCE = 2.0  # times that, for those who are told what was decided
STEP_SECONDS = 30.0  # after which an order that no process has begun, as its run makes no step, lets others go first
CLOSE_SECONDS = 2.0
SILENT = "{who} did not answer within {seconds:g} s"
ENDED = "{who} has ended"
NOTHING = "{reason}; nothing was done in any process"
FIRST = "commands are given in the first process of a job, of which this is process {rank}"
DOUBT = "{order}: {reason}, so that not all may have been told; the processes may differ from step {step} on"
UNBEGUN = "rank 0 could not begin: {reason}"
NAMED = "in a job of several processes an instrument is asked for by its name, as it stands on the shelf or in the run"

_line = WaitingLine()


class Agreement:
    """Brings the orders of the first process to all of them; one at a time.

    Args:
        run: this process's.
        ranks: the processes.
    """

    def __init__(self, run: "Run", ranks: "Ranks") -> None:
        self._run, self._ranks, self._mail = run, ranks, ranks.mailbox
        self._done = threading.Event()
        self._number = 0
        self._agreed: Agreed | None = None
        self._ended: set[int] = set()
        self._thread = threading.Thread(target=self._serve, name="nbtoolkit agreement", daemon=True)
        self._thread.start()

    def ask(self, order: Order, answer: "Answer", queued: Callable[[], None]) -> None:
        """Let an order be carried out in all processes.

        Raises:
            WatchError: this is not the first process, or the others cannot be told this order.
        """
        if self._ranks.rank:
            raise WatchError(f"{FIRST.format(rank=self._ranks.rank)}.")
        self._check(order)
        queued()
        _line.join(Waiting(self, order, answer))
        if self._done.is_set():  # while this was asked
            self._refuse()

    def withdraw(self, answer: "Answer") -> bool:
        """Take back an order that nobody was told of yet; whether there was one."""
        return bool(_line.withdraw(lambda one: one.by is self and one.answer is answer))

    def close(self) -> None:
        """This process makes no more steps: tell the others, and let nothing wait."""
        self._done.set()
        _line.ring()
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_SECONDS)
        self._refuse()

    def _refuse(self) -> None:
        for one in _line.withdraw(lambda one: one.by is self):
            one.answer(False, f"{self._run.name} has ended before {one.order} could be done")

    def _serve(self) -> None:
        try:
            (self._attend if self._ranks.rank else self._lead)()
        except Exception as error:
            self._run.note(f"commands reach the processes no more: {type(error).__name__}: {error}")
            if self._agreed is not None:
                self._agreed.decide(None, UNDECIDED)
        finally:
            self._done.set()
            self._refuse()

    # -- in the first process --------------------------------------------------------------

    def _lead(self) -> None:
        others = range(1, self._ranks.count)
        while not self._done.is_set():
            one = _line.first(self, REST_SECONDS)
            if one is not None:
                try:
                    self._agree(one, others)
                finally:
                    _line.leave(one)
        for rank in others:
            self._put(f"{ORDERS}{rank}", end=True)

    def _agree(self, one: Waiting, others: range) -> None:
        order, agreed = one.order, Agreed(one.order, PATIENCE * PROMISE_SECONDS)
        self._number += 1
        for rank in others:
            self._put(f"{ORDERS}{rank}", n=self._number, order=order.given())
        promise = self._hand_over(agreed, one.answer)
        told, reason = self._answers(PROMISES, others, PROMISE_SECONDS)
        reasons = [
            NOTHING.format(reason=reason) if reason else "",
            *(str(one["reason"]) for _, one in sorted(told.items()) if one.get("reason")),  # of the first, not fastest
        ]
        at = max([promise, *(int(one.get("at", 0)) for one in told.values())])
        reason = next(filter(None, reasons), "")
        for rank in others:
            self._put(f"{ORDERS}{rank}", n=self._number, at=None if reason else at, reason=reason)
        if reason:
            agreed.decide(None, reason)
            return
        confirmed, unsaid = self._answers(DECIDED, others, PROMISE_SECONDS)  # before this process may end
        agreed.decide(at)
        self._ring()
        if unsaid and not self._done.is_set():
            self._doubt(DOUBT.format(order=order, reason=unsaid, step=at))
        self._finish(one, agreed, list(confirmed))

    def _doubt(self, text: str) -> None:
        self._run.note(text)
        with contextlib.suppress(Warning):  # where warnings are errors, this thread has to go on
            warnings.warn(f"nbtoolkit: {text}.", stacklevel=2)

    def _finish(self, one: Waiting, agreed: Agreed, others: list[int]) -> None:
        """Wait until all have carried it out, so that no two orders overlap."""
        told: dict[int, dict[str, Any]] = {}
        end = monotonic() + STEP_SECONDS
        while not (self._done.is_set() or self._mail.lost):
            self._take(DONE, others, told)
            if agreed.over.is_set() and not {*others} - told.keys() - self._ended:
                break
            if monotonic() > end and not (told or agreed.over.is_set()):
                _line.leave(one)
            self._done.wait(LOOK_SECONDS)
        for rank, said in told.items():
            if said.get("reason"):
                self._run.note(f"process {rank} could not do what was asked: {said['reason']}")

    def _answers(self, box: str, others: range, limit: float) -> tuple[dict[int, dict[str, Any]], str]:
        """What each process says about the order under way, and the reason if one says nothing."""
        told: dict[int, dict[str, Any]] = {}
        end = monotonic() + limit
        while True:
            self._take(box, others, told)
            missing = [rank for rank in others if rank not in told and rank not in self._ended]
            gone = sorted(self._ended - told.keys())
            if not missing or self._mail.lost or self._done.is_set() or monotonic() > end:
                break
            self._done.wait(LOOK_SECONDS)
        if self._mail.lost:
            return told, self._mail.lost
        if gone or self._done.is_set():
            return told, ENDED.format(who=_who(gone) if gone else "the first process")
        return told, SILENT.format(who=_who(missing), seconds=limit) if missing else ""

    def _take(self, box: str, others: Iterable[int], told: dict[int, dict[str, Any]]) -> None:
        """Take what the processes have said about the order under way."""
        for rank in others:
            for message in self._mail.take(box, rank):
                one = json.loads(message)
                if one.get("end"):
                    self._ended.add(rank)
                elif one.get("n") == self._number:
                    told[rank] = one

    # -- in the others ---------------------------------------------------------------------

    def _attend(self) -> None:
        box, rest = f"{ORDERS}{self._ranks.rank}", max(REST_SECONDS, self._ranks.count * PER_RANK)
        while not self._done.is_set() and not self._mail.lost:
            for message in self._mail.take(box, 0):
                self._hear(json.loads(message))
            self._done.wait(rest if self._agreed is None else LOOK_SECONDS)
        if self._agreed is not None:
            self._agreed.decide(None, self._mail.lost or UNDECIDED)
        for kind in (PROMISES, DECIDED, DONE):
            self._put(kind, end=True)

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("end"):
            if message.get("unbegun"):
                self._run.note(message["unbegun"])
                self._run.control.orders.append((End(), lambda *_: None))
            if self._agreed is not None:
                self._agreed.decide(None, NOTHING.format(reason=ENDED.format(who="the first process")))
            self._done.set()
        elif "order" in message:
            self._begin(message)
        elif message["n"] == self._number and self._agreed is not None:
            self._put(DECIDED, n=self._number)
            agreed, self._agreed = self._agreed, None
            agreed.decide(message["at"], message["reason"])
            self._ring()

    def _begin(self, message: dict[str, Any]) -> None:
        number = self._number = message["n"]
        run, reason = self._run, ""
        try:
            order = commands.order(message["order"])
            order.check(run)
        except LandscapeError as error:
            self._put(PROMISES, n=number, reason=f"process {self._ranks.rank}: {error}")
            return
        self._agreed = Agreed(
            order, PATIENCE * PROMISE_SECONDS, lambda reason: self._put(DONE, n=number, reason=reason)
        )

        def answer(done: bool, text: str) -> None:
            if not done:
                run.note(f"{order} was not done: {text}")

        promise = self._hand_over(self._agreed, answer)
        self._put(PROMISES, n=number, at=promise, reason=reason)

    # -- in all ----------------------------------------------------------------------------

    def _hand_over(self, agreed: Agreed, answer: "Answer") -> int:
        """Give an order to the training thread, and only then say how far it goes at most without knowing more."""
        self._run.control.orders.append((agreed, answer))
        self._ring()
        return self._run.step + 1

    def _ring(self) -> None:
        pause = self._run.control.pause
        if pause is not None:
            pause.bell.set()

    def _put(self, box: str, **message: Any) -> None:
        self._mail.put(box, json.dumps(message).encode())

    def _check(self, order: Order) -> None:
        instrument = getattr(order, "instrument", None)
        if instrument is None:
            return
        from nbtoolkit.capture import asking

        if getattr(order, "loop", None) is not None or asking.found(self._run, instrument.name) is not instrument:
            raise WatchError(f"{order}: {NAMED}.")


def unbegun(ranks: "Ranks | None", error: BaseException) -> None:
    """The first process does not watch after all: tell the others, which would watch for nobody."""
    if ranks is None or not ranks.writes:
        return
    reason = first_line(error).rstrip(".")
    for rank in range(1, ranks.count):
        message = {"end": True, "unbegun": UNBEGUN.format(reason=reason)}
        ranks.mailbox.put(f"{ORDERS}{rank}", json.dumps(message).encode())


def _who(ranks: list[int]) -> str:
    return f"process{'es' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
