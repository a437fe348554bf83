"""Runs side by side: each label at its own steps, means with their interval as a dense computation gives them."""

import numpy as np
import pytest
from scipy import stats

from nbtoolkit.analysis.overlay import MOST, Overlaid, Overlay, block
from nbtoolkit.analysis.seeds import mean_with_interval, on_steps
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var

LOSS = {"loss": Var((), "loss", "training loss")}
NORMS = {"total": Var((), "1", "norm"), "norm": Var(("param",), "1", "norm by parameter", "log")}


def record(steps, values, **groups) -> Record:
    """A run with a loss at these steps."""
    made = Record()
    made.group("loss", LOSS, {"definition": "what is minimised"}).append(steps, {"loss": np.asarray(values, float)})
    for name, variables in groups.items():
        made.group(name, variables)
    return made


def part(overlay: Overlay, group: str, place: int):
    return overlay.blocks[block(group, place)].rows()


def test_labels_keep_their_own_steps_and_together_have_all():
    overlay = Overlay({"a": [record([0, 10, 20], [3, 2, 1])], "b": [record([5, 10], [6, 5])]})
    ds = overlay.tree()["loss"].to_dataset()
    assert ds["loss"].dims == ("step", "run")
    assert ds["run"].values.tolist() == ["a", "b"]
    assert ds["step"].values.tolist() == [0, 5, 10, 20]
    nan = np.nan
    assert np.array_equal(ds["loss"].values, [[3, nan], [nan, 6], [2, 5], [1, nan]], equal_nan=True)
    assert ds["loss"].attrs["units"] == "loss"
    assert ds.attrs["definition"] == "what is minimised"
    steps, values = part(overlay, "loss", 1)
    assert (steps.tolist(), values["loss"].tolist()) == ([5, 10], [6, 5])


def test_rows_that_come_later_are_there_without_being_copied():
    one, two = record([0], [1]), record([0], [2])
    overlay = Overlay({"a": [one], "b": [two]})
    generation = overlay.generation
    two.groups["loss"].append([1, 2], {"loss": np.array([4.0, 5.0])})
    assert overlay.refresh() is False
    assert overlay.generation == generation
    steps, values = overlay.blocks["loss#1"].rows(1)
    assert (steps.tolist(), values["loss"].tolist()) == ([1, 2], [4, 5])
    assert np.shares_memory(values["loss"], two.groups["loss"].rows()[1]["loss"])
    assert len(overlay.groups["loss"]) == 3


def test_groups_and_single_places_that_appear_are_taken_in():
    one, two = record([0], [1], rate={"lr": Var(("group",), "1", "learning rate")}), record([0], [2])
    overlay = Overlay({"a": [one], "b": [two]})
    assert list(overlay.groups) == ["loss"]
    assert overlay.notes == ["shown for one run at a time, by show(run): rate"]
    one.groups["rate"].append([0], {"lr": np.array([[0.1]])}, {"group": [0]})
    assert overlay.refresh() is True
    assert list(overlay.groups) == ["loss", "rate"]
    assert overlay.notes == []
    assert overlay.groups["rate"].rows()[1]["lr"].tolist()[0][0] == 0.1
    assert np.isnan(overlay.groups["rate"].rows()[1]["lr"][0, 1])


def test_layers_only_where_asked_and_fields_never():
    fields = {"density": Var(("node",), "1", "density"), "plane": Var(("alpha", "beta"), "1", "slice")}
    runs = [record([0], [1], norms=NORMS, field=fields) for _ in range(2)]
    names = [f"layer{i}" for i in range(MOST + 6)]
    runs[0].groups["norms"].append([0], {"total": np.ones(1), "norm": np.arange(30.0)[None]}, {"param": names})
    parts = {"a": [runs[0]], "b": [runs[1]]}
    assert list(Overlay(parts).groups["norms"].variables) == ["total"]
    asked = Overlay(parts, ["norms"])
    variables = asked.groups["norms"].variables
    assert list(variables) == ["total", *[f"norm@layer{i}" for i in range(MOST)]]
    assert variables["norm@layer3"].long_name == "norm by parameter, layer3"
    assert variables["norm@layer3"].scale == "log"
    assert asked.groups["norms"].rows()[1]["norm@layer3"][0, 0] == 3
    assert "field" not in asked.groups
    assert asked.notes[-1] == "shown for one run at a time, by show(run): field"


