"""The plane shows every sample in a cell around its own point, and nothing else."""

import json

import numpy as np
import pytest
import xarray
from bokeh.models import ColumnDataSource, FixedTicker, LinearColorMapper, LogColorMapper

from nbtoolkit import panels
from nbtoolkit.panels import colours, landscape
from nbtoolkit.panels.isolines import isolines, levels
from nbtoolkit.panels.plane import Plane, complete, frame, plane
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from tests.panels.golden import FILE, golden, rows, shuffled
from tests.panels.landscapes import COPIES, add_slices, grid, loss_at
from tests.panels.slices import LOSS, sliced


def at(drawn: dict, a: float, b: float) -> float:
    """The image's value at a place of the plane."""
    image = drawn["image"][0]
    row = int((b - drawn["y"][0]) / drawn["dh"][0] * image.shape[0])
    column = int((a - drawn["x"][0]) / drawn["dw"][0] * image.shape[1])
    return float(image[row, column])


def test_every_cell_is_centred_at_its_point_whatever_the_order_of_the_labels() -> None:
    alpha, beta, values = shuffled()
    drawn = landscape.columns(sliced(alpha, beta, values))
    half = 1 / 6, 1 / 4  # of the distance between neighbours
    for i, a in enumerate(alpha):
        for j, b in enumerate(beta):
            for right, up in ((0, 0), (0.99, 0.99), (-0.99, 0.99), (0.99, -0.99), (-0.99, -0.99)):
                assert at(drawn, a + right * half[0], b + up * half[1]) == values[i, j]
    assert (drawn["x"][0], drawn["dw"][0]) == pytest.approx((-1 - half[0], 2 + 2 * half[0]))
    assert (drawn["y"][0], drawn["dh"][0]) == pytest.approx((-1 - half[1], 2 + 2 * half[1]))


def test_alpha_lies_to_the_right_whichever_dim_comes_first() -> None:
    alpha, beta, values = shuffled()
    turned = Var(("beta", "alpha"), "loss", "loss")
    expected = landscape.columns(sliced(alpha, beta, values))["image"]
    np.testing.assert_array_equal(landscape.columns(sliced(alpha, beta, values.T, var=turned))["image"], expected)


def test_labels_of_other_settings_are_left_out() -> None:
    labels, values = grid(5)
    wider = sorted({*labels, *np.linspace(-2, 2, 7).tolist()})
    spread = np.full((len(wider), len(wider)), np.nan)
    inside = [wider.index(label) for label in labels]
    spread[np.ix_(inside, inside)] = values
    shown = landscape.drawn(sliced(wider, wider, spread))
    np.testing.assert_array_equal(shown.x, labels)
    np.testing.assert_array_equal(shown.values, values.T)


def test_a_coarser_stage_has_larger_cells_in_the_same_frame() -> None:
    labels = np.linspace(-1, 1, 13)
    fine = loss_at(labels[:, None], labels[None])
    coarse = np.full_like(fine, np.nan)
    coarse[::2, ::2] = fine[::2, ::2]
    drawn, whole = (landscape.columns(sliced(labels.tolist(), labels.tolist(), values)) for values in (coarse, fine))
    for key in ("x", "y", "dw", "dh"):
        assert drawn[key] == whole[key]
    assert not np.isnan(drawn["image"]).any()
    for i in range(0, 13, 2):
        for shift in (-0.99, 0.99):
            beside = np.clip(labels[i] + shift / 12 * 2 / 2, -1.08, 1.08)
            assert at(drawn, beside, 0.0) == fine[i, 6]


def test_a_finer_grid_under_way_shows_the_coarser_one_around_it_and_no_more() -> None:
    labels, _, half = rows()["half"]
    alpha = np.array(labels)
    fine = loss_at(alpha[:, None], alpha[None])
    drawn = landscape.columns(sliced(labels, labels, half))
    assert at(drawn, alpha[3], alpha[5]) == fine[3, 5]
    # Between known points of the coarser grid: the nearest of them.
    for right, up in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        assert at(drawn, alpha[11] + 0.01 * right, alpha[11] + 0.01 * up) == fine[11 + right, 11 + up]
        assert at(drawn, alpha[3] + 0.01 * right, alpha[7] + 0.01 * up) == fine[3 + right, 7 + up]
    # A point of that grid that is not known, and whatever is beside it: nothing.
    for i, j in ((8, 8), (7, 7), (7, 9), (8, 9)):
        assert np.isnan(at(drawn, alpha[i] + 0.01, alpha[j] + 0.01))


def test_a_point_that_is_nan_in_a_complete_grid_stays_blank() -> None:
    labels, values = grid(13)
    values[5, 3] = np.nan
    drawn = landscape.columns(sliced(labels, labels, values))
    assert np.isnan(at(drawn, labels[5], labels[3]))
    assert np.isnan(drawn["image"]).sum() == 4  # pixels of its cell


