"""A still picture of a run, for readers that run no scripts: mail, diffs, GitHub, a notebook saved without state."""

import base64
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from nbtoolkit.analysis import axis_scale
from nbtoolkit.panels import (
    bands,
    curves,
    eigenaxis,
    evolution,
    gap,
    heatmap,
    landscape,
    matrix,
    profile,
    scree,
    spectrum,
    surface,
    trajectory,
)
from nbtoolkit.panels.look import INK, colour, dash, in_legend, unit_label
from nbtoolkit.widget import printing, stills
from nbtoolkit.widget.choice import all_panels, first_panels, has_labels
from nbtoolkit.widget.figures import part, title

COLUMNS = 3
INCHES = (3.6, 2.3)
DPI = 100


def companion(run: Any, uid: str, names: Sequence[str] | None = None) -> dict[str, str]:
    """The picture as an output of its own, by MIME type; the live Board ``uid`` hides it."""
    text = summary(run)
    png = picture(run, names)
    if png is None:
        return {"text/plain": text}
    data = base64.b64encode(png).decode()
    html = (
        f'<div class="nbtk-static" data-nbtk="{escape(uid)}">'
        f'<img alt="{escape(text)}" style="max-width: 100%" src="data:image/png;base64,{data}"></div>'
    )
    return {"text/html": html, "image/png": data, "text/plain": text}


def summary(run: Any) -> str:
    """One line: name, state, steps, rate where there is one."""
    status = run.status()
    rate = f", {status.steps_per_second:.4g} steps/s" if math.isfinite(status.steps_per_second) else ""
    return f"{run.name}: {status.state}, {status.step} steps{rate}"


def picture(run: Any, names: Sequence[str] | None = None) -> bytes | None:
    """A PNG of the panels that the Board shows first, or of the groups named; None where there are none.

    Of groups named, landscapes are drawn as surfaces too: nobody can open them in a picture.
    """
    every = all_panels(run.record)
    first = first_panels(every, names)
    planes = [(columns, surface, drawn) for columns, module, drawn in first if module is landscape and names]
    shown = [panel for panel in every if panel in [*first, *planes] and len(panel[0]) and has_labels(panel)]
    if not shown:
        return None
    across = min(COLUMNS, len(shown))
    down = -(-len(shown) // across)
    figure = printing.blank((across * INCHES[0], down * INCHES[1]), DPI)
    for place, panel in enumerate(shown, 1):
        columns, module, drawn = panel
        draw(figure.add_subplot(down, across, place), module, part(columns, drawn), title(panel))
    return printing.as_bytes(figure, "png", DPI)


def draw(axes: Any, module: Any, ds: Any, heading: str) -> None:
    """One panel in its axes.

    Args:
        axes: of matplotlib.
        module: of the panel.
        ds: its variables, with what belongs to them.
        heading: above it.
    """
    pictures = {
        curves: _curves, heatmap: _field, spectrum: _spectrum, evolution: _evolution, landscape: stills.landscape,
        surface: stills.surface, profile: stills.profile, matrix: stills.matrix, trajectory: stills.trajectory,
        gap: stills.gap, scree: stills.scree,
    }  # fmt: skip
    printing.plain(axes)
    axes.set_xlabel("step", fontsize=7)
    pictures.get(module, _table)(axes, ds, module)
    axes.set_title(heading, fontsize=8, loc="left", fontweight="bold", color=printing.WORDS)
    _quiet(axes)


def _curves(axes: Any, ds: Any, module: Any) -> None:
    labels, line = module.names(ds), bands.line_of(ds)
    first = next(iter(bands.drawn(ds).values()))
    scale = _scale(first)
    drawn = module.columns(ds, scale=scale)
    named, others = in_legend(len(labels))
    for i, label in enumerate(labels):
        told = label if i < named and len(labels) > 1 else None
        x, y, smooth, dot = (drawn[f"{key}{i}"] for key in ("x", "y", "smooth", "dot"))
        if f"low{i}" in drawn:
            axes.fill_between(x, drawn[f"low{i}"], drawn[f"high{i}"], color=colour(i), alpha=0.16, linewidth=0)
        axes.plot(x, y, color=colour(i), alpha=0.28, linewidth=0.7, linestyle=dash(i))
        axes.plot(x, smooth, color=colour(i), linewidth=1.2, linestyle=dash(i), label=told)
        axes.plot(x, dot, ".", color=colour(i), markersize=3)
    if others:
        axes.plot([], [], linestyle="none", label=others)
    if line:
        axes.plot(drawn["line_x"], drawn["line"], "--", color=INK, linewidth=0.9, label=line[0])
    axes.set_yscale(scale)
    axes.set_ylim(module.heights(drawn, len(labels), scale))
    axes.set_ylabel(unit_label(first.attrs), fontsize=7)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    if len(labels) > 1 or line:
        axes.legend(fontsize=6, frameon=False)


def _spectrum(axes: Any, ds: Any, module: Any) -> None:
    drawn = module.columns(ds)
    axes.fill_between(drawn["x"], drawn["low"], drawn["high"], color=colour(0), alpha=0.2, linewidth=0)
    axes.plot(drawn["x"], drawn["density"], color=colour(0), linewidth=1)
    axes.vlines(drawn["ritz"], drawn["foot"], drawn["head"], color=INK, alpha=0.35, linewidth=0.5)
    axes.plot(drawn["outlier"], drawn["peak"], "o", color=colour(1), markersize=3)
    low, high = np.nanmin(drawn["x"]), np.nanmax(drawn["x"])
    places = eigenaxis.ticks(low, high, axis_scale(ds))
    axes.set_xticks(list(places), list(places.values()))
    axes.set_xlim(low, high)
    axes.set_yscale("log")
    axes.set_ylim(np.nanmin(drawn["foot"]), None)
    axes.set_xlabel(unit_label(next(iter(ds.data_vars.values())).attrs), fontsize=7)
    axes.set_ylabel("density", fontsize=7)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)


