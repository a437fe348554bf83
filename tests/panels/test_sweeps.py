"""Phase diagrams, curve families and transfer plots: the numbers drawn are those of the sweep."""

from typing import Any

import numpy as np
import pytest
import xarray
from bokeh.embed import file_html
from bokeh.models import ColorBar, HoverTool, LogScale, Plot
from bokeh.resources import CDN
from scipy import stats

from nbtoolkit import panels
from nbtoolkit.panels import curve_family, end_names, family, grid_axis, phase_diagram, transfer_plot
from tests.panels.sweeps import BEST, LRS, curves, phases, transfer


def told(plot: Any) -> list[str]:
    """The lines of words above a figure."""
    return [plot.title.text, *[one.text for one in plot.above if one is not plot.title]]


def test_cells_lie_around_their_points_in_log_axes() -> None:
    drawn = phase_diagram.columns(phases())
    assert len(drawn["value"]) == 12
    at = {(x, y): k for k, (x, y) in enumerate(zip(drawn["x"], drawn["y"], strict=True))}
    k = at["0.1", "0.01"]
    assert drawn["value"][k] == 8
    assert (drawn["left"][k] + drawn["right"][k]) / 2 == pytest.approx(0.1)
    assert 2 ** ((drawn["bottom"][k] + drawn["top"][k]) / 2) == pytest.approx(0.01)
    assert 2 ** (drawn["top"][k] - drawn["bottom"][k]) == pytest.approx(10)
    wide = at["0.4", "0.01"]  # its neighbour is 0.2 away
    assert (drawn["left"][wide], drawn["right"][wide]) == pytest.approx((0.3, 0.5))


def test_the_best_of_each_column_is_marked_and_cells_say_why_they_have_no_value() -> None:
    drawn = phase_diagram.columns(phases())
    best = {(x, y) for x, y, one in zip(drawn["x"], drawn["y"], drawn["best"], strict=True) if one}
    assert best == {("0", "0.1"), ("0.1", "0.1"), ("0.2", "0.001"), ("0.4", "0.001")}
    why = {(x, y): one for x, y, one in zip(drawn["x"], drawn["y"], drawn["why"], strict=True) if one}
    assert why == {
        ("0.2", "0.1"): "ValueError: too much", ("0.4", "0.1"): "infinite", ("0.2", "0.01"): "it gave no number",
        ("0.4", "0.01"): "not run yet",
    }  # fmt: skip
    largest = phase_diagram.columns(phases(), largest=True)
    assert {x: y for x, y, one in zip(largest["x"], largest["y"], largest["best"], strict=True) if one}["0"] == "0.01"


def test_failed_cells_are_hatched_and_those_that_have_not_run_are_blank() -> None:
    plot = phase_diagram.figure(None, phases())
    cells, failed = (plot.select_one({"name": name}).data for name in ("cells", "failed"))
    assert len(cells["value"]) == 8
    assert sorted(failed["why"]) == ["ValueError: too much", "infinite", "it gave no number"]
    assert told(plot) == [
        "final loss",
        "best 0.5 at lr 0.1, dropout 0.1; ring: best of its column; 3 failed; 1 of 12 not run yet",
    ]
    assert plot.xaxis[0].axis_label == "dropout"
    assert sorted(plot.yaxis[0].major_label_overrides.values()) == ["0.001", "0.01", "0.1"]
    assert ("failed", "@why") in [line for tool in plot.select(HoverTool) for line in tool.tooltips]
    assert len(plot.select_one({"name": "best"}).data["x"]) == 4
    assert (plot.x_range.start, plot.x_range.end) == pytest.approx((-0.05, 0.5))


def test_seeds_are_averaged_and_names_have_no_isolines() -> None:
    ds = phases().isel(dropout=[0, 1]).expand_dims(seed=2).copy(deep=True)
    ds["loss"][1] += 1.0
    drawn = phase_diagram.columns(ds)
    np.testing.assert_array_equal(np.sort(drawn["value"]), np.sort(phases().loss.values[:, :2].ravel()) + 0.5)
    ds["loss"][1, 0, 0] = np.nan
    ds["reason"][1, 0, 0] = "OSError"
    assert phase_diagram.columns(ds)["why"][0] == "OSError"
    by_name = phases().assign_coords(lr=["Adam", "Lion", "SGD"])
    assert not phase_diagram.figure(None, by_name).select_one({"name": "isolines"}).data["level"]