def test_what_is_not_finite_is_hatched_at_its_own_cell_and_has_no_colour() -> None:
    labels, values = grid(5)
    values[1, 3] = np.inf
    ds = sliced(labels, labels, values)
    drawn = landscape.columns(ds)
    assert np.isnan(at(drawn, labels[1], labels[3]))
    plot = landscape.figure(ColumnDataSource({key: list(value) for key, value in drawn.items()}, name="data"), ds)
    cell = {key: list(value) for key, value in plot.select_one({"name": "infinite"}).data.items()}
    assert cell == {"left": [-0.75], "right": [-0.25], "bottom": [0.25], "top": [0.75]}
    assert plot.select_one({"name": "colours"}).high == np.max(values[np.isfinite(values)])


def test_the_scale_is_logarithmic_where_all_is_positive() -> None:
    labels, values = grid(5)
    for shift, kind in ((0, LogColorMapper), (-0.2, LinearColorMapper)):
        ds = sliced(labels, labels, values + shift)
        source = ColumnDataSource({key: list(value) for key, value in landscape.columns(ds).items()})
        assert type(landscape.figure(source, ds).select_one({"name": "colours"})) is kind
    assert np.isnan(landscape.columns(ds, scale="log")["image"]).any()
    assert not np.isnan(landscape.columns(ds, scale="linear")["image"]).any()


def test_the_slice_of_the_last_measured_step_is_drawn_in_the_colours_of_all() -> None:
    labels, values = grid(5)
    ds = sliced(labels, labels, 10 * values, values, np.full_like(values, np.nan))
    np.testing.assert_array_equal(landscape.drawn(ds).values, values.T)
    source = ColumnDataSource({key: list(value) for key, value in landscape.columns(ds).items()})
    mapper = landscape.figure(source, ds).select_one({"name": "colours"})
    assert (mapper.low, mapper.high) == (values.min(), 10 * values.max())


def test_isolines_of_a_tilted_plane_are_straight_and_where_they_belong() -> None:
    x = np.linspace(-1, 1, 9)
    tilted = Plane(x, x, x[None] + 2 * x[:, None])
    drawn = isolines(tilted, (-3, 3), "linear")
    assert drawn["level"] == [-2, -1, 0, 1, 2]
    for xs, ys, level in zip(drawn["xs"], drawn["ys"], drawn["level"], strict=True):
        known = np.isfinite(xs)
        np.testing.assert_allclose((xs + 2 * ys)[known], level, atol=1e-12)
    positive = Plane(x, x, np.exp(3 * tilted.values))
    for xs, ys, level in zip(*list(isolines(positive, (1e-4, 1e4), "log").values())[:3], strict=True):
        known = np.isfinite(xs)
        np.testing.assert_allclose((xs + 2 * ys)[known], np.log(level) / 3, atol=1e-12)
    assert drawn["color"][0] != drawn["color"][-1]


def test_a_saddle_is_crossed_on_the_side_of_its_mean() -> None:
    ends = np.array([0.0, 1.0])
    drawn = isolines(Plane(ends, ends, np.array([[2.0, 0.0], [0.0, 2.0]])), (0, 2), "linear")
    assert (drawn["level"][0], drawn["level"][-1]) == (0.2, 1.8)
    for k, expected in ((0, [[0, 0.9, 0.1, 1], [0.9, 0, 1, 0.1]]), (-1, [[0, 0.1, 0.1, 0], [0.9, 1, 1, 0.9]])):
        points = np.stack([drawn["xs"][k], drawn["ys"][k]], axis=1)
        pieces = [sorted(piece.tolist()) for piece in (points[:2], points[-2:])]
        np.testing.assert_allclose(sorted(np.ravel(piece).tolist() for piece in pieces), expected, atol=1e-12)


def test_isolines_stay_out_of_squares_with_an_unknown_corner() -> None:
    x = np.linspace(-1, 1, 9)
    values = x[None] + 2 * x[:, None]
    values[4, 4] = np.inf
    drawn = isolines(Plane(x, x, values), (-3, 3), "linear")
    xs, ys = np.concatenate(drawn["xs"]), np.concatenate(drawn["ys"])
    assert not ((np.abs(xs) < 0.25) & (np.abs(ys) < 0.25)).any()
    assert len(xs) > 20


@pytest.mark.parametrize(
    ("ends", "scale", "expected"),
    [
        ((0.08, 4.2), "log", [0.1, 0.2, 0.5, 1, 2]),
        ((0.9, 4.2), "log", [1, 1.5, 2, 2.5, 3, 3.5, 4]),
        ((1e-3, 1e12), "log", [1e-2, 1, 1e2, 1e4, 1e6, 1e8, 1e10]),
        ((-0.3, 0.77), "linear", [-0.2, 0, 0.2, 0.4, 0.6]),
        ((2, 2), "linear", []),
    ],
)
def test_levels_are_round_and_not_too_many(ends: tuple[float, float], scale: str, expected: list[float]) -> None:
    assert levels(*ends, scale) == expected


