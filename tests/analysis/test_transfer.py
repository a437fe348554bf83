"""Metrics of an accuracy matrix: hand-worked cases, streams with a known answer, and what cannot be said."""

import numpy as np
import pytest
import xarray

from nbtoolkit.analysis import summary, transfer
from tests.analysis.streams import NAN, curves, matrix, run

WORKED = [[0.9, 0.2, 0.1], [0.95, 0.8, 0.3], [0.6, 0.5, 0.7]]
INITIAL = [0.1, 0.15, 0.2]
BY_HAND = {
    "average_accuracy": (0.6 + 0.5 + 0.7) / 3,
    "backward_transfer": ((0.6 - 0.9) + (0.5 - 0.8)) / 2,
    "forward_transfer": ((0.2 - 0.15) + (0.3 - 0.2)) / 2,
    "forgetting_from_best": ((0.95 - 0.6) + (0.8 - 0.5)) / 2,
    "forgetting_from_first": ((0.9 - 0.6) + (0.8 - 0.5)) / 2,
    "learning_accuracy": (0.9 + 0.8 + 0.7) / 3,
    "average_incremental_accuracy": (0.9 + (0.95 + 0.8) / 2 + 0.6) / 3,
    "performance_maintenance": (((0.95 - 0.9) + (0.6 - 0.9)) / 2 + (0.5 - 0.8)) / 2,
    "intransigence": (0.05 + 0.1 + 0.1) / 3,
}
REFERENCE = {"a": 0.95, "b": 0.9, "c": 0.8}
OF_THE_PAST = [key for key in BY_HAND if key not in ("average_accuracy", "learning_accuracy")]


def values(ds: xarray.Dataset, names: list[str]) -> dict[str, float]:
    return {name: float(ds[name]) for name in names}


@pytest.mark.parametrize("name", list(BY_HAND))
def test_a_case_worked_by_hand(name: str) -> None:
    found = transfer(matrix(WORKED, INITIAL), reference=REFERENCE)
    assert float(found[name]) == pytest.approx(BY_HAND[name], abs=1e-12)
    assert found[name].attrs.keys() >= {"long_name", "units", "formula"}
    assert "unknown" not in found[name].attrs
    assert ("reference" in found[name].attrs) == (name != "forgetting_from_first")


def test_a_run_gives_what_its_last_step_knows() -> None:
    found = transfer(run(matrix(WORKED, INITIAL), None))
    for name in BY_HAND.keys() - {"intransigence"}:
        assert float(found[name]) == pytest.approx(BY_HAND[name], abs=1e-12)
    assert "intransigence" not in found


def test_a_visit_that_goes_on_does_not_count_yet() -> None:
    going_on = transfer(matrix([*WORKED[:2], [NAN] * 3], INITIAL))
    whole = transfer(matrix(WORKED[:2], INITIAL))
    assert values(going_on, [*map(str, whole)]) == pytest.approx(values(whole, [*map(str, whole)]), nan_ok=True)
    assert float(going_on["average_accuracy"]) == pytest.approx((0.95 + 0.8) / 2, abs=1e-12)  # "c" was not trained


def test_a_model_that_never_changes() -> None:
    found = transfer(matrix([[0.4, 0.5, 0.6]] * 3, [0.4, 0.5, 0.6]))
    for name in OF_THE_PAST:
        if name not in ("intransigence", "average_incremental_accuracy"):
            assert float(found[name]) == 0
            assert not np.signbit(float(found[name]))


def test_a_learner_that_knows_all_and_forgets_nothing() -> None:
    found = transfer(matrix([[1, 0, 0], [1, 1, 0], [1, 1, 1]], [0, 0, 0]))
    ones = ["average_accuracy", "learning_accuracy", "average_incremental_accuracy"]
    zeros = ["backward_transfer", "forward_transfer", "forgetting_from_best", "forgetting_from_first"]
    assert values(found, ones) == dict.fromkeys(ones, 1.0)
    assert values(found, zeros) == dict.fromkeys(zeros, 0.0)


