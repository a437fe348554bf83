"""Records whose rows are made up, with the variables that the instruments declare, and what one rule says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nbtoolkit import instruments
from nbtoolkit.analysis import Finding, diagnose
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var

PARAMS = ("0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias")


def record(
    groups: Mapping[str, Mapping[str, Any]], *, every: int = 1, labels: Mapping[str, Sequence[Any]] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> Record:  # fmt: skip
    """Rows of these instruments at the steps 0, every, 2 every ..., with labels by dim."""
    made = Record(attrs)
    for name, values in groups.items():
        arrays = {key: np.asarray(value, float) for key, value in values.items()}
        known = instruments.known()
        outputs = known[name].outputs if name in known else {key: Var((), "1", key) for key in values}
        columns = made.group(name, outputs)
        rows = len(next(iter(arrays.values())))
        own = {dim: (labels or {}).get(dim, PARAMS if dim == "param" else ()) for dim in columns.labels}
        columns.append(np.arange(rows) * every, arrays, own)
    return made


def of_loss(loss: Any, **more: Any) -> Record:
    """A record of losses, one a step."""
    return record({"loss": {"loss": loss}, **more})


def said(run: Any, rule: str) -> list[Finding]:
    """What the rule of this name found."""
    return [one for one in diagnose(run) if one.rule == rule]


def noisy(count: int, level: float = 1.0, noise: float = 0.1, seed: int = 0) -> np.ndarray:
    """Values about a level."""
    return level + noise * np.random.default_rng(seed).normal(size=count)


def falling(count: int, first: float = 2.3, last: float = 0.1, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """A loss that falls exponentially, with noise in proportion to itself."""
    smooth = last + (first - last) * np.exp(-8 * np.arange(count) / count)
    return smooth * (1 + noise * np.random.default_rng(seed).normal(size=count))
