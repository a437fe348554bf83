"""The picture of a sweep, found by its axes."""

from typing import Any

from bokeh.layouts import column

from nbtoolkit.analysis.grids import REASON, SEEDS, STEP, numeric
from nbtoolkit.panels import curve_family, phase_diagram, transfer_plot
from nbtoolkit.panels.grid_axis import number

RATES, WIDTHS = ("lr", "learning_rate", "eta"), ("width", "d_model", "hidden", "channels")
GAINS = ("accuracy", "acc", "reward", "r2", "auc")  # words of what is the better the larger it is
MOST = 4  # variables beneath each other


def sweep_figure(data: Any, *, variable: str | None = None, largest: bool | None = None) -> Any:
    """The picture of a sweep: curves over steps, learning-rate transfer, phase diagram or curves, by its axes.

    With ``step`` and one axis a family of curves; with ``step`` and more of them their values at the last step, as
    without it. With a learning rate and a width the transfer plot (for a third axis several, beside each other); with
    two other axes a phase diagram; with one a curve. Of axes for which there is no room the last value is taken, and
    said; of several variables the first four are drawn, beneath each other.

    Args:
        data: of a sweep.
        variable: the one drawn.
        largest: whether large values are good; by default where the variable is called an accuracy or the like.

    Raises:
        ValueError: there is no such variable, or none with numbers.
    """
    names = numeric(data)[:MOST] if variable is None else [name for name in numeric(data) if name == variable]
    if variable is not None and not names:
        there = ", ".join(numeric(data)) or "none with numbers"
        raise ValueError(f"sweep_figure() found no variable {variable!r}; there are: {there}.")
    if not names:
        raise ValueError("sweep_figure() got a sweep without numbers; train(**point) must return some.")
    drawn = [_figure(data, name, largest) for name in names]
    return drawn[0] if len(drawn) == 1 else column(*drawn, sizing_mode="stretch_width")


def _figure(data: Any, name: str, largest: bool | None) -> Any:
    ds = data[[name, *[word for word in (REASON,) if word in data.data_vars]]]
    values, largest = ds[name], is_gain(name) if largest is None else largest
    axes = [str(dim) for dim in values.dims if dim not in (STEP, SEEDS)]
    if STEP in values.dims and len(axes) < 2:
        return curve_family.figure(None, ds, variable=name, largest=largest)
    if STEP in values.dims:
        ds = _at(ds, name, STEP)
    if len(axes) < 2:
        return curve_family.figure(None, ds, variable=name, largest=largest)
    rate, width = (next((axis for axis in axes if axis in words), None) for words in (RATES, WIDTHS))
    if rate and width and _ordered(values[rate]) and _ordered(values[width]):
        for extra in [axis for axis in axes if axis not in (rate, width)][1:]:
            ds = _at(ds, name, extra)
        return transfer_plot.figure(None, ds, variable=name, over=rate, along=width, largest=largest)
    for extra in axes[2:]:
        ds = _at(ds, name, extra)
    return phase_diagram.figure(None, ds, variable=name, largest=largest)


def _at(ds: Any, name: str, axis: str) -> Any:
    """The last place on an axis, told in the name of the variable."""
    last = ds[axis].values[-1]
    word = number(float(last)) if ds[axis].dtype.kind in "fiu" else str(last)
    title = f"{ds[name].attrs.get('long_name', name)}, {axis} {word}"
    chosen = ds.isel({axis: -1}, drop=True)
    return chosen.assign({name: chosen[name].assign_attrs(long_name=title)})


def _ordered(values: Any) -> bool:
    return values.dtype.kind in "fiu" and bool((values > 0).all())


def is_gain(name: str) -> bool:
    """Whether a variable of this name is the better the larger it is."""
    return any(word in GAINS for word in name.lower().replace("-", "_").split("_"))
