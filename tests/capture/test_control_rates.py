"""The learning rate set from outside, and another cadence: bit for bit what would have been done by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture.changes import schedules_of
from nbtoolkit.errors import WatchError
from tests import problems
from tests.capture.outside import elsewhere
from tests.capture.test_bit_for_bit import differences, everything


def by_hand(make: Callable[[], tuple[problems.Problem, Any]], at: int, change: Callable[[Any, Any], None]) -> Any:
    """The state of a training whose optimizer is changed after step ``at``, before its schedule steps."""
    problem, schedule = make()
    for step in range(8):
        problem.step()
        if step + 1 == at:
            change(problem.optimizer, schedule)
        if schedule is not None:
            schedule.step()
    return everything(problem)


def by_command(make: Callable[[], tuple[problems.Problem, Any]], at: int, *rate: Any) -> tuple[Any, nbtoolkit.Run]:
    problem, schedule = make()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        for step in range(8):
            if step + 1 == at:
                elsewhere(lambda: run.set_lr(*rate))
            problem.step()
            if schedule is not None:
                schedule.step()
    return everything(problem), run


def scheduled(schedule: Callable[[Any], Any] | None, **options: Any) -> Callable[[], tuple[problems.Problem, Any]]:
    def make() -> tuple[problems.Problem, Any]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.03}]
        optimizer = torch.optim.AdamW(groups, lr=0.01, **options)
        x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))

        def step() -> None:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

        made = problems.Problem({"model": model}, {"optimizer": optimizer}, step)
        return made, None if schedule is None else schedule(optimizer)

    return make


def both(rate: float) -> Callable[[Any, Any], None]:
    def change(optimizer: Any, schedule: Any) -> None:
        for place, group in enumerate(optimizer.param_groups):
            share = rate / float(group["lr"])
            group["lr"] = rate
            if schedule is not None:
                schedule.base_lrs[place] *= share
                for key in {"initial_lr", "max_lr", "min_lr"} & group.keys():
                    group[key] *= share

    return change


SCHEDULES = {
    "none": None,
    "exponential": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
    "lambda": lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 0.8**done),
    "one cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.1, 0.3], total_steps=12),
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_learning_rate_set_from_outside_is_one_changed_by_hand_after_that_step(schedule: str) -> None:
    make = scheduled(SCHEDULES[schedule])
    theirs = by_hand(make, 4, both(0.05))
    ours, run = by_command(make, 4, 0.05)
    assert differences(theirs, ours) == []
    (command,) = run.commands
    assert (command["step"], command["what"], command["new"], command["group"]) == (4, "lr", 0.05, None)
    assert command["text"].startswith("learning rate of all groups: ")
    assert command["text"].endswith(" -> 0.05 from step 4")


def test_schedules_are_found_however_they_are_held() -> None:
    _, schedule = scheduled(SCHEDULES["cosine"])()
    optimizer = schedule.optimizer
    assert schedules_of(optimizer) == [schedule]
    vars(schedule)  # from now on its attributes are a dict of their own
    assert schedules_of(optimizer) == [schedule]
    both = torch.optim.lr_scheduler.ChainedScheduler([schedule, SCHEDULES["exponential"](optimizer)])
    assert {id(one) for one in schedules_of(optimizer)} == {id(both), *map(id, both._schedulers)}
    assert schedules_of(scheduled(None)()[0].optimizer) == []


def test_one_group_alone() -> None:
    def change(optimizer: Any, _: Any) -> None:
        optimizer.param_groups[1]["lr"] = 0.5

    ours, run = by_command(scheduled(None), 3, 0.5, 1)
    assert differences(by_hand(scheduled(None), 3, change), ours) == []
    assert run["lr"]["lr"].values.tolist() == [[0.01, 0.03]] * 3 + [[0.01, 0.5]] * 5
    assert run.commands[0]["text"] == "learning rate of group 1: 0.03 -> 0.5 from step 3"
    assert (run.commands[0]["old"], run.commands[0]["new"], run.commands[0]["group"]) == (0.03, 0.5, 1)


def test_a_rate_that_is_a_tensor_stays_the_tensor_that_it_is() -> None:
    make = scheduled(None, capturable=False)

    def tensors() -> tuple[problems.Problem, Any]:
        problem, _ = make()
        for group in problem.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        return problem, None

    def change(optimizer: Any, _: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"].fill_(0.25)

    ours, run = by_command(tensors, 5, 0.25)
    assert differences(by_hand(tensors, 5, change), ours) == []
    assert run.commands[0]["new"] == 0.25


def test_what_a_schedule_at_zero_does_not_allow_is_a_note() -> None:
    make = scheduled(lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: float(done < 2)))
    ours, run = by_command(make, 6, 0.1)
    assert differences(by_hand(make, 6, lambda *_: None), ours) == []
    assert run.commands == []
    assert any("schedule of group 0 is at 0" in note for note in run.notes)


def test_all_groups_are_changed_or_none() -> None:
    problem, _ = scheduled(None)()
    problem.optimizer.param_groups[1]["lr"] = 0.0  # as for frozen layers
    schedule = torch.optim.lr_scheduler.StepLR(problem.optimizer, 10)
    plain, _ = scheduled(None)()
    plain.optimizer.param_groups[1]["lr"] = 0.0
    torch.optim.lr_scheduler.StepLR(plain.optimizer, 10)
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
        with pytest.raises(WatchError, match=r"group 1 is at 0 now.*set the others one by one, by their group: 0\."):
            run.set_lr(0.02)
        assert (run.commands, [group["lr"] for group in problem.optimizer.param_groups]) == ([], [0.01, 0.0])
        assert schedule.base_lrs == [0.01, 0.0]
        problem.train(2)
        run.set_lr(0.02, 0)
    plain.train(4)
    for ours, theirs in zip(problem.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert (schedule.base_lrs, len(run.commands)) == ([0.02, 0.0], 1)


def test_a_schedule_is_not_brought_to_zero_from_where_it_could_not_return() -> None:
    problem, _ = scheduled(None)()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(1)
        for rate in (0.0, 0.03):  # without a schedule there is a way back
            run.set_lr(rate)
        schedule = torch.optim.lr_scheduler.StepLR(problem.optimizer, 10)
        for group in (None, 1):
            with pytest.raises(WatchError, match=r"lr=0: a schedule drives .* give a small one, such as 1e-12"):
                run.set_lr(0, group)
        assert ([group["lr"] for group in problem.optimizer.param_groups], schedule.base_lrs) == ([0.03] * 2,) * 2
    assert [one["new"] for one in run.commands] == [0.0, 0.03]


def test_a_loop_that_sets_it_itself_is_told_of() -> None:
    problem = problems.mlp()
    (group,) = problem.optimizer.param_groups
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
        elsewhere(lambda: run.set_lr(0.5))
        problem.train(2)
        assert run.notes == []
        for _ in range(2):
            elsewhere(lambda: run.set_lr(0.25))
        for step in range(3):
            group["lr"] = 0.1 / (step + 1)
            problem.step()
    assert run.notes == ["the learning rate that was set was another again after step 6: the loop sets it itself"]


def test_the_loop_itself_sets_it_at_once() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
        run.set_lr(0.7)
        assert problem.optimizer.param_groups[0]["lr"] == 0.7
        problem.train(1)
    assert run["lr"]["lr"].values.ravel().tolist() == [0.1, 0.1, 0.7]
    assert run.commands == [
        {
            "step": 2, "what": "lr", "text": "learning rate: 0.1 -> 0.7 from step 2", "old": 0.1, "new": 0.7,
            "group": None, "own": True,
        }
    ]  # fmt: skip


def test_another_cadence_holds_from_the_next_step_on() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, budget=float("inf")) as run:
        problem.train(3)
        elsewhere(lambda: run.every("grad_norm", 4))
        elsewhere(lambda: run.every(nbtoolkit.instruments.layer_spectrum, 5))
        problem.train(9)
        run.every("grad_norm", 1)
        problem.train(3)
    assert run["grad_norm"]["step"].values.tolist() == [0, 1, 2, 3, 4, 8, 12, 13, 14]
    assert run["layer_spectrum"]["step"].values.tolist() == [4, 5, 10]
    assert run["loss"]["step"].values.tolist() == list(range(15))
    assert [(one["step"], one["old"], one["new"]) for one in run.commands] == [(4, 1, 4), (4, None, 5), (12, 4, 1)]
    assert run.data["grad_norm"].attrs["every"] == 1
