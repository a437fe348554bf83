"""Curves with an error have a band, and what they are read against is drawn where it is near."""

from typing import Any

import numpy as np
import pytest
import xarray
from bokeh.models import ColumnDataSource, LabelSet, Line, Patch

from nbtoolkit.panels import bands, curves
from nbtoolkit.store.columns import Columns
from nbtoolkit.store.schema import Var

SHARPNESS = {
    "sharpness": Var((), "loss/param^2", "largest eigenvalue", error="bound", line="edge"),
    "bound": Var((), "loss/param^2", "bound"),
    "edge": Var((), "loss/param^2", "edge of stability"),
}
X = np.arange(6.0)


def dataset(values: dict[str, Any], variables: dict[str, Var] = SHARPNESS, **labels: list) -> xarray.Dataset:
    columns = Columns("sharpness", variables)
    columns.append(X * 10, {key: np.asarray(value, float) for key, value in values.items()}, labels)
    return columns.dataset()


def drawn(ds: xarray.Dataset, scale: str | None = None) -> tuple[dict[str, Any], Any]:
    columns = curves.columns(ds, scale=scale)
    return columns, curves.figure(ColumnDataSource(columns), ds, scale=scale)


def test_a_band_reaches_one_error_up_and_down_and_is_blank_without_one() -> None:
    error = np.array([0.1, 0.2, np.nan, 0.2, 0.1, 0.1])
    ds = dataset({"sharpness": X, "bound": error, "edge": X})
    columns, plot = drawn(ds)
    assert curves.names(ds) == ["largest eigenvalue"]
    np.testing.assert_allclose(columns["low0"], X - error)
    np.testing.assert_allclose(columns["high0"], X + error)
    path = plot.select_one({"name": "band0"}).data
    assert np.isnan(path["x"]).sum() == 2  # before and behind the gap
    assert 20 not in path["x"]
    np.testing.assert_allclose(path["x"][:5], [0, 10, 10, 0, np.nan])
    np.testing.assert_allclose(path["y"][:5], [0.1, 1.2, 0.8, -0.1, np.nan])
    assert all(patch.fill_alpha < 0.3 for patch in plot.select(Patch))


def test_without_an_error_there_is_no_band() -> None:
    ds = dataset({"sharpness": X, "edge": X})[["sharpness"]]
    columns, plot = drawn(ds)
    assert not [key for key in columns if key.startswith(("low", "line"))]
    assert not list(plot.select(Patch))


def test_on_a_log_axis_a_band_that_goes_below_zero_runs_out_of_the_frame() -> None:
    ds = dataset({"sharpness": [1, 2, 3, 4, 5, 6], "bound": [0.5, 3, 1, 1, 1, 1], "edge": X + 1})
    columns, plot = drawn(ds, "log")
    assert columns["low0"][0] == 0.5
    assert 0 < columns["low0"][1] < 1e-9 * plot.y_range.start
    assert columns["high0"][1] == 5
    assert drawn(ds, "linear")[0]["low0"][1] == -1


def test_the_line_is_dashed_and_named_at_its_end() -> None:
    edge = np.array([5, 5, 5, 4, 4, 4.0])
    columns, plot = drawn(dataset({"sharpness": X, "bound": X / 10, "edge": edge}))
    np.testing.assert_array_equal(columns["line"][:6], edge)
    dashed = plot.select_one({"type": Line, "name": "ink"})
    assert dashed.line_dash == [6]
    ends = plot.select_one(LabelSet).source.data
    assert (ends["text"], ends["x"], ends["y"]) == (["edge of stability"], [50.0], [4.0])


@pytest.mark.parametrize("line", [1.0, "edge"])
def test_a_constant_line_goes_across_and_shows_with_the_first_sample(line: str | float) -> None:
    variables = {"ratio": Var((), "1", "ratio", line=line), "edge": Var((), "1", "one")}
    ds = dataset({"ratio": X / 5, "edge": np.ones(6)}, variables).isel(step=slice(0, 1))
    if line == 1.0:
        ds = ds[["ratio"]]
    columns, plot = drawn(ds)
    assert columns["line"].tolist() == [1.0, 1.0]
    assert columns["line_x"][1] > columns["line_x"][0]
    assert plot.select_one(LabelSet).source.data["text"] == ["1" if line == 1.0 else "one"]


def test_the_axis_goes_as_far_as_the_line_unless_that_flattens_the_curve() -> None:
    for edge, held in ((9.0, True), (12.0, True), (40.0, False)):
        _, plot = drawn(dataset({"sharpness": X, "bound": 0 * X, "edge": np.full(6, edge)}))
        assert (plot.y_range.end > edge) == held
        assert plot.y_range.end < 20
        assert bool(plot.select_one(LabelSet).source.data["text"]) == held


def test_an_axis_reaches_for_each_value_alone() -> None:
    assert bands.reach((0, 10), [-5, 25, 1e9, np.nan], "linear") == (-5 - 3.0, 25 + 3.0)
    assert bands.reach((0, 10), [4, 6], "linear") == (0, 10)
    low, high = bands.reach((1, 10), [0, -1, 500, 1e6], "log")
    assert (low, high) == (pytest.approx(1), pytest.approx(500 * 500**0.1))


def test_a_field_of_few_labels_has_a_band_for_each() -> None:
    variables = {
        "top": Var(("rank",), "1", "top eigenvalues", error="top_error", line=3.0),
        "top_error": Var(("rank",), "1", "error"),
    }
    values = np.outer(X, [2.0, 1.0])
    ds = dataset({"top": values, "top_error": values / 10}, variables, rank=[1, 2])
    columns, plot = drawn(ds)
    assert curves.names(ds) == ["rank 1", "rank 2"]
    np.testing.assert_allclose(columns["high1"], 1.1 * X)
    assert len(list(plot.select(Patch))) >= 2
    assert plot.select_one(LabelSet).source.data["text"] == ["rank 1", "rank 2", "3"]
