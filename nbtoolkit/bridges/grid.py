"""The grid of a sweep: its axes, and the points on them."""

import hashlib
import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbtoolkit.errors import LandscapeError
from nbtoolkit.numerics.given import shown

Point = dict[str, Any]

RESERVED = ("step", "reason")  # what the result has besides the axes
LARGEST = 2**63  # of whole numbers, that NumPy holds
FORM = 'expected a dict of axis name -> values, such as {"lr": [0.1, 0.01], "width": [64, 256]}'


@dataclass(frozen=True)
class Grid:
    """The axes of a sweep, in the order given, each with its values in the order given."""

    axes: Mapping[str, list[Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Values on each axis."""
        return tuple(map(len, self.axes.values()))

    def points(self) -> list[Point]:
        """All cells, the last axis running fastest."""
        return [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]


def checked(grid: Any) -> Grid:
    """The grid that a user gave.

    Raises:
        LandscapeError: no dict, an axis without values or with one value twice, values that are neither numbers nor
            strings, or an axis whose name means something else.
    """
    if not isinstance(grid, Mapping):
        raise LandscapeError(f"grid is a {type(grid).__name__}; {FORM}.")
    if not grid:
        raise LandscapeError(f"the grid has no axis; {FORM}.")
    return Grid({_name(name): _values(name, values) for name, values in grid.items()})


def check_call(train: Any, grid: Grid) -> None:
    """Refuse what cannot be called with the axes of a grid.

    Raises:
        LandscapeError: no function, or one that takes other arguments.
    """
    if not callable(train):
        raise LandscapeError(f"train is a {type(train).__name__}; expected a function called as train(**point).")
    try:
        signature = inspect.signature(train)
    except (TypeError, ValueError):  # of something built in
        return
    try:
        signature.bind(**dict.fromkeys(grid.axes))
    except TypeError as error:
        takes, axes = ", ".join(signature.parameters), ", ".join(grid.axes)
        raise LandscapeError(
            f"{name_of(train)}({takes}) cannot be called with the grid's axes {axes}: {error}."
        ) from None


def key(point: Mapping[str, Any]) -> str:
    """A name for a point that depends on its values and not on the order of the axes: 32 hexadecimal digits."""
    plain = {name: _plain(value) for name, value in point.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def name_of(train: Callable[..., Any]) -> str:
    """What a function is called, also one with some arguments given."""
    return getattr(train, "__name__", None) or name_of(getattr(train, "func", type(train)))


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise LandscapeError(f"an axis of the grid is called {shown(name)}; {FORM}.")
    if name in RESERVED:
        raise LandscapeError(f"an axis of the grid is called {name!r}, as is a part of the result; rename it.")
    return name


def _values(name: str, values: Any) -> list[Any]:
    ordered = isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping, set, frozenset))
    if not ordered or getattr(values, "ndim", 1) != 1:
        raise LandscapeError(f"the axis {name!r} is {shown(values)}; expected a list of its values.")
    found: list[Any] = values.tolist() if isinstance(values, np.ndarray) else [_unwrapped(value) for value in values]
    if not found:
        raise LandscapeError(f"the axis {name!r} has no values; give one at least.")
    for value in found:
        _check(name, value)
    if len({_kind(value) for value in found}) > 1:
        raise LandscapeError(f"the axis {name!r} mixes numbers, strings or booleans; give values of one kind.")
    seen: set[Any] = set()
    for value in found:
        if value in seen:
            raise LandscapeError(f"the axis {name!r} has {shown(value)} twice; each cell is trained once.")
        seen.add(value)
    return found


def _unwrapped(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) or getattr(value, "ndim", 1) == 0 else value


def _check(name: str, value: Any) -> None:
    if not isinstance(value, (str, bool, int, float)):
        raise LandscapeError(
            f"the axis {name!r} has the value {shown(value)}; expected numbers or strings: give names, and look up in "
            "train what they stand for."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise LandscapeError(f"the axis {name!r} has the value {value}; expected finite numbers.")
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise LandscapeError(f"the axis {name!r} has the value {shown(value)}; expected whole numbers below 2^63.")


def _kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def _plain(value: Any) -> Any:
    """One and the same for 1 and 1.0, exact for whole numbers that floats do not hold."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
