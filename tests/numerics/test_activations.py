"""What enters the layers of a model, against the same by hand."""

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.activations import Entering, entering
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


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


LAYERS = {"0": "0", "2": "2"}


def test_a_compiled_model_is_one_graph_while_it_is_listened_to() -> None:
    for first in (True, False):
        torch._dynamo.reset()
        model, x = mlp(), torch.randn(5, 3)
        compiled: Any = torch.compile(model, backend="eager", fullgraph=True)
        collected = Entering(model, LAYERS)
        if not first:
            compiled(x)
        with collected.listening():
            assert torch.equal(compiled(x), model(x))
            assert collected.take()["2"] is not None  # by the call that is not compiled
            compiled(x)
        assert collected.take() == {"0": None, "2": None}
        assert torch.equal(compiled(x), model(x))


def test_units_within_a_transform_are_left_alone() -> None:
    model, x = mlp(), torch.randn(5, 3)
    collected = Entering(model, LAYERS)
    with collected.listening():
        torch.func.vmap(model)(x[:, None])
    assert collected.take() == {"0": None, "2": None}


@pytest.mark.parametrize("made", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_that_is_made_meanwhile_tells_nothing(made: Any) -> None:
    model, x = mlp(), torch.randn(5, 3)
    collected = Entering(model, LAYERS)
    with collected.listening():
        other = made(model)
        again = made(other)
        model(x)
        for one in (other, again):
            one[0].weight.data.zero_()
            assert torch.equal(one(x), one[2](one[1](one[0](x))))
        found = collected.take()["2"]
        assert found is not None
        assert torch.equal(found, model[:2](x))  # type: ignore[index]
    assert b"nbtoolkit" not in pickle.dumps(other)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_shallow_copy_that_shares_the_hooks_tells_nothing() -> None:
    model, x = mlp(), torch.randn(5, 3)
    collected = Entering(model, LAYERS)
    with collected.listening():
        shallow = copy.copy(model[2])  # type: ignore[index]
        shallow._forward_pre_hooks = model[2]._forward_pre_hooks  # type: ignore[index]
        model(x)
        shallow(torch.zeros(9, 4))
    found = collected.take()["2"]
    assert found is not None
    assert len(found) == 5


def test_hooks_hold_no_units() -> None:
    model, x = mlp(), torch.randn(5, 3)
    collected = Entering(model, LAYERS)
    with collected.listening():
        model(x)
        hooks = [hook for module in model.modules() for hook in module._forward_pre_hooks.values()]
    alive = weakref.ref(collected)
    del collected
    gc.collect()
    assert alive() is None
    assert len(hooks) == 2 + 1
    for hook in hooks:
        assert hook(model, (x,), {}) is None
