"""What has diverged does not flatten a picture of a sweep, and what ends early is named where it ends."""

from typing import Any

import numpy as np
import pytest
import xarray
from bokeh.models import LogColorMapper, LogScale

from nbtoolkit.panels import curve_family, phase_diagram, transfer_plot
from nbtoolkit.panels.isolines import without_scraps
from nbtoolkit.panels.near_best import near_best
from tests.panels.sweeps import BEST, LRS, WIDTHS, curves, transfer

DROPOUTS = [0.0, 0.1, 0.2, 0.3]
PLANTED = 0.3 + 0.02 * (np.log2(LRS)[:, None] - np.array([-5.0, -5.3, -5.6, -6.0])) ** 2  # to 0.64


def grid(values: Any, name: str = "loss", **axes: Any) -> xarray.Dataset:
    return xarray.Dataset({name: (list(axes), np.asarray(values, float))}, axes)


def told(plot: Any) -> str:
    """What is said below the title."""
    return next(one.text for one in plot.above if one is not plot.title)


@pytest.mark.parametrize(("values", "settings", "left_out", "scale"), [
    ([*np.linspace(0.3, 0.9, 24), 1e4], {}, [1e4], "linear"),
    ([*np.linspace(0.3, 0.9, 24), 5.0], {}, [5.0], "linear"),
    ([*np.linspace(0.3, 0.9, 16), *[1e4] * 10], {}, [1e4], "linear"),  # more than a quarter has diverged
    ([*np.linspace(0.3, 0.9, 24), 1e4], {"scale": "log"}, [1e4], "log"),
    ([*np.geomspace(1e-5, 1, 30), 1e20], {}, [1e20], "log"),
    ([*np.geomspace(1e-6, 1, 30)], {}, [], "log"),
    ([0.3, 0.5, 1e4], {"scale": "log"}, [1e4], "log"),
    ([0.3, 0.3, 0.3, 0.3, 0.3, 0.5], {}, [], "linear"),
    ([*np.linspace(0.03, 0.93, 20)], {"largest": True}, [], "linear"),
    ([*np.linspace(0.1, 0.9, 20), -50.0], {"largest": True}, [-50.0], "linear"),
    ([*np.linspace(0.1, 0.9, 20), 50.0], {"largest": True}, [], "linear"),
    ([*np.linspace(0.1, 0.9, 20), -50.0], {}, [], "linear"),
    ([0.0501, 0.0502, 0.0503, 0.0502, 0.0505, 0.052], {}, [], "linear"),  # a flat bottom is no reason
    ([0.25, 0.22, 0.2, 0.2, 0.21, 0.22, 0.24, 0.5, 1.0], {}, [], "linear"),
    ([0.98, 0.97, 0.96, 0.95, 0.9, 0.1], {"largest": True}, [], "linear"),
    ([], {}, [], "linear"), ([np.nan, np.inf], {}, [], "linear"),
])  # fmt: skip
def test_what_is_far_out_on_the_bad_side_is_left_out(
    values: list[float], settings: dict[str, Any], left_out: list[float], scale: str
) -> None:
    kept, found = near_best(values, apart=10, **settings)
    assert found == scale
    known = np.array([one for one in values if np.isfinite(one)])
    np.testing.assert_array_equal(np.sort(kept), np.sort(known[~np.isin(known, left_out)]))


