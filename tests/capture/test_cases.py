"""What loops do besides training: stop, fail, grow, repeat, nest."""

import gc
import traceback
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Discovery, taps
from tests import problems


def assert_nothing_is_left(*optimizers: torch.optim.Optimizer) -> None:
    assert not taps._watchers
    assert not taps._originals
    assert torch.autograd.backward.__module__ == "torch.autograd"
    for optimizer in optimizers:
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize(("error", "state"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_an_exception_in_the_loop_leaves_no_hooks_and_keeps_the_data(error: type, state: str) -> None:
    problem = problems.mlp()
    run = nbtoolkit.watch(problem.model, problem.optimizer)

    def loop() -> None:
        problem.train(5)
        raise error("mine")

    with pytest.raises(error, match="mine") as caught, run:
        loop()
    assert_nothing_is_left(problem.optimizer)
    assert run.state == state
    assert len(run["loss"]["step"]) == 5
    assert "nbtoolkit" not in "".join(traceback.format_exception(caught.value)).split("in loop")[1]


def test_a_failing_backward_shows_the_users_traceback_without_our_frames() -> None:
    problem = problems.mlp()
    problem.train(1)

    def loop() -> None:
        loss = problem.model(torch.randn(4, 8)).sum()
        loss.backward()
        loss.backward()

    def names(watched: bool) -> list[str]:
        try:
            if watched:
                with nbtoolkit.watch(problem.model, problem.optimizer):
                    loop()
            else:
                loop()
        except RuntimeError as error:
            return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        raise AssertionError("the second backward passed")

    assert names(watched=True) == names(watched=False)


def test_a_failing_closure_shows_no_frame_of_ours() -> None:
    problem = problems.lbfgs()

    def closure() -> float:
        raise ValueError("in the closure")

    with pytest.raises(ValueError, match="in the closure") as caught:
        with nbtoolkit.watch(problem.model, problem.optimizer):
            problem.optimizer.step(closure)
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not [name for name in files if "nbtoolkit/capture" in name]


def test_the_same_loop_twice_gives_two_runs() -> None:
    problem = problems.mlp()
    runs = []
    for _ in range(2):
        with Discovery({"model": problem.model, "optimizer": problem.optimizer}) as found:
            problem.train(4)
        runs += found.runs
    assert [run.step for run in runs] == [4, 4]
    assert runs[0]["loss"]["loss"].values[-1] > runs[1]["loss"]["loss"].values[0]
    assert_nothing_is_left(problem.optimizer)


def test_watching_again_ends_the_first_watch_and_says_so() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, name="first") as first:
        problem.train(3)
        with pytest.warns(UserWarning, match="'first' was watching this optimizer"):
            second = nbtoolkit.watch(problem.model, problem.optimizer)
        with second:
            problem.train(2)
        problem.train(1)
    assert (first.step, second.step) == (3, 2)
    assert "ended at step 3" in second.status().notes[0]
    assert_nothing_is_left(problem.optimizer)


def test_nested_watches_of_two_optimizers_end_in_any_order() -> None:
    one, other = problems.mlp(), problems.cnn()
    first = nbtoolkit.watch(one.model, one.optimizer)
    second = nbtoolkit.watch(other.model, other.optimizer)
    one.train(2)
    other.train(2)
    first.detach()
    one.train(2)
    other.train(2)
    second.detach()
    assert (first.step, second.step) == (2, 4)
    assert np.isfinite(second["loss"]["loss"]).all()
    assert_nothing_is_left(one.optimizer, other.optimizer)


def test_a_watch_inside_a_discovering_cell_is_left_alone() -> None:
    problem = problems.mlp()
    with Discovery({"model": problem.model}) as found:
        with nbtoolkit.watch(problem.model, problem.optimizer) as run:
            problem.train(3)
    assert run.step == 3
    assert found.runs == []


def test_somebody_elses_wrap_of_backward_survives_ours() -> None:
    problem = problems.mlp()
    original, calls = torch.autograd.backward, []
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    ours = torch.autograd.backward

    def theirs(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        ours(*args, **kwargs)

    torch.autograd.backward = theirs
    try:
        problem.train(1)
        run.detach()
        problem.train(1)
        assert torch.autograd.backward is theirs
        assert len(calls) == 2
    finally:
        torch.autograd.backward = original


def test_a_parameter_group_added_in_mid_run_widens_the_data() -> None:
    problem = problems.mlp()
    head = nn.Linear(3, 3)
    model = nn.ModuleDict({"body": problem.model, "head": head})
    with nbtoolkit.watch(model, problem.optimizer) as run:
        problem.train(3)
        problem.optimizer.add_param_group({"params": list(head.parameters()), "lr": 0.5})
        for _ in range(3):
            problem.optimizer.zero_grad()
            F.mse_loss(head(problem.model(torch.randn(4, 8))), torch.zeros(4, 3)).backward()
            problem.optimizer.step()
    norms = run["grad_norm"]["grad_norm"].sel(param="head.weight")
    assert np.isnan(norms[:3]).all()
    assert np.isfinite(norms[3:]).all()
    assert run["lr"]["lr"].sel(group=1).values[-1] == 0.5


def test_a_tensor_that_grows_in_place_keeps_its_name_and_loses_its_distance() -> None:
    problem = problems.mlp()
    last = problem.model[2]  # type: ignore[index]
    instruments = [item.using(every=1) for item in nbtoolkit.instruments.known().values()]
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=instruments) as run:
        problem.train(2)
        for tensor, shape in ((last.weight, (5, 16)), (last.bias, (5,))):
            grown = torch.zeros(shape)
            grown[:3] = tensor.data
            tensor.grad, tensor.data = None, grown
        problem.train(2)
    distance = run["weight_norm"]["distance"].sel(param="2.weight")
    assert np.isfinite(distance[:2]).all()
    assert np.isnan(distance[2:]).all()
    assert np.isfinite(run["update_ratio"]["update_norm"]).all()
    assert run.state == "finished"


def test_models_are_found_where_they_are() -> None:
    encoder, decoder, spare = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 4)
    free = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters(), free], lr=0.1)
    namespace = {"encoder": encoder, "decoder": decoder, "spare": spare, "optimizer": optimizer}
    with Discovery(namespace) as found:
        (decoder(encoder(torch.randn(3, 4))) * free).sum().backward()
        optimizer.step()
    names = found.runs[0]["grad_norm"]["param"].values.tolist()
    assert names == ["encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias", "group0.4"]


