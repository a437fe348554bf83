"""Still pictures of planes, surfaces, lines, matrices and paths: what `picture` draws with matplotlib."""

from typing import Any

import numpy as np

from nbtoolkit.panels import landscape as plane_panel
from nbtoolkit.panels.colours import MOST, written
from nbtoolkit.panels.copies import main
from nbtoolkit.panels.heatmap import labelled, limits, short
from nbtoolkit.panels.isolines import isolines, levels
from nbtoolkit.panels.look import INK, MARK, colour, unit_label
from nbtoolkit.panels.plane import complete, infinite
from nbtoolkit.panels.relief import View, box

FRAME = (3.0, 1.7)  # inches inside the axes of one panel, nearly
CASING = (0, 0, 0, 0.55)


def landscape(axes: Any, ds: Any, module: Any) -> None:
    """A plane from above: cells, isolines, the centre with its value, the path."""
    variable = next(iter(ds.data_vars.values()))
    scale = module.default_scale(ds)
    shown, image = module.drawn(ds), module.columns(ds, scale=scale)["image"][0]
    x, y = module.frames(ds, shown)
    ends = limits(variable.values, scale)
    drawn = axes.imshow(
        image, origin="lower", extent=(*x, *y), norm=_norm(scale, ends), cmap="viridis", interpolation="nearest",
        aspect="auto",
    )  # fmt: skip
    axes.set_box_aspect((y[1] - y[0]) / (x[1] - x[0]))
    _hatch(axes, infinite(shown, x, y))
    lines = isolines(complete(shown), ends, scale)
    for xs, ys, ink in zip(lines["xs"], lines["ys"], lines["color"], strict=True):
        axes.plot(xs, ys, color=_ink(ink), linewidth=0.7)
    _path(axes, module.path(ds))
    middle = module.centre(shown)
    if middle is not None:
        for width, ink in ((2.2, CASING), (1, "white")):
            axes.plot(0, 0, "+", color=ink, markersize=7, markeredgewidth=width)
        axes.annotate(
            f"{middle:.4g}", (0, 0), (4, 4), textcoords="offset points", fontsize=6, color="white",
            bbox={"facecolor": "black", "alpha": 0.5, "linewidth": 0, "pad": 1},
        )  # fmt: skip
    axes.set_xlim(x)
    axes.set_ylim(y)
    axes.set_xlabel(module.AXIS_LABELS[0], fontsize=7)
    axes.set_ylabel(module.AXIS_LABELS[1], fontsize=7)
    bar(axes, drawn, unit_label(variable.attrs), levels(*ends, scale))


