"""A fork trains a twin from the exact state of a step; its parent goes on bit for bit as if there had been none."""

import itertools
import random
import threading
from typing import Any

import numpy as np
import pytest
import torch

import nbtoolkit
from nbtoolkit.capture import Discovery
from nbtoolkit.errors import WatchError
from tests import problems
from tests.capture.test_bit_for_bit import differences, everything

STEPS = 18
FORKS = {3: {}, 9: {"lr": 0.3, "seed": 4, "perturb": 0.1}}


def recorded(run: nbtoolkit.Run) -> dict[str, Any]:
    """All that was measured, except for times."""
    groups = {name: ds for name, ds in run.data.children.items() if name not in ("step_time", "twin_divergence")}
    return {
        f"{name}.{key}": var.values for name, ds in groups.items() for key, var in ds.to_dataset().variables.items()
    }


def trained(name: str, *, forked: bool, **options: Any) -> tuple[dict[str, Any], list[nbtoolkit.Run]]:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    problem = problems.ALL[name]()
    known = [*nbtoolkit.instruments.default(), nbtoolkit.instruments.step_alignment]
    items = [item.using(every=1) for item in known]
    named = zip(problem.models.values(), problem.optimizers.values(), strict=False)
    runs = [nbtoolkit.watch(model, optimizer, instruments=items, **options) for model, optimizer in named]
    for step in range(STEPS):
        if forked and step in FORKS:
            runs[0].fork(problem.step, steps=5, **FORKS[step])
        problem.step()
    for run in runs:
        run.detach()
    return {**everything(problem), "extras": problem.extras, "recorded": [recorded(run) for run in runs]}, runs


@pytest.mark.parametrize("name", problems.ALL)
def test_the_parent_goes_on_bit_for_bit_and_a_twin_without_change_makes_its_steps(name: str) -> None:
    plain, undisturbed = trained(name, forked=False)
    forked, runs = trained(name, forked=True)
    assert differences(plain, forked) == []
    twin, other = runs[0].forks
    for key in ("loss", "grad_norm", "weight_norm", "update_ratio"):
        for variable, values in twin[key].data_vars.items():
            assert values.values.tobytes() == runs[0][key][variable].values[3:8].tobytes(), (key, variable)
    assert (twin["loss"]["step"].values.tolist(), other["loss"]["step"].values.tolist()) == (
        [3, 4, 5, 6, 7], [9, 10, 11, 12, 13]
    )  # fmt: skip
    assert not np.array_equal(other["loss"]["loss"].values, runs[0]["loss"]["loss"].values[9:14])
    assert [run.notes for run in runs] == [run.notes for run in undisturbed]
    assert twin.notes == other.notes == []


def test_a_forks_run_is_like_any_other(problem: problems.Problem, run: nbtoolkit.Run, tmp_path: Any) -> None:
    twin = run.fork(problem.step, steps=6, lr=0.5, seed=2, every=3)
    again = run.fork(problem.step, steps=1, lr=0.5, seed=2)
    assert (twin.name, again.name) == ("cnn fork@4 lr=0.5 seed=2", "cnn fork@4 lr=0.5 seed=2 (2)")
    assert (twin.step, twin.state, run.step, run.state) == (10, "finished", 4, "watching")
    assert list(twin.record.groups) == list(run.record.groups)[: len(twin.record.groups)]
    facts = {"parent": "cnn", "fork_step": 4, "changes": {"lr": 0.5, "seed": 2}}
    assert facts.items() <= twin.data.attrs.items()
    assert twin["lr"]["lr"].values[0].tolist() == [0.5]
    status = twin.status()
    assert status.steps_per_second == pytest.approx(6 / status.elapsed)
    twin.save(tmp_path / "twin.zarr")
    opened = nbtoolkit.open_run(tmp_path / "twin.zarr")
    assert opened.data.attrs["changes"] == {"lr": 0.5, "seed": 2}
    assert opened.status().steps_per_second == pytest.approx(status.steps_per_second)
    assert opened["loss"].equals(twin["loss"])
    with pytest.raises(WatchError, match="there is no model to measure, only what was recorded"):
        twin.measure(nbtoolkit.instruments.weight_norm)