def _evolution(axes: Any, ds: Any, module: Any) -> None:
    shown = module.field(ds)
    _field(axes, shown, heatmap)
    places = module.places(shown["bin"].values, axis_scale(ds))
    axes.set_yticks(list(places), list(places.values()))
    axes.set_ylabel(unit_label(next(iter(ds.data_vars.values())).attrs), fontsize=7)


def _field(axes: Any, ds: Any, module: Any) -> None:
    from matplotlib.colors import LogNorm, Normalize

    drawn = module.columns(ds)
    variable = next(iter(ds.data_vars.values()))
    left, right = drawn["x"][0], drawn["x"][0] + drawn["dw"][0]
    labels = module.names(module.measured(ds))
    image = drawn["image"][0]
    low, high = module.limits(variable.values, _scale(variable))
    norm = LogNorm(low, high, clip=True) if _scale(variable) == "log" else Normalize(low, high)
    shown = axes.imshow(
        image, aspect="auto", origin="lower", extent=(left, right, 0, len(labels)), norm=norm, cmap="viridis",
        interpolation="nearest",
    )  # fmt: skip
    rows = module.labelled(len(labels))
    axes.set_yticks([len(labels) - row - 0.5 for row in rows], [module.short(labels[row]) for row in rows])
    stills.bar(axes, shown, unit_label(variable.attrs))


def _table(axes: Any, ds: Any, module: Any) -> None:
    drawn = module.columns(ds)
    axes.set_axis_off()
    for y, label, value in zip(drawn["y"], drawn["label"], drawn["value"], strict=True):
        height = 1 - (y + 0.5) / module.ROWS
        axes.text(0, height, label, fontsize=7, color=printing.WORDS, transform=axes.transAxes)
        axes.text(1, height, value, fontsize=7, color=printing.WORDS, ha="right", transform=axes.transAxes)


def _scale(variable: Any) -> str:
    """The declared scale, but linear where a log scale would have nothing to show."""
    return "log" if variable.attrs.get("scale") == "log" and np.any(variable.values > 0) else "linear"


def _quiet(axes: Any) -> None:
    axes.tick_params(labelsize=6, length=0, colors="#424242", which="both")
    for spine in axes.spines.values():
        spine.set_visible(False)
