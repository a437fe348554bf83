"""Hidden units and gradients of loss terms from the steps of the loop itself."""

import contextlib
import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit import Var, instrument
from nbtoolkit.capture.watch import Discovery
from nbtoolkit.instruments import Instrument
from tests import problems
from tests.capture.test_bit_for_bit import differences, everything

SEEN: list[dict[str, Tensor | None]] = []


def looking(every: int = 3) -> Instrument:
    SEEN.clear()

    @instrument(outputs={"mean": Var((), units="1", long_name="mean")}, every=every, cost=lambda settings: 0)
    def units(activations, /):
        """Mean of the units."""
        SEEN.append(activations)
        return {"mean": torch.stack([part.mean() for part in activations.values() if part is not None]).mean()}

    return units


def test_units_of_the_steps_own_forward_pass_at_its_cadence() -> None:
    problem, outputs = problems.mlp(), []
    layers = list(problem.model.children())
    layers[1].register_forward_hook(lambda module, args, out: outputs.append(out.detach()))
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[looking()]) as run:
        problem.train(7)
        assert layers[2]._forward_pre_hooks == {}
    assert run["units"]["step"].values.tolist() == [0, 3, 6]
    for step, seen in zip((0, 3, 6), SEEN, strict=True):
        assert seen["0"] is None
        np.testing.assert_array_equal(seen["2"], outputs[step])
    assert not any(module._forward_pre_hooks for module in problem.model.modules())


def test_at_every_step() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[looking(every=1)]) as run:
        problem.train(4)
    assert np.isfinite(run["units"]["mean"].values).all()
    assert run["units"].sizes["step"] == 4


def test_a_run_found_by_itself_begins_a_step_later() -> None:
    problem = problems.mlp()
    with Discovery({"model": problem.model}, instruments=[looking(every=10)]) as found:
        problem.train(12)
    assert found.runs[0]["units"]["step"].values.tolist() == [1, 10]
    assert np.isfinite(found.runs[0]["units"]["mean"].values).all()


def test_a_probe_goes_before_the_loop() -> None:
    problem = problems.mlp()
    probe = (torch.randn(5, 8), torch.zeros(5).long())
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[looking()], loss=F.cross_entropy, probe=probe):
        problem.train(1)
    units: Any = SEEN[0]["2"]
    assert units.shape == (5, 16)


def test_a_model_that_is_never_called_has_none_and_says_so() -> None:
    problem = problems.mlp()
    weight = next(problem.model.parameters())
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[looking()]) as run:
        for _ in range(2):
            weight.square().mean().backward()
            problem.optimizer.step()
    assert "no forward pass of the model was seen" in run["units"]["mean"].attrs["not_measured"]


def test_looking_changes_no_bit() -> None:
    plain = problems.cnn()
    plain.train(9)
    reached = everything(plain)
    problem = problems.cnn()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[looking(2)]):
        problem.train(9)
    assert differences(reached, everything(problem)) == []


def test_a_teacher_that_is_copied_meanwhile_is_not_seen() -> None:
    problem, outputs = problems.mlp(), []
    optimizer, (x, y) = problem.optimizer, (torch.randn(6, 8), torch.zeros(6).long())
    model: Any = problem.model
    model[1].register_forward_hook(lambda module, args, out: outputs.append(out.detach()))
    with nbtoolkit.watch(model, optimizer, instruments=[looking(2)]):
        teacher = copy.deepcopy(model)  # made while the first step is listened to
        for module in teacher.modules():
            module._forward_hooks.clear()
        for _ in range(5):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            with torch.no_grad():
                teacher(0 * x)
            loss.backward()
            optimizer.step()
    assert len(SEEN) == 3
    for seen, output in zip(SEEN, outputs[::2], strict=True):
        np.testing.assert_array_equal(seen["2"], output)


def test_a_compiled_model_trains_as_one_graph() -> None:
    def weights(watched: bool) -> list[Tensor]:
        torch._dynamo.reset()
        problem = problems.mlp()
        model: Any = torch.compile(problem.model, backend="eager", fullgraph=True)
        x, y = torch.ones(6, 8), torch.zeros(6).long()
        watching: Any = contextlib.nullcontext()
        if watched:
            watching = nbtoolkit.watch(model, problem.optimizer, instruments=[looking(2)])
        with watching:
            for _ in range(4):
                problem.optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                problem.optimizer.step()
        return [param.detach() for param in problem.model.parameters()]

    torch.testing.assert_close(weights(watched=True), weights(watched=False), rtol=0, atol=0)


# -- terms of the loss ---------------------------------------------------------------------


@instrument(outputs={"norm": Var(("term",), units="1", long_name="norm")}, every=2, cost=lambda settings: 0)
def term_norms(term_grads, /):
    """Norms of the gradients of the terms."""
    return {"norm": [torch.stack([g.norm() for g in grads.values()]).norm() for grads in term_grads.values()]}


def trained(run: nbtoolkit.Run | None, model: nn.Module, optimizer: torch.optim.Optimizer, when: str) -> list[Any]:
    torch.manual_seed(1)
    x, y, norms = torch.randn(20, 3), torch.randn(20, 1), []
    for _ in range(4):
        optimizer.zero_grad()
        terms = {"fit": (model(x) - y).square().mean(), "size": sum(p.square().sum() for p in model.parameters())}
        alone = [torch.autograd.grad(t, list(model.parameters()), retain_graph=True) for t in terms.values()]
        norms.append([float(torch.stack([g.norm() for g in grads]).norm()) for grads in alone])
        if run is not None and when == "before":
            run.log_terms(**terms)
        (terms["fit"] + terms["size"]).backward()
        if run is not None and when == "after":
            run.log_terms(**terms)
        optimizer.step()
    return norms


def linear() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def test_gradients_of_terms_are_those_of_each_alone() -> None:
    model, optimizer = linear()
    trained(None, model, optimizer, "")
    plain = model.state_dict()
    model, optimizer = linear()
    with nbtoolkit.watch(model, optimizer, instruments=[term_norms]) as run:
        norms = trained(run, model, optimizer, "before")
    found = run["term_norms"]
    assert found["step"].values.tolist() == [0, 2]
    np.testing.assert_allclose(found["norm"].values, [norms[0], norms[2]], rtol=1e-6)
    assert found["term"].values.tolist() == ["fit", "size"]
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in plain.items())


def test_terms_named_too_late_or_not_at_all_say_so() -> None:
    for when, message in (("after", "before backward"), ("never", "name them by run.log_terms")):
        model, optimizer = linear()
        with nbtoolkit.watch(model, optimizer, instruments=[term_norms]) as run:
            trained(run, model, optimizer, when)
        assert any(message in note for note in run.notes)