def test_a_model_hidden_in_a_function_is_found_in_memory() -> None:
    def train() -> None:
        problem = problems.cnn()
        problem.train(2)

    with Discovery({}) as found:
        train()
    assert "0.weight" in found.runs[0]["grad_norm"]["param"].values
    assert found.runs[0].name == "AdamW"


def test_a_compiled_models_names_are_the_models_own() -> None:
    problem = problems.compiled()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
    assert run["grad_norm"]["param"].values.tolist() == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_sparse_gradients_are_measured() -> None:
    model = nn.Embedding(9, 4, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nbtoolkit.watch(model, optimizer) as run:
        optimizer.zero_grad()
        model(torch.tensor([1, 1, 3])).pow(2).sum().backward()
        grad = model.weight.grad
        assert grad is not None
        reference = grad.to_dense().norm().item()
        optimizer.step()
    np.testing.assert_allclose(run["grad_norm"]["total"].values, [reference], rtol=1e-6)


def test_a_watched_run_frees_its_model() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
    model = weakref.ref(problem.model)
    del problem
    gc.collect()
    assert model() is None, "the finished run keeps the model alive"
    assert run.step == 2


def test_gradients_are_let_go_after_the_step() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer):
        problem.train(1)
        gradient = weakref.ref(next(problem.model.parameters()).grad)  # type: ignore[arg-type]
        problem.optimizer.zero_grad()
        assert gradient() is None, "capture holds a gradient of the last step"


def test_a_sweep_in_one_cell_is_one_run_each_and_lets_finished_models_go() -> None:
    models: list[weakref.ref] = []

    def train(lr: float) -> None:
        problem = problems.mlp(lr=lr)
        models.append(weakref.ref(problem.model))
        problem.train(3)

    with Discovery({}) as found:
        for lr in (0.1, 0.2, 0.3):
            train(lr)
            gc.collect()
        alive = [model() is not None for model in models]
    assert alive == [False, False, True]
    assert [run["lr"]["lr"].values[0, 0] for run in found.runs] == [0.1, 0.2, 0.3]
    assert [run.step for run in found.runs] == [3, 3, 3]
    assert len({run.name for run in found.runs}) == 3
