"""Independent parts of one measurement: evaluated here, one after another, or where somebody offers to."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

Carry = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]

_offer: ContextVar[Carry | None] = ContextVar("nbtoolkit_elsewhere", default=None)


def each(function: Callable[[Any], Any], parts: Sequence[Any], *, there: Callable[[Any], Any] | None = None) -> Any:
    """The values of a function at independent parts, in their order.

    Args:
        function: of one part.
        parts: each evaluated once.
        there: the same function in a form that can be sent to another process; by default ``function`` can.
    """
    offer = _offer.get()
    return map(function, parts) if offer is None else offer(there or function, parts)


@contextlib.contextmanager
def offered(carry: Carry) -> Iterator[None]:
    """What is measured within the block, on this thread, has its parts evaluated by ``carry(function, parts)``."""
    token = _offer.set(carry)
    try:
        yield
    finally:
        _offer.reset(token)
