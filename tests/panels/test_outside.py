"""Curves of a sweep: what has diverged does not flatten the others, and a triangle tells where it went."""

from typing import Any

import numpy as np
import pytest
import xarray
from bokeh.models import LogScale

from nbtoolkit.panels import curve_family, sweep_figure
from nbtoolkit.panels.near_best import near_best_lines
from tests.panels.sweeps import LRS, curves, transfer
from tests.panels.test_near_best import told

STEPS = np.arange(0, 100, 2)
SETTLED = 2.3 * np.exp(-STEPS / 20.0) + 0.5  # from 2.8 to 0.52
BLOWN = 2.8 * np.exp(STEPS / 1.4)  # to 1e30


def family(*lines: Any) -> xarray.Dataset:
    """Losses over steps, one for each rate."""
    rates = 10.0 ** -np.arange(len(lines), 0, -1)
    return xarray.Dataset({"loss": (("lr", "step"), np.array(lines))}, {"lr": rates, "step": STEPS})


def marks(plot: Any) -> dict[str, Any]:
    return plot.select_one({"name": "outside"}).data


def frame(plot: Any) -> tuple[float, float]:
    return plot.y_range.start, plot.y_range.end


def test_a_line_that_blows_up_leaves_the_frame_of_the_others_at_its_triangle() -> None:
    lines = [SETTLED + 0.1, SETTLED, BLOWN]
    plot = curve_family.figure(None, family(*lines))
    assert not isinstance(plot.y_scale, LogScale)
    assert frame(plot) == frame(curve_family.figure(None, family(SETTLED + 0.1, SETTLED)))
    assert told(plot).endswith("; 1 above the frame")
    (x,), (y,), (kind,) = (marks(plot)[key] for key in ("x", "y", "marker"))
    high = plot.y_range.end
    before, after = (np.flatnonzero(high >= BLOWN)[-1], np.flatnonzero(high < BLOWN)[0])
    crossing = np.interp(high, BLOWN[[before, after]], STEPS[[before, after]])
    assert (x, kind) == (pytest.approx(crossing), "triangle")
    assert high - 0.03 * (high - plot.y_range.start) < y < high
    assert marks(plot)["ink"] == [plot.select_one({"name": "line2"}).glyph.line_color]
    assert plot.select_one({"name": "line2"}).data_source.data["y2"][-1] == BLOWN[-1]
    assert sweep_figure(family(*lines)).y_range.end == high


@pytest.mark.parametrize(("lines", "diverged"), [
    ([SETTLED, SETTLED, BLOWN], 1), ([SETTLED, BLOWN], 1), ([SETTLED, BLOWN, BLOWN * 2], 2),
    ([SETTLED] * 3, 0), ([SETTLED, 0 * SETTLED + 2.8], 0),  # one learns nothing
    ([SETTLED, 5 * SETTLED], 0),  # the axis is not three times as long for it
    ([SETTLED, SETTLED * np.where(STEPS == 50, 3, 1)], 0),  # a spike, and back
    ([1e-4 + SETTLED - 0.5, SETTLED], 0), ([BLOWN], 0), ([BLOWN, BLOWN * 2, BLOWN * 1.5], 0),
    ([SETTLED / 20, SETTLED / 10, STEPS**2 / 1000 + 1e-3], 0),  # of a quantity that grows
    ([-SETTLED, -SETTLED - 1], 0), ([SETTLED, np.where(STEPS > 50, np.inf, SETTLED)], 1),
    ([SETTLED, np.where(STEPS > 40, np.nan, BLOWN)], 1), ([SETTLED, np.full(50, np.nan)], 0),
    ([np.full(50, np.nan)], 0),
])  # fmt: skip
def test_lines_have_diverged_or_not(lines: list[Any], diverged: int) -> None:
    plot = curve_family.figure(None, family(*lines))
    assert len(marks(plot)["x"]) == diverged
    assert (f"; {diverged} above the frame" in f"; {told(plot)}") == (diverged > 0)
    inside = [line[np.isfinite(line)] for line in lines]
    for line in sorted(inside, key=lambda line: line.max(initial=-np.inf))[: len(lines) - diverged]:
        if len(line):
            assert plot.y_range.start <= line.min() <= line.max() <= plot.y_range.end


def test_the_worst_of_an_accuracy_is_its_smallest() -> None:
    lines = 1 - np.exp(-np.outer([1, 1.1, 1.2, 1.3, 1.25, 1.15], STEPS + 5.0) / 20)
    within, scale = near_best_lines([*lines, -1e6 * lines[0]], apart=100, largest=True)
    assert (within, scale) == ((lines.min(), lines.max()), "linear")
    data = family(*lines, -1e6 * lines[0]).rename(loss="accuracy")
    assert told(sweep_figure(data)).endswith("; 1 below the frame")
    assert marks(sweep_figure(data))["marker"] == ["inverted_triangle"]


def test_lines_that_settle_decades_apart_are_on_a_logarithmic_axis_without_what_diverged() -> None:
    fast = 2.3 * np.exp(-STEPS / 8.0)
    plot = curve_family.figure(None, family(SETTLED, fast, BLOWN))
    assert isinstance(plot.y_scale, LogScale)
    assert frame(plot) == frame(curve_family.figure(None, family(SETTLED, fast)))
    linear = curve_family.figure(None, family(SETTLED, fast, BLOWN), scale="linear")
    assert linear.y_range.end < 4
    near_best_lines([[0.0, -1.0]], apart=100, scale="log")


@pytest.mark.parametrize("bad", [1e30, np.inf, np.nan])
def test_diverged_points_over_an_axis_are_marked_where_they_are(bad: float) -> None:
    ds = transfer().isel(width=0)
    others = frame(curve_family.figure(None, ds.isel(lr=slice(-1))))
    ds["loss"][-1] = bad
    ds["reason"] = ("lr", np.full(len(LRS), ""))
    plot = sweep_figure(ds)
    assert frame(plot) == others
    assert told(plot).endswith("1 above the frame")
    assert marks(plot)["x"] == [np.log2(LRS[-1])]
    assert marks(plot)["value"] == [str(np.float64(np.inf if np.isnan(bad) else bad))]
    np.testing.assert_array_equal(curve_family.columns(ds)["y0"][:-1], ds.loss.values[:-1])


def test_what_has_not_run_or_failed_is_not_marked() -> None:
    ds = transfer().isel(width=0)
    ds["loss"][-2:] = np.nan
    ds["reason"] = ("lr", np.array([""] * (len(LRS) - 2) + ["not run yet", "ValueError: no"], object))
    assert marks(sweep_figure(ds))["x"] == []
    assert marks(sweep_figure(curves()))["x"] == []
    assert "frame" not in told(sweep_figure(curves()))
