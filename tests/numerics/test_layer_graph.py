"""The groups of units of many models, the function before and after they are permuted, and what is refused."""

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.layer_graph import symmetries
from tests.numerics import permutable


@pytest.mark.parametrize("name", permutable.ALL)
def test_the_groups_are_those_that_can_move(name: str) -> None:
    model, inputs, sizes = permutable.ALL[name]()
    assert sorted(symmetries(model, inputs).sizes.values()) == sizes


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", permutable.ALL)
def test_a_permutation_changes_every_group_and_not_the_function(name: str, train: bool) -> None:
    model, inputs, _ = permutable.ALL[name]()
    found = symmetries(model, inputs)
    model.train(train)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    moved = found.permuted(state, found.random_permutations(3))
    for group in found.sizes:
        alone = {group: torch.arange(found.sizes[group]).roll(1)}
        assert any(not torch.equal(tensor, state[key]) for key, tensor in found.permuted(state, alone).items()), group
    with torch.no_grad():
        before = permutable.outputs(model, {k: t.clone() for k, t in state.items()}, inputs)
        after = permutable.outputs(model, {k: t.clone() for k, t in moved.items()}, inputs)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-11 * float(before.abs().max()))


def test_columns_behind_an_image_move_in_blocks_and_statistics_with_their_channels() -> None:
    model, inputs, _ = permutable.cnn()
    axes = symmetries(model, inputs).axes
    assert axes["8.weight"] == ((("8", 5, 1),), (("4", 6, 4),))
    assert axes["1.running_var"] == axes["1.weight"] == axes["0.bias"] == ((("0", 4, 1),),)
    assert axes["0.weight"][1:] == ((), (), ())
    assert axes["11.bias"] == ((),)


def test_tied_weights_and_heads() -> None:
    model, inputs, _ = permutable.pre_norm()
    axes = symmetries(model, inputs).axes
    assert axes["out.weight"] == axes["embed.weight"]
    assert axes["embed.weight"][0] == ()
    (stream,) = axes["embed.weight"][1]
    heads = axes["encoder.layers.0.self_attn.in_proj_weight"]
    assert [block.places for block in heads[0]] == [4, 4, 4]
    assert len({block.group for block in heads[0]}) == 1
    assert heads[1] == (stream,)
    assert axes["encoder.layers.0.self_attn.out_proj.weight"] == ((stream,), heads[0][:1])


def test_what_cannot_move_is_told() -> None:
    model, inputs, _ = permutable.shuffled()
    held = symmetries(model, inputs).held
    assert held[0] == "grouped (Conv2d)"
    assert symmetries(*permutable.cut()[:2]).held == ("getitem", "add")
    assert symmetries(*permutable.mlp()[:2]).held == ()


