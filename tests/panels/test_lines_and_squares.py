"""Profiles, matrices, trajectories and surfaces draw the numbers of the Dataset where they belong."""

from typing import Any

import numpy as np
import pytest
import xarray
from bokeh.models import ColumnDataSource, LabelSet, LogScale

from nbtoolkit import panels
from nbtoolkit.panels import curves, heatmap, matrix, profile, relief, surface, trajectory
from nbtoolkit.panels.plane import Plane, plane
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.schema import Var
from tests.panels.golden import rows
from tests.panels.landscapes import LAYERS, SLICE, add_barriers, add_features, add_slices, record
from tests.panels.slices import line, lines, sliced


def source(module: Any, ds: xarray.Dataset) -> ColumnDataSource:
    return ColumnDataSource({key: list(values) for key, values in module.columns(ds).items()}, name="data")


def group(name: str, *variables: str) -> xarray.Dataset:
    """A part of the made-up run."""
    return record().groups[name].dataset()[list(variables)].copy(deep=True)


def known(values: Any) -> list[float]:
    return [value for value in np.asarray(values, float) if np.isfinite(value)]


@pytest.mark.parametrize(
    ("dims", "modules"),
    [
        (("alpha",), (profile,)), (("snapshot",), (profile,)), (("snapshot", "other"), (matrix,)),
        (("layer", "layer_other"), (matrix,)), (("snapshot", "pc"), (trajectory,)), (("pc",), (curves,)),
        (("fork",), (curves,)), (("step", "beta", "alpha"), (panels.landscape, surface)), (("layer",), (heatmap,)),
    ],
)  # fmt: skip
def test_the_panels_follow_from_the_dims(dims: tuple[str, ...], modules: tuple[Any, ...]) -> None:
    assert panels.pictures(dims) == modules


def test_paths_share_a_panel_and_steps_of_copies_have_none() -> None:
    assert panels.split(SLICE) == [("loss_slice",), ("error_slice",), ("path_loss", "plane_loss")]
    along = {
        name: Var(("alpha",), units, name) for name, units in (("a", "loss"), ("b", "1"), ("c", "loss"), ("d", "1"))
    }
    assert panels.split(along) == [("a", "c"), ("b",), ("d",)]
    shares = {name: Var(("pc",), "1", name) for name in ("explained", "random_walk")}
    assert panels.split(shares) == [("explained", "random_walk")]


def test_a_profile_is_in_order_and_leaves_out_what_was_not_measured() -> None:
    between = lines()[0]
    drawn = profile.columns(between)
    assert drawn["x0"].tolist() == [0, 0.25, 0.5, 1]
    assert drawn["y0"].tolist() == [1, 4, 2.5, 3]
    assert drawn["chord0"].tolist() == [1, 1.5, 2, 3]
    assert profile.barrier(drawn["x0"], drawn["y0"], drawn["chord0"]) == {
        "x": 0.25,
        "foot": 1.5,
        "head": 4,
        "value": 2.5,
    }


@pytest.mark.parametrize("which", [1, 2, 4])
def test_only_a_way_from_one_model_to_another_has_a_chord(which: int) -> None:
    drawn = profile.columns(lines()[which])
    assert not known(drawn.get("chord0", []))
    marked = profile.figure(source(profile, lines()[which]), lines()[which]).select_one({"name": "marks"}).data
    assert marked["text"] == []


def test_the_barrier_is_of_the_step_shown_and_the_axes_are_of_all() -> None:
    ds = line([0, 0.5, 1], [1, 50, 1], [1, 5, 1], [np.nan] * 3)
    plot = profile.figure(source(profile, ds), ds)
    marks = plot.select_one({"name": "marks"}).data
    assert (marks["x"], marks["foot"], marks["head"], marks["text"]) == ([0.5], [1.0], [5.0], ["barrier 4"])
    assert (plot.y_range.start < 1, plot.y_range.end > 50, plot.x_range.start < 0 < 1 < plot.x_range.end) == (True,) * 3
    logarithmic = profile.figure(source(profile, ds), ds, scale="log")
    assert isinstance(logarithmic.y_scale, LogScale)
    assert 0 < logarithmic.y_range.start < 1


def test_words_at_a_barrier_stay_inside_the_frame() -> None:
    ds = line([0, 0.01, 1], [1.0, 3.0, 1.0])
    marks = profile.marks(ds, profile.columns(ds), "linear")
    low, high = profile.span(ds, "linear", "x")
    assert marks["x"] == [0.01]
    assert profile.figure(source(profile, ds), ds).select_one(LabelSet).x == "left"
    assert marks["left"] == [pytest.approx(low + 0.5 * profile.LETTER * len("barrier 2") * (high - low))]


