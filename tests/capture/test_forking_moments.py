"""When a fork that was asked for is made, and which fork an order ends."""

import pytest
import torch
from torch import nn

import nbtoolkit
from nbtoolkit.capture.forking import EndFork, Fork
from tests import problems
from tests.capture.outside import elsewhere
from tests.capture.test_forking import Answers


def test_one_asked_for_among_calls_that_accumulate_waits_for_the_call_that_makes_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Those of other tests, to one of which the backward passes might belong.
    monkeypatch.setattr("nbtoolkit.capture.names.any_optimizer_besides", lambda known: False)
    torch.manual_seed(3)
    model, batch, calls = nn.Linear(3, 1), torch.randn(8, 3), [0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def accumulate() -> None:
        if calls[0] % 4 == 0:
            optimizer.zero_grad()
        model(batch).square().mean().backward()
        calls[0] += 1
        if calls[0] % 4 == 0:
            optimizer.step()

    with nbtoolkit.watch(model, optimizer) as run:
        step, answers = run.forkable(accumulate), Answers()
        for k in range(20):
            if k == 5:
                run.control.give(Fork(steps=2), answers)
            step()
            assert len(answers) == (k >= 7)
    assert answers == [(True, "forked at step 2: Linear fork@2, 2 steps")]
    assert run.forks[0]["loss"]["loss"].equals(run["loss"]["loss"].sel(step=[2, 3]))


def test_the_end_of_one_fork_does_not_end_the_next(
    problem: problems.Problem, run: nbtoolkit.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbtoolkit.capture.run.LOOK_SECONDS", 0.0)
    step, answers, ended = run.forkable(problem.step), Answers(), Answers()

    def begun(fork: nbtoolkit.Run) -> None:
        def end() -> None:
            if fork.step == 7 and not ended:
                run.control.give(EndFork(), ended)

        fork.ears.append(lambda: elsewhere(end))
        fork.next_look = 0.0

    run.control.give(Fork(steps=6, name="first", started=begun), answers)
    run.control.give(Fork(steps=3, name="second"), answers)
    step()
    assert answers == [
        (True, "forked at step 5: first, ended after 2 of 6 steps"), (True, "forked at step 5: second, 3 steps")
    ]  # fmt: skip
    assert [done for done, _ in ended] == [True]
