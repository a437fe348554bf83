"""Copies of the parameters along an axis: which were measured, and the steps that they are of."""

from typing import Any

import numpy as np

from nbtoolkit.store.schema import COMPANIONS

STEPS = "snapshot_step"  # the output that says of which step each copy is


def steps_of(ds: Any, row: int) -> np.ndarray:
    """The step of each copy in one row; its place where no output says so."""
    if STEPS in ds.data_vars and ds[STEPS].dims == ("step", "snapshot"):
        return ds[STEPS].values[row].astype(float)
    return np.arange(ds.sizes["snapshot"], dtype=float)


def main(ds: Any) -> list[str]:
    """The variables that a panel is about, not the steps of its copies nor what belongs to another."""
    told = {variable.attrs.get(word) for variable in ds.data_vars.values() for word in COMPANIONS}
    return [str(name) for name in ds.data_vars if name not in told and name != STEPS]
