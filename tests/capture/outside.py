"""Acting on a training from outside, at steps that are known beforehand."""

import threading
from collections.abc import Callable
from typing import Any

import nbtoolkit


def elsewhere(act: Callable[[], Any]) -> None:
    """Do it on another thread, to the end."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


class Elsewhere:
    """A loop that makes steps on another thread until something is raised in it; it has made one when this begins.

    Args:
        step: makes one.
    """

    def __init__(self, step: Callable[[], Any]) -> None:
        self._step, self._begun = step, threading.Event()
        self._ended: list[BaseException] = []
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()
        # Until then the thread that began the watch is taken for the one that trains.
        assert self._begun.wait(30)

    def ended_by(self) -> list[type[BaseException]]:
        """Wait for its end: what was raised."""
        self._thread.join()
        return [type(error) for error in self._ended]

    def _loop(self) -> None:
        try:
            while True:
                self._step()
                self._begun.set()
        except BaseException as error:
            self._ended.append(error)


class Wrong(BaseException):
    """Ends a wait in which something went wrong."""


def while_paused(run: nbtoolkit.Run, *acts: Callable[[], Any]) -> list[int]:
    """Each time that the run is heard paused, do the next of these; returns the steps at which it was."""
    left, seen = list(acts), []

    def ear() -> None:
        if run.status().state == "paused":
            seen.append(run.step)
            if left:
                try:
                    left.pop(0)()
                except Exception as error:  # of an ear it would be a note, and the run would wait for ever
                    raise Wrong from error

    run.ears.append(ear)
    return seen