class WithTable(nn.Module):
    """A buffer is added to the units."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 2)
        self.register_buffer("table", torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.second(self.first(x) + self.table)))


def test_units_that_meet_a_buffer_stay() -> None:
    found = symmetries(WithTable(), torch.randn(5, 3))
    assert found.sizes == {"second": 5}
    assert found.held == ("table (a buffer)",)
    assert found.axes["table"] == ((),)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return self.last(x if x.sum() > 0 else -x)


class Sorting(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cumsum(self.layer(x), -1))


class Counting(Branching):
    def forward(self, x: Tensor) -> Tensor:
        numbers: Any = self.layer.weight.tolist()
        return self.last(self.layer(x)) * numbers[0][0]


class Recurrent(Branching):
    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.GRU(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.memory(self.layer(x))[0])


def foreign(x: Tensor) -> Tensor:
    return x * torch.arange(x.shape[-1])


torch.fx.wrap("foreign")


class Foreign(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(foreign(self.layer(x)))


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    order: Any = torch.arange(4.0)
    model[1].register_forward_hook(lambda module, args, out: out * order)
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Branching(), "cannot be traced by torch.fx.*control flow"),
        (Sorting(), "cumsum: what it does to an order of units is not known"),
        (Counting(), "tolist: what it does to an order of units is not known"),
        (Recurrent(), r"memory \(GRU\): what GRU does to an order of units is not known"),
        (Foreign(), "foreign: what it does to an order of units is not known"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), r"ParametrizationList"),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))), "ParametrizedLinear"),
        (nn.Linear(3, 2), "no unit of this model can change its place"),
        (hooked(), "changes its outputs"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_is_not_understood_is_refused_by_name(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        symmetries(model, torch.randn(5, 3))
    assert "\n" not in str(caught.value)


def test_a_state_of_another_architecture_is_refused() -> None:
    model, inputs, _ = permutable.mlp()
    found = symmetries(model, inputs)
    with pytest.raises(ValueError, match=r"the model has no 9\.weight"):
        found.permuted({"9.weight": torch.zeros(2, 2)}, {})
    with pytest.raises(ValueError, match=r"0\.weight has shape \(8, 6\)"):
        found.permuted({"0.weight": torch.zeros(8, 6)}, {})


def test_nothing_of_the_model_is_touched() -> None:
    model, inputs, _ = permutable.cnn()
    model.train()
    before, state = {k: (t.clone(), t._version) for k, t in model.state_dict().items()}, torch.get_rng_state()
    symmetries(model, inputs)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name][0])
        assert tensor._version == before[name][1]


class Random(nn.Module):
    """A drawn network: dense, residual, concatenated, gated and normalised layers in any order."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.stem, width = nn.Linear(4, 6), 6
        self.kinds: list[str] = []
        self.layers = nn.ModuleList()
        for _ in range(draw.randint(1, 5)):
            kind, out = draw.choice(["dense", "residual", "cat", "gate", "norm", "split"]), draw.choice([4, 6, 8])
            out = {"residual": width, "norm": width, "gate": 2 * width}.get(kind, out)
            self.kinds.append(kind)
            self.layers.append(nn.LayerNorm(width) if kind == "norm" else nn.Linear(width, out))
            width = {"cat": width + out, "gate": width, "split": out // 2}.get(kind, out)
        self.last = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            y = layer(x)
            if kind == "residual":
                y = x + torch.relu(y)
            elif kind == "cat":
                y = torch.cat([x, torch.sin(y)], dim=-1)
            elif kind == "gate":
                gate, value = y.chunk(2, -1)
                y = torch.sigmoid(gate) * value + x
            elif kind == "split":
                y = y.view(y.shape[0], 2, -1).amax(1)
            x = y
        return self.last(x)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_random_permutations_never_change_the_function(seed: int) -> None:
    torch.manual_seed(seed)
    model, inputs = Random(seed).double(), torch.randn(5, 4, dtype=torch.float64)
    found = symmetries(model, inputs)
    state = model.state_dict()
    with torch.no_grad():
        moved = permutable.outputs(model, found.permuted(state, found.random_permutations(seed)), inputs)
        torch.testing.assert_close(moved, model(inputs), rtol=0, atol=1e-12)


def _ordered(module: nn.Module, args: Any, out: Tensor) -> Tensor:
    return out * torch.arange(9.0)


class ZeroHead(nn.Module):
    """All outputs are zero, whatever comes before; with ``tells`` that has an order that the trace does not see."""

    def __init__(self, *, tells: bool) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(6, 9), nn.Linear(9, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        if tells:
            self.hidden.register_forward_hook(_ordered)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(x)))


def test_behind_a_head_of_zeros_an_order_is_still_seen() -> None:
    assert sorted(symmetries(ZeroHead(tells=False), torch.randn(5, 6)).sizes.values()) == [9]
    with pytest.raises(ValueError, match="permuting the units"):
        symmetries(ZeroHead(tells=True), torch.randn(5, 6))


class Nowhere(ZeroHead):
    """Its outputs are NaN, before and after."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(x))) * float("nan")


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="permuting the units"):
        symmetries(Nowhere(tells=False), torch.randn(5, 6))


class Halves(ZeroHead):
    """Changes its inputs in place."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(x.mul_(0.5))))


def test_inputs_that_the_model_changes_in_place_are_not_the_users() -> None:
    x = torch.randn(5, 6)
    before = x.clone()
    assert sorted(symmetries(Halves(tells=False), x).sizes.values()) == [9]
    assert torch.equal(x, before)