def test_of_a_single_task_nothing_is_said_about_others() -> None:
    found = transfer(matrix([[0.9]], [0.1]))
    assert float(found["average_accuracy"]) == 0.9
    for name in ("backward_transfer", "forward_transfer", "forgetting_from_best", "performance_maintenance"):
        assert np.isnan(found[name])
        assert found[name].attrs["unknown"] == (
            "only one task was trained; this compares earlier tasks with later ones"
        )


def test_a_task_visited_again_counts_from_its_first_visit() -> None:
    # a, b, a again, c; on "a" 0.9 -> 0.5 -> 0.95 -> 0.8, on "b" .1 -> 0.7 -> 0.6 -> 0.4
    ds = matrix([[0.9, 0.1, 0.2], [0.5, 0.7, 0.2], [0.95, 0.6, 0.3], [0.8, 0.4, 0.6]], [0.1, 0.1, 0.1], labels="abAc")
    found = transfer(ds)
    by_hand = {
        "average_accuracy": (0.8 + 0.4 + 0.6) / 3,
        "backward_transfer": ((0.8 - 0.9) + (0.4 - 0.7)) / 2,
        "forward_transfer": ((0.1 - 0.1) + (0.3 - 0.1)) / 2,  # before "c" came the second visit to "a"
        "forgetting_from_best": ((0.95 - 0.8) + (0.7 - 0.4)) / 2,
        "learning_accuracy": (0.9 + 0.7 + 0.6) / 3,
        "average_incremental_accuracy": (0.9 + 0.6 + (0.95 + 0.6) / 2 + 0.6) / 4,
        "performance_maintenance": (((0.5 - 0.9) + (0.8 - 0.95)) / 2 + ((0.6 - 0.7) + (0.4 - 0.7)) / 2) / 2,
    }
    assert values(found, list(by_hand)) == pytest.approx(by_hand, abs=1e-12)
    last = transfer(ds.isel(task_trained=slice(3)))  # ends with the second visit to "a", which is not earlier
    assert float(last["backward_transfer"]) == pytest.approx(0.6 - 0.7, abs=1e-12)


def test_a_visit_that_failed_and_was_begun_again_does_not_count() -> None:
    again = matrix([[NAN] * 3, WORKED[0], *WORKED[1:]], INITIAL, labels="aAbc")
    for name in BY_HAND.keys() - {"intransigence"}:
        assert float(transfer(again)[name]) == pytest.approx(BY_HAND[name], abs=1e-12)
    late = transfer(matrix([[NAN] * 3, *WORKED[1:]], INITIAL))  # attached after the first task, which still is one
    assert float(late["average_accuracy"]) == pytest.approx(0.6, abs=1e-12)
    assert late["backward_transfer"].attrs["unknown"] == "'a' was not evaluated after 'a'"


def test_a_task_may_be_called_like_a_second_visit() -> None:
    ds = matrix(WORKED, INITIAL, labels="abA").assign_coords(task_evaluated=["a", "b", "a (2)"])
    assert float(transfer(ds)["backward_transfer"]) == pytest.approx(BY_HAND["backward_transfer"], abs=1e-12)


def test_what_was_not_evaluated_makes_unknown_what_needs_it() -> None:
    lower = [[0.9, NAN, NAN], [0.95, 0.8, NAN], [0.6, 0.5, 0.7]]
    found = transfer(matrix(lower))
    assert float(found["backward_transfer"]) == pytest.approx(-0.3, abs=1e-12)
    assert float(found["forgetting_from_best"]) == pytest.approx(0.325, abs=1e-12)
    assert found["forward_transfer"].attrs["unknown"] == ("the accuracy on 'b' before the first task was not measured")
    assert "'b' was not evaluated after 'a'" in transfer(matrix(lower, INITIAL))["forward_transfer"].attrs["unknown"]
    hole = [[0.9, 0.2, 0.1], [NAN, 0.8, 0.3], [0.6, 0.5, 0.7]]
    holed = transfer(matrix(hole, INITIAL))
    assert float(holed["backward_transfer"]) == pytest.approx(-0.3, abs=1e-12)
    for name in ("forgetting_from_best", "average_incremental_accuracy", "performance_maintenance"):
        assert np.isnan(holed[name])
        assert holed[name].attrs["unknown"] == "'a' was not evaluated after 'b'"


