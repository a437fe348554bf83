"""Loops that are right but unusual: what peers and first drafts get wrong."""

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import nbtoolkit
from nbtoolkit.capture import Discovery
from nbtoolkit.errors import WatchError
from tests import problems


def test_losses_given_as_an_iterator_still_train() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        losses = [problem.model(torch.randn(4, 8)).square().mean() for _ in range(2)]
        torch.autograd.backward(iter(losses))  # type: ignore[arg-type]
        assert all(param.grad is not None for param in problem.model.parameters())
        problem.optimizer.step()
    np.testing.assert_allclose(run["loss"]["loss"], [sum(loss.item() for loss in losses)], rtol=1e-6)


def test_a_gradient_passed_to_backward_weighs_the_loss() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        loss = problem.model(torch.randn(4, 8)).square().mean()
        loss.backward(gradient=torch.tensor(0.25))
        problem.optimizer.step()
    np.testing.assert_allclose(run["loss"]["loss"], [0.25 * loss.item()], rtol=1e-6)


def test_a_backward_from_a_graph_edge_has_no_loss_and_ends_nothing() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        edge = torch.autograd.graph.get_gradient_edge(problem.model(torch.randn(4, 8)).square().mean())
        torch.autograd.backward(edge)
        problem.optimizer.step()
    assert run.state == "finished"
    assert np.isnan(run["loss"]["loss"].values).all()


def test_a_reentrant_checkpoint_does_not_pass_for_the_loss() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        x = torch.randn(4, 8, requires_grad=True)
        loss = checkpoint(problem.model, x, use_reentrant=True).square().mean()  # type: ignore[union-attr]
        loss.backward()
        problem.optimizer.step()
    assert run["loss"]["loss"].values.tolist() == [loss.item()]


def test_a_nan_gradient_makes_the_total_nan_and_a_missing_one_does_not() -> None:
    problem = problems.tied()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.step()
        problem.model.get_parameter("embed.weight").register_hook(lambda grad: grad * torch.nan)
        problem.step()
    total = run["grad_norm"]["total"].values
    assert np.isfinite(total[0])
    assert np.isnan(total[1])
    assert "grad_norm is not finite from step 1 on" in run.status().notes


def test_a_learning_rate_that_is_a_tensor_is_recorded_as_it_was() -> None:
    problem = problems.mlp()
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=torch.tensor(1.0))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with nbtoolkit.watch(problem.model, optimizer) as run:
        for _ in range(6):
            optimizer.zero_grad()
            problem.model(torch.randn(4, 8)).square().mean().backward()
            optimizer.step()
            schedule.step()
    np.testing.assert_allclose(run["lr"]["lr"].values[:, 0], 0.5 ** np.arange(6), rtol=1e-6)


def test_an_instrument_that_returns_views_of_the_weights_gets_their_values_then() -> None:
    first = nbtoolkit.Var(("param",), units="1", long_name="first entry")

    @nbtoolkit.instrument(outputs={"value": first}, cost=lambda settings: 0)
    def first_entry(params, /):
        """First entry of every parameter."""
        return {"value": [tensor.flatten()[0] for tensor in params.values()]}

    problem, seen = problems.mlp(), []
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[first_entry]) as run:
        for _ in range(5):
            seen.append([param.detach().flatten()[0].item() for param in problem.model.parameters()])
            problem.step()
    np.testing.assert_array_equal(run["first_entry"]["value"], seen)


@pytest.mark.parametrize("foreign_first", [True, False])
def test_a_loss_of_an_unwatched_model_is_not_ours(foreign_first: bool) -> None:
    ours, other, seen = problems.mlp(), problems.mlp(lr=0.5), []
    x, y = torch.randn(16, 8), torch.randint(0, 3, (16,))
    with nbtoolkit.watch(ours.model, ours.optimizer) as run:
        for _ in range(5):
            ours.optimizer.zero_grad()
            other.optimizer.zero_grad()
            mine, foreign = F.cross_entropy(ours.model(x), y), 1000 * F.cross_entropy(other.model(x), y)
            for loss in (foreign, mine) if foreign_first else (mine, foreign):
                loss.backward()
            seen.append(mine.item())
            ours.optimizer.step()
            other.optimizer.step()
    assert run["loss"]["loss"].values.tolist() == seen


