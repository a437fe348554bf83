"""Where a GradScaler makes the steps, what is asked for is done when the scaler is done too, and training goes on."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.errors import TrainingStopped
from tests import problems
from tests.capture.outside import elsewhere, while_paused
from tests.capture.test_bit_for_bit import differences, everything


class OwnUpdate(torch.amp.GradScaler):
    """Ends a step by a function of its own, as that of FSDP does."""

    update = torch.amp.GradScaler.update


class Scaled:
    """A training by a GradScaler whose scale grows every third step.

    Args:
        unscales: the loop itself, before the step, as for clipping.
        kind: of the scaler.
    """

    def __init__(self, unscales: bool = False, kind: Callable[..., Any] = torch.amp.GradScaler) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Linear(8, 3)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.05)
        self.scaler = kind("cpu", init_scale=1024.0, growth_interval=3)
        self.x, self.y = torch.randn(32, 8), torch.randint(0, 3, (32,))
        self.unscales = unscales

    def train(self, steps: int, *, broken: bool = False) -> None:
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(self.x), self.y)
            self.scaler.scale(loss * float("inf") if broken else loss).backward()
            if self.unscales:
                self.scaler.unscale_(self.optimizer)
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def state(self) -> Any:
        made = problems.Problem({"model": self.model}, {"optimizer": self.optimizer}, lambda: None)
        return {**everything(made), "scaler": self.scaler.state_dict()}


def reference(steps: int, **how: Any) -> Any:
    plain = Scaled(**how)
    plain.train(steps)
    return plain.state()


HOW: dict[str, dict[str, Any]] = {
    "plain": {}, "unscaled by the loop": {"unscales": True}, "another update()": {"kind": OwnUpdate},
}  # fmt: skip


@pytest.fixture(params=HOW)
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    return HOW[request.param]


def test_a_stopped_training_goes_on_with_the_same_scaler(how: dict[str, Any]) -> None:
    problem = Scaled(**how)
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    problem.train(3)
    run.stop()
    with pytest.raises(TrainingStopped):
        problem.train(3)
    assert (run.state, run.step) == ("stopped", 4)
    assert not problem.scaler._per_optimizer_states
    problem.train(5)
    assert differences(reference(9, **how), problem.state()) == []


def test_an_interrupt_while_paused_leaves_the_scaler_ready(how: dict[str, Any]) -> None:
    problem = Scaled(**how)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
        while_paused(run, lambda: run.set_lr(0.05), interrupt)
        elsewhere(run.pause)
        with pytest.raises(KeyboardInterrupt):
            problem.train(3)
        assert (run.step, run.status().state) == (3, "watching")
        problem.train(4)
    assert differences(reference(7, **how), problem.state()) == []
    assert [one["step"] for one in run.commands] == [3, 3, 3]
    assert run["loss"]["step"].values.tolist() == list(range(7))


def test_a_step_that_the_scaler_skips_is_enough_to_be_heard() -> None:
    problem = Scaled()
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    problem.train(2)
    elsewhere(run.stop)
    with pytest.raises(TrainingStopped, match="after step 2"):
        problem.train(1, broken=True)  # as all that follow it might be
    assert problem.scaler.get_scale() == 512.0


def test_both_optimizers_of_one_scaler_make_their_step() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    one, two = torch.optim.SGD([model.weight], lr=0.1), torch.optim.SGD([model.bias], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    first, second = nbtoolkit.watch(model, one), nbtoolkit.watch(model, two)

    def step() -> None:
        scaler.scale(model(torch.ones(2, 4)).square().mean()).backward()
        for optimizer in (one, two):
            scaler.step(optimizer)
            optimizer.zero_grad()
        scaler.update()

    step()
    first.stop()
    with pytest.raises(TrainingStopped):
        step()
    assert (first.state, first.step, second.step) == ("stopped", 2, 2)
    step()
    second.detach()
    assert (second.step, second.state) == (3, "finished")


def test_a_scaler_that_is_switched_off_is_no_scaler() -> None:
    problem = Scaled(kind=lambda device, **options: torch.amp.GradScaler(device, enabled=False))
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    run.stop()
    with pytest.raises(TrainingStopped):
        problem.train(3)
    assert run.step == 1
    problem.train(2)


def test_the_scaler_is_left_as_it_was_found() -> None:
    before = torch.amp.GradScaler.update
    problem = Scaled()
    with nbtoolkit.watch(problem.model, problem.optimizer):
        problem.train(1)
        assert torch.amp.GradScaler.update is not before
    assert torch.amp.GradScaler.update is before
