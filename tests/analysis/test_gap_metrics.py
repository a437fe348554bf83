"""Metrics of accuracy curves within the tasks: hand-worked cases, any cadence, and streams without boundaries."""

import numpy as np
import pytest
import xarray

from nbtoolkit.analysis import stability_gaps, transfer
from tests.analysis.streams import NAN, curves, matrix, run

# "a" is trained up to step 2, "b" up to step 6, "c" from then on; the model after step 2 is still that of "a".
WORKED = curves(
    [0, 1, 2, 3, 4, 5, 6, 7, 8], "aabbbbccc",
    a=[0.1, 0.5, 0.9, 0.4, 0.6, 0.7, 0.8, 0.5, 0.75],
    b=[0.2, 0.2, 0.1, 0.5, 0.6, 0.7, 0.8, 0.3, 0.6],
    c=[0.0, 0.0, 0.1, 0.1, 0.1, 0.1, 0.2, 0.5, 0.7],
)  # fmt: skip
MINIMA = {"a": 0.4, "b": 0.3}


def test_the_worst_of_a_case_worked_by_hand() -> None:
    found = transfer(WORKED, window=3)
    assert float(found["min_accuracy"]) == pytest.approx((0.4 + 0.3) / 2, abs=1e-12)
    assert float(found["worst_case_accuracy"]) == pytest.approx(0.7 / 3 + 2 / 3 * 0.35, abs=1e-12)
    assert float(found["gap_recovered"]) == pytest.approx((0.4 + 0.25 + 0.3) / 3, abs=1e-12)
    falls, rises = (0.5 + 0.5 + 0.0) / 3, (0.8 + 0.5 + 0.5) / 3
    assert float(found["windowed_forgetting"]) == pytest.approx(falls, abs=1e-12)
    assert float(found["windowed_plasticity"]) == pytest.approx(rises, abs=1e-12)
    assert "3 steps" in found["windowed_forgetting"].attrs["long_name"]
    assert "2205.13452" in found["min_accuracy"].attrs["reference"]
    assert found["average_accuracy"].attrs["unknown"].startswith("no accuracy matrix")


def test_the_gaps_of_a_case_worked_by_hand() -> None:
    found = stability_gaps(WORKED, tolerance=0.1)
    assert found.task_trained.values.tolist() == ["a", "b", "c"]

    def of(visit: str, task: str) -> dict[str, float]:
        return {str(key): float(found[key].sel(task_trained=visit, task_evaluated=task)) for key in found}

    assert of("b", "a") == pytest.approx(
        {
            "gap_depth": 0.5, "gap_recovered": 0.4, "gap_area": 0.25 + 0.4 + 0.25 + 0.15, "lowest_at": 1,
            "recovered_at": 4, "level": 0.9,
        },
        abs=1e-12,
    )  # fmt: skip
    assert of("c", "a") == pytest.approx(
        {
            "gap_depth": 0.3, "gap_recovered": 0.25, "gap_area": 0.15 + 0.175, "lowest_at": 1, "recovered_at": 2,
            "level": 0.8,
        },
        abs=1e-12,
    )  # fmt: skip
    assert of("c", "b") == pytest.approx(
        {
            "gap_depth": 0.5, "gap_recovered": 0.3, "gap_area": 0.25 + 0.35, "lowest_at": 1, "recovered_at": NAN,
            "level": 0.8,
        },
        abs=1e-12, nan_ok=True,
    )  # fmt: skip
    for visit, task in (("a", "a"), ("a", "b"), ("b", "b"), ("b", "c"), ("c", "c")):
        assert all(np.isnan(value) for value in of(visit, task).values())
    assert float(stability_gaps(WORKED, tolerance=0.5)["recovered_at"].sel(task_trained="b", task_evaluated="a")) == 0