def test_an_infinite_middle_is_no_barrier_of_its_own() -> None:
    ds = lines()[3]
    drawn = profile.columns(ds)
    assert drawn["chord0"].tolist() == [3, 2, 1]
    found = profile.barrier(drawn["x0"], drawn["y0"], drawn["chord0"])
    assert found is not None
    assert found["value"] == 0


def test_two_paths_are_named_each_at_its_barrier() -> None:
    ds = group("linear_barrier", "path_before", "path_after")
    marks = profile.figure(source(profile, ds), ds).select_one({"name": "marks"}).data
    assert marks["text"] == ["after matching barrier 0.0375", "loss before matching barrier 0.71"]
    assert marks["color"] == [panels.curves.colour(1), panels.curves.colour(0)]
    assert marks["at"][0] < marks["at"][1]


def test_over_copies_the_steps_lie_to_the_right() -> None:
    ds = group("landscape_slice", "path_loss", "plane_loss", "snapshot_step")
    drawn = profile.columns(ds)
    assert profile.names(ds) == ["loss on the path", "loss in the plane below"]
    np.testing.assert_array_equal(drawn["x0"], ds["snapshot_step"][-1])
    np.testing.assert_array_equal(drawn["y1"], ds["plane_loss"][-1])
    assert not known(drawn["chord0"])
    assert profile.figure(source(profile, ds), ds).xaxis[0].axis_label == "step of the copy"
    alone = profile.columns(ds[["path_loss"]])
    assert alone["x0"].tolist() == list(range(ds.sizes["snapshot"]))
    marks = profile.marks(ds, drawn, "linear")
    low, high = profile.span(ds, "linear", "y")
    assert abs(marks["at"][1] - marks["at"][0]) >= 0.999 * profile.LINE * (high - low)


def test_a_matrix_has_its_first_row_on_top_and_its_first_column_at_the_left() -> None:
    ds = group("feature_similarity", "layer_cka")
    image = matrix.columns(ds)["image"][0]
    np.testing.assert_array_equal(image[::-1], ds["layer_cka"][-1])
    plot = matrix.figure(source(matrix, ds), ds)
    assert [plot.yaxis[0].major_label_overrides[4.5 - i] for i in range(5)] == LAYERS
    assert [plot.xaxis[0].major_label_overrides[0.5 + i] for i in range(5)] == LAYERS
    words = plot.select_one({"name": "values"}).data
    at = dict(zip(zip(words["x"], words["y"], strict=True), words["text"], strict=True))
    assert at[1.5, 4.5] == f"{float(ds['layer_cka'][-1, 0, 1]):.2g}"
    assert at[0.5, 3.5] == f"{float(ds['layer_cka'][-1, 1, 0]):.2g}"
    assert at[1.5, 4.5] != at[0.5, 3.5]


def test_a_matrix_leaves_out_labels_without_values_and_names_copies_by_their_steps() -> None:
    ds = group("barrier_matrix", "barriers", "snapshot_step")
    ds["barriers"][-1, 2] = ds["barriers"][-1, :, 2] = np.nan
    values, down, right = matrix.square(ds)
    assert down == right == ["0", "40", "120", "160", "200"]
    np.testing.assert_array_equal(values, np.delete(np.delete(ds["barriers"].values[-1], 2, 0), 2, 1))
    assert matrix.square(ds[["barriers"]])[1] == ["0", "1", "3", "4", "5"]
    plot = matrix.figure(source(matrix, ds), ds)
    assert plot.yaxis[0].axis_label == "step of the copy"
    assert plot.select_one({"name": "colours"}).palette[-1] == "#FFE945"  # cividis


def test_large_matrices_have_no_words_in_their_cells() -> None:
    assert matrix.written(np.ones((10, 10)), (0, 1))["text"] == []
    assert len(matrix.written(np.ones((9, 9)), (0, 1))["text"]) == 81


def test_a_trajectory_goes_from_the_first_copy_to_the_newest() -> None:
    ds = group("trajectory_pca", "coordinates", "snapshot_step")
    ds["coordinates"][-1, 4] = np.nan
    drawn = trajectory.columns(ds)
    expected = np.delete(ds["coordinates"].values[-1], 4, axis=0)
    np.testing.assert_array_equal(np.stack([drawn["x"], drawn["y"]], axis=1), expected)
    assert (drawn["order"][0], drawn["order"][-1]) == (0, 1)
    plot = trajectory.figure(source(trajectory, ds), ds)
    assert plot.select_one({"name": "first"}).data["x"] == [expected[0, 0]]
    assert plot.select_one({"name": "newest"}).data["y"] == [expected[-1, 1]]
    assert (plot.xaxis[0].axis_label, plot.yaxis[0].axis_label) == ("component 1, param", "component 2, param")
    assert trajectory.path(ds)[1].tolist() == np.delete(ds["snapshot_step"].values[-1], 4).tolist()


