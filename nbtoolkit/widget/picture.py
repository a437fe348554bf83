"""A still picture of a run, for readers that run no scripts: mail, diffs, GitHub, a notebook saved without state."""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from nbtoolkit.panels import curves, heatmap
from nbtoolkit.panels.look import colour, unit_label
from nbtoolkit.widget.figures import all_panels, first_panels, has_labels, part, title

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
    """One line: name, state, steps, rate."""
    status = run.status()
    return f"{run.name}: {status.state}, {status.step} steps, {status.steps_per_second:.4g} steps/s"


def picture(run: Any, names: Sequence[str] | None = None) -> bytes | None:
    """A PNG of the panels that the Board shows first, or of the groups named; None where there are none."""
    # Not pyplot: it would touch the user's figures and settings.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [panel for panel in first_panels(all_panels(run.record), names) if len(panel[0]) and has_labels(panel)]
    if not shown:
        return None
    across = min(COLUMNS, len(shown))
    down = -(-len(shown) // across)
    fig = Figure(figsize=(across * INCHES[0], down * INCHES[1]), dpi=DPI, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(fig)
    for place, (columns, module, names) in enumerate(shown, 1):
        axes = fig.add_subplot(down, across, place)
        ds = part(columns, names)
        draw = {curves: _curves, heatmap: _field}.get(module, _table)
        draw(axes, ds, module)
        axes.set_title(title(columns, names), fontsize=8, loc="left", fontweight="bold")
        _quiet(axes)
    out = io.BytesIO()
    canvas.print_png(out)
    return out.getvalue()


def _curves(axes: Any, ds: Any, module: Any) -> None:
    drawn = module.columns(ds)
    labels = module.names(ds)
    for i, label in enumerate(labels):
        x, y, smooth, dot = (drawn[f"{key}{i}"] for key in ("x", "y", "smooth", "dot"))
        axes.plot(x, y, color=colour(i), alpha=0.28, linewidth=0.7)
        axes.plot(x, smooth, color=colour(i), linewidth=1.2, label=label)
        axes.plot(x, dot, ".", color=colour(i), markersize=3)
    first = next(iter(ds.data_vars.values()))
    axes.set_yscale(_scale(first))
    axes.set_ylabel(unit_label(first.attrs), fontsize=7)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    if len(labels) > 1:
        axes.legend(fontsize=6, frameon=False)


def _field(axes: Any, ds: Any, module: Any) -> None:
    from matplotlib.colors import LogNorm, Normalize

    drawn = module.columns(ds)
    variable = next(iter(ds.data_vars.values()))
    left, right = drawn["x"][0], drawn["x"][0] + drawn["dw"][0]
    labels = module.names(ds)
    image = drawn["image"][0]
    low, high = module.limits(variable.values, _scale(variable))
    norm = LogNorm(low, high, clip=True) if _scale(variable) == "log" else Normalize(low, high)
    shown = axes.imshow(
        image, aspect="auto", origin="lower", extent=(left, right, 0, len(labels)), norm=norm, cmap="viridis",
        interpolation="nearest",
    )  # fmt: skip
    rows = module.labelled(len(labels))
    axes.set_yticks([len(labels) - row - 0.5 for row in rows], [module.short(labels[row]) for row in rows])
    bar = axes.figure.colorbar(shown, ax=axes, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=6, length=0, which="both")
    bar.set_label(unit_label(variable.attrs), fontsize=6)


def _table(axes: Any, ds: Any, module: Any) -> None:
    drawn = module.columns(ds)
    axes.set_axis_off()
    for y, label, value in zip(drawn["y"], drawn["label"], drawn["value"], strict=True):
        height = 1 - (y + 0.5) / module.ROWS
        axes.text(0, height, label, fontsize=7, transform=axes.transAxes)
        axes.text(1, height, value, fontsize=7, ha="right", transform=axes.transAxes)


def _scale(variable: Any) -> str:
    """The declared scale, but linear where a log scale would have nothing to show."""
    return "log" if variable.attrs.get("scale") == "log" and np.any(variable.values > 0) else "linear"


def _quiet(axes: Any) -> None:
    axes.tick_params(labelsize=6, length=0, colors="#424242", which="both")
    axes.set_xlabel("step", fontsize=7)
    for spine in axes.spines.values():
        spine.set_visible(False)
