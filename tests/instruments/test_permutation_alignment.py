"""Distance and barrier before and after the units are matched."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.instruments import LossAt, Unknown, linear_barrier, permutation_alignment
from nbtoolkit.numerics.layer_graph import symmetries
from tests.instruments.models import digits, parameters, passed, probe_of, trained


def shuffled(model: nn.Module, seed: int = 3) -> dict[str, Tensor]:
    found = symmetries(model, digits()[0])
    return found.permuted(model.state_dict(), found.random_permutations(seed))


@pytest.mark.parametrize("norm", [False, True])
def test_a_permuted_copy_is_recovered_exactly(norm: bool) -> None:
    model = trained(0, norm)
    found = permutation_alignment(probe_of(model), parameters(model), passed(), other=shuffled(model))
    assert found["distance_before"] > 1
    assert found["barrier_before"] > 0.05
    assert found["distance_after"] == found["barrier_after"] == 0
    assert found["moved"] > 0.9


def test_two_trained_networks_come_together() -> None:
    one, other = trained(0), trained(1)
    found = permutation_alignment(probe_of(one), parameters(one), passed(), other=other)
    assert found["barrier_after"] < 0.1 * found["barrier_before"]
    assert found["distance_after"] < found["distance_before"]
    assert found["path_after"][0] == pytest.approx(found["path_before"][0], rel=1e-5)  # the same function
    assert found["path_after"][-1] == found["path_before"][-1]
    plain = linear_barrier(probe_of(one), parameters(one), passed(), other=other)
    np.testing.assert_allclose(found["path_before"], plain["path_loss"], rtol=1e-5)
    apart = torch.stack([(parameters(one)[n] - parameters(other)[n]).square().sum() for n in parameters(one)])
    assert found["distance_before"] == pytest.approx(float(apart.sum().sqrt()), rel=1e-6)
    kept = permutation_alignment(probe_of(one), parameters(one), passed(parameters(other), parameters(one)))
    for name, value in found.items():
        np.testing.assert_array_equal(value, kept[name])


def test_nothing_moves_between_a_model_and_itself() -> None:
    model = trained(0)
    found = permutation_alignment(probe_of(model), parameters(model), passed(), other=model)
    assert found["moved"] == found["distance_after"] == found["distance_before"] == 0


def test_both_models_are_left_as_they_are() -> None:
    one, other = copy.deepcopy(trained(0, True)), copy.deepcopy(trained(1, True))
    before = copy.deepcopy([one.state_dict(), other.state_dict()])
    state = torch.get_rng_state()
    permutation_alignment(probe_of(one), parameters(one), passed(), other=other)
    assert torch.equal(torch.get_rng_state(), state)
    for model, kept in zip((one, other), before, strict=True):
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, kept[name])
        assert all(param.grad is None for param in model.parameters())


class Unseen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.memory = nn.Linear(64, 12), nn.LSTM(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.memory(self.layer(x))[0]


def test_what_is_not_understood_is_refused_with_the_reason() -> None:
    model = Unseen()
    with pytest.raises(ValueError, match=r"memory \(LSTM\): .* symmetries of the model are unknown"):
        permutation_alignment(probe_of(model), parameters(model), passed(), other=Unseen())
    plain = trained(0)
    function = LossAt(plain, lambda model: F.cross_entropy(model(digits()[0]), digits()[1]))
    with pytest.raises(ValueError, match="hides the inputs that a trace of the model needs"):
        permutation_alignment(function, parameters(plain), passed(), other=trained(1))
    alone = permutation_alignment.measure(probe_of(plain), parameters(plain), passed(parameters(plain)))
    assert all(isinstance(value, Unknown) for value in alone.values())
