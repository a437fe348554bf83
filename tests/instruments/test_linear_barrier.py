"""The barrier between two trained models, and between a model and its past."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import LossAt, Unknown, linear_barrier
from tests import problems
from tests.instruments.models import digits, network, parameters, passed, probe_of, trained


def test_the_other_may_be_a_module_its_state_or_the_oldest_copy() -> None:
    one, other = trained(0), trained(1)
    found = linear_barrier(probe_of(one), parameters(one), passed(), other=other, points=11, layers=True)
    for given, kept in ((other.state_dict(), passed()), (None, passed(*map(parameters, (other, network(5), one))))):
        again = linear_barrier(probe_of(one), parameters(one), kept, other=given, points=11, layers=True)
        for name, value in found.items():
            np.testing.assert_array_equal(value, again[name])
    assert found["barrier"] > 0.1
    assert found["error_barrier"] > 0.01
    x, y = digits()
    with torch.no_grad():
        assert found["path_loss"][0] == pytest.approx(float(F.cross_entropy(other(x), y).detach()), rel=1e-5)
        assert found["path_loss"][-1] == float(F.cross_entropy(one(x), y))
        assert found["path_error"][-1] == pytest.approx(float((one(x).argmax(1) != y).double().mean()), abs=1e-7)
    assert found["layer_barrier"].shape == (2,)


def wells(sign: float) -> nn.ModuleDict:
    model = nn.ModuleDict({"low": nn.Linear(1, 1, bias=False), "high": nn.Linear(1, 1, bias=False)})
    with torch.no_grad():
        for layer in model.values():
            layer.weight.fill_(sign)  # type: ignore[operator]
    return model


def two_hills(model: nn.Module) -> torch.Tensor:
    hills = [(model[name].weight ** 2 - 1).square().sum() for name in ("low", "high")]  # type: ignore[index]
    return hills[0] + 3 * hills[1]


def test_every_layer_has_its_own_hill() -> None:
    model = wells(1.0)
    found = linear_barrier(LossAt(model, two_hills), parameters(model), passed(), other=wells(-1.0), layers=True)
    np.testing.assert_allclose(found["layer_barrier"], [1, 3], rtol=1e-6)
    assert found["barrier"] == pytest.approx(4, rel=1e-6)


def test_to_itself_it_is_exactly_zero() -> None:
    for norm in (False, True):
        model = trained(0, norm)
        found = linear_barrier(probe_of(model), parameters(model), passed(), other=model, layers=True)
        assert found["barrier"] == found["error_barrier"] == 0
        np.testing.assert_array_equal(found["layer_barrier"], np.zeros(3 if norm else 2))
        assert len(set(found["path_loss"])) == 1


def test_what_there_is_none_of_is_told() -> None:
    model = trained(0)
    alone = linear_barrier.measure(probe_of(model), parameters(model), passed(parameters(model)))
    assert all(isinstance(value, Unknown) and "give other=" in value.reason for value in alone.values())
    function = LossAt(model, lambda model: model(digits()[0]).square().mean())
    found = linear_barrier.measure(function, parameters(model), passed(), other=trained(1), points=3)
    assert isinstance(found["path_error"], Unknown)
    assert isinstance(found["error_barrier"], Unknown)
    assert "hides the outputs" in found["path_error"].reason
    assert isinstance(found["layer_barrier"], Unknown)
    assert "layers=True" in found["layer_barrier"].reason
    with pytest.raises(ValueError, match=r"not of one architecture: 0\.weight has the shapes \(64, 64\) and \(8, 64\)"):
        linear_barrier(probe_of(model), parameters(model), passed(), other=network(0, width=8))


def test_frozen_parameters_of_the_other_count_too() -> None:
    one, other = network(0), network(1)
    some = {name: param for name, param in parameters(one).items() if name.startswith("3")}
    found = linear_barrier(probe_of(one), some, passed(), other=other, points=2)
    x, y = digits()
    assert found["path_loss"][0] == pytest.approx(float(F.cross_entropy(other(x), y).detach()), rel=1e-5)


def test_in_a_run_it_sees_its_own_past_and_afterwards_other_models() -> None:
    problem = problems.mlp()
    probe = (torch.randn(64, 8), torch.randint(0, 3, (64,)))
    start = {name: tensor.clone() for name, tensor in problem.model.state_dict().items()}
    item = linear_barrier.using(every=5, points=5)
    with nbtoolkit.watch(
        problem.model, problem.optimizer, instruments=[item], loss=F.cross_entropy, probe=probe, budget=1e6
    ) as run:
        problem.train(11)
    found = run["linear_barrier"]
    assert list(found.alpha.values) == [0, 0.25, 0.5, 0.75, 1]
    assert np.isnan(found.barrier.sel(step=0))
    assert "give other=" in found.barrier.attrs["not_measured"]
    assert np.isfinite(found.path_loss.sel(step=[5, 10])).all()
    later = run.measure(linear_barrier, other=start, points=5, layers=True).isel(step=-1)
    assert float(later.path_loss[0]) == pytest.approx(float(found.path_loss.sel(step=5)[0]), rel=1e-5)
    assert list(later.layer.values) == ["0", "2"]
    assert np.isfinite(later.layer_barrier).all()
    assert isinstance(problem.model, nn.Module)