def surface(axes: Any, ds: Any, module: Any) -> None:
    """A plane as a surface, from where the Board shows it at first."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import PolyCollection

    variable = next(iter(ds.data_vars.values()))
    scale = plane_panel.default_scale(ds)
    drawn = module.columns(ds, scale=scale)
    ends = limits(variable.values, scale)
    norm = _norm(scale, ends)
    quads = [np.column_stack(corners) for corners in zip(drawn["xs"], drawn["ys"], strict=True)]
    lines, words = box(complete(plane_panel.drawn(ds)), View())
    for xs, ys in zip(lines["xs"], lines["ys"], strict=True):
        axes.plot(xs, ys, color=INK, alpha=0.4, linewidth=0.6)
    mapped = ScalarMappable(norm, "viridis")
    colours = mapped.to_rgba(np.asarray(drawn["value"]))
    axes.add_collection(PolyCollection(quads, facecolors=colours, edgecolors=(0, 0, 0, 0.28), linewidths=0.3))
    path, centre = module.lying(ds, scale, View())
    _path(axes, path)
    for width, ink in ((2.2, CASING), (1, "white")):
        axes.plot(*centre.T, "+", color=ink, markersize=7, markeredgewidth=width)
    for x, y, text in zip(words["x"], words["y"], words["text"], strict=True):
        axes.text(x, y, text, fontsize=6, ha="center", va="center", color=INK)
    axes.set_xlim(-module.REACH, module.REACH)
    axes.set_ylim(-module.REACH, module.REACH)
    axes.set_aspect("equal")
    axes.set_axis_off()
    bar(axes, mapped, unit_label(variable.attrs), levels(*ends, scale))


def profile(axes: Any, ds: Any, module: Any) -> None:
    """Lines with their chords, barriers and names."""
    attrs = ds[main(ds)[0]].attrs
    positive = any(np.any(ds[name].values > 0) for name in main(ds))
    scale = "log" if attrs.get("scale") == "log" and positive else "linear"
    drawn = module.columns(ds)
    for i in range(len(module.names(ds))):
        x, y, chord = (drawn[f"{key}{i}"] for key in ("x", "y", "chord"))
        axes.plot(x, chord, color=colour(i), alpha=0.45, linewidth=0.7)
        axes.plot(x, y, ".-", color=colour(i), markersize=3, linewidth=1.2)
    told = module.marks(ds, drawn, scale)
    for x, foot, head, left, at, text, ink in zip(*told.values(), strict=True):
        axes.plot([x, x], [foot, head], color=ink, linewidth=1)
        axes.annotate(
            text, (left, at), (0, 3), textcoords="offset points", fontsize=6, color=ink,
            ha="center" if "alpha" in ds.dims else "right",
        )  # fmt: skip
    axes.set_yscale(scale)
    axes.set_xlim(module.span(ds, scale, "x"))
    axes.set_ylim(module.span(ds, scale, "y"))
    axes.set_xlabel(module.x_label(ds), fontsize=7)
    axes.set_ylabel(unit_label(attrs), fontsize=7)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)


def matrix(axes: Any, ds: Any, module: Any) -> None:
    """A field of two labels, few values written into its cells."""
    from matplotlib.colors import ListedColormap

    variable = ds[main(ds)[0]]
    values, down, right = module.square(ds)
    fixed = module.ends_of(variable)
    ends = fixed or limits(variable.values, "linear")
    image = np.where(np.isfinite(values), values, np.nan)
    diverging = module.palette(variable) is module.DIVERGING
    cmap = ListedColormap(module.DIVERGING) if diverging else "cividis"
    drawn = axes.imshow(image, norm=_norm("linear", ends), cmap=cmap, interpolation="nearest")
    told = module.written(values, ends, fixed)
    for x, y, text, ink in zip(*told.values(), strict=True):
        axes.text(x - 0.5, len(down) - y - 0.5, text, fontsize=5, ha="center", va="center", color=ink)
    aslant = {"rotation": 45, "ha": "right"} if any(len(label) > 5 for label in right) else {}
    axes.set_xticks(labelled(len(right)), [short(right[i]) for i in labelled(len(right))], **aslant)
    axes.set_yticks(labelled(len(down)), [short(down[i]) for i in labelled(len(down))])
    axes.set_xlabel(module.axis_label(variable.dims[2], ds), fontsize=7)
    axes.set_ylabel(module.axis_label(variable.dims[1], ds), fontsize=7)
    bar(axes, drawn, unit_label(variable.attrs))


def gap(axes: Any, ds: Any, module: Any) -> None:
    """Accuracy by task, the gaps of earlier tasks shaded, a line where a task begins."""
    shaded, begun = module.shaded(ds), module.boundaries(ds)
    for x in begun["x"]:
        axes.axvline(x, color=INK, alpha=0.45, linewidth=0.7)
    for xs, ys, ink in zip(shaded["xs"], shaded["ys"], shaded["color"], strict=True):
        axes.fill(xs, ys, color=ink, alpha=0.22, linewidth=0)
    axes.hlines(shaded["back"], shaded["start"], shaded["end"], color=shaded["color"], linewidth=0.7, linestyle=":")
    drawn = module.columns(ds)
    for xs, ys, ink, width in zip(*(drawn[key] for key in ("xs", "ys", "color", "width")), strict=True):
        axes.plot(xs, ys, color=ink, linewidth=0.7 * width)
    samples = module.dots(ds)
    axes.scatter(samples["x"], samples["y"], c=samples["color"], s=6, linewidths=0)
    worst = module.worst(ds)
    axes.scatter(worst["x"], worst["y"], c=worst["color"], s=14, edgecolors="white", linewidths=0.7, zorder=3)
    for told, ink in ((begun, "top"), (module.end_names(ds), "center")):
        for x, y, text, color in zip(*told.values(), strict=True):
            axes.annotate(text, (x, y), (2, 0), textcoords="offset points", fontsize=6, color=color, va=ink)
    axes.set_xlim(module.across(ds))
    axes.set_ylim(module.ENDS)
    axes.set_yticks(module.TICKS)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)


def scree(axes: Any, ds: Any, module: Any) -> None:
    """Values over their index, a curve for each label."""
    variable = ds[main(ds)[0]]
    scale = "log" if np.any(variable.values > 0) else "linear"
    drawn, ends = module.columns(ds), module.end_names(ds, scale)
    for xs, ys, ink in zip(drawn["xs"], drawn["ys"], drawn["color"], strict=True):
        axes.plot(xs, ys, color=ink, linewidth=1)
    for x, y, text, ink in zip(*ends.values(), strict=True):
        axes.annotate(text, (x, y), (0, 3), textcoords="offset points", fontsize=6, color=ink, ha="right")
    axes.set_yscale(scale)
    axes.set_xlim(module.span(ds, "x", scale))
    axes.set_ylim(module.span(ds, "y", scale))
    axes.set_xlabel(module.x_label(ds), fontsize=7)
    axes.set_ylabel(unit_label(variable.attrs), fontsize=7)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)


def trajectory(axes: Any, ds: Any, module: Any) -> None:
    """The path in its plane."""
    drawn = module.columns(ds)
    axes.plot(drawn["x"], drawn["y"], color=INK, alpha=0.6, linewidth=0.7)
    axes.scatter(drawn["x"], drawn["y"], c=drawn["order"], cmap="viridis", vmin=0, vmax=1, s=9, zorder=2)
    axes.plot(drawn["x"][:1], drawn["y"][:1], "o", markersize=7, fillstyle="none", color=INK)
    axes.plot(drawn["x"][-1:], drawn["y"][-1:], "o", markersize=5, color=MARK, markeredgecolor="white")
    ends = [module.span(ds, place) for place in (0, 1)]
    unit = max((high - low) / size for (low, high), size in zip(ends, FRAME, strict=True))
    for set_ends, (low, high), size in zip((axes.set_xlim, axes.set_ylim), ends, FRAME, strict=True):
        set_ends((low + high - unit * size) / 2, (low + high + unit * size) / 2)
    axes.set_aspect("equal")
    across, up = module.axis_labels(ds)
    axes.set_xlabel(across, fontsize=7)
    axes.set_ylabel(up, fontsize=7)
    axes.grid(color="#E6E6E6", linewidth=0.6)


def bar(axes: Any, drawn: Any, units: str, ticks: list[float] | None = None) -> None:
    """The bar of colours beside a field, at the levels of its isolines if there are any."""
    made = axes.figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30)
    made.outline.set_visible(False)
    if ticks:
        every = ticks[:: max(1, -(-len(ticks) // MOST))]
        made.set_ticks(every, labels=[written(tick) for tick in every])
        made.ax.minorticks_off()
    made.ax.tick_params(labelsize=6, length=0, which="both")
    made.set_label(units, fontsize=6)


def _norm(scale: str, ends: tuple[float, float]) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    return LogNorm(*ends, clip=True) if scale == "log" else Normalize(*ends)


def _hatch(axes: Any, found: dict[str, Any]) -> None:
    from matplotlib.patches import Rectangle

    for left, right, bottom, top in zip(*(found[side] for side in ("left", "right", "bottom", "top")), strict=True):
        cell = (left, bottom), right - left, top - bottom
        axes.add_patch(Rectangle(*cell, facecolor="#8A8A8A55", edgecolor="#8A8A8A", hatch="//////", linewidth=0))


def _path(axes: Any, points: np.ndarray) -> None:
    axes.plot(*points.T, color=CASING, linewidth=2.2)
    axes.plot(*points.T, ".-", color="white", linewidth=1, markersize=3)
    axes.plot(*points[-1:].T, "o", color=MARK, markeredgecolor="white", markersize=5)


def _ink(css: str) -> tuple[float, ...]:
    """A colour of the isolines as matplotlib has it."""
    red, green, blue, alpha = (float(part) for part in css[5:-1].split(","))
    return red / 255, green / 255, blue / 255, alpha
