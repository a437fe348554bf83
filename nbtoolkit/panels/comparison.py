"""Ways to train side by side: the mean of each metric over seeds, its confidence interval, and every seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.layouts import column, gridplot
from bokeh.models import AllLabels, ColumnDataSource, FixedTicker, HoverTool, Range1d, Span

from nbtoolkit.panels.look import FAINT, FONT, INK, SIZE, axis_range, blank_figure, colour, named, unit_label

CONFIDENCE = 0.95
LETTER = 6.5  # pixels
ROW, WIDTH, HEAD, FOOT = 24, 220, 26, 40  # pixels: height of a strategy, width of a metric, room for words
UNITS = 18  # pixels: more room for words where they are
MARGIN = 0.1
TICKS = 3  # at least, with numbers
NICE = (1, 2, 5)  # between ticks, times a power of ten
ACROSS = 4  # metrics beside each other
CAP = 9  # pixels: the ends of an interval
SPREAD = 0.3  # of the rows, over which seeds lie


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn: for the metric ``i`` of `names` ``mean{i}``, ``low{i}`` and ``high{i}`` of each ``strategy``.

    The interval is ``mean -+ t s / sqrt(n)`` with the quantile ``t`` of Student's distribution for 95 % and ``n - 1``
    degrees of freedom; with one seed it is NaN. The seeds themselves are ``seed{i}``, ``(strategies, runs)``. What is
    NaN is left out of ``n``; a metric that is NaN everywhere is left out altogether.

    Args:
        ds: variables with the dims strategy and run, as `nbtoolkit.analysis.transfer` gives them, or strategy and
            statistic, as `nbtoolkit.analysis.summary` does, then without seeds; others are left out.

    Raises:
        ValueError: no variable has these dims.
    """
    from scipy import stats  # which takes longer to load than all the panels

    shown = _metrics(ds)
    strategies = [str(label) for label in ds["strategy"].values]
    found: dict[str, Any] = {
        "strategy": np.array(strategies, dtype=object),
        "y": np.arange(len(strategies), dtype=float)[::-1],
        "color": np.array([colour(i) for i in range(len(strategies))], dtype=object),
    }
    for i, variable in enumerate(shown.values()):
        values, (mean, error, count) = _moments(variable)
        reach = stats.t.ppf(0.5 + CONFIDENCE / 2, np.maximum(count - 1, 1)) * error
        found |= {f"mean{i}": mean, f"low{i}": mean - reach, f"high{i}": mean + reach, f"seed{i}": values}
    return found


def names(ds: Any) -> list[str]:
    """The metrics in words."""
    return [str(ds[name].attrs.get("long_name", name)) for name in _metrics(ds)]


def figure(
    source: ColumnDataSource | None, ds: Any, *, metrics: Sequence[str] | None = None, scale: str | None = None
) -> Any:
    """A row for each strategy, in the order given, and a column of dots for each metric; all share the strategies.

    Args:
        source: holds what `columns` gives, without the seeds; None for the numbers of ``ds``.
        ds: variables with the dims strategy and run, or strategy and statistic.
        metrics: names of the variables shown, in this order; by default all that are known.
        scale: without meaning here; every panel takes it.

    Raises:
        ValueError: no variable has these dims, or a metric named is not there.
    """
    if metrics is not None:
        missing = [name for name in metrics if name not in ds.data_vars]
        if missing:
            raise ValueError(f"There is no metric {missing[0]!r}; there are: {', '.join(map(str, ds.data_vars))}.")
        ds = ds[list(metrics)]
    drawn = columns(ds)
    seeds = {key: drawn.pop(key) for key in list(drawn) if key.startswith("seed")}
    source = source or ColumnDataSource(drawn)
    strategies = [str(label) for label in drawn["strategy"]]
    rows = axis_range("strategies", -0.6, len(strategies) - 0.4)
    titles = names(ds)
    shown = _metrics(ds)
    foot = FOOT + UNITS * any(unit_label(variable.attrs) for variable in shown.values())
    plots = [_column(source, i, ds[name].attrs, titles[i], seeds[f"seed{i}"], rows) for i, name in enumerate(shown)]
    for plot in plots:
        plot.update(height=HEAD + foot + ROW * len(strategies), min_border_bottom=foot)
    for first in plots[::ACROSS]:
        first.yaxis.visible = True
        first.yaxis.major_label_policy = AllLabels()
        first.yaxis.ticker = FixedTicker(ticks=[float(y) for y in drawn["y"]])
        first.yaxis.major_label_overrides = dict(zip(drawn["y"].tolist(), strategies, strict=True))
        first.min_border_left = round(LETTER * max(map(len, strategies))) + 12
        first.width += first.min_border_left
    grid = gridplot(plots, ncols=ACROSS, toolbar_location=None, merge_tools=False)
    return column(grid, _words(_note(drawn, seeds), plots[0].min_border_left))


def _words(text: str, left: int) -> Any:
    """A line of words in a figure of its own: BokehJS without its widgets has nothing simpler."""
    width = round(LETTER * len(text)) + 12
    plot = blank_figure(
        "", "", "linear", name="note", height=HEAD, x_range=Range1d(start=0, end=1), y_range=Range1d(start=-1, end=1)
    )
    plot.update(
        sizing_mode="fixed", width=left + width, frame_width=width, min_border_left=left, min_border_top=0,
        min_border_bottom=0, tools=[],
    )  # fmt: skip
    plot.axis.visible = plot.grid.visible = False
    words = plot.text(x=[0], y=[0], text=[text], text_font_size=SIZE, text_baseline="middle", text_color=INK)
    words.glyph.text_font = value(FONT)
    words.glyph.name = "words"  # takes the page's colour
    return plot