def test_a_surface_is_as_high_as_its_values_and_painted_from_the_back() -> None:
    x = np.array([-1.0, 0.0, 1.0])
    shown = Plane(x, x, np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 2]]))
    front = relief.View(azimuth=0, elevation=0)
    drawn = relief.quads(shown, (0, 2), "linear", front)
    assert drawn["value"].tolist() == [0, 0.5, 0, 0]  # the far row first, the right one second
    assert np.max(drawn["ys"]) == relief.TALLNESS / 2
    assert np.min(drawn["ys"]) == -relief.TALLNESS / 2
    highest = np.argmax(drawn["ys"][1])
    assert drawn["xs"][1][highest] == 1
    above = relief.quads(shown, (0, 2), "linear", relief.View(azimuth=0, elevation=90))
    np.testing.assert_allclose(sorted({round(float(y), 9) for quad in above["ys"] for y in quad}), x, atol=1e-9)


def test_a_quarter_turn_brings_the_right_side_to_the_back() -> None:
    right, _, back = relief.View(azimuth=90, elevation=0).seen(1.0, 0.0, 0.0)
    assert (right, back) == (pytest.approx(0), pytest.approx(1))


def test_what_is_not_finite_leaves_a_hole_in_the_surface() -> None:
    alpha, beta, values = rows()["holes"]
    shown = plane(sliced(alpha, beta, values)["loss_slice"][0])
    ends = float(values[np.isfinite(values)].min()), float(values[np.isfinite(values)].max())
    drawn = relief.quads(shown, ends, "linear", relief.View())
    bad = ~np.isfinite(shown.values)
    touched = bad[:-1, :-1] | bad[1:, :-1] | bad[:-1, 1:] | bad[1:, 1:]
    assert len(drawn["value"]) == (~touched).sum() < touched.size
    assert np.isfinite(drawn["value"]).all()


def test_the_path_and_the_centre_lie_on_the_surface() -> None:
    made = Record()
    add_slices(made, points=13)
    ds = made.groups["landscape_slice"].dataset()[["loss_slice", "path"]]
    path, centre = surface.lying(ds, "log", relief.View(azimuth=0, elevation=90))  # from above
    np.testing.assert_allclose(path, ds["path"].values[-1], atol=1e-9)
    np.testing.assert_allclose(centre, [[0, 0]], atol=1e-9)
    _, side = surface.lying(ds, "linear", relief.View(azimuth=0, elevation=0))
    low, high = float(ds["loss_slice"].min()), float(ds["loss_slice"].max())
    height = float(ds["loss_slice"].sel(alpha=0, beta=0)[-1])
    assert side[0, 1] == pytest.approx(relief.TALLNESS * ((height - low) / (high - low) - 0.5))


def test_heights_between_samples_are_linear_along_both_axes() -> None:
    x = np.array([0.0, 1.0, 3.0])
    shown = Plane(x, x, 2 + x[None] + 10 * x[:, None])
    points = np.array([[0.5, 0.25], [2.0, 3.0], [3.0, 0.0], [3.1, 0.0]])
    np.testing.assert_allclose(relief.on_surface(shown, points, "linear"), [5, 34, 5, np.nan])


def test_many_points_are_thinned_with_both_ends() -> None:
    x = np.linspace(-1, 1, 49)
    thin = relief.thinned(Plane(x, x, x[None] + 0 * x[:, None]))
    assert thin.values.shape == (25, 25)
    assert (thin.x[0], thin.x[12], thin.x[-1]) == (-1, 0, 1)
    np.testing.assert_array_equal(thin.values[0], thin.x)


@pytest.mark.parametrize(("name", "module"), [("profile", profile), ("matrix", matrix), ("trajectory", trajectory)])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_they_can_be_built_without_rows(name: str, module: Any, scale: str) -> None:
    dims = {"profile": ("alpha",), "matrix": ("snapshot", "other"), "trajectory": ("snapshot", "pc")}[name]
    columns = Columns("empty", {"v": Var(dims, "1", "v")})
    columns.append([0], {"v": np.full((1, *[2] * len(dims)), np.nan)}, {dim: [0, 1] for dim in dims})
    for ds in (columns.dataset().isel(step=slice(0, 0)), columns.dataset()):
        assert module.figure(source(module, ds), ds, scale=scale).select_one({"name": "x_range"})


def test_made_up_runs_hold_no_two_equal_quadrants() -> None:
    made = Record()
    add_slices(made)
    add_barriers(made)
    add_features(made)
    values = made.groups["landscape_slice"].dataset()["loss_slice"].values[-1]
    for other in (values.T, values[::-1], values[:, ::-1], np.roll(values, 1, 0), np.roll(values, 1, 1)):
        assert np.abs(values - other).max() > 0.1
