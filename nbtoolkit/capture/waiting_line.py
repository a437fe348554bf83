"""What is asked of all runs of this process that train with other processes: agreed on one by one, as it was asked for.

A pause of one run holds every run of its thread, so an order to one run means the same in all processes only once they
have all done what was asked of another run before.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbtoolkit.capture.control import Answer
    from nbtoolkit.capture.orders import Order


@dataclass(eq=False)
class Waiting:
    """One order in the line.

    Args:
        by: who brings it to all processes.
        order: what is wanted.
        answer: told what came of it.
    """

    by: object
    order: "Order"
    answer: "Answer"
    begun: bool = False


class WaitingLine:
    """The orders in the order in which they came; only the first is under way."""

    def __init__(self) -> None:
        self._line: deque[Waiting] = deque()
        self._changed = threading.Condition()

    def join(self, one: Waiting) -> None:
        """Stand at the end."""
        with self._changed:
            self._line.append(one)
            self._changed.notify_all()

    def leave(self, one: Waiting) -> None:
        """Let the next one begin; safe to repeat."""
        with self._changed:
            if one in self._line:
                self._line.remove(one)
            self._changed.notify_all()

    def first(self, by: object, seconds: float) -> Waiting | None:
        """The order of ``by`` that may begin now; None where none may within some seconds, or until a `ring`."""
        with self._changed:
            if not self._may_begin(by):
                self._changed.wait(seconds)
            if not self._may_begin(by):
                return None
            self._line[0].begun = True
            return self._line[0]

    def ring(self) -> None:
        """Let all who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def withdraw(self, fits: Callable[[Waiting], bool]) -> list[Waiting]:
        """Take back what fits and has not begun."""
        with self._changed:
            found = [one for one in self._line if not one.begun and fits(one)]
            for one in found:
                self._line.remove(one)
            self._changed.notify_all()
            return found

    def _may_begin(self, by: object) -> bool:
        return bool(self._line) and self._line[0].by is by and not self._line[0].begun