def test_boundaries_that_the_run_has_noted_go_before_what_rows_show() -> None:
    sparse = WORKED.isel(step=[0, 4, 8]).drop_vars("training")
    boundaries = xarray.Dataset(
        {"training": (("step", "task_trained"), [[1, NAN, NAN], [0, 1, NAN], [0, 0, 1]])},
        {"step": [0, 2, 6], "task_trained": ["a", "b", "c"]},
    )
    found = transfer(run(None, sparse, task=boundaries))
    assert float(found["min_accuracy"]) == pytest.approx((0.6 + 0.6) / 2, abs=1e-12)
    assert float(found["worst_case_accuracy"]) == pytest.approx(0.7 / 3 + 2 / 3 * 0.6, abs=1e-12)
    ended = boundaries.reindex(step=[0, 2, 6, 9])
    ended["training"][3] = 0
    again = transfer(run(None, sparse, task=ended))
    assert float(again["min_accuracy"]) == pytest.approx(0.6, abs=1e-12)
    with_matrix = transfer(run(matrix([[0.9, 0.1], [0.5, 0.8]]), WORKED))
    assert float(with_matrix["backward_transfer"]) == pytest.approx(-0.4, abs=1e-12)
    assert float(with_matrix["min_accuracy"]) == pytest.approx(0.35, abs=1e-12)


def test_of_several_curves_those_of_the_instrument_count() -> None:
    other = WORKED.assign(accuracy=WORKED["accuracy"] * 0)
    found = transfer(run(None, WORKED, an_average=other))
    assert float(found["min_accuracy"]) == pytest.approx(0.35, abs=1e-12)
    assert float(transfer(run(None, None, an_average=other))["min_accuracy"]) == 0


def test_while_a_task_is_learned_again_its_accuracy_does_not_count() -> None:
    again = curves(range(9), "aabbaabbb", a=[0, 0.5, 0.9, 0.6, 0.7, 0.2, 0.8, 0.75, 0.75], b=[0.1] * 5 + [0.3] * 4)
    assert float(transfer(again)["min_accuracy"]) == 0.6  # not 0.2, in the second visit to "a"
    assert float(transfer(again)["worst_case_accuracy"]) == pytest.approx(0.3 / 2 + 0.6 / 2, abs=1e-12)
    ends_with_it = transfer(again.isel(step=slice(0, 6)))
    assert float(ends_with_it["min_accuracy"]) == 0.3  # the earlier task is "b" now, whose visit ended at step 4


def test_a_learner_that_never_falls() -> None:
    perfect = curves(range(5), "aabbb", a=[0.5, 1, 1, 1, 1], b=[0, 0, 0, 1, 1])
    found = transfer(perfect)
    ones = ("min_accuracy", "worst_case_accuracy")
    assert [float(found[name]) for name in ones] == [1, 1]
    assert float(found["gap_recovered"]) == float(found["windowed_forgetting"]) == 0
    gaps = stability_gaps(perfect).sel(task_trained="b", task_evaluated="a")
    assert [float(gaps[name]) for name in ("gap_depth", "gap_recovered", "gap_area", "recovered_at")] == [0] * 4


def test_a_single_task_has_no_worst_but_its_own() -> None:
    found = transfer(curves(range(3), "aaa", a=[0.1, 0.5, 0.4]))
    assert np.isnan(found["min_accuracy"])
    assert found["min_accuracy"].attrs["unknown"] == (
        "only one task was trained; this compares earlier tasks with later ones"
    )
    assert float(found["worst_case_accuracy"]) == 0.4


def test_without_boundaries_the_windowed_metrics_hold() -> None:
    for stream in (WORKED.drop_vars("training"), WORKED.assign(training=WORKED["training"] * NAN)):
        found = transfer(stream, window=3)
        assert float(found["windowed_forgetting"]) == pytest.approx(1 / 3, abs=1e-12)
        assert float(found["windowed_plasticity"]) == pytest.approx(0.6, abs=1e-12)
        for name in ("min_accuracy", "worst_case_accuracy", "gap_recovered"):
            assert found[name].attrs["unknown"] == "no boundary between tasks is known"
        with pytest.raises(ValueError, match="no boundary between tasks is known"):
            stability_gaps(stream)


def by_definition(steps: np.ndarray, accuracy: np.ndarray, window: int, sign: float) -> float:
    """Every pair of measurements in every window."""
    return max(
        sign * (accuracy[n] - accuracy[m])
        for m in range(len(steps))
        for n in range(m, len(steps))
        if steps[n] - steps[m] <= window - 1
    )


