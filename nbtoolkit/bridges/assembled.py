"""The cells of a sweep as one Dataset over its grid."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtoolkit.bridges.cells import Cell
from nbtoolkit.bridges.grid import Grid

if TYPE_CHECKING:
    import xarray

NOT_RUN = "not run yet"


def dataset(grid: Grid, cells: Mapping[int, Cell], *, missing: str = NOT_RUN) -> "xarray.Dataset":
    """What is known of each cell: variables ``(axes..., dims...)``, NaN where there is nothing, and ``reason``.

    Labels of other dims, such as ``step``, are those of all cells together.

    Args:
        grid: whose axes come first, in their order.
        cells: by their place among `Grid.points`.
        missing: the reason of cells that are not there.
    """
    import xarray

    cells = dict(sorted(cells.items()))
    names = list(dict.fromkeys(name for cell in cells.values() for name in cell.variables))
    dims = {name: _dims(name, cells) for name in names}
    labels = {dim: _united(dim, cells) for dim in dict.fromkeys(dim for own in dims.values() for dim in own)}
    reasons = np.full(grid.shape, missing, dtype=object)
    arrays = {name: np.full((*grid.shape, *(len(labels[dim]) for dim in own)), np.nan) for name, own in dims.items()}
    attrs: dict[str, Mapping[str, Any]] = {}
    for index, cell in cells.items():
        place = np.unravel_index(index, grid.shape)
        told = [cell.reason] if cell.reason else []
        for name, values in cell.variables.items():
            attrs.setdefault(name, values.attrs)
            if values.dims != dims[name]:
                told.append(f"{name} has here {_said(values.dims)}, elsewhere {_said(dims[name])}")
                continue
            at = [_places(labels[dim], cell.labels[dim]) for dim in values.dims]
            arrays[name][(*place, *np.ix_(*at))] = values.array
        reasons[place] = "; ".join(told)
    axes = {name: (name, np.asarray(values), {"long_name": name}) for name, values in grid.axes.items()}
    own = {dim: (dim, values) for dim, values in labels.items()}
    if "step" in own:
        own["step"] = ("step", labels["step"], {"long_name": "optimizer steps done", "units": "1"})  # type: ignore[assignment]
    variables = {name: ((*grid.axes, *dims[name]), arrays[name], attrs[name]) for name in names}
    told = {"reason": (tuple(grid.axes), reasons, {"long_name": "why a cell has no values"})}
    return xarray.Dataset({**variables, **told}, {**axes, **own})


def _dims(name: str, cells: Mapping[int, Cell]) -> tuple[str, ...]:
    """Those that a variable has in most cells."""
    return Counter(cell.variables[name].dims for cell in cells.values() if name in cell.variables).most_common(1)[0][0]


def _united(dim: str, cells: Mapping[int, Cell]) -> np.ndarray:
    """The labels of a dim in all cells: numbers in order, strings as they come."""
    found = dict.fromkeys(label for cell in cells.values() for label in cell.labels.get(dim, ()))
    if any(isinstance(label, str) for label in found):
        return np.asarray(list(found), dtype=object)
    return np.unique(np.asarray(list(found)))


def _places(labels: np.ndarray, some: list[Any]) -> np.ndarray:
    if labels.dtype.kind != "O":
        return np.searchsorted(labels, np.asarray(some))
    known = {label: place for place, label in enumerate(labels)}
    return np.asarray([known[label] for label in some], np.intp)


def _said(dims: tuple[str, ...]) -> str:
    return f"the dims {', '.join(dims)}" if dims else "no dim"