def test_an_error_of_a_single_run_stays_and_lines_only_where_all_share_them():
    curvature = {
        "sharpness": Var((), "1", "sharpness", error="se", line="edge"),
        "se": Var((), "1", "standard error"),
        "edge": Var((), "1", "2/lr"),
        "fixed": Var((), "loss", "ratio", line=1.0),
    }
    runs = [record([0], [1], curvature=curvature) for _ in range(2)]
    for run, edge in zip(runs, (40.0, 20.0), strict=True):
        values = {"sharpness": 10.0, "se": 0.5, "edge": edge, "fixed": 2.0}
        run.groups["curvature"].append([0, 1], {key: np.full(2, value) for key, value in values.items()})
    overlay = Overlay({"a": [runs[0]], "b": [runs[1]]})
    variables = overlay.groups["curvature"].variables
    assert list(variables) == ["sharpness", "fixed", "se"]
    assert (variables["sharpness"].error, variables["sharpness"].line, variables["fixed"].line) == ("se", "", 1.0)
    assert part(overlay, "curvature", 0)[1]["se"].tolist() == [0.5, 0.5]
    same = Overlay({"a": [runs[0]], "b": [runs[0]]}).groups["curvature"].variables
    assert same["sharpness"].line == 40.0


def test_other_units_are_not_drawn_into_one_picture():
    other = Record()
    other.group("loss", {"loss": Var((), "bits", "training loss")}).append([0], {"loss": np.ones(1)})
    overlay = Overlay({"a": [record([0], [1])], "b": [other]})
    assert list(overlay.blocks) == ["loss#0"]
    assert overlay.notes == ["training loss in bits is not shown beside training loss in loss"]


def test_the_mean_of_seeds_is_drawn_in_its_t_interval():
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=(5, 40)) + np.linspace(3, 1, 40)
    overlay = Overlay({"sgd": [record(range(40), row) for row in seeds], "adam": [record(range(40), seeds[0])]})
    assert list(overlay.sources) == ["sgd (n=5)", "adam"]
    steps, values = part(overlay, "loss", 0)
    low, high = stats.t.interval(0.95, 4, loc=seeds.mean(0), scale=stats.sem(seeds, axis=0))
    assert steps.tolist() == list(range(40))
    assert np.allclose(values["loss"], seeds.mean(0), rtol=1e-12)
    assert np.allclose(values["loss"] - values["loss_interval"], low, rtol=1e-10)
    assert np.allclose(values["loss"] + values["loss_interval"], high, rtol=1e-10)
    _, alone = part(overlay, "loss", 1)
    assert np.array_equal(alone["loss"], seeds[0])
    assert np.isnan(alone["loss_interval"]).all()
    group = overlay.groups["loss"]
    assert group.variables["loss"].error == "loss_interval"
    assert "95 % interval of that mean by Student's t" in group.attrs["definition"]


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    mean, half = mean_with_interval(rng.normal(loc=2.0, size=(4, 20_000)))
    share = np.mean(np.abs(mean - 2.0) <= half)
    assert abs(share - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 20_000)


def test_a_mean_goes_as_far_as_all_of_its_runs():
    overlay = Overlay({"a": [record([0, 1, 2, 3], [1, 1, 1, 1]), record([1, 2], [3, 3])]})
    steps, values = part(overlay, "loss", 0)
    assert (steps.tolist(), values["loss"].tolist()) == ([1, 2], [2, 2])
    assert len(Overlay({"a": [record([0, 1], [1, 1]), record([], [])]}).blocks["loss#0"]) == 0


def test_a_run_that_is_lost_is_not_left_out_of_the_mean():
    overlay = Overlay({"a": [record([0, 1, 2], [1, np.nan, 1]), record([0, 1, 2], [3, 3, 3])]})
    assert np.array_equal(part(overlay, "loss", 0)[1]["loss"], [2, np.nan, 2], equal_nan=True)


def test_between_measurements_values_are_on_the_straight_line():
    overlay = Overlay({"a": [record([0, 10], [0, 10]), record([0, 4, 10], [0, 8, 2])]})
    steps, values = part(overlay, "loss", 0)
    assert (steps.tolist(), values["loss"].tolist()) == ([0, 4, 10], [0, 6, 6])
    assert np.array_equal(on_steps(np.array([-1, 0, 1, 2, 3]), np.array([0, 2]), np.array([5.0, 7.0])),
                          [np.nan, 5, 6, 7, np.nan], equal_nan=True)  # fmt: skip


