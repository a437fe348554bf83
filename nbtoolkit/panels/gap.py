"""Accuracy on every task of a stream over the step, and the gaps that a new task tears into that of earlier ones."""

from itertools import pairwise
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, FixedTicker, LabelSet

from nbtoolkit.analysis.curves import minmax
from nbtoolkit.panels import bands
from nbtoolkit.panels.episodes import Episode, Gap, deepest, episodes, gaps
from nbtoolkit.panels.look import DRAWN, FONT, INK, PALETTE, SIZE, axis_range, blank_figure, colour, named

SCALE = "linear"
NOTE = (
    "A vertical line: a task begins. Shaded: how far an earlier task falls below the accuracy that it then comes back "
    "to; what does not come back within the episode is forgetting, not a gap. Thick: the task being trained. Dots: the "
    "samples, where they are few. A click on a curve, or on a cell of a matrix of tasks, keeps that task in front."
)
ENDS = (-0.06, 1.13)  # of the y axis: shares, room for a name at zero, and for those of the tasks that begin
HEAD = 1.115  # where those names hang
TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)
LETTER = 0.009  # width of a letter, of the frame, which is two columns wide
LINE = 0.08  # height of a line of words, of the frame
WIDE = {"curve": 1.2, "trained": 2.8}
DOTS = 80  # up to so many samples, each is marked: a line across a hole is no measurement


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn: of each line its ``xs``, ``ys``, ``color``, ``width`` and ``alpha``.

    First the curve of each task, then, thicker, the part of it for each episode in which the task was trained.

    Args:
        ds: a variable with the dims step and task_evaluated, its error, and which task is being trained.
    """
    steps, values, _, found = _parts(ds)
    rows: list[tuple[int, np.ndarray, float]] = [
        (task, np.arange(len(steps)), WIDE["curve"]) for task in range(values.shape[1])
    ]
    rows += [(one.task, np.arange(one.first, one.last + 1), WIDE["trained"]) for one in found]
    lines: dict[str, Any] = {"xs": [], "ys": [], "color": [], "width": [], "alpha": []}
    for task, kept, width in rows:
        x, y = steps[kept], values[kept, task]
        few = minmax(x, y, DRAWN)
        for key, one in zip(lines, (x[few], y[few], colour(task), width, 1.0), strict=True):
            lines[key].append(one)
    return lines


def shaded(ds: Any) -> dict[str, Any]:
    """The areas above the curve: ``xs``, ``ys``, ``color``, and the ``back`` that they reach, ``start`` to ``end``.

    Of more tasks than there are colours that of the deepest gap alone.
    """
    found: dict[str, Any] = {"xs": [], "ys": [], "color": [], "back": [], "start": [], "end": []}
    every = gaps_of(ds)[1]
    if len(names(ds)) > len(PALETTE):  # their areas would cover each other
        every = [one for one in [deepest(every)] if one]
    for gap in every:
        for key, one in zip(found, (gap.x, gap.y, colour(gap.task), gap.back, gap.x[0], gap.x[-1]), strict=True):
            found[key].append(one)
    return found


def dots(ds: Any) -> dict[str, Any]:
    """The samples as ``x``, ``y``, ``color`` and ``alpha``, where they are few."""
    steps, values, _, _ = _parts(ds)
    rows, tasks = np.nonzero(np.isfinite(values)) if len(steps) <= DOTS else (np.empty(0, int),) * 2
    inks = [colour(int(task)) for task in tasks]
    return {"x": steps[rows], "y": values[rows, tasks], "color": inks, "alpha": [1.0] * len(inks)}


def gaps_of(ds: Any) -> tuple[list[Episode], list[Gap]]:
    """The episodes of a Dataset, and all gaps in them."""
    steps, values, _, found = _parts(ds)
    return found, gaps(steps, values, found)


def names(ds: Any) -> list[str]:
    """The tasks."""
    return [str(label) for label in ds["task_evaluated"].values]


def figure(source: ColumnDataSource, ds: Any, *, scale: str | None = None) -> Any:
    """Curves with their gaps shaded, boundaries as vertical lines with the name of the task that begins.

    Args:
        source: holds `columns` of ``ds``, or what later replaces them.
        ds: a variable with the dims step and task_evaluated, its error, and which task is being trained.
        scale: without meaning here: shares are compared on one axis.
    """
    plot = blank_figure(
        "step", "", "linear", name="plot", min_border_right=12, x_range=axis_range("x_range", *across(ds)),
        y_range=axis_range("y_range", *ENDS),
    )  # fmt: skip
    plot.yaxis.ticker = FixedTicker(ticks=list(TICKS), name="shares")
    begun = named("boundaries", boundaries(ds))
    plot.segment(
        "x", ENDS[0], "x", ENDS[1], source=begun, line_color=INK, line_alpha=0.45, line_width=1
    ).glyph.name = "ink"
    plot.patch("x", "y", source=named("band", {"x": [], "y": []}), fill_color=PALETTE[0], fill_alpha=0.16,
               line_color=None).glyph.name = "band_of_one"  # fmt: skip
    told = named("gaps", shaded(ds))
    plot.patches("xs", "ys", source=told, fill_color="color", fill_alpha=0.22, line_color=None)
    plot.segment(
        "start", "back", "end", "back", source=told, line_color="color", line_width=1, line_dash="dotted",
    )  # fmt: skip
    plot.multi_line(
        "xs", "ys", source=source, line_color="color", line_width="width", line_alpha="alpha", line_join="round"
    )
    plot.scatter("x", "y", source=named("dots", dots(ds)), size=4.5, color="color", fill_alpha="alpha", line_color=None)
    plot.scatter(
        "x", "y", source=named("worst", worst(ds)), size=7, fill_color="color", line_color="white", line_width=1.2
    )
    for name, data, settings in (
        ("begins", begun, {"x_offset": 3, "text_align": "left", "text_baseline": "top"}),
        ("end_labels", named("ends", end_names(ds)), {"x_offset": 5, "text_align": "left", "text_baseline": "middle"}),
    ):
        words = LabelSet(
            x="x",
            y="y",
            text="text",
            text_color="color",
            source=data,
            text_font_size=SIZE,
            text_font=value(FONT),
            **settings,
        )
        words.name = name
        plot.add_layout(words)
    return plot


def across(ds: Any) -> tuple[float, float]:
    """Ends of the step axis: all steps, and room for the names of the tasks at the ends of their curves."""
    steps = ds["step"].values.astype(float)
    low, high = (float(steps[0]), max(float(steps[-1]), float(steps[0]) + 1)) if len(steps) else (0.0, 1.0)
    longest = max(map(len, names(ds)), default=0) if len(names(ds)) <= len(PALETTE) else 0
    return low, high + (high - low) * min(0.3, LETTER * (longest + 1))


def boundaries(ds: Any) -> dict[str, list[Any]]:
    """Where each episode begins, the name of its task and its colour."""
    labels, found = names(ds), _parts(ds)[3]
    return {
        "x": [one.begin for one in found],
        "y": [HEAD] * len(found),
        "text": [labels[one.task] for one in found],
        "color": [colour(one.task) for one in found],
    }


def worst(ds: Any) -> dict[str, list[Any]]:
    """The lowest point of the deepest gap."""
    gap = deepest(gaps_of(ds)[1])
    return {key: [one] if gap else [] for key, one in (
        ("x", gap and gap.at), ("y", gap and gap.lowest), ("color", gap and colour(gap.task))
    )}  # fmt: skip


def end_names(ds: Any) -> dict[str, list[Any]]:
    """The names of the tasks at the ends of their curves, moved apart; of more tasks than colours none."""
    steps, values, _, _ = _parts(ds)
    found = []
    for task, label in enumerate(names(ds) if values.shape[1] <= len(PALETTE) else []):
        known = np.flatnonzero(np.isfinite(values[:, task]))
        if len(known):
            found.append([float(values[known[-1], task]), label, colour(task)])
    found.sort(key=lambda one: one[0])
    for below, one in pairwise(found):
        one[0] = max(one[0], below[0] + LINE)
    limit = 1.0
    for one in reversed(found):
        one[0] = min(one[0], limit)
        limit = one[0] - LINE
    last = float(steps[-1]) if len(steps) else 0.0
    return {
        "x": [last] * len(found),
        "y": [one[0] for one in found],
        "text": [one[1] for one in found],
        "color": [one[2] for one in found],
    }


def _parts(ds: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, list[Episode]]:
    """Steps, values and errors ``(rows, tasks)``, and the episodes."""
    name = next(iter(curves_of(ds)))
    steps, values = ds["step"].values.astype(float), ds[name].values
    error = bands.error_of(ds, name)
    training = ds.data_vars.get(ds[name].attrs.get("training", ""))
    found = [] if training is None else episodes(steps, training.values)
    return steps, values, None if error is None else error.values, found


def curves_of(ds: Any) -> dict[str, Any]:
    """The variables that are curves of their own, not errors or what tells the task being trained."""
    told = {variable.attrs.get("training") for variable in ds.data_vars.values()}
    return {name: variable for name, variable in bands.drawn(ds).items() if name not in told}
