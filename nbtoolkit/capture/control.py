"""What the user wants of a running loop: kept in order, carried out by the thread that trains, between two steps."""

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from nbtoolkit.capture.busy import Pause, attention, attentive, pauses
from nbtoolkit.errors import LandscapeError, TrainingStopped, WatchError

if TYPE_CHECKING:
    from nbtoolkit.capture.agreement import Agreement
    from nbtoolkit.capture.forkable import Maker
    from nbtoolkit.capture.forking import Fork
    from nbtoolkit.capture.listening import Listening
    from nbtoolkit.capture.orders import Order
    from nbtoolkit.capture.run import Run
    from nbtoolkit.instruments import Instrument

LOOK_SECONDS = 1 / 30  # between two looks while paused
REST_SECONDS = 1.0  # the same where nothing has to be listened to: an order rings
MOST = 1000  # orders that wait
KEPT = 10_000  # entries of the log
OVER = "{name} is {state}: there is no training to act on."
UNKEPT = f"of the commands only the first {KEPT} are kept in the record"

Answer = Callable[[bool, str], None]  # whether it was carried out; what was done, or why not


class Control:
    """The orders of one run.

    Args:
        run: whose training they are about.
    """

    afar: ClassVar[bool] = False  # another process makes the steps

    def __init__(self, run: "Run") -> None:
        self.run = run
        self.agreement: Agreement | None = None  # with the other processes that train the same model
        self.listening: Listening | None = None  # to the file in which others ask for something
        self.orders: deque[tuple[Order, Answer]] = deque()
        self.holding = False  # the thread is to wait
        self.until: int | None = None  # the step after which it is to wait
        self.rate: Order | None = None  # what has set the learning rate last
        self.maker: Maker | None = None  # of forks
        self.fork: Fork | None = None  # that is being made at this moment
        self.replays = False  # the run does again what another one did, and must not wait where that did
        self.ending: Callable[[], bool] | None = None  # ends the loop in its own way; whether it can
        self.measured: dict[str, tuple[int, Instrument]] = {}  # on request: the last step, by name
        self._lock = threading.Lock()
        self._ended = False

    @property
    def pause(self) -> Pause | None:
        """The wait under way of the thread that makes the steps of the run."""
        steps = self.run.steps
        return None if not pauses or steps is None or steps.asleep else pauses.get(steps.thread)

    @property
    def paused_since(self) -> float | None:
        """When the run was paused, if it is."""
        pause = self.pause
        return None if pause is None else pause.began

    @property
    def bound_to_wait(self) -> bool:
        """Whether the thread waits, or an order is there that may let it wait."""
        ordered = any(order.waits for order, _ in tuple(self.orders))
        return ordered or self.holding or self.pause is not None

    @property
    def ends(self) -> bool:
        """Whether an order to stop waits."""
        return any(order.ends for order, _ in tuple(self.orders))

    @property
    def ends_fork(self) -> bool:
        """Whether an order waits that ends a fork which is being made."""
        return any(order.ends_fork for order, _ in tuple(self.orders))

    def at_rest(self) -> bool:
        """Whether this thread may act at once: it trains, and is not in a step; or the one that trained is gone."""
        steps, own = self.run.steps, threading.get_ident()
        if steps is None or steps.asleep or own in attentive:
            return False
        return steps.thread == own or not self.trains_elsewhere()

    def trains_elsewhere(self) -> bool:
        """Whether another thread makes the steps, and lives."""
        steps = self.run.steps
        if steps is None or steps.thread == threading.get_ident():
            return False
        return steps.thread in sys._current_frames()

    def give(
        self, order: "Order", answer: Answer, queued: Callable[[], None] = lambda: None, *, own: bool = False
    ) -> None:
        """Carry an order out now if that is possible, else after the step under way.

        Args:
            order: what is wanted.
            answer: told when it has been carried out or refused; not where this raises.
            queued: told that it waits.
            own: the loop itself gives it.

        Raises:
            WatchError: it can never be carried out, or could be now and failed.
        """
        run = self.run
        if run.state != "watching" or run.steps is None:
            raise WatchError(OVER.format(name=run.name, state=run.state))
        order.check(run)
        if self.agreement is not None and not own:
            self.agreement.ask(order, answer, lambda: _told(queued))
            return
        if order.at_once and self.at_rest():
            text = order.carry_out(run, own=own)
            if text is not None:
                _told(answer, True, text)
                if not own:
                    _pass_on([run])
                return
        with self._lock:
            if self._ended:
                raise WatchError(OVER.format(name=run.name, state=run.state))
            if len(self.orders) >= MOST:
                raise WatchError(f"{run.name}: {MOST} commands wait already for a step to end; is one being made?")
            _told(queued)
            if order.ends_fork and not order.ends:  # of the fork being made, none that waits
                self.orders.appendleft((order, answer))
            else:
                self.orders.append((order, answer))
        pause = self.pause
        if pause is not None:
            pause.bell.set()

    def obey(self) -> None:
        """Carry out what waits; called between two steps by the thread that makes them.

        Raises:
            TrainingStopped: that was asked for.
        """
        self.carry_out()
        if self.holding:
            self._wait()

    def close(self) -> None:
        """The run has ended: what waits is refused."""
        self.holding, self.maker = False, None
        with self._lock:
            self._ended = True
            left, pause = list(self.orders), self.pause
            self.orders.clear()
        for order, answer in left:
            _told(answer, False, f"{self.run.name} has ended before {order} could be done")
        if pause is not None:
            pause.bell.set()

    def leave(self) -> None:
        """Nothing more comes from elsewhere; the last answers are told."""
        for source in (self.agreement, self.listening):
            if source is not None:
                source.close()

    def withdraw(self, answer: Answer) -> bool:
        """Take back the order that was given with this answer; whether it had not been begun."""
        if self.agreement is not None:
            return self.agreement.withdraw(answer)
        for entry in tuple(self.orders):
            if entry[1] is answer:
                with contextlib.suppress(ValueError, IndexError):  # the thread that trains has just taken it
                    self.orders.remove(entry)
                    return True
        return False

    def log(self, what: str, text: str, old: Any = None, new: Any = None, **more: Any) -> None:
        """Keep what was done in the record."""
        kept = self.run.record.attrs.setdefault("commands", [])
        if len(kept) >= KEPT:
            self.run.note(UNKEPT)
        else:
            kept.append({"step": self.run.step, "what": what, "text": text, "old": old, "new": new} | more)

    def carry_out(self) -> None:
        """Carry out what waits, on the thread that trains or in its place.

        Raises:
            TrainingStopped: that was asked for, and the loop has no way of its own to end.
        """
        run, acted, left = self.run, False, len(self.orders)
        while left > 0:
            left -= 1
            try:
                order, answer = self.orders.popleft()
            except IndexError:  # another thread has taken them back
                break
            try:
                with attention():
                    text = order.carry_out(run)
            except TrainingStopped as stopped:
                _told(answer, True, f"stopped after step {run.step}")
                run.detach("stopped")
                if self.ending is not None and self.ending():
                    return
                raise stopped.with_traceback(None) from None
            except LandscapeError as error:
                _told(answer, False, str(error))
            except Exception as error:
                _told(answer, False, f"{type(error).__name__}: {error}".splitlines()[0])
            except BaseException:
                _told(answer, False, "interrupted")
                raise
            else:
                if text is None:  # it wants another step
                    self.orders.append((order, answer))
                    continue
                acted = acted or text != ""
                _told(answer, True, text)
            if order.takes_long:
                left = len(self.orders)
        if acted and (self.pause is not None or not self.holding):  # else it is told with the wait that begins
            _pass_on([run])

    def _wait(self) -> None:
        """Do nothing but listen until let go."""
        run, own = self.run, threading.get_ident()
        runs: list[Run] = []
        pause = Pause(self)
        try:
            runs = here(run)
            pauses[own] = pause
            _pass_on(runs)
            while self.holding and run.state == "watching":
                for one in runs:
                    one.hear()
                    if one.control.orders and one.state == "watching":
                        one.control.carry_out()
                if self.holding and run.state == "watching":
                    pause.bell.wait(LOOK_SECONDS if any(one.ears for one in runs) else REST_SECONDS)
                    pause.bell.clear()
        except BaseException:
            if run.state == "watching":
                self.log("resume", f"interrupted while paused after step {run.step}")
            raise
        finally:
            self.holding = False
            pauses.pop(own, None)
            for one in runs:
                one.passed(perf_counter() - pause.began)
            _pass_on(runs)


def _told(tell: Callable[..., None], *what: Any) -> None:
    """Tell whoever asked; that it cannot be told is no reason to disturb the training."""
    with contextlib.suppress(Exception):
        tell(*what)


def _pass_on(runs: "list[Run]") -> None:
    """Let what shows the runs know."""
    for run in runs:
        if run.steps is not None:
            run.steps.guarded(run.report)


def here(run: "Run") -> "list[Run]":
    """The run, and all others whose steps this thread makes; they wait together."""
    from nbtoolkit.capture.watch import runs_by_optimizer, watching

    known = [watching(optimizer) for optimizer in list(runs_by_optimizer)]
    others = [one for one in known if one is not None and one is not run and one.steps is not None]
    return [run, *(one for one in others if one.steps and one.steps.belongs_here() and not one.steps.asleep)]
