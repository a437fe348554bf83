"""One cell of a sweep: what its training returned, as named arrays."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray

ATTRS = ("long_name", "units", "scale", "reference")  # that are kept
MEASURED = "{}_measured"  # what is called like an axis
SIMPLE = "value"  # the variable of a training that returns one number
FORMS = (
    "expected a number, a dict of numbers by name, a Run, a DataTree, or a Dataset (for curves one with the dim 'step')"
)


@dataclass(frozen=True)
class Values:
    """One variable of one cell: float64, with dims and attributes."""

    dims: tuple[str, ...]
    array: np.ndarray
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """What came of one cell: variables with the labels of their dims, or the reason why there are none."""

    variables: Mapping[str, Values] = field(default_factory=dict)
    labels: Mapping[str, list[Any]] = field(default_factory=dict)
    reason: str = ""
    where: str = ""  # in the user's code it failed
    seconds: float = float("nan")


def of(result: Any, *, axes: Iterable[str], title: str) -> Cell:
    """What a training returned; a run that is still being watched ends here.

    Of a run or a tree the scalars of each step are taken: ``GROUP_NAME``, or the name alone where the group is called
    the same, such as ``loss``; of a Dataset all. What is called like an axis of the grid becomes ``NAME_measured``.

    Args:
        result: a number, a dict of numbers, a Run, a DataTree, a Dataset or a DataArray.
        axes: of the grid.
        title: long name of a single number.

    Raises:
        TypeError: it is none of these, or holds what is no number.
        ValueError: it holds nothing.
    """
    import xarray

    if hasattr(result, "detach") and hasattr(result, "record"):  # a Run
        result.detach()
        result = result.data
    if isinstance(result, xarray.DataTree):
        result = _scalars(result)
    elif isinstance(result, xarray.DataArray):
        result = result.to_dataset(name=result.name or SIMPLE)
    taken = {*axes, "reason"}
    if isinstance(result, xarray.Dataset):
        return _of_dataset(result, taken)
    taken.add("step")
    if isinstance(result, Mapping):
        found = {_name(name): _number(name, value) for name, value in result.items()}
        if not found:
            raise ValueError(f"train returned an empty dict; {FORMS}")
        variables = {_free(name, taken): _single(value, name) for name, value in found.items()}
        return Cell(variables)
    return Cell({_free(SIMPLE, taken): _single(_number("", result), title)})


def _single(value: float, name: str) -> Values:
    return Values((), np.asarray(value, np.float64), {"long_name": name.replace("_", " "), "units": "1"})


def _number(name: str, value: Any) -> float:
    """One number, also of NumPy or torch."""
    single = value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
    if isinstance(single, Real):
        return float(single)
    what = f"{type(value).__name__} under {name!r}" if name else ("nothing" if value is None else type(value).__name__)
    raise TypeError(f"train returned {what}; {FORMS}")


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or "/" in name:
        raise TypeError(f"train returned a value called {name!r}; expected a name that is text without '/'")
    return name


def _free(name: str, taken: set[str]) -> str:
    return MEASURED.format(name) if name in taken else name


def _scalars(tree: "xarray.DataTree") -> "xarray.Dataset":
    """The scalars of each step of all groups on one axis of steps, ``GROUP_NAME`` where the two are not the same."""
    import xarray

    found: list[Any] = []
    for node in tree.subtree:
        group = re.sub(r"\W+", "_", node.path.strip("/"))
        for name, array in node.to_dataset().data_vars.items():
            if array.dtype.kind in "fiub" and array.dims in ((), ("step",)) and array.size:
                plain = array.drop_vars([coord for coord in array.coords if coord != "step"])
                key = str(name) if group in ("", name) else f"{group}_{name}"
                found.append(_last_of_each(plain).rename(key))
    if not found:
        raise ValueError("the run that train returned has no scalar of any step")
    merged: Any = xarray.merge(found, join="outer", compat="override", combine_attrs="drop_conflicts")
    return merged


def _last_of_each(array: "xarray.DataArray") -> "xarray.DataArray":
    """Of several values at one step the last."""
    return array.drop_duplicates("step", keep="last") if "step" in array.dims and "step" in array.coords else array


def _of_dataset(ds: "xarray.Dataset", taken: set[str]) -> Cell:
    if not ds.data_vars:
        raise ValueError("train returned a Dataset without variables")
    variables: dict[str, Values] = {}
    labels: dict[str, list[Any]] = {}
    for name, array in ds.data_vars.items():
        if array.dtype.kind not in "fiub":
            raise TypeError(f"train returned {name!r} with values of {array.dtype}; expected numbers")
        dims = tuple(_free(_name(dim), taken) for dim in array.dims)
        attrs = {key: str(array.attrs[key]) for key in ATTRS if key in array.attrs}
        filled = {"long_name": str(name).replace("_", " "), "units": "1", **attrs}
        variables[_free(_name(name), taken)] = Values(dims, np.asarray(array.values, np.float64), filled)
        for dim, known in zip(dims, array.dims, strict=True):
            labels[dim] = _labels(ds, known)
    return Cell(variables, labels)


def _labels(ds: "xarray.Dataset", dim: Any) -> list[Any]:
    found = ds[dim].values if dim in ds.coords else np.arange(ds.sizes[dim])
    if found.dtype.kind not in "fiubUOT" or not all(isinstance(label, (str, int, float)) for label in found.tolist()):
        raise TypeError(f"train returned the dim {dim!r} with labels of {found.dtype}; expected numbers or strings")
    return found.tolist()