@pytest.mark.parametrize("window", [2, 5, 30, 1000])
def test_windows_are_of_steps_whatever_the_cadence(window: int) -> None:
    random = np.random.default_rng(window)
    steps = np.cumsum(random.integers(1, min(window, 8), 60))
    a, b = random.random((2, 60))
    if window > 8:
        a[random.random(60) < 0.2] = NAN
    found = transfer(curves(list(steps), a=list(a), b=list(b)), window=window)
    known = ~np.isnan(a)
    for name, sign in (("windowed_forgetting", -1.0), ("windowed_plasticity", 1.0)):
        each = [by_definition(steps[known], a[known], window, sign), by_definition(steps, b, window, sign)]
        assert float(found[name]) == pytest.approx(np.mean(each), abs=1e-12)


def test_a_window_that_no_measurements_fill_gives_no_number() -> None:
    found = transfer(curves([0, 3, 4, 11, 12], a=[0.1, 0.9, 0.2, 0.8, 0.3]), window=5)
    for name in ("windowed_forgetting", "windowed_plasticity"):
        assert np.isnan(found[name])
        assert found[name].attrs["unknown"] == (
            "accuracies are up to 7 steps apart, which is more than the window of 5"
        )


def test_the_gap_lies_between_what_the_matrix_shows() -> None:
    """min-ACC is at most the mean accuracy of the earlier tasks at the end, for any curves."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        one, two, three = random.random((3, 12))
        stream = curves(range(12), "aaaabbbbcccc", a=list(one), b=list(two), c=list(three))
        assert float(transfer(stream)["min_accuracy"]) <= (one[-1] + two[-1]) / 2


@pytest.mark.parametrize(
    ("stream", "tolerance", "message"),
    [
        (matrix([[0.9]]), 0.0, "no accuracy within the tasks was recorded"),
        (WORKED, -1.0, "tolerance=-1.0: expected a number, 0 or more"),
    ],
)
def test_gaps_of_nothing_are_refused(stream: xarray.Dataset, tolerance: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stability_gaps(stream, tolerance=tolerance)


def test_a_record_that_goes_on_gives_the_metrics_of_what_has_been() -> None:
    """Tasks to come are NaN, as `stability_gap` leaves them out: "b" up to step 2, "c" up to step 6."""
    begun = np.arange(9)[:, None] >= [0, 2, 6]
    stream = WORKED.assign(accuracy=WORKED["accuracy"].where(xarray.DataArray(begun, dims=WORKED["accuracy"].dims)))
    metrics = ("windowed_forgetting", "windowed_plasticity", "min_accuracy", "worst_case_accuracy", "gap_recovered")
    wanted = {
        2: [0.0, 0.8 / 2, NAN, 0.9, NAN],  # "a" at its end: of "b" no model was measured yet
        3: [0.5 / 2, (0.8 + 0.4) / 2, 0.4, 0.5 / 2 + 0.4 / 2, 0.0],
        6: [0.5 / 3, (0.8 + 0.5 + 0.0) / 3, 0.4, 0.8 / 2 + 0.4 / 2, 0.4],  # "c" has begun
        7: [(0.5 + 0.5) / 3, (0.8 + 0.5 + 0.3) / 3, (0.4 + 0.3) / 2, 0.5 / 3 + 2 / 3 * 0.35, 0.4 / 3],
    }
    for step, values in wanted.items():
        found = transfer(stream.isel(step=slice(0, step + 1)), window=3)
        assert [float(found[name]) for name in metrics] == pytest.approx(values, abs=1e-12, nan_ok=True), step
    assert stability_gaps(stream.isel(step=slice(0, 7)))["gap_depth"].count() == 1


def test_a_task_that_was_not_evaluated_any_more_is_no_task_to_come() -> None:
    accuracy = WORKED["accuracy"].copy()
    accuracy.loc[{"step": [7, 8], "task_evaluated": "b"}] = NAN
    for name in ("min_accuracy", "worst_case_accuracy"):
        found = transfer(WORKED.assign(accuracy=accuracy))[name]
        assert found.attrs["unknown"] == "'b' was not evaluated after it was learned"
    found = transfer(WORKED.assign(accuracy=accuracy * NAN))
    assert found["windowed_forgetting"].attrs["unknown"] == "no task was evaluated"
