"""Ways to train side by side: the mean of each metric over seeds, its confidence interval, and every seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.layouts import gridplot
from bokeh.models import AllLabels, ColumnDataSource, FixedTicker, HoverTool, Range1d, Span
from scipy import stats

from nbtoolkit.panels.look import FAINT, INK, SIZE, axis_range, blank_figure, colour, named, unit_label

CONFIDENCE = 0.95
LETTER = 6.5  # pixels
ROW, WIDTH, HEAD, FOOT = 24, 220, 26, 40  # pixels: height of a strategy, width of a metric, room for words
MARGIN = 0.06
ACROSS = 4  # metrics beside each other
SPREAD = 0.3  # of the rows, over which seeds lie


def columns(ds: Any) -> dict[str, Any]:
    """The numbers drawn: for the metric ``i`` of `names` ``mean{i}``, ``low{i}`` and ``high{i}`` of each ``strategy``.

    The interval is ``mean -+ t s / sqrt(n)`` with the quantile ``t`` of Student's distribution for 95 % and ``n - 1``
    degrees of freedom; with one seed it is NaN. The seeds themselves are ``seed{i}``, ``(strategies, runs)``. What is NaN
    is left out of ``n``; a metric that is NaN everywhere is left out altogether.

    Args:
        ds: variables with the dims strategy and run, as `nbtoolkit.analysis.transfer` gives them, or strategy and
            statistic, as `nbtoolkit.analysis.summary` does, then without seeds; others are left out.

    Raises:
        ValueError: no variable has these dims.
    """
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
    plots = [
        _column(source, i, ds[name].attrs, titles[i], seeds[f"seed{i}"], rows) for i, name in enumerate(_metrics(ds))
    ]
    for first in plots[::ACROSS]:
        first.yaxis.visible = True
        first.yaxis.major_label_policy = AllLabels()
        first.yaxis.ticker = FixedTicker(ticks=[float(y) for y in drawn["y"]])
        first.yaxis.major_label_overrides = dict(zip(drawn["y"].tolist(), strategies, strict=True))
        first.min_border_left = round(LETTER * max(map(len, strategies))) + 12
        first.width += first.min_border_left
    return gridplot(plots, ncols=ACROSS, toolbar_location=None, merge_tools=False)


def _column(
    source: ColumnDataSource, i: int, attrs: Mapping[str, Any], title: str, seeds: np.ndarray, rows: Range1d
) -> Any:
    """One metric."""
    data: Any = source.data
    ends = [np.asarray(data[f"{end}{i}"], float) for end in ("mean", "low", "high")]
    plot = blank_figure(
        unit_label(attrs), "", "linear", name=f"metric{i}", height=HEAD + FOOT + ROW * len(seeds), y_range=rows,
        x_range=axis_range(f"values{i}", *_span(np.concatenate([seeds.ravel(), *ends]))), title=title,
    )  # fmt: skip
    plot.update(sizing_mode="fixed", width=WIDTH, min_border_left=10, min_border_right=10)
    plot.title.update(text_font_size=SIZE, text_font_style="bold", text_color=INK)
    plot.xaxis.ticker.update(min_interval=0, desired_num_ticks=2)
    plot.yaxis.visible = False
    plot.ygrid.grid_line_color = None
    plot.xgrid.grid_line_color = FAINT
    plot.add_layout(
        Span(location=0, dimension="height", line_color=INK, line_alpha=0.5, line_width=1, level="underlay")
    )
    single = {"x": seeds.ravel(), "y": _beside(data["y"], seeds), "color": np.repeat(data["color"], seeds.shape[1])}
    plot.scatter("x", "y", source=named(f"seeds{i}", single), size=4.5, color="color", fill_alpha=0.35, line_color=None)
    plot.segment(f"low{i}", "y", f"high{i}", "y", source=source, line_color="color", line_width=2)
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


def _span(values: np.ndarray) -> tuple[float, float]:
    """Ends of the axis of a metric."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    margin = MARGIN * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin
