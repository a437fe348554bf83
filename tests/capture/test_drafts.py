"""Instruments that come in stages: shown while they grow, stored once, kept when interrupted."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import nbtoolkit
from nbtoolkit.capture import Run
from nbtoolkit.instruments import Var, instrument
from nbtoolkit.widget import messages
from tests import problems


def staged(stages: int = 3, stop: int | None = None, wrong: int | None = None) -> Any:
    """An instrument that fills one more place at each stage."""

    @instrument(outputs={"field": Var(("bin",), "1", "field")}, every=4)
    def filling(params, /):
        """Fills up."""
        values = torch.full((3,), float("nan"))
        for stage in range(stages):
            if stage == stop:
                raise KeyboardInterrupt
            if stage == wrong:
                raise RuntimeError("lost")
            values[stage] = stage
            yield {"field": values.clone()}

    return filling


def watched(item: Any, steps: int = 6, problem: problems.Problem | None = None) -> tuple[Run, list[Any]]:
    problem = problem or problems.mlp()
    run = nbtoolkit.watch(problem.model, problem.optimizer, instruments=[item], budget=1e9)
    seen: list[Any] = []
    run.listeners.append(lambda run: seen.append({k: v for k, (_, v) in run.drafts.rows().items()}))
    with run:
        problem.train(steps)
    return run, seen


def test_the_last_stage_is_stored_and_no_draft_is_left() -> None:
    run, seen = watched(staged())
    assert run["filling"]["step"].values.tolist() == [0, 4]
    np.testing.assert_array_equal(run["filling"]["field"].values, [[0, 1, 2]] * 2)
    assert not run.drafts.rows()
    first = next(draft["filling"]["field"] for draft in seen if draft)
    np.testing.assert_array_equal(first, [[0, np.nan, np.nan]])


def test_called_directly_it_gives_its_last_stage() -> None:
    assert staged()({"w": torch.ones(2)})["field"].tolist() == [0, 1, 2]


def test_a_draft_reaches_the_browser_and_goes_when_the_row_is_there() -> None:
    problem = problems.mlp()
    heads: list[Any] = []
    run = nbtoolkit.watch(problem.model, problem.optimizer, instruments=[staged()], budget=1e9)
    sent: dict[str, int] = {}

    def listen(run: Run) -> None:
        head, buffers = messages.append(run.record, sent, 1, {}, run.drafts.rows())
        places = {series["key"]: np.asarray(buffers[series["y"]]) for series in head["drafts"]}
        heads.append((places, [series["key"] for series in head["series"]]))

    run.listeners.append(listen)
    with run:
        problem.train(3)
    drawn = [places["filling/field"] for places, _ in heads if places]
    np.testing.assert_array_equal(drawn[0], [[0, np.nan, np.nan]])
    places, keys = heads[-1]
    assert not places
    assert "filling/field" in {key for _, keys in heads for key in keys} | set(keys)


def test_an_interrupt_keeps_the_last_complete_stage_and_goes_on_its_way() -> None:
    problem = problems.mlp()
    run = nbtoolkit.watch(problem.model, problem.optimizer, instruments=[staged(stop=2)], budget=1e9)
    with pytest.raises(KeyboardInterrupt), run:
        problem.train(5)
    np.testing.assert_array_equal(run["filling"]["field"].values, [[0, 1, np.nan]])
    assert run.state == "interrupted"


def test_an_interrupt_of_a_measurement_between_steps_keeps_it_too() -> None:
    problem = problems.mlp()
    run, _ = watched(staged(), problem=problem)
    with pytest.raises(KeyboardInterrupt):
        run.measure(staged(stop=1))
    np.testing.assert_array_equal(run["filling"]["field"].values[-1], [0, np.nan, np.nan])
    assert not run.drafts.rows()


def test_an_interrupt_before_the_first_stage_stores_nothing() -> None:
    problem = problems.mlp()
    run, _ = watched(staged(), problem=problem)
    with pytest.raises(KeyboardInterrupt):
        run.measure(staged(stop=0))
    assert len(run["filling"]["step"]) == 2


def test_a_failing_stage_is_no_value_and_says_why() -> None:
    run, _ = watched(staged(wrong=1), steps=2)
    assert np.isnan(run["filling"]["field"].values).all()
    assert not run.drafts.rows()
    assert any("RuntimeError: lost" in note for note in run.notes)


def test_stages_do_not_change_the_training() -> None:
    def trained(item: Any = None) -> list[torch.Tensor]:
        problem = problems.mlp()
        if item is None:
            problem.train(10)
        else:
            with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[item], budget=1e9):
                problem.train(10)
        return [param.detach().clone() for param in problem.model.parameters()]

    for mine, bare in zip(trained(staged()), trained(), strict=True):
        assert torch.equal(mine, bare)


def stages_of(item: Any) -> Iterator[Any]:
    return item.stages({"w": torch.ones(1)})


def test_every_stage_can_be_had() -> None:
    assert [int(torch.isfinite(stage["field"]).sum()) for stage in stages_of(staged())] == [1, 2, 3]
