"""One panel as an image file, drawn with matplotlib as it stands on the Board."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from nbtoolkit.errors import LandscapeError
from nbtoolkit.panels import curves, evolution, gap, heatmap
from nbtoolkit.panels.look import INK
from nbtoolkit.widget import printing
from nbtoolkit.widget.choice import Panel, all_panels, best_panels, has_labels, nothing_called
from nbtoolkit.widget.figures import panel_id, part, title
from nbtoolkit.widget.picture import draw
from nbtoolkit.widget.writing import write

SUFFIXES = (".png", ".svg")
INCHES, DPI = 0.5, 20  # in less no letter can be drawn
PIXELS = 10_000  # a side; more take too much memory
ALONG_STEPS = (curves, heatmap, evolution, gap)  # a step is a place in them; others show one step at a time


def export_image(
    run: Any,
    name: str,
    path: str | Path,
    *,
    step: int | None = None,
    size: tuple[float, float] = (4.8, 3.2),
    dpi: float = 200,
) -> Path:
    """Write one panel of a run as a PNG or SVG; returns its path.

    Args:
        run: a run being watched, finished, or opened from a file.
        name: an instrument or logged value, whose best panel is drawn; one of its outputs, as ``"norm"`` or
            ``"grad_norm/norm"``; or the name of a panel, such as ``"landscape_slice/loss_slice/surface"``.
        path: ends in ``.png`` or ``.svg``; an existing file is replaced.
        step: the last measurement at or before this step is shown; on curves the step is marked. By default the last.
        size: width and height in inches.
        dpi: pixels to an inch, of a PNG.

    Raises:
        LandscapeError: the file is of another kind, nothing can be drawn in that size and dpi, the run has nothing of
            that name, or nothing measured by that step.
        StoreError: the file cannot be written there.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise LandscapeError(f"export_image() got {path.name!r}; it writes files that end in .png or .svg.")
    _check(size, dpi, step)
    with run.lock:
        panel = _named(run, name)
        columns, module, names = panel
        if not has_labels(panel) or not len(columns):
            raise LandscapeError(f"{name!r} of run {run.name!r} has no measurement yet; train on, or measure it.")
        ds, heading = part(columns, names), title(panel)
        if step is not None and module not in ALONG_STEPS:
            ds = _until(ds, step, name)
            heading += f", step {int(ds['step'][-1])}"
        figure = printing.blank(size, dpi)
        axes = figure.add_subplot()
        draw(axes, module, ds, heading)
        if step is not None and module in ALONG_STEPS:
            axes.axvline(step, color=INK, linewidth=0.8, linestyle="--")
    write(path, printing.as_bytes(figure, path.suffix.lower()[1:], dpi), "The image")
    return path


def _check(size: Any, dpi: Any, step: Any) -> None:
    """Whether there can be an image of this size, and a measurement at this step."""
    if step is not None and not _is_number(step):
        raise LandscapeError(f"export_image() got step={step!r}; it needs the number of a step, or None for the last.")
    pair = list(size) if isinstance(size, (list, tuple, np.ndarray)) else []
    got = f"export_image() got size={size!r} and dpi={dpi!r}"
    if len(pair) != 2 or not all(_is_number(value) and value > 0 for value in (*pair, dpi)):
        raise LandscapeError(f"{got}; it needs positive inches and pixels, as size=(4.8, 3.2) and dpi=200.")
    if min(pair) < INCHES or dpi < DPI or max(pair) > PIXELS / dpi:
        raise LandscapeError(
            f"{got}; it draws at least {INCHES} inches and {DPI} pixels to an inch, and at most {PIXELS} pixels a side."
        )


def _is_number(value: Any) -> bool:
    numeric = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return bool(numeric and -math.inf < value < math.inf)  # `isfinite` does not take every int


def _named(run: Any, name: str) -> Panel:
    """The panel meant by a name."""
    every = all_panels(run.record)
    of_group = [panel for panel in every if panel[0].name == name]
    found = [
        *[panel for panel in every if panel_id(panel) == name],
        *best_panels(of_group), *of_group,
        *[panel for panel in every if name in (*panel[2], *(f"{panel[0].name}/{output}" for output in panel[2]))],
    ]  # fmt: skip
    if found:
        return found[0]
    groups = list(dict.fromkeys(columns.name for columns, _, _ in every))
    words = [word for panel in every for word in (*panel[2], panel_id(panel))]
    raise LandscapeError(nothing_called(run, name, groups, words))


def _until(ds: Any, step: int, name: str) -> Any:
    """The rows at or before a step."""
    rows = int(np.searchsorted(ds["step"].values, step, side="right"))
    if not rows:
        first = int(ds["step"][0])
        raise LandscapeError(f"{name!r} was not measured by step {step}; its first measurement is of step {first}.")
    return ds.isel(step=slice(0, rows))
