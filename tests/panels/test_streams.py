"""Streams of tasks: episodes and gaps by hand, and the panels that draw them."""

import json
from typing import Any

import numpy as np
import pytest
import xarray
from bokeh.models import ColumnDataSource, LabelSet

from nbtoolkit import panels
from nbtoolkit.panels import curves, gap, heatmap, matrix, profile, scree
from nbtoolkit.panels.episodes import deepest, episodes, gaps
from nbtoolkit.panels.look import PALETTE
from nbtoolkit.store.columns import Columns
from nbtoolkit.store.schema import Var
from nbtoolkit.widget.figures import part
from tests.panels.golden_streams import FILE, golden
from tests.panels.streams import GAP, LAYERS, LENGTH, MATRIX, TASKS, accuracy_at, record
from tests.panels.test_landscape import assert_close

STEPS = np.array([1.0, 2, 5, 6, 7, 8, 10, 11])
NOW = np.array([0, 0, 0, 1, 1, 1, 1, 0])
TRAINING = (NOW[:, None] == [0, 1]).astype(float)
# Level 0.8 at step 6, where the second task begins; below it from there to between 8 and 10, lowest at 7.
FALL = np.array([0.2, 0.5, 0.9, 0.8, 0.4, 0.6, 1.0, 0.7])


def drawn(group: str, *variables: str, end: int = 900) -> xarray.Dataset:
    """What a panel of the made-up run is given."""
    return part(record(end).groups[group], variables).copy(deep=True)


def source(module: Any, ds: xarray.Dataset) -> ColumnDataSource:
    return ColumnDataSource({key: list(values) for key, values in module.columns(ds).items()}, name="data")


def figure(module: Any, ds: xarray.Dataset, **settings: Any) -> Any:
    return module.figure(source(module, ds), ds, **settings)


@pytest.mark.parametrize(
    ("dims", "module"),
    [
        (("task_trained", "task_evaluated"), matrix), (("task_evaluated", "task_other"), matrix),
        (("layer", "task_evaluated"), matrix), (("term", "term_other"), matrix), (("layer", "index"), scree),
        (("probe_step",), profile), (("quantile",), curves), (("task_evaluated",), curves),
        (("task_trained",), heatmap),
    ],
)  # fmt: skip
def test_the_panel_follows_from_the_dims(dims: tuple[str, ...], module: Any) -> None:
    assert panels.pictures(dims) == (module,)


def test_what_knows_of_tasks_has_a_panel_of_gaps_without_its_companions() -> None:
    assert panels.pictures_of(GAP["accuracy"]) == (gap,)
    assert panels.pictures_of(MATRIX["initial_accuracy"]) == (curves,)
    assert panels.split(GAP) == [("accuracy",)]
    assert panels.split(MATRIX) == [("accuracy",), ("initial_accuracy",)]
    both = GAP | {"loss": Var(("task_evaluated",), "loss", "loss", training="training"),
                  "error": Var(("task_evaluated",), "1", "error rate", training="training")}  # fmt: skip
    assert panels.split(both) == [("accuracy",), ("loss",), ("error",)]


def test_an_episode_goes_from_its_first_row_to_the_first_of_what_follows() -> None:
    found = episodes(STEPS, TRAINING)
    assert [(one.task, one.begin, one.first, one.last) for one in found] == [(0, 1, 0, 3), (1, 6, 3, 7), (0, 11, 7, 7)]
    ended = episodes(STEPS, np.vstack([TRAINING[:7], [0, 0]]))
    assert [(one.task, one.last) for one in ended] == [(0, 3), (1, 7)]


def test_what_is_not_known_is_no_episode() -> None:
    unknown = TRAINING.copy()
    unknown[1] = np.nan
    unknown[4] = 0
    assert [(one.first, one.last) for one in episodes(STEPS, unknown)] == [(0, 1), (2, 3), (3, 4), (5, 7), (7, 7)]
    assert episodes(STEPS, np.full_like(TRAINING, np.nan)) == []
    assert episodes(np.empty(0), np.empty((0, 2))) == []


