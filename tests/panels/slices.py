"""Datasets of a few rows, for what is drawn of one plane or one line."""

import numpy as np
import xarray

from nbtoolkit.store.columns import Columns
from nbtoolkit.store.schema import Var

LOSS = Var(("alpha", "beta"), "loss", "loss around the parameters")


def sliced(alpha: list[float], beta: list[float], *rows: np.ndarray, var: Var = LOSS) -> xarray.Dataset:
    """One variable ``loss_slice``, a row ``(alpha, beta)`` at steps 0, 10, 20 ..."""
    columns = Columns("slice", {"loss_slice": var})
    columns.append([10 * k for k in range(len(rows))], {"loss_slice": np.array(rows)}, {"alpha": alpha, "beta": beta})
    return columns.dataset().copy(deep=True)


def line(alpha: list[float], *rows: list[float]) -> xarray.Dataset:
    """One variable ``loss`` over alpha, a row at steps 0, 10, 20 ..."""
    columns = Columns("line", {"loss": Var(("alpha",), "loss", "loss on the path")})
    columns.append([10 * k for k in range(len(rows))], {"loss": np.array(rows)}, {"alpha": alpha})
    return columns.dataset().copy(deep=True)


def lines() -> list[xarray.Dataset]:
    """Between two models, out of order and with a gap; the same on a longer way; through one model; nowhere."""
    nan = float("nan")
    return [
        line([0, 0.5, 1, 0.25, 0.75], [1.0, 2.5, 3.0, 4.0, nan]),
        line([-0.5, 0, 0.5, 1, 1.5], [1.0, 2.0, 5.0, 3.0, 9.0]),
        line([-1, -0.5, 0, 0.5, 1], [1.0, 0.4, 0.1, 0.5, 2.0]),
        line([0, 0.5, 1], [3.0, float("inf"), 1.0]),
        line([0, 1], [nan, nan]),
    ]
