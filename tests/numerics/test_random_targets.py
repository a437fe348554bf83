"""Training on the side: the steps of torch's own optimizers, on classes of its own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nbtoolkit.numerics import random_targets
from nbtoolkit.numerics.loss_at import LossAt


def problem() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    return model, torch.randn(20, 5, dtype=torch.float64), torch.arange(20) % 4


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_the_steps_are_those_of_torch(name: str, kind: type) -> None:
    model, x, y = problem()
    params = dict(model.named_parameters())
    before = {key: param.detach().clone() for key, param in params.items()}
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    found = random_targets.train(loss_at, params, x, y, 1, steps=12, lr=0.05, optimizer=name)
    for key, param in params.items():
        assert torch.equal(param, before[key])
        assert param.grad is None
    optimizer, losses = kind(model.parameters(), lr=0.05), []
    for _ in range(12):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        losses.append(loss.detach())
        loss.backward()
        optimizer.step()
    losses.append(F.cross_entropy(model(x), y).detach())
    torch.testing.assert_close(found.loss, torch.stack(losses), rtol=1e-12, atol=0)
    assert float(found.accuracy) == float((model(x).argmax(1) == y).double().mean())


def test_what_needs_no_gradient_stays_as_it_is() -> None:
    model, x, y = problem()
    params = {name: param.detach() for name, param in model.named_parameters()}
    params["2.bias"].requires_grad_()
    loss_at = LossAt(model, (x, y), F.cross_entropy)
    found = random_targets.train(loss_at, params, x, y, 1, steps=300, lr=0.5, optimizer="sgd")
    bias = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        fixed = model(x) - params["2.bias"]
    best = torch.optim.LBFGS([bias], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-16)

    def closure() -> torch.Tensor:
        best.zero_grad()
        loss = F.cross_entropy(fixed + bias, y)
        loss.backward()
        return loss

    best.step(closure)
    assert float(found.loss[-1]) == pytest.approx(float(closure().detach()), abs=1e-6)
    nothing = {name: param.detach() for name, param in params.items()}
    with pytest.raises(ValueError, match="none of the parameters that are trained"):
        random_targets.train(loss_at, nothing, x, y, 1, steps=1, lr=0.5, optimizer="sgd")


def test_classes_are_drawn_once_for_a_seed_and_leave_the_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    outputs, targets = torch.zeros(1000, 3), torch.zeros(1000, dtype=torch.long)
    one, dim = random_targets.draw(outputs, targets, 0)
    again, _ = random_targets.draw(outputs, targets, 0)
    other, _ = random_targets.draw(outputs, targets, 1)
    assert dim == 1
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(abs(int((one == k).sum()) - 333) < 60 for k in range(3))


def test_the_dim_of_the_classes_follows_from_outputs_or_targets() -> None:
    labels = torch.zeros(4, 6, dtype=torch.long)
    assert random_targets.draw(torch.zeros(4, 6, 5), labels, 0)[0].shape == (4, 6)
    assert random_targets.draw(torch.zeros(4, 6, 5), labels, 0)[1] == 2
    assert random_targets.draw(torch.zeros(4, 5, 6), labels, 0)[1] == 1
    assert random_targets.draw(torch.zeros(4, 5), torch.zeros(4, 5), 0)[1] == 1  # of a regression
    with pytest.raises(ValueError, match="single output"):
        random_targets.draw(torch.zeros(4, 1), torch.zeros(4, 1), 0)
    with pytest.raises(ValueError, match="the targets are no class labels"):
        random_targets.draw(torch.zeros(4, 6, 5), torch.zeros(4, 6, 5), 0)