def test_lines_of_a_family_are_means_in_student_intervals_in_the_order_of_their_values() -> None:
    ds = curves()
    drawn = curve_family.columns(ds)
    for i, decay in enumerate(np.sort(ds.decay.values)):
        seeds = ds.loss.sel(decay=decay).transpose("seed", "step").values
        np.testing.assert_allclose(drawn[f"y{i}"], seeds.mean(0), rtol=1e-14)
        half = stats.t.ppf(0.975, 2) * stats.sem(seeds[:, 0])
        np.testing.assert_allclose(drawn[f"error{i}"], half, rtol=1e-9)
        np.testing.assert_array_equal(drawn[f"x{i}"], ds.step)
    plot = curve_family.figure(None, ds)
    colours = [plot.select_one({"name": f"line{i}"}).glyph.line_color for i in range(4)]
    assert colours == [family.SHADES[k] for k in (0, 50, 99, 149)]
    ends = plot.select_one({"name": "ends"}).data
    assert ends["text"][0] == "decay 0.001"  # the highest line says what the numbers are
    assert told(plot)[1] == "decay 0.001 to 0.1; mean of 3 seeds in its 95 % interval"
    assert plot.x_range.end > 98


def test_many_lines_have_a_bar_of_colours_and_long_ones_keep_their_spikes() -> None:
    ds = curves(count=8, steps=20_000, seeds=1)
    ds["loss"][0, 0, 12_345] = 77.0
    drawn = curve_family.columns(ds)
    assert len(drawn["x0"]) < 4000
    assert np.nanmax(drawn["y7"]) == 77  # the largest decay
    plot = curve_family.figure(None, ds)
    (bar,) = plot.select(ColorBar)
    assert next(iter(bar.major_label_overrides.values())) == "0.001"
    assert plot.select_one({"name": "ends"}) is None
    assert curve_family.figure(None, curves(), scale="log").y_scale.__class__ is LogScale


def test_a_family_over_an_axis_of_the_grid() -> None:
    plot = curve_family.figure(None, transfer(), over="width")
    assert plot.xaxis[0].major_label_overrides == {6.0: "64", 8.0: "256", 10.0: "1024"}
    alone = curve_family.columns(transfer().sel(width=64))
    np.testing.assert_array_equal(alone["x0"], np.log2(LRS))
    names = transfer().sel(lr=2.0**-5).assign_coords(width=["a", "b", "c"])
    assert list(curve_family.figure(None, names).xaxis[0].major_label_overrides.values()) == ["a", "b", "c"]


def test_names_at_the_ends_keep_apart_and_move_as_little_as_that_takes() -> None:
    np.testing.assert_allclose(end_names.apart([5.0, 0.0, 9.0], 1.0), [5, 0, 9])
    np.testing.assert_allclose(end_names.apart([1.0, 1.0, 1.0], 1.0), [0, 1, 2])
    moved = end_names.apart([0.0, 0.2, 0.3, 5.0, 5.5], 1.0)
    assert np.diff(moved).min() > 1 - 1e-12
    np.testing.assert_allclose(moved, [-5 / 6, 1 / 6, 7 / 6, 4.75, 5.75])


def test_stars_stand_at_the_vertices() -> None:
    drawn = transfer_plot.columns(transfer())
    np.testing.assert_allclose(drawn["best_x"], BEST, atol=1e-9)
    np.testing.assert_allclose(drawn["best_y"], 0.3, atol=1e-12)
    assert not drawn["edge"].any()
    np.testing.assert_array_equal(drawn["x1"], np.log2(LRS))
    np.testing.assert_array_equal(drawn["y1"], transfer().loss.sel(width=256))
    plot = transfer_plot.figure(None, transfer())
    assert told(plot) == ["final loss", "best lr ~ width^\N{MINUS SIGN}0.40 (\N{MINUS SIGN}0.40 to \N{MINUS SIGN}0.40)"]
    assert plot.xaxis[0].major_label_overrides[-5.0] == "2⁻⁵"
    assert (plot.xaxis[0].axis_label, plot.yaxis[0].axis_label) == ("lr", "nat")
    assert sorted(plot.select_one({"name": "ends"}).data["text"]) == ["256", "64", "width 1024"]
    seeded = transfer_plot.columns(transfer(seeds=4))
    assert np.isfinite(seeded["error0"]).all()
    np.testing.assert_allclose(seeded["best_x"], BEST, atol=0.2)


def test_at_the_edge_of_the_grid_the_best_point_is_open_and_the_order_given_does_not_matter() -> None:
    ds = transfer().isel(width=[2, 0, 1], lr=slice(None, None, -1)).sel(lr=slice(None, 2.0**-7))
    drawn = transfer_plot.columns(ds)
    assert drawn["edge"].tolist() == [False, False, True]
    np.testing.assert_allclose(drawn["best_x"], [*BEST[:2], -7], atol=1e-9)
    plot = transfer_plot.figure(None, ds)
    assert len(plot.select_one({"name": "edge"}).data["best_x"]) == 1
    same = xarray.concat([transfer().sel(width=[64])] * 3, "width").assign_coords(width=[64, 256, 1024])
    assert told(transfer_plot.figure(None, same))[1] == "best lr 2⁻⁵ at every width; fitted ~ width^0.00"