@pytest.mark.parametrize("largest", [False, True])
def test_a_diverged_cell_has_the_last_colour_and_its_own_value(largest: bool) -> None:
    values = PLANTED.copy()
    values[-1, -1] = 1e4
    worst, sign = np.sort(values.ravel())[-2], -1 if largest else 1
    ds = grid(sign * values, lr=LRS, dropout=DROPOUTS)
    plot = phase_diagram.figure(None, ds, largest=largest)
    mapper = plot.select_one({"name": "colours"})
    assert not isinstance(mapper, LogColorMapper)
    assert sorted([mapper.low, mapper.high]) == pytest.approx(sorted([sign * values.min(), sign * worst]), rel=1e-12)
    assert f"; 1 {'below' if largest else 'above'} the colours" in told(plot)
    assert sign * 1e4 in plot.select_one({"name": "cells"}).data["value"]  # as hover shows it
    lines = plot.select_one({"name": "isolines"}).data
    whole = phase_diagram.figure(
        None, grid(sign * np.minimum(values, worst), lr=LRS, dropout=DROPOUTS), largest=largest
    )
    assert "the colours" not in told(whole)
    wanted = whole.select_one({"name": "isolines"}).data
    assert lines["level"] == wanted["level"]
    for one, other in zip(lines["ys"], wanted["ys"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_accuracies_have_linear_colours() -> None:
    values = np.clip(0.93 - 0.1 * (np.log2(LRS)[:, None] + 6) ** 2 - np.array(DROPOUTS), 0.03, None)
    ds = grid(values, "accuracy", lr=LRS, dropout=DROPOUTS)
    mapper = phase_diagram.figure(None, ds, largest=True).select_one({"name": "colours"})
    assert (type(mapper).__name__, mapper.low, mapper.high) == ("LinearColorMapper", 0.03, 0.93)
    assert isinstance(phase_diagram.figure(None, ds).select_one({"name": "colours"}), LogColorMapper)


def test_a_diverged_point_is_outside_the_frame_and_does_not_flatten_the_curves() -> None:
    ds = transfer()
    top = float(np.sort(ds.loss.values.ravel())[-2])
    ds["loss"][-1, 2] = 1e4
    for part in (ds, ds.expand_dims(seed=3)):
        plot = transfer_plot.figure(None, part)
        assert not isinstance(plot.y_scale, LogScale)
        assert top < plot.y_range.end < 1.2 * top
        assert told(plot).endswith("; 1 above the frame")
    assert plot.select_one({"name": "line2"}).data_source.data["y2"][-1] == 1e4
    assert "above" not in told(transfer_plot.figure(None, transfer()))
    ways = xarray.concat([transfer(), ds], xarray.Variable("way", ["muP", "standard"]))
    left, right = transfer_plot.figure(None, ways).children
    assert left.y_range.end == right.y_range.end < 1.2 * top
    assert ("above" in told(left), "above" in told(right)) == (False, True)
    gain = transfer_plot.figure(None, ds.assign(loss=-ds.loss), largest=True)
    assert -1.2 * top < gain.y_range.start < -top
    assert told(gain).endswith("; 1 below the frame")


def test_a_curve_that_ends_early_is_named_at_its_last_point_and_no_name_lies_on_another() -> None:
    ds = transfer()
    ds["loss"][-2:, 1] = np.nan
    ds["loss"][-3:, 2] = np.nan
    plot = transfer_plot.figure(None, ds)
    ends = plot.select_one({"name": "ends"}).data
    at = dict(zip(ends["text"], zip(ends["x"], ends["y"], strict=True), strict=True))
    assert [at[word][0] for word in ("width 64", "256", "1024")] == [-3, -5, -6]
    height = plot.y_range.end - plot.y_range.start
    for word, width, last in (("256", 256, 2.0**-5), ("1024", 1024, 2.0**-6)):
        assert abs(at[word][1] - float(ds.loss.sel(width=width, lr=last))) < 0.4 * height
    x = np.log2(LRS)
    for width in WIDTHS:  # nor on a curve
        there = np.linspace(-6, -5.6, 9)
        curve = np.interp(there, x, ds.loss.sel(width=width), right=np.nan)
        assert not (np.abs(curve - at["1024"][1]) < 0.03 * height).any()


def test_a_curve_that_leaves_the_frame_is_named_where_it_does() -> None:
    ds = transfer()
    ds["loss"][-1, 2] = 1e4
    plot = transfer_plot.figure(None, ds)
    ends = plot.select_one({"name": "ends"}).data
    k = ends["text"].index("1024")
    assert -4 < ends["x"][k] < -3.99
    assert plot.y_range.start < ends["y"][k] < plot.y_range.end
    assert np.diff(np.sort(ends["y"])).min() > 0.07 * (plot.y_range.end - plot.y_range.start)


def test_seed_bands_are_within_the_frame_but_for_those_that_come_near_0_on_a_logarithmic_one() -> None:
    ds = curves(count=3)
    ds["loss"] += np.array([0.0, 0.1, 0.3])[:, None]
    drawn = curve_family.columns(ds)
    lower, upper = (np.array([drawn[f"y{i}"] + sign * drawn[f"error{i}"] for i in range(3)]) for sign in (-1, 1))
    lines = (lower + upper) / 2
    assert lower.min() < 0 < lower[lower > 0].min() < lines.min() / 3
    for scale, low in (("linear", lower.min()), ("log", lower[lower > lines / 2].min())):
        plot = curve_family.figure(None, ds, scale=scale)
        assert plot.y_range.start < low
        assert plot.y_range.end > upper.max()
        assert (plot.y_range.start > lower[lower > 0].min()) == (scale == "log")


def test_isolines_of_a_coarse_grid_are_no_scraps() -> None:
    rough = np.random.default_rng(0).uniform(0.3, 0.9, (3, 7))
    plot = phase_diagram.figure(None, grid(rough, depth=[1, 2, 3], lr=LRS))
    assert not plot.select_one({"name": "isolines"}).data["level"]
    lone = PLANTED.copy()
    lone[3, 1] = 0.6  # rings about one cell
    lines = phase_diagram.figure(None, grid(lone, lr=LRS, dropout=DROPOUTS)).select_one({"name": "isolines"}).data
    assert len(lines["level"]) >= 4
    for xs in lines["xs"]:
        for piece in np.split(xs, np.flatnonzero(np.isnan(xs))):
            piece = piece[~np.isnan(piece)]
            assert len(piece) >= 4
            assert len(piece) > 5 or piece[0] != piece[-1]


def test_pieces_are_kept_or_dropped_one_by_one() -> None:
    straight, corner = np.arange(5.0), np.array([0.0, 0.5])
    ring = np.array([0.0, 1, 0, -1, 0])
    xs = np.concatenate([corner, [np.nan], straight, [np.nan], ring])
    ys = np.concatenate([corner, [np.nan], 0 * straight, [np.nan], np.roll(ring[:-1], 1)[[0, 1, 2, 3, 0]]])
    drawn = {"xs": [xs, corner], "ys": [ys, corner], "level": [0.1, 0.2], "color": ["a", "b"]}
    kept = without_scraps(drawn, (6, 5))
    np.testing.assert_array_equal(kept["xs"][0], straight)
    np.testing.assert_array_equal(kept["ys"][0], 0 * straight)
    assert (kept["level"], kept["color"]) == ([0.1], ["a"])


def test_an_optimum_beside_failed_cells_says_so() -> None:
    ds = transfer()
    ds["loss"][3:, 2] = np.nan  # from 2**-6 on, the best of the width 1024 is at 2**-7
    ds["loss"][2:, 1] = np.nan
    reason = np.full(ds.loss.shape, "", object)
    reason[2:, 1] = "not run yet"
    drawn = transfer_plot.columns(ds.assign(reason=(ds.loss.dims, reason)))
    failed, not_run = "those cells failed", "those cells have not run yet"
    assert drawn["why"].tolist() == ["", *(f"beyond the best nothing is known: {one}" for one in (not_run, failed))]
    assert drawn["edge"].tolist() == [False, True, True]
    np.testing.assert_allclose(drawn["best_x"], [BEST[0], -8, -7], atol=1e-9)
    plot = transfer_plot.figure(None, ds)
    assert [one.split(": ")[1] for one in plot.select_one({"name": "edge"}).data["why"]] == [failed] * 2
    words = [line for tool in plot.tools for line in getattr(tool, "tooltips", None) or []]
    assert ("no fit", "@why") in words
    assert not any("edge" in word for word, _ in words)
