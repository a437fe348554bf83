"""What makes a fork different does exactly that."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nbtoolkit
from nbtoolkit.capture.changes import perturb


def test_learning_rates_by_group_and_a_schedule_in_proportion() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    groups = [{"params": model[0].parameters(), "lr": 0.2}, {"params": model[1].parameters(), "lr": 0.4}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 0.5**done)

    def step() -> None:
        optimizer.zero_grad()
        model(torch.randn(3, 2)).square().mean().backward()
        optimizer.step()
        schedule.step()

    with nbtoolkit.watch(model, optimizer) as run:
        step()
        plain, both = run.fork(step, steps=2), run.fork(step, steps=2, lr=0.8)
        listed, second = run.fork(step, steps=2, lr=[0.3, 0.6]), run.fork(step, steps=2, lr={1: 0.6})
        step()
    assert [fork["lr"]["lr"].values.tolist() for fork in (plain, both, listed, second)] == [
        [[0.1, 0.2], [0.05, 0.1]], [[0.8, 0.8], [0.4, 0.4]], [[0.3, 0.6], [0.15, 0.3]], [[0.1, 0.6], [0.05, 0.3]],
    ]  # fmt: skip
    assert run["lr"]["lr"].values.tolist() == [[0.2, 0.4], [0.1, 0.2]]


@pytest.mark.parametrize("size", [1e-3, 0.5])
def test_a_perturbation_has_the_size_asked_for_and_draws_no_shared_numbers(size: float) -> None:
    params = [torch.randn(30, 20), torch.randn(7), torch.full((3,), 1e3)]
    before, state = [p.clone() for p in params], torch.get_rng_state()
    perturb(params, size, seed=1)
    moved = torch.cat([(p.double() - q.double()).flatten() for p, q in zip(params, before, strict=True)])
    theta = torch.cat([q.double().flatten() for q in before])
    assert (moved.norm() / theta.norm()).item() == pytest.approx(size, rel=1e-4)
    assert torch.equal(torch.get_rng_state(), state)
    exact = [torch.randn(30, 20).double(), torch.randn(7).double()]
    before = [p.clone() for p in exact]
    perturb(exact, size, seed=1)
    moved = torch.cat([(p - q).flatten() for p, q in zip(exact, before, strict=True)])
    theta = torch.cat([q.flatten() for q in before])
    assert (moved.norm() / theta.norm()).item() == pytest.approx(size, rel=1e-12)


def test_a_seed_begins_shared_numbers_and_own_generators_anew() -> None:
    model, generator = nn.Linear(2, 1), torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(log: Any) -> None:
        batch = torch.randn(3, 2, generator=generator)
        log(own=batch[0, 0], torch=torch.rand(1), python=random.random(), numpy=np.random.rand())  # noqa: NPY002
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()

    with nbtoolkit.watch(model, optimizer) as run:
        twins = [run.fork(lambda: step(run.log), steps=2, seed=seed) for seed in (None, 5, 5, 6)]
        for _ in range(2):
            step(run.log)
    drawn = [
        {key: one[key][key].values.tolist() for key in ("own", "torch", "python", "numpy")} for one in (run, *twins)
    ]
    parent, plain, five, again, six = drawn
    assert parent == plain
    assert five == again
    for key in parent:
        assert len({str(one[key]) for one in (plain, five, six)}) == 3, key