def _note(drawn: Mapping[str, Any], seeds: Mapping[str, np.ndarray]) -> str:
    """What the marks are, as far as there are such marks."""
    percent = f"{100 * CONFIDENCE:.0f}"
    several = any((np.isfinite(values).sum(axis=1) > 1).any() for values in seeds.values())
    told = ["dot: mean" if several or not seeds["seed0"].size else "dot: the one seed"]
    if any(np.isfinite(values).any() for key, values in drawn.items() if key.startswith("low")):
        told.append(f"bar: its {percent} % interval")
    return "; ".join([*told, "faint: seeds"] if several else told)


def _column(
    source: ColumnDataSource, i: int, attrs: Mapping[str, Any], title: str, seeds: np.ndarray, rows: Range1d
) -> Any:
    """One metric."""
    data: Any = source.data
    ends = [np.asarray(data[f"{end}{i}"], float) for end in ("mean", "low", "high")]
    plot = blank_figure(
        unit_label(attrs), "", "linear", name=f"metric{i}", y_range=rows,
        x_range=axis_range(f"values{i}", *_span(np.concatenate([seeds.ravel(), *ends]))), title=title,
    )  # fmt: skip
    plot.update(sizing_mode="fixed", width=WIDTH, min_border_left=10, min_border_right=10)
    plot.title.update(text_font_size=SIZE, text_font=FONT, text_font_style="bold", text_color=INK)
    apart = _apart(plot.x_range.start, plot.x_range.end)
    plot.xaxis.ticker.update(min_interval=0, max_interval=apart, desired_num_ticks=TICKS, num_minor_ticks=0)
    plot.yaxis.visible = False
    plot.ygrid.grid_line_color = None
    plot.xgrid.grid_line_color = FAINT
    zero = Span(location=0, dimension="height", line_color=INK, line_alpha=0.5, line_width=1, level="underlay")
    zero.name = "ink"
    plot.add_layout(zero)
    single = {"x": seeds.ravel(), "y": _beside(data["y"], seeds), "color": np.repeat(data["color"], seeds.shape[1])}
    plot.scatter("x", "y", source=named(f"seeds{i}", single), size=4.5, color="color", fill_alpha=0.45, line_color=None)
    plot.segment(f"low{i}", "y", f"high{i}", "y", source=source, line_color="color", line_width=2)
    for end in ("low", "high"):
        plot.scatter(f"{end}{i}", "y", source=source, marker="dash", angle=np.pi / 2, size=CAP, line_color="color",
                     line_width=2)  # fmt: skip
    dots = plot.scatter(f"mean{i}", "y", source=source, size=9, color="color", line_color="white")
    words = [("strategy", "@strategy"), ("mean", f"@mean{i}{{0.0000}}")]
    words.append(("95 % interval", f"@low{i}{{0.0000}} to @high{i}{{0.0000}}"))
    plot.add_tools(HoverTool(renderers=[dots], tooltips=words))
    return plot


def _metrics(ds: Any) -> dict[str, Any]:
    """The variables shown."""
    fitting = {
        str(name): variable
        for name, variable in ds.data_vars.items()
        if set(variable.dims) in ({"strategy", "run"}, {"strategy", "statistic"})
    }
    if not fitting:
        dims = ", ".join(f"{name} {variable.dims}" for name, variable in ds.data_vars.items()) or "nothing"
        raise ValueError(
            f"A comparison needs variables with the dims ('strategy', 'run') or ('strategy', 'statistic'); got {dims}. "
            "Give analysis.transfer a dict of strategies, each with its runs."
        )
    known = {name: variable for name, variable in fitting.items() if _moments(variable)[1][2].any()}
    return known or fitting


def _moments(variable: Any) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The seeds ``(strategies, runs)``, and mean, standard error and number of those known, of each strategy."""
    if "statistic" in variable.dims:
        mean, error, count = (
            variable.sel(statistic=word).values.astype(float) for word in ("mean", "standard_error", "count")
        )
        return np.empty((len(mean), 0)), (mean, error, count)
    seeds = variable.transpose("strategy", "run").values.astype(float)
    known = np.isfinite(seeds)
    count = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, seeds, 0).sum(axis=1) / count
        spread = np.where(known, seeds - mean[:, None], 0) ** 2
        error = np.sqrt(spread.sum(axis=1) / (count - 1) / count)
    return seeds, (mean, np.where(count > 1, error, np.nan), count)


def _beside(y: Any, seeds: np.ndarray) -> np.ndarray:
    """The height of each seed: one below the other around its strategy, so that equal ones can be told apart."""
    runs = seeds.shape[1]
    offsets = np.linspace(SPREAD, -SPREAD, runs) if runs > 1 else np.zeros(runs)
    return (np.asarray(y, float)[:, None] + offsets).ravel()


def _apart(low: float, high: float) -> float:
    """The largest round distance between ticks of which three lie on an axis."""
    power = np.floor(np.log10((high - low) / (TICKS - 1)))
    steps = [nice * 10.0**k for k in (power, power - 1) for nice in sorted(NICE, reverse=True)]
    return next(step for step in steps if np.floor(high / step) - np.ceil(low / step) >= TICKS - 1)


def _span(values: np.ndarray) -> tuple[float, float]:
    """Ends of the axis of a metric."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    margin = MARGIN * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin
