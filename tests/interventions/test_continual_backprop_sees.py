"""Which passes through a model count as training, and which models are refused."""

import contextlib
import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import LossAt, fisher_diag, sharpness, unit_activity
from nbtoolkit.interventions import ContinualBackprop
from nbtoolkit.numerics.shared_copy import shared_copy
from tests.interventions.chains import batch, cnn, mlp, train


def test_only_passes_of_the_training_count() -> None:
    model: Any = mlp()
    x, y = batch(model)
    renew = ContinualBackprop(model, torch.optim.SGD(model.parameters(), lr=0.1), decay=0.0)
    model(x)
    with torch.no_grad():
        model(100 * x)
    model.eval()
    model(100 * x)
    model.train()
    params = dict(model.named_parameters())
    loss_at = LossAt(model, (100 * x, y), F.cross_entropy)
    loss_at({name: param.detach().clone().requires_grad_() for name, param in params.items()})
    copy.deepcopy(model)(100 * x)
    shared_copy(model)(100 * x)
    torch.func.vmap(lambda one: model(one[None]))(100 * x)
    renew.step()
    hidden = torch.relu(model[0](x))
    expected = hidden.abs().mean(0) * model[2].weight.abs().sum(0)
    torch.testing.assert_close(renew.utilities()[0], expected.detach())


def test_a_watched_training_is_the_unwatched_one() -> None:
    states = []
    for watched in (True, False):
        model = cnn()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        renew = ContinualBackprop(model, optimizer, rate=0.2, maturity=1)
        torch.manual_seed(5)
        probe = (torch.randn(8, 2, 8, 8), torch.randint(0, 3, (8,)))
        items = [sharpness.using(every=3), unit_activity.using(every=1), fisher_diag.using(every=1)]
        with contextlib.ExitStack() as stack:
            if watched:
                watching = nbtoolkit.watch(model, optimizer, instruments=items, loss=F.cross_entropy, probe=probe)
                run = stack.enter_context(watching)
            assert sum(train(model, optimizer, renew, 6)) > 5
            if watched:
                assert run["sharpness"].sizes["step"] > 0
        states.append({**model.state_dict(), "random": torch.get_rng_state()})
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_after_close_there_is_no_hook() -> None:
    model: Any = mlp()
    with ContinualBackprop(model, torch.optim.SGD(model.parameters(), lr=0.1)):
        assert sum(len(module._forward_pre_hooks) for module in model.modules()) == 2
    assert sum(len(module._forward_pre_hooks) for module in model.modules()) == 0


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def test_pairs_can_be_named() -> None:
    model = Branches()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    renew = ContinualBackprop(model, optimizer, rate=0.1, maturity=0, pairs=[("first", "second")])
    model(torch.randn(4, 6))
    assert renew.step() == 1


WORD: Any = "often"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": -0.1}, "rate=-0.1"), ({"rate": WORD}, "rate='often'"), ({"maturity": 1.5}, "maturity=1.5"),
        ({"decay": 1.0}, "decay=1.0"), ({"seed": -1}, "seed=-1"), ({"pairs": [("0", "4")]}, "10 units .* reads 8"),
        ({"pairs": [("0", "1")]}, "got a ReLU"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    model: Any = mlp()
    with pytest.raises(ValueError, match=message):
        ContinualBackprop(model, torch.optim.SGD(model.parameters(), lr=0.1), **settings)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2)), "1 linear and convolutional layers, and so no hidden"),
        (Branches(), "order of the layers in a Branches is not known; give the pairs"),
        (nn.Sequential(nn.Conv1d(2, 4, 1), nn.Conv1d(4, 4, 1, groups=2)), "convolution in groups"),
    ],
)
def test_layers_that_make_no_chain_are_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContinualBackprop(model, torch.optim.SGD(model.parameters(), lr=0.1))


def test_a_step_without_a_forward_pass_is_refused() -> None:
    model: Any = mlp()
    renew = ContinualBackprop(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="needs a forward pass in train mode before each step"):
        renew.step()
