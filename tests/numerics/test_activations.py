"""What enters the layers of a model, against the same by hand."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.activations import entering
from nbtoolkit.numerics.loss_at import LossAt


class Functional(nn.Module):
    """Activation functions that are no modules, one of them in place, a norm, and a layer that is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3)
        self.head, self.idle = nn.Linear(2 * 16, 4), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = F.dropout(F.relu_(self.norm(self.one(x))), 0.5, self.training)
        h = F.relu(self.two(h))
        out = self.head(h.flatten(1))
        h.zero_()
        return out


def by_hand(model: Functional, x: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        model.eval()
        h = F.relu(model.norm(model.one(x)))
        found = {"two": h, "head": F.relu(model.two(h)).flatten(1)}
        model.train()
    return found


def names(model: nn.Module) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name, _ in model.named_parameters()))


def test_units_enter_after_their_activation_function() -> None:
    torch.manual_seed(0)
    model, x = Functional(), torch.randn(9, 1, 8, 8)
    model(x)
    batches = [(x[:4], torch.zeros(4).long()), (x[4:], torch.zeros(5).long())]
    found = entering(LossAt(model, batches, F.cross_entropy), dict(model.named_parameters()), names(model))
    wanted = by_hand(model, x)
    assert [name for name, part in found.items() if part is not None] == ["two", "head"]
    assert list(found) == ["one", "norm", "two", "head", "idle"]
    for name, part in wanted.items():
        torch.testing.assert_close(found[name], part)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_models_own_input_is_no_hidden_unit() -> None:
    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.head = nn.Linear(6, 4), nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.left(x) * self.right(x[:, :3]))

    model, x = Towers(), torch.randn(5, 6)
    loss_at = LossAt(model, (x, torch.zeros(5).long()), F.cross_entropy)
    found = entering(loss_at, dict(model.named_parameters()), names(model))
    assert [name for name, part in found.items() if part is not None] == ["head"]


def test_tokens_are_no_units_and_positions_come_after_units() -> None:
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 7))
    tokens = torch.randint(0, 7, (5, 6))
    probe = (tokens, tokens)
    loss_at = LossAt(model, probe, lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten()))
    found: Any = entering(loss_at, dict(model.named_parameters()), ["0", "1", "3"])
    assert found["0"] is None
    torch.testing.assert_close(found["1"], model[0](tokens).mT)
    torch.testing.assert_close(found["3"], model[:3](tokens).mT)