def test_the_parents_store_and_clocks_know_nothing_of_it(tmp_path: Any) -> None:
    problem = problems.mlp()
    items = [nbtoolkit.instruments.loss, nbtoolkit.instruments.step_time.using(every=1)]
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=items, store=tmp_path / "run.zarr") as run:
        problem.train(2)
        before = run.status().elapsed

        def slow() -> None:
            problem.step()
            threading.Event().wait(0.05)

        run.fork(slow, steps=8)
        assert run.status().elapsed - before < 0.3
        problem.train(2)
    opened = nbtoolkit.open_run(tmp_path / "run.zarr")
    assert opened["loss"]["step"].values.tolist() == [0, 1, 2, 3]
    assert opened["loss"].equals(run["loss"])
    assert opened["twin_divergence"]["distance"].values.tolist() == [[0.0], [0.0]]
    assert run["step_time"]["seconds"].max() < 0.3  # of 0.4 that the twin took


def test_values_logged_by_the_step_go_to_the_twin(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    def step() -> None:
        problem.step()
        run.log(mine=1.5)
        run.log_terms(ce=0.5)

    twin = run.fork(step, steps=2)
    assert twin["mine"]["step"].values.tolist() == [5, 6]
    assert "mine" not in run.record.groups


def test_forks_inside_a_discovered_loop_and_of_two_runs() -> None:
    problem = problems.gan()
    with Discovery({**problem.models, **problem.optimizers}) as found:
        problem.step()
        generator = next(run for run in found.runs if run.name == "opt_g")
        twin = generator.fork(problem.step, steps=2, lr=0.5)
        problem.step()
    assert [run.step for run in found.runs] == [2, 2]
    assert len(found.runs) == 2
    assert (twin.step, twin["loss"].sizes["step"]) == (3, 2)


def test_a_fork_goes_on_from_the_end_of_a_run() -> None:
    problem = problems.cnn()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(3)
    before = everything(problem)
    twin = run.fork(problem.step, steps=4)
    assert (twin.step, run.step, run.state) == (7, 3, "finished")
    assert differences(before, everything(problem)) == []
    assert not problem.optimizer._optimizer_step_pre_hooks


def test_hooks_keep_their_order_and_number(problem: problems.Problem, run: nbtoolkit.Run) -> None:
    problem.optimizer.register_step_pre_hook(lambda *_: None)
    before = list(problem.optimizer._optimizer_step_pre_hooks.items())
    run.fork(problem.step, steps=2)
    assert list(problem.optimizer._optimizer_step_pre_hooks.items()) == before


def test_an_optimizer_that_first_steps_in_a_fork_is_found_afterwards() -> None:
    problem = problems.gan()
    generator, optimizer = problem.models["generator"], problem.optimizers["opt_g"]

    def alone() -> None:
        optimizer.zero_grad()
        generator(torch.ones(2, 4)).square().mean().backward()
        optimizer.step()

    with Discovery({**problem.models, **problem.optimizers}) as found:
        alone()
        found.runs[0].fork(problem.step, steps=2)
        assert [run.name for run in found.runs] == ["opt_g"]
        problem.step()
    assert [(run.name, run["loss"].sizes["step"]) for run in found.runs] == [("opt_g", 2), ("opt_d", 1)]
    assert found.runs[1]["loss"]["loss"].values == pytest.approx(problem.extras["seen"]["opt_d"], rel=1e-6)


def test_a_step_may_draw_from_an_iterator_over_a_list() -> None:
    problem = problems.mlp()
    model, optimizer = problem.model, problem.optimizer
    batches, drawn = itertools.cycle([(torch.randn(4, 8), i) for i in range(5)]), []

    def step() -> None:
        x, place = next(batches)
        drawn.append(place)
        run.log(place=place)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    with nbtoolkit.watch(model, optimizer) as run:
        step()
        twin = run.fork(step, steps=6)
        for _ in range(6):
            step()
    assert drawn == [0, 1, 2, 3, 4, 0, 1]
    assert twin["place"]["place"].values.tolist() == drawn[1:]


def test_what_was_measured_before_is_safe_from_the_twin() -> None:
    @nbtoolkit.instrument(outputs={"slope": nbtoolkit.Var(("unit",), "1", "the loop's own tensor")})
    def slope(grads: Any, /) -> dict[str, Any]:
        return {"slope": grads["2.bias"]}

    problem = problems.accumulation(set_to_none=False)
    bias = problem.model.get_parameter("2.bias")

    def step() -> None:
        problem.step()
        run.collect()  # as the thread does that writes the store

    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[slope]) as run:
        run.next_flush = float("inf")
        problem.step()
        assert bias.grad is not None
        expected = bias.grad.tolist()
        run.fork(step, steps=1)
    assert run["slope"]["slope"].values.tolist() == [expected]
