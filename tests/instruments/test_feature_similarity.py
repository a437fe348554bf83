"""CKA of layers now against another model, and among each other."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import LossAt, Unknown, feature_similarity
from nbtoolkit.numerics.similarity import linear_cka, representation
from tests.instruments.models import digits, network, parameters, passed, probe_of, trained


def cka(x: torch.Tensor, y: torch.Tensor, *, debiased: bool = False) -> float:
    return linear_cka(representation(x), representation(y), debiased=debiased)


def test_it_is_the_cka_of_the_outputs_of_each_layer() -> None:
    one, other, (x, _) = trained(0), trained(1), digits()
    found = feature_similarity(probe_of(one), parameters(one), passed(), other=other)
    hidden, out = ([model[0](x), model(x)] for model in (one, other))
    assert found["cka"][0] == pytest.approx(cka(hidden[0], out[0]), rel=1e-5)
    assert found["cka"][1] == pytest.approx(cka(hidden[1], out[1]), rel=1e-5)
    assert found["debiased_cka"][0] == pytest.approx(cka(hidden[0], out[0], debiased=True), rel=1e-4)
    assert found["layer_cka"][0, 1] == pytest.approx(cka(hidden[0], hidden[1]), rel=1e-5)
    np.testing.assert_array_equal(found["layer_cka"], found["layer_cka"].T)
    np.testing.assert_array_equal(np.diag(found["layer_cka"]), np.ones(2))
    kept = feature_similarity(probe_of(one), parameters(one), passed(parameters(other), parameters(one)))
    for name, value in found.items():
        np.testing.assert_array_equal(value, kept[name])


def test_a_frozen_layer_is_exactly_one() -> None:
    one = trained(0)
    state = {**one.state_dict(), **{k: v for k, v in network(4).state_dict().items() if k.startswith("3")}}
    found = feature_similarity(probe_of(one), parameters(one), passed(), other=state)
    assert found["cka"][0] == found["debiased_cka"][0] == 1.0
    assert found["cka"][1] < 0.99


def test_examples_are_taken_from_all_of_the_probe_and_few_are_noticed() -> None:
    one, other = trained(0), network(7)
    whole = feature_similarity(probe_of(one), parameters(one), passed(), other=other)
    some = feature_similarity(probe_of(one), parameters(one), passed(), other=other, examples=30)
    assert some["cka"][0] > whole["cka"][0]
    assert abs(some["debiased_cka"][0] - whole["debiased_cka"][0]) < abs(some["cka"][0] - whole["cka"][0])
    tiny = feature_similarity(probe_of(one), parameters(one), passed(), other=other, examples=3)
    assert np.isfinite(tiny["cka"]).all()
    assert np.isnan(tiny["debiased_cka"]).all()


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.view(-1, 8, 8)
        return self.out(self.attention(x, x, x)[0].flatten(1))


def test_layers_that_are_not_called_or_not_asked_for_are_blank() -> None:
    model = Attending()
    found = feature_similarity(probe_of(model), parameters(model), passed(), other=Attending())
    assert [bool(np.isfinite(value)) for value in found["cka"]] == [True, False, True]
    assert np.isfinite(found["layer_cka"][[0, 2]][:, [0, 2]]).all()
    assert np.isnan(found["layer_cka"][1]).all()
    one = feature_similarity(probe_of(model), parameters(model), passed(), other=Attending(), layers=["out"])
    assert [bool(np.isfinite(value)) for value in one["cka"]] == [False, False, True]
    with pytest.raises(
        ValueError, match=r"no layer 'in' is trained here; there are: attention, attention\.out_proj, out"
    ):
        feature_similarity(probe_of(model), parameters(model), passed(), layers=["in"])


def test_without_another_model_the_layers_are_still_compared() -> None:
    model = trained(0)
    found = feature_similarity.measure(probe_of(model), parameters(model), passed(parameters(model)))
    assert isinstance(found["cka"], Unknown)
    assert bool(torch.isfinite(found["layer_cka"]).all())
    function = LossAt(model, lambda model: model(digits()[0]).sum())
    with pytest.raises(ValueError, match="cannot be cut into examples"):
        feature_similarity(function, parameters(model), passed())


def test_in_a_run_layers_have_their_names() -> None:
    model, (x, y) = network(0, norm=True), digits(100)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seldom = feature_similarity.using(every=3)
    with nbtoolkit.watch(model, optimizer, instruments=[seldom], loss=F.cross_entropy, probe=(x, y), budget=1e6) as run:
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    found = run["feature_similarity"]
    assert list(found.layer.values) == list(found.layer_other.values) == ["0", "1", "3"]
    assert np.isnan(found.cka.sel(step=0)).all()
    assert np.isfinite(found.layer_cka).all()
    assert bool((found.cka.sel(step=3) <= 1 + 1e-12).all())
