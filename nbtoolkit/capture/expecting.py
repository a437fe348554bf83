"""Waiting on one thread for what another one, which trains, is to carry out."""

import threading
from time import perf_counter
from typing import TYPE_CHECKING

from nbtoolkit.capture import names
from nbtoolkit.capture.control import REST_SECONDS, Answer, Control
from nbtoolkit.errors import WatchError

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

PATIENCE = 10.0  # seconds in which a step should end
MOST_PATIENCE = 120.0  # the usual time of a step may have a night between two cells in it
SLOWER = 20  # times its usual time that a step may take
NO_STEP = "this is measured within a step, and none is being made now."
NO_END = (
    "{name}: no step has ended for {seconds:.0f} s, and this is measured where one ends; ask again while steps are "
    "made, or on the thread that makes them."
)


def expect(control: Control, over: threading.Event, answer: Answer) -> None:
    """Wait until an order that was given is over.

    Args:
        control: that it was given to.
        over: tells it.
        answer: that the order was given with.

    Raises:
        WatchError: the thread that would carry it out is gone, or makes no step; the order is then taken back.
    """
    run = control.run
    last, since = run.step, perf_counter()
    try:
        while not over.wait(REST_SECONDS):
            if control.at_rest():
                control.carry_out()
                if not over.is_set():
                    raise WatchError(f"{run.name}: {NO_STEP}")
                return
            waited = perf_counter() - since
            if run.step != last or _is_at_work(run):
                last, since = run.step, perf_counter()
            elif waited > _patience(run) and control.withdraw(answer):
                raise WatchError(NO_END.format(name=run.name, seconds=waited))
    except BaseException:
        control.withdraw(answer)
        raise


def _is_at_work(run: "Run") -> bool:
    """Whether the thread that trains is paused, trains a fork, measures, or makes a step."""
    steps = run.steps
    if steps is None or steps.asleep or run.control.pause is not None:
        return True
    if not run.lock.acquire(blocking=False):
        return True
    run.lock.release()
    return names.is_stepping(steps.thread)


def _patience(run: "Run") -> float:
    """Seconds in which a step ends, if any is being made."""
    steps = run.steps
    seconds = None if steps is None else steps.schedule.step_seconds
    return min(max(PATIENCE, SLOWER * (seconds or 0.0)), MOST_PATIENCE)
