"""The diagonal of the Fisher information against closed forms and dense float64 references."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics import fisher, per_example
from nbtoolkit.numerics.fisher import Fisher, fisher_diagonal
from nbtoolkit.numerics.loss_at import LossAt


def data(count: int = 12, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(count, 5, generator=generator, dtype=torch.float64),
        torch.randint(0, classes, (count,), generator=generator),
    )


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(5, 4).double()


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()


def found(model: nn.Module, batch: Any, loss: Any = F.cross_entropy, **settings: Any) -> Fisher:
    return fisher_diagonal(LossAt(model, batch, loss), dict(model.named_parameters()), **settings)


def dense(model: nn.Module, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """One example and class after the other, by autograd; ``weights`` ``(examples, classes)``."""
    total = {name: torch.zeros_like(param) for name, param in model.named_parameters()}
    for row, of_classes in zip(x, weights, strict=True):
        for label, weight in enumerate(of_classes):
            logp = model(row[None]).log_softmax(1)[0, label]
            for name, part in zip(total, torch.autograd.grad(logp, [*model.parameters()]), strict=True):
                total[name] += weight * part**2 / len(x)
    return total


def test_softmax_regression_has_a_closed_form() -> None:
    """F of W[k, j] is mean p_k (1 - p_k) x_j^2."""
    model, (x, y) = linear(), data()
    p = model(x).softmax(1).detach()
    diagonal = found(model, (x, y)).diagonal
    torch.testing.assert_close(diagonal["weight"], (p * (1 - p)).T @ x**2 / len(x))
    torch.testing.assert_close(diagonal["bias"], (p * (1 - p)).mean(0))


def test_the_true_one_is_the_expectation_over_the_classes() -> None:
    model, (x, y) = network(), data()
    exact = dense(model, x, model(x).softmax(1).detach())
    result = found(model, (x, y))
    for name, value in result.diagonal.items():
        torch.testing.assert_close(value, exact[name])
        torch.testing.assert_close(result.squares[name].mean(), exact[name].sum())
        assert result.squares[name].shape == (len(x),)


def test_squares_belong_to_their_examples() -> None:
    model, (x, y) = network(), data()
    whole = found(model, (x, y))
    for row in (0, 7):
        alone = found(model, (x[row : row + 1], y[row : row + 1]))
        for name, value in alone.diagonal.items():
            torch.testing.assert_close(whole.squares[name][row], value.sum())


def test_the_empirical_one_has_the_labels_of_the_data() -> None:
    model, (x, y) = network(), data()
    exact = dense(model, x, F.one_hot(y, 4).double())
    for name, value in found(model, (x, y), labels="empirical").diagonal.items():
        torch.testing.assert_close(value, exact[name])


def test_the_sampled_one_is_unbiased() -> None:
    model, (x, y) = network(), data()
    exact, draws = found(model, (x, y)).diagonal, 120
    rows = [found(model, (x, y), labels="sampled", seed=seed).diagonal for seed in range(draws)]
    for name, value in exact.items():
        stack = torch.stack([row[name].sum() for row in rows])
        assert stack.std() > 0
        assert (stack.mean() - value.sum()).abs() < 4 * stack.std() / draws**0.5


def test_seeds_say_which_labels_are_drawn() -> None:
    model, batch = network(), data()
    one, same, other = (found(model, batch, labels="sampled", seed=seed).diagonal["0.weight"] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_memory_bounds_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (x, y) = network(), data()
    whole = found(model, (x, y))
    of_one = 8 * sum(param.numel() for param in model.parameters())
    for cached, held in ((5, 3), (100, 4), (5, 100), (0, 100)):  # examples
        monkeypatch.setattr(fisher, "CACHED", cached * of_one)
        monkeypatch.setattr(per_example, "BYTES", held * of_one)
        for batch in ((x, y), [(x[:5], y[:5]), (x[5:], y[5:])]):
            parts = found(model, batch)
            for name, value in whole.diagonal.items():
                torch.testing.assert_close(parts.diagonal[name], value)
                torch.testing.assert_close(parts.squares[name], whole.squares[name])


def masked(outputs: Tensor, targets: Tensor) -> Tensor:
    mask = torch.full_like(outputs[:1], -torch.inf)
    mask[:, [0, 2]] = 0
    return F.cross_entropy(outputs + mask, targets)


@pytest.mark.parametrize("labels", ["true", "sampled", "empirical"])
def test_classes_that_are_masked_have_no_information(labels: str) -> None:
    model, (x, y) = linear(), data()
    diagonal = found(model, (x, y % 2 * 2), masked, labels=labels).diagonal
    assert not diagonal["weight"][[1, 3]].any()
    if labels == "true":
        p = model(x)[:, [0, 2]].softmax(1).detach()
        torch.testing.assert_close(diagonal["weight"][[0, 2]], (p * (1 - p)).T @ x**2 / len(x))


def test_the_empirical_one_needs_no_likelihood() -> None:
    model, (x, _) = linear(), data()
    targets = torch.randn(12, 4).double()
    diagonal = found(model, (x, targets), F.mse_loss, labels="empirical").diagonal
    residual = 2 * (model(x) - targets).detach() / 4
    torch.testing.assert_close(diagonal["weight"], (residual**2).T @ x**2 / len(x))


def test_only_trained_parameters_are_there() -> None:
    model, batch = network(), data()
    model[0].requires_grad_(False)
    assert list(found(model, batch).diagonal) == ["2.weight", "2.bias"]


def test_the_model_is_in_eval_mode_and_nothing_is_touched() -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Dropout(0.5), nn.Linear(7, 4)).double()
    x, y = data()
    model(x)
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    result = found(model, (x, y), labels="sampled")
    found(model, (x, y))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(param.grad is None for param in model.parameters())
    expected = found(copy.deepcopy(model).eval(), (x, y), labels="sampled")
    for name, value in expected.diagonal.items():
        assert torch.equal(result.diagonal[name], value)


CUBE = torch.zeros(12, 2, dtype=torch.long)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": "all"}, "labels='all': expected one of true, sampled, empirical"),
        ({"seed": -1}, "seed=-1: expected a whole number"),
        ({"batch": (data()[0], CUBE)}, "labels='true' needs outputs (examples, classes)"),
        ({"loss": lambda o, t: 2 * F.cross_entropy(o, t)}, "needs a loss that is -log p of a class"),
        ({"loss": lambda o, t: F.cross_entropy(o, t, label_smoothing=0.1)}, "cannot be mapped over examples"),
        ({"batch": (data()[0] / 0, data()[1])}, "outputs on the probe are not finite"),
        ({"batch": ({"x": data()[0]}, data()[1])}, "must each be one tensor"),
    ],
)
def test_what_cannot_be_measured_is_refused(change: dict[str, Any], message: str) -> None:
    model = network()
    batch, loss = change.pop("batch", data()), change.pop("loss", F.cross_entropy)
    with pytest.raises(ValueError, match=re.escape(message)):
        found(model, batch, loss, **change)
