"""Copies of models that hold activations of their last pass."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.instruments import LossAt, Trajectory, feature_similarity, landscape_slice, linear_barrier
from nbtoolkit.numerics.loss_at import LossAt as Loss
from nbtoolkit.numerics.shared_copy import shared_copy


class Keeps(nn.Module):
    """Keeps activations on itself, with their graph, by name, in a list and in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)
        self.scale = torch.ones(3)
        self.seen: list[Tensor] = []
        self.named: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.h = torch.relu(self.a(x))
        self.seen, self.named = [self.h * 2], {"h": self.h + 1}
        return self.b(self.h) * self.scale


def trained() -> tuple[Keeps, Tensor, Tensor]:
    torch.manual_seed(0)
    model, x, y = Keeps(), torch.randn(16, 4), torch.randint(0, 3, (16,))
    F.cross_entropy(model(x), y).backward()
    return model, x, y


def test_it_is_around_the_same_parameters_and_has_activations_of_its_own() -> None:
    model, x, _ = trained()
    copied = shared_copy(model)
    assert isinstance(copied, Keeps)
    assert copied.a.weight is model.a.weight
    pairs = [(copied.h, model.h), (copied.seen[0], model.seen[0]), (copied.named["h"], model.named["h"])]
    for one, other in [*pairs, (copied.scale, model.scale)]:
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()
        assert one.grad_fn is None
    assert torch.equal(copied(x), model(x))


def test_a_model_that_keeps_activations_is_measured() -> None:
    model, x, y = trained()
    loss_at, params = LossAt(model, (x, y), F.cross_entropy), dict(model.named_parameters())
    other = {name: tensor + 0.1 for name, tensor in model.state_dict().items()}
    kept = model.h
    value = F.cross_entropy(model.b(torch.relu(model.a(x))), y).item()
    found = landscape_slice(loss_at, params, Trajectory(), points=3)
    assert found["loss_slice"][1, 1] == pytest.approx(value, rel=1e-6)
    assert linear_barrier(loss_at, params, Trajectory(), other=other, points=3)["path_loss"][-1] == pytest.approx(
        value, rel=1e-6
    )
    assert 0 < feature_similarity(loss_at, params, Trajectory(), other=other)["cka"].min() <= 1
    assert model.h is kept
    assert Loss.without_statistics(loss_at).model is not model


def test_what_cannot_be_copied_is_said_in_one_line() -> None:
    model, _, _ = trained()
    model.stream = (part for part in "ab")  # type: ignore[assignment]
    with pytest.raises(ValueError, match="holds something that cannot be copied"):
        shared_copy(model)
