"""Barriers against one-point evaluations, exact cases, and what is refused."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from nbtoolkit.numerics.barriers import barrier, layer_barriers, other_params, path, whole_params
from nbtoolkit.numerics.loss_at import LossAt


class Quartic(nn.Module):
    """``(w^2 - 1)^2``, and a parameter that does nothing."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))

    def forward(self) -> Tensor:
        return (self.w.square() - 1).square().sum()


def params(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def network(seed: int, *, norm: bool = False) -> nn.Sequential:
    """Trained, so that two of them lie in different valleys."""
    torch.manual_seed(seed)
    layers = [nn.Linear(5, 8), nn.BatchNorm1d(8) if norm else nn.Tanh(), nn.ReLU(), nn.Linear(8, 3)]
    model, (x, y) = nn.Sequential(*layers).double(), probe()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def probe() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (40,), generator=generator)


def test_between_the_minima_of_a_double_well_it_is_the_hill() -> None:
    loss_at = LossAt(Quartic(0.0), lambda model: model())
    found = path(loss_at, params(Quartic(-1.0)), params(Quartic(1.0)), points=21)
    torch.testing.assert_close(found.loss, ((2 * found.fractions - 1).square() - 1).square(), rtol=0, atol=1e-14)
    assert barrier(found.fractions, found.loss) == pytest.approx(1.0, abs=1e-14)
    assert found.no_error
    assert found.error.isnan().all()


def test_it_is_measured_from_the_chord_and_never_below_zero() -> None:
    a = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert barrier(a, 3 + 4 * a) == pytest.approx(0, abs=1e-15)
    assert barrier(a, a.square()) == 0
    assert barrier(a, 2 * a + a * (1 - a)) == pytest.approx(0.25)
    assert barrier(a, 5 - 5 * a + torch.where(a == a[3], 2.0, 0.0)) == pytest.approx(2.0)
    assert np.isnan(barrier(a, torch.where(a == a[3], torch.nan, a)))
    assert barrier(a, torch.where(a == a[3], torch.inf, a)) == np.inf


def test_every_point_is_the_loss_and_the_error_there() -> None:
    one, other, (x, y) = network(0), network(1), probe()
    found = path(LossAt(one, (x, y), F.cross_entropy), params(one), params(other), points=7)
    for a, loss, error in zip(found.fractions, found.loss, found.error, strict=True):
        at = {name: (1 - a) * param + a * params(other)[name] for name, param in params(one).items()}
        out = functional_call(one, at, (x,))
        assert float(loss) == pytest.approx(float(F.cross_entropy(out, y)), abs=1e-12)
        assert float(error) == pytest.approx(float((out.argmax(1) != y).double().mean()), abs=1e-7)
    assert found.no_error == ""


@pytest.mark.parametrize("norm", [False, True])
def test_it_is_zero_to_itself_and_the_same_from_both_ends(norm: bool) -> None:
    one, other = network(0, norm=norm), network(1, norm=norm)
    loss_at = LossAt(one, probe(), F.cross_entropy)
    same = path(loss_at, params(one), {name: param.clone() for name, param in params(one).items()})
    assert barrier(same.fractions, same.loss) == barrier(same.fractions, same.error) == 0.0
    assert len(same.loss.unique()) == 1
    there, back = (path(loss_at, *ends) for ends in ((params(one), params(other)), (params(other), params(one))))
    torch.testing.assert_close(there.loss, back.loss.flip(0), rtol=1e-12, atol=0)
    assert barrier(there.fractions, there.loss) > 1e-3
    for of in ("loss", "error"):
        ends = [barrier(found.fractions, getattr(found, of)) for found in (there, back)]
        assert ends[0] == pytest.approx(ends[1], abs=1e-12)


def test_statistics_are_estimated_anew_where_there_are_running_ones() -> None:
    one, other, (x, y) = network(0, norm=True), network(1, norm=True), probe()
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    loss_at = LossAt(one, [(x[:30], y[:30]), (x[30:], y[30:])], F.cross_entropy)
    found = path(loss_at, params(one), params(other), points=3)
    middle = {name: (param + params(other)[name]) / 2 for name, param in params(one).items()}
    hidden = F.batch_norm(
        F.linear(x, middle["0.weight"], middle["0.bias"]), None, None, middle["1.weight"], middle["1.bias"], True
    )
    out = F.linear(hidden.relu(), middle["3.weight"], middle["3.bias"])
    assert float(found.loss[1]) == pytest.approx(float(F.cross_entropy(out, y)), abs=1e-12)
    frozen = path(loss_at, params(one), params(other), points=3, statistics="frozen")
    expected = functional_call(network(0, norm=True).eval(), middle, (x,))
    assert float(frozen.loss[1]) == pytest.approx(float(F.cross_entropy(expected, y)), abs=1e-12)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_one_layer_moves_at_a_time_and_the_rest_is_of_the_second() -> None:
    one, other, (x, y) = network(0), network(1), probe()
    loss_at = LossAt(one, (x, y), F.cross_entropy)
    found = dict(layer_barriers(loss_at, params(one), params(other), points=9))
    assert list(found) == ["0", "3"]
    for layer, value in found.items():
        start = {n: params(one)[n] if n.startswith(layer) else p for n, p in params(other).items()}
        whole = path(loss_at, start, params(other), points=9)
        assert value == barrier(whole.fractions, whole.loss)
    assert found["0"] > 1e-4
    assert dict(layer_barriers(loss_at, params(one), params(one))) == {"0": 0.0, "3": 0.0}


def test_another_model_is_taken_in_every_form_and_refused_by_name() -> None:
    one, other = network(0, norm=True), network(1, norm=True)
    loss_at = LossAt(one, probe(), F.cross_entropy)
    own = whole_params(loss_at, {"0.weight": one[0].weight})  # type: ignore[dict-item]
    assert own.keys() == params(one).keys()
    for form in (other, other.state_dict(), params(other), {n: p.float() for n, p in params(other).items()}):
        taken = other_params(loss_at, own, form)
        assert list(taken) == list(own)
        torch.testing.assert_close(taken["3.weight"], params(other)["3.weight"], rtol=1e-6, atol=1e-7)
    state = other.state_dict()
    wrong = {
        r"only the first has 3\.bias": {name: part for name, part in state.items() if name != "3.bias"},
        r"only the second has 4\.weight": {**state, "4.weight": torch.zeros(2)},
        r"0\.bias has the shapes \(8,\) and \(9,\)": {**state, "0.bias": torch.zeros(9)},
        "other is a float; give a state dict or a module": 1.5,
        "other is a dict; give a state dict": {"0.bias": 3.0},
    }
    for message, given in wrong.items():
        with pytest.raises(ValueError, match=message):
            other_params(loss_at, own, given)
    with pytest.raises(ValueError, match="points=1: a line needs its two ends"):
        path(loss_at, own, own, points=1)


def test_tied_weights_are_one() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    model[1].weight = model[0].weight
    loss_at = LossAt(model, lambda model: model(torch.eye(3, dtype=torch.float64)).square().sum())
    own = whole_params(loss_at, params(model))
    taken = other_params(loss_at, own, {name: part + 1 for name, part in model.state_dict().items()})
    assert list(taken) == ["0.weight"]
    end = own["0.weight"] + 1
    assert float(path(loss_at, own, taken).loss[-1]) == pytest.approx(float((end @ end).square().sum()))