def test_the_path_the_centre_and_the_levels_are_drawn() -> None:
    record = Record()
    add_slices(record, points=7)
    ds = record.groups["landscape_slice"].dataset()[["loss_slice", "path"]].copy(deep=True)
    ds["path"][-1, 3:5] = np.nan
    plot = landscape.figure(ColumnDataSource({k: list(v) for k, v in landscape.columns(ds).items()}, name="data"), ds)
    path = plot.select_one({"name": "path"}).data
    kept = [0, 1, 2, 5, 6, 7]
    assert len(ds["snapshot"]) == COPIES
    np.testing.assert_array_equal(path["x"], ds["path"].values[-1, kept, 0])
    np.testing.assert_array_equal(path["y"], ds["path"].values[-1, kept, 1])
    assert plot.select_one({"name": "newest"}).data["x"] == path["x"][-1:]
    value = float(ds["loss_slice"].sel(alpha=0, beta=0)[-1])
    assert plot.select_one({"name": "centre"}).data == {"x": [0.0], "y": [0.0], "text": [f"{value:.4g}"]}
    ticker = plot.select_one({"name": "bar"}).ticker
    assert isinstance(ticker, FixedTicker)
    assert set(ticker.ticks) <= set(plot.select_one({"name": "isolines"}).data["level"]) | set(
        levels(float(ds["loss_slice"].min()), float(ds["loss_slice"].max()), "log")
    )


def test_the_centre_is_found_where_labels_are_rounded() -> None:
    labels, values = grid(5)
    rounded = [*labels[:2], -2.9e-8, *labels[3:]]
    assert landscape.centre(landscape.drawn(sliced(rounded, rounded, values))) == values[2, 2]
    shifted = [label + 0.01 for label in labels]
    assert landscape.centre(landscape.drawn(sliced(shifted, shifted, values))) is None


def test_the_frame_knows_of_finer_grids_to_come() -> None:
    labels = np.linspace(-1, 1, 25)
    assert frame(labels[::4], labels) == pytest.approx((-1 - 1 / 24, 1 + 1 / 24))
    assert frame(np.array([0.0]), np.array([0.0, 1.0])) == (-0.5, 0.5)


def test_isolines_and_surfaces_take_the_finest_grid_that_is_nearly_complete() -> None:
    assert complete(plane(sliced(*rows()["half"])["loss_slice"][0])).values.shape == (7, 7)
    assert complete(plane(sliced(*rows()["shuffled"])["loss_slice"][0])).values.shape == (5, 7)
    labels, _, coarse = rows()["coarse"]
    finer_upwards = coarse.copy()
    finer_upwards[::2] = loss_at(np.array(labels)[::2, None], np.array(labels)[None])
    assert complete(plane(sliced(labels, labels, finer_upwards)["loss_slice"][0])).values.shape == (13, 7)


def test_planes_have_two_panels_and_one_variable_each() -> None:
    assert panels.pictures(("alpha", "beta")) == (landscape, panels.surface)
    error, path = Var(("alpha", "beta"), "1", "error"), Var(("snapshot", "pc"), "1", "path")
    declared = {"loss": Var(LOSS.dims, "loss", "loss", path="path"), "error": error, "path": path}
    assert panels.split(declared) == [("loss",), ("error",)]


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("module", [landscape, panels.surface])
def test_planes_can_be_built_without_rows(module: object, scale: str) -> None:
    for ds in (
        sliced([0], [0], np.ones((1, 1))).isel(step=slice(0, 0)),
        sliced([0, 1], [0, 1], np.full((2, 2), np.nan)),
    ):
        assert isinstance(ds, xarray.Dataset)
        drawn = {key: list(value) for key, value in module.columns(ds).items()}  # type: ignore[attr-defined]
        plot = module.figure(ColumnDataSource(drawn, name="data"), ds, scale=scale)  # type: ignore[attr-defined]
        assert plot.select_one({"name": "x_range"})


def test_the_golden_planes_are_what_python_draws() -> None:
    expected = json.loads(FILE.read_text())
    assert_close(golden(), expected, "write it anew: python -m tests.panels.golden")


def assert_close(found: object, expected: object, where: str) -> None:
    """Equal but for rounding."""
    if isinstance(expected, dict) and isinstance(found, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_close(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list) and isinstance(found, list):
        assert len(found) == len(expected), where
        for k, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_close(one, other, f"{where}/{k}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), where
    else:
        assert found == expected, where


def test_levels_beside_a_bar_are_written_shortly() -> None:
    told = [colours.written(level) for level in (0, 0.002, 2.5, 50_000, 1e14, 2.5e5, -1e-7)]
    minus = "\N{MINUS SIGN}"
    assert told == ["0", "0.002", "2.5", "50000", "1e14", "2.5e5", f"{minus}1e{minus}7"]
