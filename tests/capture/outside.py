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
