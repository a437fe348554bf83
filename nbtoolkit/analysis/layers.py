"""Norms of the parameters of a module taken together, from those of its parameters."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["listed", "norms_of", "places_of", "thinned"]

SHOWN = 4  # names
ROOT = "the model itself"  # a bare nn.Linear, or parameters that belong to none of the model's parts


def places_of(params: Iterable[Any]) -> dict[str, list[int]]:
    """Of each module the places of its parameters, whose names are ``module.parameter``; those of the model as one."""
    layers: dict[str, list[int]] = {}
    for place, name in enumerate(map(str, params)):
        layers.setdefault(name.rpartition(".")[0] or ROOT, []).append(place)
    return layers


def norms_of(norms: np.ndarray, layers: Iterable[list[int]]) -> np.ndarray:
    """Root of the sum of squares of each layer, ``(rows, layers)``; NaN where it has no finite norm in a row."""
    finite = np.isfinite(norms)
    squares = np.where(finite, norms, 0.0) ** 2
    found = [np.where(finite[:, p].any(axis=1), np.sqrt(squares[:, p].sum(axis=1)), np.nan) for p in layers]
    return np.stack(found, axis=1) if found else np.empty((len(norms), 0))


def thinned(begin: int, end: int, most: int) -> slice:
    """About so many of these rows, evenly spaced, the last among them."""
    stride = max(1, (end - begin) // most)
    return slice(begin + (end - 1 - begin) % stride, end, stride)


def listed(names: Sequence[str], places: Iterable[int], values: np.ndarray | None = None) -> str:
    """The first few names, with their values where given, and how many more there are."""
    chosen = list(places)
    told = [_word(names[i]) + ("" if values is None else f": {values[i]:.2g}") for i in chosen[:SHOWN]]
    return ", ".join(told) + (f" and {len(chosen) - SHOWN} more" if len(chosen) > SHOWN else "")


def _word(name: str) -> str:
    """A name that is a number, as those of `nn.Sequential` are, said to be a layer's."""
    return f"layer {name}" if name.isdigit() else name