def test_a_gap_lies_between_the_places_where_the_curve_leaves_the_level_and_comes_back() -> None:
    (only,) = gaps(STEPS, np.stack([FALL, 1 - FALL], axis=1), episodes(STEPS, TRAINING)[:2])
    assert (only.task, only.episode, only.level, only.lowest, only.back, only.at) == (0, 1, 0.8, 0.4, 0.8, 7)
    assert only.depth == 0.4
    # From 0.6 to 1 within steps 8 to 10 it crosses 0.8 half-way.
    np.testing.assert_allclose(only.x, [6, 7, 8, 9], rtol=1e-15)
    np.testing.assert_allclose(only.y, [0.8, 0.4, 0.6, 0.8])


def test_what_comes_back_in_part_is_a_gap_only_of_that_part_and_holes_are_bridged() -> None:
    values = np.stack([FALL, FALL], axis=1)
    values[[2, 3, 5, 6, 7], 0] = [0.6, np.nan, np.nan, 0.45, np.nan]
    values[4:, 1] = [0.8, 0.9, 0.65, 0.75]
    visits = np.vstack([TRAINING[:5], [[1, 0]] * 3])  # the first task again, from step 8 on
    (first,) = gaps(STEPS, values, episodes(STEPS, TRAINING)[:2])
    again = gaps(STEPS, values, episodes(STEPS, visits))[-1]
    assert (first.level, first.lowest, first.back) == (0.6, 0.4, 0.45)  # the level is that of the last row known
    np.testing.assert_allclose(first.x, [6.5, 7, 10])  # three quarters down from step 5 to 7
    np.testing.assert_allclose(first.y, [0.45, 0.4, 0.45])
    assert (again.task, again.episode, again.level, again.lowest, again.back, again.at) == (1, 2, 0.9, 0.65, 0.75, 10)
    np.testing.assert_allclose(again.x, [9.2, 10, 11])
    assert deepest([first, again]) is again
    assert deepest([]) is None


def test_what_does_not_come_back_is_no_gap() -> None:
    forgotten = np.stack([[0.5, 0.9, 0.9, 0.9, 0.5, 0.2, 0.1, 0.12], FALL], axis=1)
    assert gaps(STEPS, forgotten, episodes(STEPS, TRAINING)[:2]) == []  # 0.8 lost, 0.02 back
    forgotten[7, 0] = 0.13
    (barely,) = gaps(STEPS, forgotten, episodes(STEPS, TRAINING)[:2])
    assert (barely.back, barely.depth) == (0.13, pytest.approx(0.03))
    deep = gaps(
        STEPS, np.stack([[0.5, 0.9, 0.9, 0.9, 0.5, 0.8, 0.8, 0.8], FALL], axis=1), episodes(STEPS, TRAINING)[:2]
    )
    assert deepest([barely, *deep]) is deep[0]  # although the other fell further


def test_a_gap_of_one_row_is_a_triangle() -> None:
    values = np.stack([[0.5, 0.5, 0.5, 0.5, 0.1, 0.9, 0.2, 0.2]] * 2, axis=1)
    (gap_found,) = gaps(STEPS, values, episodes(STEPS, TRAINING)[:2])
    np.testing.assert_allclose(gap_found.x, [6, 7, 7.5])
    np.testing.assert_allclose(gap_found.y, [0.5, 0.1, 0.5])


def test_what_never_falls_has_no_gap() -> None:
    rising = np.stack([np.linspace(0, 1, 8), np.full(8, 0.5)], axis=1)
    assert gaps(STEPS, rising, episodes(STEPS, TRAINING)) == []
    unknown = np.full((8, 2), np.nan)
    assert gaps(STEPS, unknown, episodes(STEPS, TRAINING)) == []


def test_the_golden_streams_are_what_python_finds() -> None:
    assert_close(golden(), json.loads(FILE.read_text()), "write it anew: python -m tests.panels.golden_streams")


def test_the_gap_panel_draws_every_curve_and_the_parts_in_which_it_was_trained() -> None:
    ds = drawn("stability_gap", "accuracy")
    lines = gap.columns(ds)
    assert gap.names(ds) == TASKS
    assert lines["color"] == [*PALETTE[:3], *PALETTE[:3]]
    assert lines["width"][0] < lines["width"][3]
    for task in range(3):
        np.testing.assert_array_equal(lines["ys"][task], ds["accuracy"][:, task])
        own = ds["accuracy"][:, task].sel(step=slice(LENGTH * task, LENGTH * (task + 1)))
        np.testing.assert_array_equal(lines["ys"][3 + task], own)
        np.testing.assert_array_equal(lines["xs"][3 + task], own.step)