def test_new_rows_of_any_seed_move_the_mean_and_say_so():
    one, two = record([0], [1]), record([0], [3])
    overlay = Overlay({"a": [one, two]})
    generation = overlay.generation
    assert overlay.refresh() is False
    one.groups["loss"].append([1], {"loss": np.array([5.0])})
    assert overlay.refresh() is True
    two.groups["loss"].append([1], {"loss": np.array([7.0])})
    assert overlay.refresh() is True
    assert overlay.generation == generation + 2
    assert part(overlay, "loss", 0)[1]["loss"].tolist() == [2, 6]


def test_rows_written_twice_count_once():
    overlay = Overlay({"a": [record([0, 1, 1], [1, 2, 4]), record([0, 1], [1, 2])]})
    steps, values = part(overlay, "loss", 0)
    assert (steps.tolist(), values["loss"].tolist()) == ([0, 1], [1, 3])


def test_what_only_some_seeds_measured_is_said():
    extra = {"extra": {"x": Var((), "1", "x")}}
    runs = [record([0], [1], **extra), record([0], [1])]
    runs[0].groups["extra"].append([0], {"x": np.ones(1)})
    assert Overlay({"a": runs}).notes == ["extra was measured in 1 of the runs of a (n=2)"]


def test_the_number_of_runs_is_that_of_each_group():
    extra = {"extra": {"x": Var((), "1", "x")}}
    runs = [record([0], [1], **extra) for _ in range(3)]
    for run in runs[1:]:
        run.groups["extra"].append([0], {"x": np.ones(1)})
    runs[0].groups.pop("extra")
    overlay = Overlay({"a": runs, "b": runs[:1]})
    assert overlay.groups["loss"].labels["run"] == ["a (n=3)", "b"]
    assert overlay.groups["extra"].labels["run"] == ["a (n=2)", "b"]
    assert overlay.groups["extra"].rows()[1]["x"].tolist()[0][0] == 1
    assert list(overlay.blocks) == ["loss#0", "loss#1", "extra#0"]


@pytest.mark.parametrize("turned", [False, True])
def test_no_two_labels_become_one(turned):
    several = [record([0], [value]) for value in (1, 2, 3)]
    parts = {"sgd": several, "sgd (n=3)": [record([0], [100])]}
    overlay = Overlay(dict(reversed(parts.items())) if turned else parts)
    labels = ["sgd (n=3) (2)", "sgd (n=3)"]
    assert list(overlay.sources) == (labels[::-1] if turned else labels)
    assert [part(overlay, "loss", list(overlay.sources).index(label))[1]["loss"][0] for label in labels] == [2, 100]


def test_a_variable_called_like_the_interval_does_not_take_its_place():
    runs = []
    for value in (0.0, 2.0):
        made = Record()
        made.group("loss", {**LOSS, "loss_interval": Var((), "1", "between losses")})
        made.groups["loss"].append([0, 1], {"loss": np.full(2, value), "loss_interval": np.full(2, 100.0)})
        runs.append(made)
    group = Overlay({"a": runs}).groups["loss"]
    _, rows = group.rows()
    assert rows["loss_interval"].ravel().tolist() == [100, 100]
    assert rows[group.variables["loss_interval"].error].ravel().tolist() == [0, 0]
    half = stats.t.ppf(0.975, 1) * np.std([0, 2], ddof=1) / np.sqrt(2)
    assert np.allclose(rows[group.variables["loss"].error].ravel(), half)
    assert len(group.variables) == len(rows) == 4


def test_a_mean_without_common_steps_says_so():
    told = "loss has no mean of a (n=2): its runs have no steps in common"
    late = record([5, 6], [1, 1])
    overlay = Overlay({"a": [record([0, 1], [1, 1]), late]})
    assert overlay.notes == [told]
    assert Overlay({"a": [record([0, 1], [1, 1]), record([], [])]}).notes == [told]
    assert Overlay({"a": [record([], []), record([], [])]}).notes == []
    late.groups["loss"].append([0], {"loss": np.ones(1)})
    overlay.refresh()
    assert len(overlay.blocks["loss#0"]) == 2
    assert overlay.notes == []


@pytest.mark.parametrize("several", [False, True])
def test_an_overlay_can_be_kept_and_read_like_a_run(tmp_path, several):
    from nbtoolkit.store import files

    runs = [record([0, 1], [1, 2]), record([0, 1], [3, 4])]
    overlay = Overlay({"both": runs} if several else {"a": [runs[0]], "b": [runs[1]]})
    back = files.load(files.save(overlay, tmp_path / "overlay"))
    assert back.tree()["loss"].to_dataset().identical(overlay.tree()["loss"].to_dataset())
    assert isinstance(overlay.groups["loss"], Overlaid)
