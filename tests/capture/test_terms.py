"""Gradients of the named terms of a loss, and instruments that follow every step: what goes wrong stays theirs."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

import nbtoolkit
from nbtoolkit import Var, instrument
from nbtoolkit.capture.schedule import WARM
from tests import problems
from tests.capture.test_bit_for_bit import differences, everything


@instrument(outputs={"norm": Var(("term",), units="1", long_name="norm")}, cost=lambda settings: 1)
def sizes(term_grads, /):
    """Norms of the gradients of the terms."""
    return {"norm": [torch.cat([g.flatten() for g in grads.values()]).norm() for grads in term_grads.values()]}


def noisy(*, watched: bool) -> Any:
    """A hook on a parameter draws random numbers in every backward pass."""
    problem = problems.mlp()
    next(problem.model.parameters()).register_hook(lambda grad: grad + 0.01 * torch.randn_like(grad))
    run = nbtoolkit.watch(problem.model, problem.optimizer, instruments=[sizes]) if watched else None
    for _ in range(5):
        problem.optimizer.zero_grad()
        fit = problem.model(torch.randn(6, 8)).square().mean()
        decay = sum((param.square().sum() for param in problem.model.parameters()), torch.zeros(()))
        if run is not None:
            run.log_terms(fit=fit, decay=decay)
        (fit + decay).backward()
        problem.optimizer.step()
    return problem, run


def test_random_numbers_that_hooks_draw_are_put_back() -> None:
    plain, _ = noisy(watched=False)
    reached = everything(plain)
    problem, run = noisy(watched=True)
    assert differences(reached, everything(problem)) == []
    assert np.isfinite(run["sizes"]["norm"].values).all()


def test_terms_of_several_passes_add_up() -> None:
    problem = problems.mlp()
    parts = [torch.randn(6, 8), torch.randn(6, 8)]

    def fit(x: Tensor) -> Tensor:
        return problem.model(x).square().mean()

    whole = torch.autograd.grad(fit(parts[0]) + fit(parts[1]), list(problem.model.parameters()))
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[sizes]) as run:
        for x in parts:
            loss = fit(x)
            run.log_terms(fit=loss)
            loss.backward()
        problem.optimizer.step()
    wanted = torch.cat([grad.flatten() for grad in whole]).norm()
    np.testing.assert_allclose(run["sizes"]["norm"].values, [[wanted]], rtol=1e-6)


def test_gradients_of_terms_count_for_the_budget() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[sizes]) as run:
        loss = problem.model(torch.randn(6, 8)).square().mean()
        run.log_terms(fit=loss)
        assert run.steps is not None
        taken = run.steps.clock.measuring
        loss.backward()
        problem.optimizer.step()
        (item,) = run.steps.schedule.attached
        assert item.seconds is not None
        assert item.seconds > WARM * taken > 0


def test_what_fails_to_follow_follows_no_more_and_the_run_goes_on() -> None:
    def fails(params: Any, memory: Any) -> None:
        raise RuntimeError("lost")

    @instrument(outputs={"one": Var((), units="1", long_name="one")}, follow=fails, cost=lambda settings: 0)
    def follower(params, memory, /):
        """1."""
        return {"one": 1.0}

    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[follower]) as run:
        problem.train(3)
    assert run.state == "finished"
    assert run["follower"]["one"].values.tolist() == [1.0, 1.0, 1.0]
    assert run.notes == ["follower follows no more from step 0: RuntimeError: lost"]
