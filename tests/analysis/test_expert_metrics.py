"""A learner beside experts on single tasks."""

import numpy as np
import pytest

from nbtoolkit.analysis import transfer
from tests.analysis.streams import curves

STREAM = curves(range(8), "aaaabbbb", a=[0.2, 0.4, 0.6, 0.8, 0.8, 0.1, 0.1, 0.1], b=[0, 0, 0, 0, 0.1, 0.3, 0.5, 0.7])
EXPERTS = {
    "a": curves(range(4), a=[0.1, 0.2, 0.3, 0.4]),
    "b": curves(range(6), "bbbbbb", a=[0.0] * 6, b=[0.1, 0.1, 0.1, 0.1, 0.1, 0.9]),
}


def test_a_case_worked_by_hand() -> None:
    found = transfer(STREAM, experts=EXPERTS)
    on_a, on_b = (0.2 + 0.4 + 0.6 + 0.8) / 1.0, (0.1 + 0.3 + 0.5 + 0.7) / 0.4
    assert float(found["relative_performance"]) == pytest.approx((on_a + on_b) / 2, abs=1e-12)
    on_a, on_b = (0.8 / 0.4) * (3 / 3), (0.7 / 0.9) * (5 / 3)
    assert float(found["sample_efficiency"]) == pytest.approx((on_a + on_b) / 2, abs=1e-12)


def test_beside_itself_a_learner_is_worth_one() -> None:
    random = np.random.default_rng(0)
    rows = 40 * 6
    a, b = np.sort(random.random((2, rows)), axis=1)
    stream = curves(range(rows), "a" * (rows // 2) + "b" * (rows // 2), a=list(a), b=list(b))
    experts = {"a": stream.isel(step=slice(0, rows // 2)), "b": stream.isel(step=slice(rows // 2, None))}
    found = transfer(stream, experts=experts)
    assert float(found["relative_performance"]) == pytest.approx(1, abs=1e-12)
    assert float(found["sample_efficiency"]) == pytest.approx(1, abs=1e-12)


def test_between_measurements_it_goes_straight_and_visits_follow_each_other() -> None:
    line = [0.1 * x for x in range(8)]
    whole = curves(range(8), "aaaaaaaa", a=line)
    seldom = curves([0, 1, 5, 7], "aaaa", a=[line[step] for step in (0, 1, 5, 7)])
    assert float(transfer(seldom, experts={"a": whole})["relative_performance"]) == pytest.approx(1, abs=1e-12)
    apart = curves(
        range(11), "aaaabbbaaaa", a=[*line[:4], 0.0, 0.0, 0.0, *line[4:]], b=[0.1] * 4 + [0.2, 0.3, 0.4] * 2 + [0.1]
    )
    expert = {"a": whole, "b": curves(range(3), b=[0.2, 0.3, 0.4])}
    assert float(transfer(apart, experts=expert)["relative_performance"]) == pytest.approx(1, abs=1e-12)


def test_what_is_missing_is_named() -> None:
    found = transfer(STREAM, experts={"a": EXPERTS["a"]})
    assert found["relative_performance"].attrs["unknown"] == "no expert was given for 'b'"
    level = {**EXPERTS, "b": curves(range(4), b=[0.5] * 4)}
    assert (
        "'b' is at its highest from the start" in transfer(STREAM, experts=level)["sample_efficiency"].attrs["unknown"]
    )
    failed = {**EXPERTS, "b": curves(range(4), b=[0.0] * 4)}
    assert transfer(STREAM, experts=failed)["relative_performance"].attrs["unknown"] == (
        "the expert on 'b' has accuracy 0"
    )
    assert "relative_performance" not in transfer(STREAM)
    with pytest.raises(TypeError, match="experts is a list; give a dict"):
        transfer(STREAM, experts=[1])
    with pytest.raises(TypeError, match="the expert on 'a' is several runs"):
        transfer(STREAM, experts={"a": [STREAM, STREAM]})


def test_a_task_that_has_just_begun_does_not_count_yet() -> None:
    on_a, on_b = (0.2 + 0.4 + 0.6 + 0.8) / 1.0, (0.1 + 0.3) / 0.2
    for rows, expected in ((5, on_a), (6, (on_a + on_b) / 2)):
        found = transfer(STREAM.isel(step=slice(0, rows)), experts=EXPERTS)["relative_performance"]
        assert float(found) == pytest.approx(expected, abs=1e-12)
    only = transfer(STREAM.isel(step=slice(0, 1)), experts=EXPERTS)["relative_performance"]
    assert only.attrs["unknown"] == "'a' was evaluated less than twice while it was trained"
