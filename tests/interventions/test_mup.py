"""A wide network whose units are copies of a narrow one's trains as that one does, at every factor of the table."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.interventions import mup
from nbtoolkit.numerics.loss_at import LossAt

R = 3


class Net(nn.Module):
    """Tokens and an image into one vector of ``width``: embedding, convolutions, norm, attention, readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Embedding(7, width)
        self.place = nn.Parameter(torch.randn(1, 5, width))
        self.image = nn.Sequential(nn.Conv2d(2, width, 3), nn.Tanh(), nn.ConvTranspose2d(width, width, 2))
        self.block = nn.TransformerEncoderLayer(width, width // 4, 2 * width, 0.0, batch_first=True)
        self.fixed = nn.Linear(2, 2)
        self.head = nn.Linear(width, 4)

    def forward(self, tokens: Tensor, image: Tensor) -> Tensor:
        seen = self.image(self.fixed(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        x = self.token(tokens) + self.place + seen.mean((2, 3))[:, None]
        return self.head(self.block(x).mean(1))


def batch() -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 7, (6, 5), generator=draw)
    return tokens, torch.randn(6, 2, 5, 5, generator=draw).double(), torch.randint(0, 4, (6,), generator=draw)


def copied(name: str, narrow: Tensor, wide: Tensor) -> Tensor:
    """The parameter of a network with ``R`` copies of each unit, which computes the same."""
    if "in_proj" in name:
        return torch.cat([copied("", part, wide[: len(wide) // 3]) for part in narrow.chunk(3)])
    times = [now // then for now, then in zip(wide.shape, narrow.shape, strict=True)]
    summed = times.count(R) == 2
    return narrow.repeat(times) / (R if summed else 1)


def pair() -> tuple[Net, Net]:
    torch.manual_seed(0)
    narrow, wide = Net(8).double(), Net(8 * R).double()
    with torch.no_grad():
        for (name, small), large in zip(narrow.named_parameters(), wide.parameters(), strict=True):
            large.copy_(copied(name, small, large))
    return narrow, wide


def trained(model: Net, optimizer: torch.optim.Optimizer, steps: int = 6) -> list[float]:
    tokens, image, y = batch()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tokens, image), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


EPS = 1e-13  # keys have biases whose gradient is zero but for rounding
KINDS: dict[str, tuple[str, Callable[..., torch.optim.Optimizer], float]] = {
    "Adam": ("adam", lambda groups: torch.optim.Adam(groups, eps=EPS), 0.0),
    "AdamW": ("adam", lambda groups: torch.optim.AdamW(groups, eps=EPS), 0.3),
    "SGD": ("sgd", lambda groups: torch.optim.SGD(groups, momentum=0.9), 0.0),
    "SGD with decay": ("sgd", lambda groups: torch.optim.SGD(groups), 0.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_units_train_as_the_units_do(kind: str) -> None:
    family, make, decay = KINDS[kind]
    lr = 0.03 if family == "adam" else 0.3
    narrow, wide = pair()
    groups = mup(wide, narrow, lr=lr, optimizer=family, weight_decay=decay, init="kept")
    plain = [{"params": list(narrow.parameters()), "lr": lr, "weight_decay": decay}]
    wanted, found = trained(narrow, make(plain)), trained(wide, make(groups))
    assert wanted[0] - wanted[-1] > 0.3
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), rtol=1e-9, atol=1e-9)
    for (name, small), large in zip(narrow.named_parameters(), wide.parameters(), strict=True):
        torch.testing.assert_close(large, copied(name, small, large), rtol=1e-6, atol=3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_width_of_the_base_nothing_changes_bit_for_bit(kind: str) -> None:
    family, make, decay = KINDS[kind]
    torch.manual_seed(0)
    plain, scaled = Net(8).double(), Net(8).double()
    scaled.load_state_dict(plain.state_dict())
    groups = mup(scaled, Net(8), lr=0.01, optimizer=family, weight_decay=decay)
    assert [len(group["params"]) for group in groups] == [len(list(plain.parameters()))]
    group = {"params": list(plain.parameters()), "lr": 0.01, "weight_decay": decay}
    assert trained(scaled, make(groups)) == trained(plain, make([group]))
    for one, other in zip(scaled.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


def scaled_by(init: str) -> dict[str, float]:
    """By what the first values were multiplied."""
    torch.manual_seed(0)
    model = Net(8 * R).double()
    before = {name: param.detach().clone() for name, param in model.named_parameters()}
    random = torch.get_rng_state()
    with torch.device("meta"):
        base = Net(8)
    mup(model, base, lr=0.01, init=init)
    assert torch.equal(torch.get_rng_state(), random)
    found = {}
    for name, param in model.named_parameters():
        ratio = (param.detach() / before[name])[before[name] != 0]
        if len(ratio):
            assert ratio.max() - ratio.min() < 1e-12
            found[name] = ratio.mean().item()
    return found


def test_first_values_have_the_size_that_they_have_in_the_base() -> None:
    drawn, fixed = scaled_by("fan_in"), scaled_by("fixed")
    assert set(scaled_by("kept").values()) == {1.0}
    biases = {"image.2.bias", "block.linear1.bias", "block.linear2.bias", "head.bias"}
    for name, factor in drawn.items():  # torch draws by 1 / fan-in
        assert factor == pytest.approx(R**0.5 if name in {*biases, "head.weight"} else 1.0, rel=1e-12), name
    hidden = {"image.2.weight", "block.self_attn.in_proj_weight", "block.self_attn.out_proj.weight",
              "block.linear1.weight", "block.linear2.weight"}  # fmt: skip
    for name, factor in fixed.items():
        assert factor == pytest.approx(R**-0.5 if name in hidden else 1.0, rel=1e-12), name


@pytest.mark.parametrize(("wide", "narrow", "layer"), [
    ((12, 6), (4, 6), nn.ConvTranspose1d), ((6, 12), (6, 4), nn.ConvTranspose1d),
    ((12, 12), (4, 4), nn.ConvTranspose1d), ((12, 24), (4, 12), nn.Conv1d),
])  # fmt: skip
def test_the_spread_of_first_values_follows_the_table(
    wide: tuple[int, int], narrow: tuple[int, int], layer: Any
) -> None:
    torch.manual_seed(0)
    model, base = layer(*(100 * n for n in wide), 1), layer(*(100 * n for n in narrow), 1)
    mup(model, base, lr=1.0)
    r_in = wide[0] / narrow[0]
    hidden = r_in != 1 and wide[1] != narrow[1]
    assert (model.weight.std() / base.weight.std()).item() == pytest.approx(r_in**-0.5 if hidden else 1, rel=0.01)
    assert (model.bias.std() / base.bias.std()).item() == pytest.approx(1, rel=0.1)


class Tied(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.token, self.head = nn.Embedding(9, width), nn.Linear(width, 9, bias=False)
        self.head.weight = self.token.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(input=self.token(tokens))


@pytest.mark.parametrize(("optimizer", "factor"), [("adam", 1), ("sgd", 4)])
def test_a_tied_readout_divides_and_keeps_the_values_of_the_embedding(optimizer: str, factor: int) -> None:
    model, tokens = Tied(32), torch.arange(9)
    plain = model(tokens).detach()
    (group,) = mup(model, Tied(8), lr=0.5, optimizer=optimizer)
    assert group["lr"] == 0.5 * factor
    assert torch.equal(model(tokens), plain / 4)


def test_copies_are_scaled_as_the_model_is_and_nothing_twice() -> None:
    def net(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))

    model, x = net(12), torch.randn(5, 3)
    mup(model, net(4), lr=0.1)
    first, weights = model(x), [param.detach().clone() for param in model.parameters()]
    for again in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        groups = mup(again, net(4), lr=0.2)
        assert torch.equal(again(x), first)
        assert all(torch.equal(one, other) for one, other in zip(again.parameters(), weights, strict=True))
        assert [group["lr"] for group in groups] == [0.2]
    fresh = net(12)
    fresh.load_state_dict(model.state_dict())
    mup(fresh, net(4), lr=0.1, init="kept")
    assert torch.equal(fresh(x), first)
    with pytest.raises(
        ValueError, match=r"scaled this model before.*0\.weight has another shape; build the model anew"
    ):
        mup(model, net(6), lr=0.1)


def test_frozen_parameters_are_in_no_group() -> None:
    model = nn.Sequential(nn.Linear(3, 12), nn.Linear(12, 12))
    model[0].requires_grad_(False)
    groups = mup(model, nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4)), lr=3.0)
    assert [(group["lr"], len(group["params"])) for group in groups] == [(1.0, 1), (3.0, 1)]


def test_the_loss_of_a_probe_sees_the_divided_readout() -> None:
    x, y = torch.randn(20, 3), torch.randint(0, 2, (20,))
    model, base = (nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2)) for width in (16, 4))
    params = dict(model.named_parameters())
    before = LossAt(model, (x, y), F.cross_entropy)(params)
    mup(model, base, lr=0.01)
    after = LossAt(model, (x, y), F.cross_entropy)(params)
    assert torch.equal(after, F.cross_entropy(model(x), y))
    assert not torch.equal(before, after)


def _sequence(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


class Matrix(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(shape))


@pytest.mark.parametrize(("wide", "narrow"), [
    ((8,), (4,)), ((5, 8), (5, 4)), ((1, 5, 8), (1, 5, 4)), ((8, 1, 1), (4, 1, 1)), ((1, 8, 1, 1), (1, 4, 1, 1)),
])  # fmt: skip
def test_vectors_and_growing_rows_outside_of_layers_are_inputs(wide: tuple[int, ...], narrow: tuple[int, ...]) -> None:
    (group,) = mup(Matrix(*wide), Matrix(*narrow), lr=0.5, optimizer="sgd", init="kept")
    assert group["lr"] == 1.0


@pytest.mark.parametrize(("model", "base", "settings", "words"), [
    (_sequence(nn.Linear(2, 8)), _sequence(nn.Linear(2, 4), nn.Linear(4, 4)), {}, r"found no 1 in the model"),
    (_sequence(nn.Linear(2, 8), nn.Linear(8, 8)), _sequence(nn.Linear(2, 4)), {}, r"no 1\.bias in the base"),
    (nn.Linear(2, 8), nn.Linear(2, 4, bias=False), {}, r"found no bias in the base; base and model must be the same"),
    (nn.Linear(2, 8), nn.Conv1d(2, 4, 1), {}, r"weight with shape \(8, 2\), in the base \(4, 2, 1\)"),
    (nn.LSTM(2, 8), nn.LSTM(2, 4), {}, r"no rule for the model \(LSTM\)"),
    (Matrix(8, 5), Matrix(4, 5), {}, r"fan-in of matrix \(Matrix\), which is 2 times as large.*into an nn\.Linear"),
    (Matrix(8, 1), Matrix(4, 1), {}, r"fan-in of matrix \(Matrix\), which is 2 times as large.*into an nn\.Linear"),
    (Matrix(1, 8, 3, 3), Matrix(1, 4, 3, 3), {}, r"fan-in of matrix"),
    (Matrix(8, 12), Matrix(4, 4), {}, r"fan-in of matrix \(Matrix\), which is 2, 3 times as large"),
    (nn.MultiheadAttention(16, 2), nn.MultiheadAttention(8, 2), {}, r"width 8, 4 in the base.*4 \*\* 0\.5 / 8"),
    (nn.Linear(2, 8), nn.Linear(2, 4), {"lr": -1.0}, r"lr=-1\.0; it must be a finite number above 0"),
    (nn.Linear(2, 8), nn.Linear(2, 4), {"optimizer": "lion"}, r"optimizer='lion'; choose one of adam, sgd"),
    (nn.Linear(2, 8), nn.Linear(2, 4), {"init": None}, r"init=None; choose one of fan_in, fixed, kept"),
    (nn.Linear(2, 8), nn.Linear(2, 4), {"weight_decay": -1}, r"weight_decay=-1"),
    (nn.Linear(2, 8), 64, {}, r"got a int as the base; it needs a torch\.nn\.Module"),
])  # fmt: skip
def test_what_has_no_rule_is_refused(model: Any, base: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mup(model, base, **{"lr": 0.1, **settings})


def test_a_model_is_not_its_own_base() -> None:
    model = nn.Linear(2, 4)
    with pytest.raises(ValueError, match="one model as both"):
        mup(model, model, lr=0.1)
