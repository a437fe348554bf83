"""Methods side by side: means, intervals and seeds are those of the Dataset."""

import numpy as np
import pytest
import xarray
from bokeh.models import GlyphRenderer
from scipy import stats

from nbtoolkit.analysis import summary
from nbtoolkit.panels import comparison

STRATEGIES = ["naive", "replay", "A-GEM"]
SEEDS = np.array([[0.5, 0.7, 0.6], [0.9, 0.92, np.nan], [0.8, np.nan, np.nan]])


def made() -> xarray.Dataset:
    """Two metrics of three strategies, one with two seeds and one with one, and what is not of strategies."""
    variables = {
        "average": (("strategy", "run"), SEEDS, {"long_name": "average accuracy", "units": "1"}),
        "steps": (("run", "strategy"), 100 * SEEDS.T, {"long_name": "steps to recovery", "units": "step"}),
        "unknown": (("strategy", "run"), np.full((3, 3), np.nan), {"long_name": "transfer", "units": "1"}),
        "other": (("run",), np.zeros(3)),
    }
    return xarray.Dataset(variables, {"strategy": STRATEGIES, "run": ["0", "1", "2"]})


def test_the_interval_is_that_of_student() -> None:
    drawn = comparison.columns(made())
    assert comparison.names(made()) == ["average accuracy", "steps to recovery"]
    for i, factor in enumerate((1, 100)):
        for row in range(2):
            known = factor * SEEDS[row][np.isfinite(SEEDS[row])]
            low, high = stats.t.interval(0.95, len(known) - 1, known.mean(), stats.sem(known))
            assert drawn[f"mean{i}"][row] == pytest.approx(known.mean(), rel=1e-14)
            assert (drawn[f"low{i}"][row], drawn[f"high{i}"][row]) == pytest.approx((low, high), rel=1e-12)
    assert drawn["mean0"][2] == 0.8
    assert np.isnan([drawn["low0"][2], drawn["high0"][2]]).all()
    np.testing.assert_array_equal(drawn["seed1"], 100 * SEEDS)


def test_a_summary_gives_the_same_without_the_seeds() -> None:
    whole, told = comparison.columns(made()), comparison.columns(summary(made()[["average", "steps"]]))
    for key in ("mean0", "low0", "high0", "mean1", "low1", "high1"):
        np.testing.assert_allclose(told[key], whole[key], rtol=1e-12)
    assert told["seed0"].shape == (3, 0)
    assert comparison.figure(None, summary(made()))


def test_methods_are_rows_from_the_top_in_the_order_given() -> None:
    grid = comparison.figure(None, made())
    first, second = (grid.select_one({"name": f"metric{i}"}) for i in (0, 1))
    at = first.yaxis[0].major_label_overrides
    assert [at[y] for y in sorted(at, reverse=True)] == STRATEGIES
    assert first.y_range is second.y_range
    assert (first.yaxis[0].visible, second.yaxis[0].visible) == (True, False)
    assert (first.title.text, second.xaxis[0].axis_label) == ("average accuracy", "step")
    seeds = first.select_one({"name": "seeds0"}).data
    for k, value in enumerate(SEEDS.ravel()):
        if np.isfinite(value):
            assert (seeds["x"][k], at[round(seeds["y"][k])]) == (value, STRATEGIES[k // 3])
    known = SEEDS[np.isfinite(SEEDS)]
    assert first.x_range.start < known.min() < known.max() < first.x_range.end
    assert len(first.select(GlyphRenderer)) == 5


def test_metrics_can_be_chosen_and_stand_in_rows_of_four() -> None:
    assert comparison.figure(None, made(), metrics=["steps"]).select_one({"name": "metric0"}).title.text == (
        "steps to recovery"
    )
    many = xarray.Dataset({f"m{i}": made()["average"] for i in range(6)})
    grid = comparison.figure(None, many).children[0]
    assert [(row, column) for _, row, column in grid.children] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    assert [grid.select_one({"name": f"metric{i}"}).yaxis[0].visible for i in (0, 3, 4)] == [True, False, True]


def test_one_seed_alone_has_a_dot_and_no_interval() -> None:
    grid = comparison.figure(None, made().isel(run=[0]))
    ends = grid.select_one({"name": "values0"})
    assert ends.start < 0.5 < 0.9 < ends.end


@pytest.mark.parametrize("metric", ["average", "steps"])
@pytest.mark.parametrize("shift", [0.0, -0.83])
@pytest.mark.parametrize("factor", [0.003, 0.11, 0.4, 1.0, 1.7, 2900.0])
def test_values_can_be_read_at_three_ticks_or_more(metric: str, shift: float, factor: float) -> None:
    ds = made()
    ds[metric] = factor * (ds[metric] + shift)
    place = comparison.names(made()).index(made()[metric].attrs["long_name"])
    plot = comparison.figure(None, ds).select_one({"name": f"metric{place}"})
    apart, (low, high) = plot.xaxis[0].ticker.max_interval, (plot.x_range.start, plot.x_range.end)
    ticks = np.arange(np.ceil(low / apart), np.floor(high / apart) + 1)
    assert 3 <= len(ticks) <= 7
    assert round(apart / 10 ** np.floor(np.log10(apart * 1.001)), 6) in (1, 2, 5)
    drawn = comparison.columns(ds)
    ends = np.concatenate([drawn[f"{key}{place}"].ravel() for key in ("low", "high", "seed")])
    room = 0.08 * (high - low)
    assert low + room <= np.nanmin(ends) <= np.nanmax(ends) <= high - room


def test_a_line_below_says_what_the_marks_are() -> None:
    def told(ds: xarray.Dataset) -> str:
        (words,) = comparison.figure(None, ds).select_one({"name": "note"}).renderers
        return words.data_source.data["text"][0]

    assert told(made()) == "dot: mean; bar: its 95 % interval; faint: seeds"
    assert told(summary(made()[["average"]])) == "dot: mean; bar: its 95 % interval"
    assert told(made().isel(run=[0])) == "dot: the one seed"


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dims \('strategy', 'run'\).*got other \('run',\)"):
        comparison.figure(None, made()[["other"]])
    with pytest.raises(ValueError, match=r"no metric 'acc'; there are: average, steps"):
        comparison.figure(None, made(), metrics=["acc"])