def test_the_gaps_are_shaded_and_the_tasks_named_where_they_begin() -> None:
    ds = drawn("stability_gap", "accuracy")
    plot = figure(gap, ds)
    begun = plot.select_one({"name": "boundaries"}).data
    assert (begun["x"], begun["text"], begun["color"]) == ([0, 300, 600], TASKS, list(PALETTE[:3]))
    shaded = plot.select_one({"name": "gaps"}).data
    assert shaded["color"] == [PALETTE[0], PALETTE[0], PALETTE[1]]
    within = ds["accuracy"].sel(step=slice(LENGTH + 1, 2 * LENGTH))[:, 0]
    back = float(within[int(within.argmin("step")) :].max())
    assert back < float(ds["accuracy"].sel(step=LENGTH)[0])  # a part is lost for good
    assert (shaded["back"][0], float(np.max(shaded["ys"][0]))) == (back, back)
    assert LENGTH < shaded["xs"][0][0] < shaded["xs"][0][-1] < 2 * LENGTH
    (x,), (y,) = (plot.select_one({"name": "worst"}).data[key] for key in "xy")
    lowest = ds["accuracy"][:, 0].where(ds.step > LENGTH)
    assert (x, y) == (float(ds.step[lowest.argmin("step")]), float(lowest.min()))
    assert (plot.y_range.start, plot.y_range.end) == gap.ENDS
    ends = plot.select_one({"name": "ends"}).data
    assert ends["text"] == ["rot0", "rot90", "rot180"]
    assert np.diff(ends["y"]).min() >= 0.999 * gap.LINE
    assert plot.select_one({"name": "end_labels"}).text_align == "left"


def test_few_samples_are_marked() -> None:
    ds = drawn("stability_gap", "accuracy")
    assert gap.dots(ds)["x"].size == 0
    few = ds.isel(step=slice(0, 300, 10))
    few["accuracy"][3, 1] = np.nan
    found = gap.dots(few)
    kept = few["accuracy"].values[np.isfinite(few["accuracy"].values)]
    np.testing.assert_array_equal(found["y"], kept)
    assert found["x"].size == len(found["color"]) == 3 * few.sizes["step"] - 1
    assert found["color"][:3] == list(PALETTE[:3])


def test_without_known_tasks_there_are_plain_curves() -> None:
    ds = drawn("stability_gap", "accuracy")
    ds["training"][:] = np.nan
    plot = figure(gap, ds)
    assert [plot.select_one({"name": name}).data["x" if name != "gaps" else "xs"] for name in
            ("boundaries", "gaps", "worst")] == [[], [], []]  # fmt: skip
    assert len(gap.columns(ds)["xs"]) == 3


