"""What a thread is busy with, so that it does not act on what it is asked at once: it waits, or is told something."""

import contextlib
import threading
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbtoolkit.capture.control import Control


class Pause:
    """A thread that waits between two steps.

    Args:
        by: holds it, until it lets go.
    """

    def __init__(self, by: "Control") -> None:
        self.by, self.began = by, perf_counter()
        self.bell = threading.Event()


pauses: dict[int, Pause] = {}  # by thread
attentive: set[int] = set()  # the threads that are being told something, and so are not free to act


@contextlib.contextmanager
def attention() -> Iterator[None]:
    """While this thread tells or hears something: what it is asked to do waits until that is over."""
    own = threading.get_ident()
    if own in attentive:
        yield
        return
    attentive.add(own)
    try:
        yield
    finally:
        attentive.discard(own)


@contextlib.contextmanager
def another_training() -> Iterator[None]:
    """While this thread trains something else: that is neither paused nor told anything, and no part of a pause."""
    own, began = threading.get_ident(), perf_counter()
    pause, told = pauses.pop(own, None), own in attentive
    attentive.discard(own)
    try:
        yield
    finally:
        if told:
            attentive.add(own)
        if pause is not None:
            pause.began += perf_counter() - began
            pauses[own] = pause
