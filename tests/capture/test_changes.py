"""What makes a fork different does exactly that."""

import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nbtoolkit
from nbtoolkit.capture.changes import perturb
from nbtoolkit.errors import WatchError
from tests import problems


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


def test_numbers_of_numpy_change_what_numbers_of_python_do() -> None:
    problem = problems.mlp()
    optimizer = problem.optimizer
    rate, at, one = float(np.float32(0.2)), np.int64(2), np.int64(1)
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"lr": np.float32(0.2)}, {"lr": rate}),
        ({"lr": [np.float32(0.2)]}, {"lr": [rate]}),
        ({"lr": {np.int64(0): np.float32(0.2)}}, {"lr": {0: rate}}),
        ({"seed": one}, {"seed": 1}),
        ({"perturb": np.float32(0.5), "seed": np.uint8(3)}, {"perturb": 0.5, "seed": 3}),
        ({"steps": at, "every": one}, {"steps": 2, "every": 1}),
        ({"seed": 2**64 - 1, "perturb": 0.5}, {"seed": np.uint64(2**64 - 1), "perturb": 0.5}),
    ]
    with nbtoolkit.watch(problem.model, optimizer) as run:
        problem.train(1)
        for theirs, ours in pairs:
            one, two = (run.fork(problem.step, **{"steps": 2, **changes}) for changes in (theirs, ours))
            assert two.name == f"{one.name} (2)"
            assert json.dumps(one.data.attrs["changes"]) == json.dumps(two.data.attrs["changes"])
            for key in ("loss", "lr", "weight_norm"):
                assert one[key].equals(two[key]), (theirs, key)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": torch.randn(60, 60)}, r"^lr=tensor\(\[\[.*: expected a learning rate, a finite number of 0 or more\.$"),
        ({"lr": [torch.randn(60, 60)]}, r"^lr=tensor\(\[\[.*: expected a learning rate"),
        ({"lr": list(range(1000))}, r"^lr=\[0, 1, .* is for 1000 groups; this optimizer has 1\.$"),
        ({"lr": {"a" * 1000: 0.1}}, r"^lr names group 'aaa.*; this optimizer has the groups 0 to 0\.$"),
        ({"lr": True}, "^lr=True: expected a learning rate"),
        ({"lr": 10**400}, r"^lr=1000.*\.\.\.: expected a learning rate"),
        ({"lr": np.float32("nan")}, "^lr=nan: expected a learning rate"),
        ({"perturb": torch.randn(60, 60)}, r"^perturb=tensor\(\[\[.*: expected the size of the perturbation"),
        ({"seed": torch.randn(60, 60)}, r"^seed=tensor\(\[\[.*: expected a whole number from 0 to 2\*\*64 - 1\.$"),
        ({"seed": 2**70}, r"^seed=1180591620717411303424: expected a whole number from 0 to 2\*\*64 - 1\.$"),
        ({"seed": 2**64}, "^seed=18446744073709551616: expected"),
        ({"seed": np.float64(1)}, r"^seed=1\.0: expected"),
        ({"steps": torch.randn(60, 60)}, r"^steps=tensor\(\[\[.*: expected a whole number of steps, 1 or more\.$"),
        ({"every": torch.randn(60, 60)}, r"^every=tensor\(\[\[.*: expected a whole number of steps between"),
        ({"name": 3}, "^name=3: expected the name of the twin's run, a text"),
        ({"name": ""}, "^name='': expected the name of the twin's run, a text"),
    ],
)
def test_what_is_no_change_is_said_in_a_short_line(changes: dict[str, Any], said: str) -> None:
    problem = problems.mlp()
    before = [tensor.clone() for tensor in problem.model.parameters()]
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        with pytest.raises(WatchError, match=said) as caught:
            run.fork(problem.step, **changes)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 140
        assert not run.forks
    assert all(torch.equal(a, b) for a, b in zip(before, problem.model.parameters(), strict=True))


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