def test_runs_in_two_threads_are_kept_apart() -> None:
    results: dict[int, bool] = {}

    def train(seed: int) -> None:
        torch.manual_seed(seed)
        model = nn.Linear(8, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x, seen = torch.randn(16, 8), []
        with nbtoolkit.watch(model, optimizer) as run:
            for _ in range(400):
                optimizer.zero_grad()
                loss = model(x).square().mean()
                loss.backward()
                seen.append(loss.item())
                optimizer.step()
        results[seed] = run["loss"]["loss"].values.tolist() == seen and run.step == 400

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {0: True, 1: True, 2: True}


def test_an_optimizer_that_calls_its_parents_step_makes_one_step() -> None:
    class Careful(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    problem = problems.mlp()
    optimizer = Careful(problem.model.parameters(), lr=0.1)
    with nbtoolkit.watch(problem.model, optimizer) as run:
        for _ in range(5):
            optimizer.zero_grad()
            problem.model(torch.randn(4, 8)).square().mean().backward()
            optimizer.step()
    assert run.step == 5
    assert np.isfinite(run["loss"]["loss"]).all()
    assert np.isfinite(run["update_ratio"]["total"]).all()


def test_a_step_that_raises_does_not_end_the_counting() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.step()
        problem.optimizer.param_groups[0]["lr"], kept = "broken", 0.1
        with pytest.raises((TypeError, RuntimeError)):
            problem.step()
        problem.optimizer.param_groups[0]["lr"] = kept
        problem.train(3)
    assert run.step == 4


def test_a_discovered_loop_keeps_no_graphs_alive() -> None:
    problem, old = problems.mlp(), problems.cnn()
    graphs: list[weakref.ref] = []

    class Kept(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            graphs.append(weakref.ref(ctx))
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return grad

    with Discovery({"model": problem.model, "optimizer": problem.optimizer}):
        for _ in range(20):
            problem.optimizer.zero_grad()
            Kept.apply(problem.model(torch.randn(4, 8))).square().mean().backward()  # type: ignore[union-attr]
            problem.optimizer.step()
        gc.collect()
        assert sum(graph() is not None for graph in graphs) <= 1
    assert old.optimizer is not None  # another optimizer is in memory all the while


def test_a_model_that_failed_to_be_made_does_not_stand_in_the_way() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            self.part = nn.Linear(2, 2)
            super().__init__()

    remains: list[Any] = []
    try:
        remains.append(Broken.__new__(Broken))
        remains[0].__init__()
    except AttributeError:
        pass

    def train() -> None:
        problems.cnn().train(2)

    with Discovery({"remains": remains[0]}) as found:
        train()
    assert found.complaint == ""
    assert [run.step for run in found.runs] == [2]


def test_an_interrupt_while_rows_are_taken_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbtoolkit.capture import intake

    problem, take, calls = problems.mlp(), intake.take, []

    def interrupted(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        take(*args)

    def train(run: nbtoolkit.Run) -> None:
        with run:
            run.next_flush = float("inf")
            problem.train(5)
            monkeypatch.setattr(intake, "take", interrupted)
            run.next_flush = run.next_look = 0
            problem.step()

    run = nbtoolkit.watch(problem.model, problem.optimizer)
    with pytest.raises(KeyboardInterrupt):
        train(run)
    assert {name: len(columns) for name, columns in run.record.groups.items()} == {
        "loss": 6, "lr": 6, "grad_norm": 6, "update_ratio": 1, "weight_norm": 1, "step_time": 1,
    }  # fmt: skip
    assert torch.is_grad_enabled()


def test_a_run_that_cannot_be_read_at_its_end_still_ends_and_keeps_the_users_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = problems.mlp()

    def broken(*args: Any) -> None:
        raise MemoryError("no room")

    def leaves_and_fails(run: Any) -> None:
        run.listeners.remove(leaves_and_fails)
        raise OSError("no screen")

    def train(run: nbtoolkit.Run) -> None:
        with run:
            run.next_flush = float("inf")
            run.listeners.append(leaves_and_fails)
            problem.train(2)
            monkeypatch.setattr("nbtoolkit.capture.intake.take", broken)
            raise ZeroDivisionError

    run = nbtoolkit.watch(problem.model, problem.optimizer)
    with pytest.raises(ZeroDivisionError):
        train(run)
    assert run.state == "failed"
    assert run.steps is None
    assert any("no room" in note for note in run.notes)
    assert any("no screen" in note for note in run.notes)


def test_a_logged_name_and_an_instrument_do_not_overwrite_each_other() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[nbtoolkit.instruments.loss]) as run:
        run.log(weight_norm=3.0)
        with pytest.raises(WatchError, match="has a 'weight_norm' already"):
            run.measure(nbtoolkit.instruments.weight_norm)
        run.log(tokens=torch.tensor(123456789))
    assert run["weight_norm"]["weight_norm"].values.tolist() == [3.0]
    assert run["tokens"]["tokens"].values.tolist() == [123456789.0]