def test_what_was_not_recorded_is_named() -> None:
    nothing = transfer(run(None, curves([0, 1], "aa", a=[0, 1])))
    assert nothing["average_accuracy"].attrs["unknown"] == (
        "no accuracy matrix was recorded; attach instruments.accuracy_matrix"
    )
    assert transfer(matrix(WORKED))["min_accuracy"].attrs["unknown"] == (
        "no accuracy within the tasks was recorded; attach instruments.stability_gap"
    )
    assert transfer(matrix([[NAN, NAN, NAN]]))["average_accuracy"].attrs["unknown"] == (
        "no task was trained to its end"
    )
    some = transfer(matrix(WORKED), reference={"a": 1.0})
    assert some["intransigence"].attrs["unknown"] == "no reference accuracy was given for 'b'"


def test_runs_and_methods_become_dims() -> None:
    worse = matrix(np.array(WORKED) - 0.1)
    runs = transfer([matrix(WORKED), worse])
    assert runs["average_accuracy"].dims == ("run",)
    np.testing.assert_allclose(runs["average_accuracy"], [0.6, 0.5])
    named = transfer({"naive": {"s0": worse}, "replay": {"s0": matrix(WORKED), "s1": matrix(WORKED)}})
    assert named["average_accuracy"].dims == ("strategy", "run")
    assert named.strategy.values.tolist() == ["naive", "replay"]
    assert named.run.values.tolist() == ["s0", "s1"]
    np.testing.assert_allclose(named["average_accuracy"], [[0.5, NAN], [0.6, 0.6]])
    together = transfer(xarray.concat([matrix(WORKED), worse], xarray.Variable("seed", [3, 4])))
    np.testing.assert_allclose(together["average_accuracy"].sel(seed=4), 0.5)
    listed = transfer({"naive": [worse, worse], "replay": [matrix(WORKED), matrix(WORKED)]})
    assert dict(listed.sizes) == {"strategy": 2, "run": 2}


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (3, "this is a int; give a Run, its DataTree"),
        ([], "this is a list; give a Run"),
        (xarray.Dataset({"loss": ("step", [1.0])}), "this Dataset has accuracy over nothing; give a Run"),
        ([matrix(WORKED), [matrix(WORKED)]], "runs are nested unequally or too deep"),
        ([[[matrix(WORKED)]]], "runs are nested unequally or too deep"),
    ],
)
def test_other_forms_are_refused(runs: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        transfer(runs)


def test_a_window_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="window=1: expected a whole number of steps, 2 or more"):
        transfer(matrix(WORKED), window=1)


def test_a_summary_leaves_out_what_is_not_known() -> None:
    ds = xarray.Dataset(
        {
            "x": (("strategy", "run"), [[1.0, 2.0, 4.0], [5.0, NAN, NAN]], {"units": "1"}),
            "other": ("strategy", [1.0, 2.0]),
        },
        {"strategy": ["one", "two"]},
    )
    found = summary(ds)
    assert list(found) == ["x"]
    assert found["x"].attrs == {"units": "1"}
    one, two = found["x"].sel({"strategy": "one"}), found["x"].sel({"strategy": "two"})
    deviation = ((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2
    expected = {"mean": 7 / 3, "std": deviation**0.5, "standard_error": (deviation / 3) ** 0.5, "count": 3}
    for key, value in expected.items():
        assert float(one.sel(statistic=key)) == pytest.approx(value, rel=1e-12)
    np.testing.assert_array_equal(two.sel(statistic=["mean", "std", "standard_error", "count"]), [5, NAN, NAN, 1])
    with pytest.raises(ValueError, match="no variable has the dim 'seed'; there are: strategy, run"):
        summary(ds, "seed")
