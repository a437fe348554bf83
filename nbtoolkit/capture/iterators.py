"""Copies of iterators that go on from the same place and leave the original where it is."""

import itertools
import warnings
from typing import Any

KINDS = {
    *map(type, map(iter, ([], (), range(0), range(2**70), "", "é", b"", bytearray(), set()))),
    *map(type, map(iter, ({}, {}.values(), {}.items()))), *map(type, map(reversed, ([], {}))),
    enumerate, zip, map, filter, reversed,
    itertools.count, itertools.cycle, itertools.repeat, itertools.chain, itertools.islice,
}  # fmt: skip


def is_iterator(thing: Any) -> bool:
    """Whether this is something of which ``next()`` takes the next."""
    return hasattr(type(thing), "__next__")


def copied(iterator: Any, known: dict[int, Any]) -> Any:
    """An iterator at the same place as this one; the two no longer share anything but the items.

    ``known`` holds the copies made so far by the ids of their originals: what two iterators share, their copies share.

    Raises:
        TypeError: there is no such copy; the text says what stands in the way.
    """
    if id(iterator) in known:
        return known[id(iterator)]
    if type(iterator) not in KINDS:
        raise TypeError(what(iterator))
    make, parts, state = _taken_apart(iterator)
    copy = make(*[copied(part, known) if is_iterator(part) else part for part in parts])
    if isinstance(state, tuple):
        state = tuple(_state(part, known) for part in state)
    if state is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            copy.__setstate__(state)
    known[id(iterator)] = copy
    return copy


def pieces(iterator: Any) -> list[Any]:
    """What an iterator goes over, and the functions that it calls."""
    parts = _taken_apart(iterator)[1]
    return [piece for part in parts for piece in (pieces(part) if is_iterator(part) else [part])]


def what(iterator: Any) -> str:
    """The kind of an iterator in words."""
    kind = type(iterator)
    if "DataLoader" in kind.__name__:
        return "a DataLoader's iterator, which may have read ahead in other processes"
    if kind.__name__ == "generator":
        return "a generator, whose frame cannot be copied"
    return f"an iterator of type {kind.__name__}, which cannot be copied"


def _taken_apart(iterator: Any) -> tuple[Any, Any, Any]:
    """How pickle would make an iterator: a function, its arguments, a state to be set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 on: those of itertools
        try:
            make, parts, *rest = iterator.__reduce__()
        except TypeError:  # of Python 3.14 on
            raise TypeError(what(iterator)) from None
    return make, parts, rest[0] if rest else None


def _state(part: Any, known: dict[int, Any]) -> Any:
    if is_iterator(part):
        return copied(part, known)
    return list(part) if isinstance(part, list) else part  # itertools.cycle goes on filling its own
