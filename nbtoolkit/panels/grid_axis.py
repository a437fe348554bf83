"""An axis of a sweep: where its values lie, how they are written, and how it is drawn."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import AllLabels, FixedTicker, Title

from nbtoolkit.analysis.grids import is_geometric, positions
from nbtoolkit.panels.heatmap import labelled, short
from nbtoolkit.panels.look import FONT, INK, SIZE, unit_label

MARGIN = 0.04  # beyond the outermost points of curves, of the axis
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class GridAxis:
    """The values of an axis, ascending where they are numbers.

    Args:
        name: of the axis, in words with its units.
        places: where they lie: log2 of geometric ones, numbers as they stand, of anything else 0, 1, 2 ...
        written: each as it is written.
        order: which of the values given each is.
        numbers: whether they are any.
        log: whether the places are logarithms.
    """

    name: str
    places: np.ndarray
    written: list[str]
    order: np.ndarray
    numbers: bool
    log: bool

    def edges(self) -> np.ndarray:
        """Ends of the cells around the places, one more than these."""
        if len(self.places) < 2:
            return np.array([-0.5, 0.5]) + (self.places if len(self.places) else 0.0)
        between = (self.places[1:] + self.places[:-1]) / 2
        first, last = between[0] - self.places[0], self.places[-1] - between[-1]
        return np.r_[self.places[0] - first, between, self.places[-1] + last]

    def ends(self) -> tuple[float, float]:
        """Ends of an axis for curves, with a margin."""
        if not len(self.places):
            return 0.0, 1.0
        margin = MARGIN * float(np.ptp(self.places)) or 0.5
        return float(self.places[0]) - margin, float(self.places[-1]) + margin


def grid_axis(values: Any) -> GridAxis:
    """The axis of a coordinate.

    Args:
        values: a DataArray with one dim, such as ``data["lr"]``.
    """
    labels = np.asarray(values.values)
    numbers = labels.dtype.kind in "fiu"
    at = positions(labels)
    order = np.argsort(at, kind="stable")
    units = unit_label(values.attrs)
    name = str(values.attrs.get("long_name", values.name)).replace("_", " ")
    written = _written(labels[order]) if numbers else [short(str(label)) for label in labels]
    log = is_geometric(labels)
    return GridAxis(f"{name} ({units})" if units else name, at[order], written, order, numbers, log)


def draw_axis(drawn: Any, axis: GridAxis, name: str) -> None:
    """Write the values on an axis of a figure at their places, of many every second, third ...

    Args:
        drawn: ``plot.xaxis`` or ``plot.yaxis``.
        axis: of the sweep.
        name: by which the ticks are found again.
    """
    told = {float(axis.places[i]): axis.written[i] for i in labelled(len(axis.places))}
    drawn.ticker = FixedTicker(ticks=list(told), name=name)
    drawn.major_label_overrides = told
    drawn.major_label_policy = AllLabels()
    drawn.axis_label = axis.name


def headed(plot: Any, title: str, subtitle: str) -> None:
    """Write the quantity above a figure, and below that in a line what it shows."""
    plot.add_layout(Title(text=subtitle, text_font_style="normal", **_font()), "above")
    plot.title.update(text=title, text_font_style="bold", **_font())


def _font() -> dict[str, Any]:
    return {"text_font_size": SIZE, "text_font": FONT, "text_color": INK}


def _written(labels: np.ndarray) -> list[str]:
    """Numbers as short as they can be; powers of two below one by their exponent."""
    values = [float(label) for label in labels]
    if any(value < 1 for value in values) and all(value > 0 and math.frexp(value)[0] == 0.5 for value in values):
        return ["2" + str(math.frexp(value)[1] - 1).translate(SUPERSCRIPTS) for value in values]
    return [number(value) for value in values]


def number(value: float) -> str:
    """A number as it is written: whole ones and those of four digits as they are, others with three digits."""
    if not math.isfinite(value):
        return str(value)
    whole = value == round(value) and abs(value) < 1e6
    exact = float(f"{value:.4g}") == value
    text = f"{value:.0f}" if whole else f"{value:.4g}" if exact else f"{value:.3g}"
    if "e" in text:
        digits, power = text.split("e")
        text = f"{digits}e{int(power)}"
    return text.replace("-", "\N{MINUS SIGN}")
