"""What a browser is told of streams of tasks and of plasticity, and which of their panels are open at first."""

import json
from typing import Any

import numpy as np
import pytest

from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import messages
from nbtoolkit.widget.choice import all_panels, first_panels
from nbtoolkit.widget.figures import describe, shape, title
from nbtoolkit.widget.picture import picture
from tests.panels.streams import GAP, LAYERS, MATRIX, TASKS, add_plasticity, add_stream, record
from tests.widget.test_messages import received


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    """The panels of a run with everything, by their ids."""
    return {panel["id"]: panel for panel in json.loads(describe(record()))["panels"]}


def test_the_gaps_know_what_is_trained_and_have_a_curve_for_each_task(told: dict[str, dict[str, Any]]) -> None:
    gap = told["stability_gap/accuracy"]
    assert (gap["kind"], gap["training"], gap["forms"]) == (
        "gap",
        "stability_gap/training",
        {"linear": "gap-1-linear-training"},
    )
    assert [(line["label"], line["column"]) for line in gap["lines"]] == list(zip(TASKS, range(3), strict=True))
    assert [line["error"]["key"] for line in gap["lines"]] == ["stability_gap/accuracy_error"] * 3
    assert "Shaded" in gap["definition"]
    assert "stability_gap/training" not in told


def test_matrices_of_shares_and_cosines_have_fixed_ends_and_one_scale(told: dict[str, dict[str, Any]]) -> None:
    matrix, conflict = told["accuracy_matrix/accuracy"], told["gradient_conflict/cosine"]
    assert (matrix["ends"], matrix["forms"]) == ([0, 1], {"linear": "matrix-1-linear"})
    assert matrix["coords"] == {"task_trained": TASKS, "task_evaluated": TASKS}
    assert matrix["lines"][0]["error"]["key"] == "accuracy_matrix/accuracy_error"
    for diverging in (conflict, told["term_conflict/cosine"]):
        assert (diverging["ends"], diverging["forms"]) == ([-1, 1], {"linear": "matrix-1-linear-diverging"})
    assert told["linear_probe/probe_accuracy"]["ends"] == [0, 1]


def test_spectra_and_trainings_on_the_side_are_told_with_their_axes(told: dict[str, dict[str, Any]]) -> None:
    scree = told["layer_spectrum/singular_values"]
    assert (scree["kind"], scree["scale"], len(scree["lines"]), len(scree["colors"])) == ("scree", "log", 1, 4)
    assert scree["coords"] == {"layer": LAYERS, "index": list(range(32))}
    probe = told["trainability_probe/probe_loss"]
    assert (probe["kind"], len(probe["lines"]), probe["coords"]["probe_step"][-1]) == ("profile", 2, 50)
    assert told["logit_stats/margin"]["kind"] == "curves"
    assert {told[key]["kind"] for key in ("unit_activity/dormant", "effective_rank/effective_rank")} == {"heatmap"}
    assert told["fisher_diag/trace"]["kind"] == "heatmap"


def test_no_figure_is_large_and_diverging_ones_are_their_own() -> None:
    figures = json.loads(describe(record()))["figures"]
    assert {"gap-1-linear-training", "scree-1-log", "matrix-1-linear", "matrix-1-linear-diverging"} <= figures.keys()
    assert max(len(json.dumps(figure)) for figure in figures.values()) < 28_000
    palettes = [json.dumps(figures[form]) for form in ("matrix-1-linear", "matrix-1-linear-diverging")]
    assert ['"low": -1' in text for text in palettes] == [False, True]


def test_gap_and_matrix_are_open_at_first_but_not_what_they_show_better() -> None:
    made = record()
    boundaries = {"training": Var(("task_trained",), "1", "task being trained")}
    rows = {"training": np.array([[1.0, np.nan, np.nan]])}
    made.group("task", boundaries).append([0], rows, {"task_trained": TASKS})
    shown = [title(panel) for panel in first_panels(all_panels(made))]
    assert shown[:3] == ["training loss", "accuracy by task", "accuracy after each task"]
    assert not {"accuracy before the first task", "task being trained"} & set(shown)
    many = Record()  # of more tasks than colours their accuracy is a field
    labels = [f"task {i}" for i in range(9)]
    first = {"initial_accuracy": np.full((1, 9), 0.1), "accuracy": np.ones((1, 9, 9))}
    among = {"task_trained": labels, "task_evaluated": labels}
    many.group("accuracy_matrix", MATRIX).append([0], first, among)
    assert [title(panel) for panel in first_panels(all_panels(many))] == ["accuracy after each task"]
    busy = Record()
    for k in range(5):  # other curves do not take its place
        variables = {name: Var((), "1", f"{name} {k}") for name in ("one", "two")}
        busy.group(f"curves {k}", variables).append([0], {"one": np.ones(1), "two": np.ones(1)})
    add_stream(busy)
    shown = [title(panel) for panel in first_panels(all_panels(busy))]
    assert {"accuracy by task", "accuracy after each task"} <= set(shown)
    assert shown[0] == "one 0"
    assert shown[1:3] == ["accuracy by task", "accuracy after each task"]  # after the first group
    plastic = Record()
    add_plasticity(plastic)
    assert {title(panel) for panel in first_panels(all_panels(plastic))} >= {
        "share of dormant units",
        "share of dormant units in all layers",
        "effective rank",
        "singular values of the weights",
        "margin",
    }