def test_a_third_axis_has_figures_beside_each_other_on_one_scale() -> None:
    worse = transfer()
    worse["loss"] = worse.loss * 3
    both = xarray.concat([transfer(), worse], xarray.Variable("way", ["muP", "standard"]))
    both["loss"].attrs = transfer().loss.attrs
    plots = transfer_plot.figure(None, both).children
    assert [told(plot)[0] for plot in plots] == ["final loss, muP", "final loss, standard"]
    assert len({(plot.y_range.start, plot.y_range.end) for plot in plots}) == 1
    assert plots[0].y_range.end > float(worse.loss.max())


@pytest.mark.parametrize(("ds", "kinds"), [
    (transfer(), ["fitted"]), (transfer(seeds=2), ["fitted"]), (phases(), ["cells"]), (curves(), ["line0"]),
    (transfer().sel(width=64), ["line0"]), (transfer(seeds=3).isel(lr=0, width=0), ["line0"]),
    (transfer().rename(width="depth"), ["cells"]),
    (xarray.concat([curves(), curves()], xarray.Variable("batch", [1, 2])), ["cells"]),
    (phases().expand_dims(depth=[1, 2]).transpose("lr", "dropout", "depth"), ["cells"]),
    (transfer().assign(accuracy=1 - transfer().loss), ["fitted", "fitted"]),
])  # fmt: skip
def test_the_picture_is_found_by_the_axes(ds: xarray.Dataset, kinds: list[str]) -> None:
    drawn = panels.sweep_figure(ds)
    plots = [drawn] if isinstance(drawn, Plot) else drawn.children
    assert [plot.select_one({"name": kind}) is not None for plot, kind in zip(plots, kinds, strict=True)] == [
        True
    ] * len(kinds)
    assert "loss" in file_html(drawn, CDN)


def test_accuracies_are_the_better_the_larger() -> None:
    ds = transfer().assign(test_acc=1 - transfer().loss)
    (_, accuracy) = panels.sweep_figure(ds).children
    np.testing.assert_allclose(
        np.sort(accuracy.select_one({"name": "fitted"}).data["best_x"]), np.sort(BEST), atol=1e-9
    )
    steps = xarray.concat([curves(), curves()], xarray.Variable("batch", [1, 2]))
    assert told(panels.sweep_figure(steps))[0] == "loss, step 98"


@pytest.mark.parametrize("ds", [transfer(), phases(), curves(), transfer(seeds=2)])
def test_what_has_nothing_yet_can_be_drawn(ds: xarray.Dataset) -> None:
    ds = ds.copy(deep=True)
    ds["loss"][:] = np.nan
    if "reason" in ds:
        ds["reason"][:] = "not run yet"
    assert any("nothing" in line for line in told(panels.sweep_figure(ds)))


@pytest.mark.parametrize(("values", "written"), [
    ([0.5, 0.25], ["2⁻²", "2⁻¹"]), ([64, 128], ["64", "128"]), ([1e-4, 0.0031622], ["0.0001", "0.00316"]),
    ([-1.5, 2.0], ["\N{MINUS SIGN}1.5", "2"]), (["layer.name.that.is.long", "b"], ["…that.is.long", "b"]),
    ([3e-7, 1e9], ["3e\N{MINUS SIGN}7", "1e9"]),
])  # fmt: skip
def test_values_are_written_short(values: list[Any], written: list[str]) -> None:
    axis = grid_axis.grid_axis(xarray.DataArray(values, dims="lr", name="lr", coords={"lr": values})["lr"])
    assert axis.written == written


@pytest.mark.parametrize(("call", "words"), [
    (lambda: phase_diagram.figure(None, curves()), r"'loss' over steps"),
    (lambda: phase_diagram.figure(None, transfer().expand_dims(depth=2)), r"the axes depth, lr, width; it draws two"),
    (lambda: curve_family.figure(None, transfer().expand_dims(depth=2), over="lr"), r"data\.sel\(width=\.\.\.\)"),
    (lambda: transfer_plot.columns(transfer().expand_dims(way=2)), r"choose of the others first, as in data\.sel\(way"),
    (lambda: transfer_plot.figure(None, phases()), r"along='width', which is no axis of 'loss'"),
    (lambda: panels.sweep_figure(phases()[["reason"]]), r"a sweep without numbers"),
    (lambda: panels.sweep_figure(phases(), variable="acc"), r"no variable 'acc'; there are: loss"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