def test_many_tasks_are_not_named_at_their_ends_and_only_the_deepest_gap_is_shaded() -> None:
    count = len(PALETTE) + 1
    labels = {"task_evaluated": [f"task {i}" for i in range(count)]}
    steps = np.arange(10 * count)
    training = (steps // 10)[:, None] == np.arange(count)
    values = np.random.default_rng(0).uniform(size=training.shape)
    columns = Columns("gap", GAP)
    columns.append(steps, {"accuracy": values, "training": training.astype(float)}, labels)
    ds = part(columns, ("accuracy",))
    assert gap.end_names(ds)["text"] == []
    _, found = gap.gaps_of(ds)
    most = max(found, key=lambda one: one.depth)
    assert gap.shaded(ds)["back"] == [most.back]
    assert len(found) > count


def test_a_matrix_of_tasks_has_room_for_those_to_come_and_always_the_same_colours() -> None:
    ds = drawn("accuracy_matrix", "accuracy", end=700).isel(task_trained=slice(0, 2))
    values, down, right = matrix.square(ds)
    assert (down, right) == ([*TASKS[:2], ""], TASKS)
    assert np.isnan(values[2]).all()
    assert values[1, 0] == accuracy_at(0, 600)
    plot = figure(matrix, ds)
    mapper = plot.select_one({"name": "colours"})
    assert (mapper.low, mapper.high) == (0, 1)
    assert plot.y_range.end == 3
    words = plot.select_one({"name": "values"}).data
    assert [words["text"][i] for i in (0, 3)] == [f"{accuracy_at(0, 300):.2f}", f"{accuracy_at(0, 600):.2f}"]
    assert words["y"] == [2.5] * 3 + [1.5] * 3
    assert (plot.xaxis[0].axis_label, plot.yaxis[0].axis_label) == ("evaluated on", "after training")


def test_cosines_have_diverging_colours_around_zero() -> None:
    ds = drawn("gradient_conflict", "cosine")
    plot = figure(matrix, ds)
    mapper = plot.select_one({"name": "colours"})
    assert (mapper.low, mapper.high) == (-1, 1)
    red, green, blue = (int(mapper.palette[128][i : i + 2], 16) for i in (1, 3, 5))
    assert min(red, green, blue) > 240  # white at zero
    words = plot.select_one({"name": "values"}).data
    cells = dict(zip(words["text"], words["color"], strict=True))
    assert cells["1.00"] == "#FFFFFF"
    assert cells["\N{MINUS SIGN}0.37"] == "#222222"
    assert figure(matrix, drawn("term_conflict", "cosine")).select_one({"name": "colours"}).low == -1
    other = ds.assign(cosine=ds["cosine"].assign_attrs(units="loss"))
    assert matrix.ends_of(other["cosine"]) is None
    assert matrix.palette(other["cosine"]) == "Cividis256"


def test_singular_values_of_every_layer_are_a_curve_of_the_last_step() -> None:
    ds = drawn("layer_spectrum", "singular_values")
    lines = scree.columns(ds)
    assert scree.labels(ds) == LAYERS
    assert [len(x) for x in lines["xs"]] == [32, 32, 32, 10]
    np.testing.assert_array_equal(lines["ys"][1], ds["singular_values"][-1, 1])
    np.testing.assert_array_equal(lines["ys"][3], ds["singular_values"][-1, 3, :10])
    plot = figure(scree, ds)
    values = ds["singular_values"].values
    assert 0 < plot.y_range.start < np.nanmin(values) < np.nanmax(values) < plot.y_range.end
    told = plot.select_one({"name": "ends"}).data
    assert told["text"] == ["4", "2", "0", "6"]
    assert told["x"] == [31, 31, 31, 9]
    assert plot.select_one(LabelSet).text_align == "right"
    assert scree.columns(ds.isel(step=slice(0, 0)))["xs"][0].size == 0


def test_many_layers_go_from_dark_to_bright() -> None:
    assert [scree.ink(i, 8) for i in range(8)] == list(PALETTE)
    inks = [scree.ink(i, 40) for i in range(40)]
    light = [sum(int(ink[i : i + 2], 16) for i in (1, 3, 5)) for ink in inks]
    assert len(set(inks)) == 40
    assert light[0] < light[20] < light[-1]


def test_a_training_on_the_side_lies_over_its_own_steps() -> None:
    ds = drawn("trainability_probe", "probe_loss", "fresh_loss")
    lines = profile.columns(ds)
    np.testing.assert_array_equal(lines["x0"], ds["probe_step"])
    np.testing.assert_array_equal(lines["y1"], ds["fresh_loss"][-1])
    assert not np.isfinite(lines["chord0"]).any()
    assert figure(profile, ds).xaxis[0].axis_label == "step of the probe"


def test_quantiles_are_curves_named_by_them() -> None:
    ds = drawn("logit_stats", "margin")
    assert curves.names(ds) == ["quantile 0.01", "quantile 0.1", "quantile 0.5", "quantile 0.9", "quantile 0.99"]


def test_what_is_told_of_several_tasks_is_not_smoothed() -> None:
    steps = np.arange(2 * curves.PLENTY)
    jump = np.where(steps < curves.PLENTY, 1.0, 0.0)
    for dim, smoothed in (("task_evaluated", False), ("term", True)):
        ds = xarray.Dataset({"v": (("step", dim), np.stack([jump, jump], axis=1))}, {"step": steps, dim: ["a", "b"]})
        assert curves.is_smoothed(ds, "v") is smoothed
        assert np.array_equal(*(curves.columns(ds)[key] for key in ("smooth0", "y0"))) is not smoothed


def test_long_names_end_in_an_ellipsis() -> None:
    assert curves.cut("loss while learning", 19) == "loss while learning"
    assert curves.cut("loss while learning", 12) == "loss while…"
