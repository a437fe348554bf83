"""What a user gives: whether it is a number, and how it is shown in a message."""

import math
from numbers import Integral, Real
from typing import Any

SHOWN = 40  # characters
SEEDS = 2**64  # that torch knows


def is_whole(value: Any, least: int | None = None) -> bool:
    """Whether this is a whole number, also one of NumPy's, and no boolean; ``least`` or more."""
    return isinstance(value, Integral) and not isinstance(value, bool) and (least is None or int(value) >= least)


def is_finite(value: Any) -> bool:
    """Whether this is a finite number, also one of NumPy's, and no boolean."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def is_seed(value: Any) -> bool:
    """Whether torch takes this as a seed."""
    return is_whole(value, 0) and int(value) < SEEDS


def shown(value: Any) -> str:
    """How a value looks, in one line and not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