def test_each_instrument_of_a_run_on_plasticity_is_open_at_first() -> None:
    made = Record()
    one = {"v": Var((), "1", "v")}
    made.group("loss", one)
    add_stream(made)
    del made.groups["stability_gap"]
    add_plasticity(made)
    for name in ("weight_norm", "sharpness"):
        made.group(name, one).append([0], {"v": np.ones(1)})
    for name in ("layer_spectrum", "fisher_diag", "logit_stats"):
        del made.groups[name]
    shown = [panel[0].name for panel in first_panels(all_panels(made))]
    assert set(shown) == {*made.groups}
    assert len(shown) == 8  # of one instrument a second panel


def test_who_is_trained_is_told_by_name() -> None:
    made = Record()
    boundaries = {"training": Var(("task_trained",), "1", "task being trained")}
    rows = {"training": np.array([[1.0, np.nan]])}
    group = made.group("task", boundaries, {"reference": "run.begin_task"})
    group.append([0], rows, {"task_trained": ["a", "b"]})
    (told,) = json.loads(describe(made))["panels"]
    assert (told["kind"], told["training"]) == ("heatmap", "task/training")


def test_values_of_many_tasks_are_a_field() -> None:
    made = Record()
    variables = {"norm": Var(("task_evaluated",), "loss", "norm")}
    for count, kind in ((8, "curves"), (9, "heatmap")):
        labels = {"task_evaluated": [str(i) for i in range(count)]}
        made.group(f"of {count}", variables).append([0], {"norm": np.ones((1, count))}, labels)
        (told,) = [panel for panel in json.loads(describe(made))["panels"] if panel["group"] == f"of {count}"]
        assert (told["kind"], len(told["lines"])) == (kind, count)


def test_a_task_that_begins_is_told_with_its_label() -> None:
    made = Record()
    add_stream(made, 350)
    before = shape(made)
    made.groups["accuracy_matrix"].widen({"task_trained": ["rot0 (2)"]})
    assert shape(made) != before
    panels = {panel["id"]: panel for panel in json.loads(describe(made))["panels"]}
    assert panels["accuracy_matrix/accuracy"]["coords"]["task_trained"] == [*TASKS, "rot0 (2)"]


@pytest.mark.parametrize("tasks", [3, 12])
def test_curves_are_thinned_together_with_what_is_trained(tasks: int) -> None:
    made, steps = Record(), np.arange(30_000)
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(len(steps), tasks))
    training = (steps[:, None] // 10_000 == np.arange(tasks)).astype(float)
    labels = {"task_evaluated": [str(i) for i in range(tasks)]}
    rows = {"accuracy": values, "accuracy_error": values / 10, "training": training}
    made.group("gap", GAP).append(steps, rows, labels)
    got = received(messages.reset(made, {}, 1, {}))
    kept = got["gap/accuracy"][0]
    assert len(kept) < len(steps)
    for name, array in rows.items():
        at, sent = got[f"gap/{name}"]
        np.testing.assert_array_equal(at, kept)
        np.testing.assert_array_equal(sent, array[kept.astype(int)])


@pytest.mark.parametrize("names", [None, ["stability_gap"], ["layer_spectrum"], ["gradient_conflict"]])
def test_the_still_picture_shows_them(names: list[str] | None) -> None:
    png = picture(Finished(record()), names)
    assert png is not None
    assert len(png) > 4_000


def test_the_still_picture_shows_the_gap() -> None:
    images = []
    for fallen in (0.9, 0.2):
        made = Record()
        rows = {
            "accuracy": np.array([[0.9, 0.1], [fallen, 0.5], [0.9, 0.9]]),
            "training": np.array([[1, 0], [0, 1], [0, 1.0]]),
        }
        made.group("stability_gap", GAP).append([1, 2, 3], rows, {"task_evaluated": ["a", "b"]})
        images.append(picture(Finished(made)))
    assert images[0] != images[1]


class Finished:
    """A run that holds a record."""

    def __init__(self, record: Record) -> None:
        self.record = record
