"""The states of Python's and NumPy's global generators, left as they were at little cost."""

import ctypes
import pickle
import random
import sys
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.random import MT19937, RandomState

HEAD = object.__basicsize__
FIRST = 64  # bytes of a generator's words, which all change together; in Python the place among them comes first
KEY = 4 * 624  # bytes of the words of NumPy's MT19937, after which comes the place
READABLE = sys.implementation.name == "cpython"  # where an object's id is its address
PYTHON: Any = random.getstate.__self__  # type: ignore[attr-defined]
NUMPY: Any = np.random.mtrand._rand


class GlobalStates:
    """Puts both generators back into the states that they had, where something has drawn from them.

    To read a state takes as long as a small model takes to run. So a state is read again only where the memory that
    holds it has changed, which is looked at every time: at the place in the generator's words, which moves with every
    draw, at the first words, which change when all do, and at what waits of a pair of normal numbers.
    """

    def __init__(self) -> None:
        self._python: Any = None
        self._numpy: Any = None
        self._states: list[Any] = [None, None]

    def keep(self) -> None:
        """Know the states of now."""
        python, numpy = python_mark(), numpy_mark()
        if python != self._python:
            self._python, self._states[0] = python, random.getstate()
        if numpy != self._numpy:
            self._numpy, self._states[1] = numpy, np.random.get_state(legacy=False)  # noqa: NPY002 - users draw there

    def restore(self) -> None:
        """Back to the states of the last `keep`."""
        if python_mark() != self._python:
            random.setstate(self._states[0])
        if numpy_mark() != self._numpy:
            np.random.set_state(self._states[1])  # noqa: NPY002


def python_mark() -> Any:
    """What differs when the state of Python's generator does."""
    if not READABLE:
        return random.getstate()
    return _python().raw, PYTHON.gauss_next


def numpy_mark() -> Any:
    """What differs when the state of NumPy's global generator does."""
    bits = NUMPY._bit_generator
    if not READABLE or type(bits) is not MT19937:
        return pickle.dumps(np.random.get_state(legacy=False))  # noqa: NPY002 - users draw there
    words, place, waiting = _numpy(bits)
    return bits, words.raw, place.raw, waiting.raw


@cache
def _python() -> Any:
    return _memory(id(PYTHON) + HEAD, FIRST)


@lru_cache(1)
def _numpy(bits: MT19937) -> tuple[Any, Any, Any]:
    """First words and place; and the object around the generator, in which the second of a pair waits."""
    address = bits.ctypes.state_address
    body = RandomState.__basicsize__ - HEAD
    return _memory(address, FIRST), _memory(address + KEY, 4), _memory(id(NUMPY) + HEAD, body)


def _memory(address: int, length: int) -> Any:
    return (ctypes.c_char * length).from_address(address)
