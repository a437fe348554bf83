"""Small models in float64 with every feature that curvature of other tools stumbles over, and dense references."""

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, TensorDataset

from nbtoolkit.numerics.loss_at import SEED, LossAt
from tests import problems

Loss = Callable[..., Tensor]


@dataclass
class Case:
    """A model, a probe of it, and the same probe as a list of batches with their shares."""

    model: nn.Module
    probe: Any
    loss: Loss | None = F.cross_entropy
    batches: list[tuple[float, Any]] | None = None
    forward: Callable[[nn.Module, Any], Tensor] | None = None

    @property
    def loss_at(self) -> LossAt:
        return LossAt(self.model, self.probe, self.loss)

    @property
    def params(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    def live_loss(self, model: nn.Module | None = None) -> Tensor:
        """The loss as a training loop computes it, with its graph."""
        model = self.model if model is None else model
        total = torch.zeros((), dtype=torch.float64)
        for share, batch in self.batches or [(1.0, self.probe)]:
            torch.manual_seed(SEED)
            with sdpa_kernel(SDPBackend.MATH):
                total = total + share * (self.forward or self._plain)(model, batch)
        return total

    def _plain(self, model: nn.Module, batch: Any) -> Tensor:
        inputs, targets = batch
        if isinstance(inputs, dict):
            outputs = model(**inputs)
        else:
            outputs = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
        assert self.loss is not None
        return self.loss(outputs, targets)

    def dense(self) -> tuple[Tensor, Tensor]:
        """Gradient and Hessian of a copy of the model, row after row."""
        model = copy.deepcopy(getattr(self.model, "_orig_mod", self.model))
        params = [p for p in model.parameters() if p.requires_grad]
        gradient = _row(self.live_loss(model), params, create_graph=True)
        rows = [_row(g, params) if g.requires_grad else torch.zeros_like(gradient) for g in gradient]
        return gradient.detach(), torch.stack(rows)


def _row(scalar: Tensor, params: list[nn.Parameter], *, create_graph: bool = False) -> Tensor:
    found = torch.autograd.grad(scalar, params, create_graph=create_graph, retain_graph=True, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(found, params, strict=True)])


def _labels(count: int, classes: int = 3) -> Tensor:
    return torch.randint(0, classes, (count,))


def mlp() -> Case:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    return Case(model, (torch.randn(12, 4).double(), _labels(12)))


def cnn() -> Case:
    layers = nn.Conv2d(1, 3, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
    return Case(nn.Sequential(*layers).double(), (torch.randn(8, 1, 6, 6).double(), _labels(8)))


def batch_norm(*, train: bool = True) -> Case:
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(27, 3), nn.BatchNorm1d(3)
    model = nn.Sequential(*layers).double()
    model(torch.randn(6, 1, 5, 5).double() + 1)  # statistics that are not 0 and 1
    return Case(model.train(train), (torch.randn(8, 1, 5, 5).double(), _labels(8)))


def dropout() -> Case:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.4), nn.Linear(8, 3)).double()
    return Case(model, (torch.randn(12, 4).double(), _labels(12)))


def tied() -> Case:
    """One tensor twice, one tensor frozen, one never used."""
    tokens = torch.randint(0, 7, (16,))
    return Case(problems.Tied().double(), (tokens, (tokens + 1) % 7))


def short_batch() -> Case:
    case = mlp()
    x, y = torch.randn(11, 4).double(), _labels(11)
    parts = [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])]
    return Case(case.model, parts, batches=[(len(p[1]) / 11, p) for p in parts])


def loader() -> Case:
    """Shuffled: the loss of all is the same in any order."""
    case = mlp()
    x, y = torch.randn(11, 4).double(), _labels(11)
    probe = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True)
    return Case(case.model, probe, batches=[(1.0, (x, y))])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2).mean(1))


def attention() -> Case:
    return Case(Attention().double().train(), (torch.randn(6, 5, 4).double(), _labels(6)))


def encoder() -> Case:
    layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.2, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(12, 3)).double()
    return Case(model, (torch.randn(6, 3, 4).double(), _labels(6)))


def compiled() -> Case:
    case = mlp()
    model = torch.compile(case.model, backend="aot_eager")
    assert isinstance(model, nn.Module)
    forward = lambda m, batch: F.cross_entropy(getattr(m, "_orig_mod", m)(batch[0]), batch[1])  # noqa: E731
    return Case(model, case.probe, forward=forward)


def mse() -> Case:
    return Case(mlp().model, (torch.randn(9, 4).double(), torch.randn(9, 3).double()), nn.MSELoss())


def bce() -> Case:
    targets = torch.randint(0, 2, (9, 3)).double()
    return Case(mlp().model, (torch.randn(9, 4).double(), targets), F.binary_cross_entropy_with_logits)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 3), nn.Bilinear(3, 2, 3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.right(torch.tanh(self.left(a)), b)


def keywords() -> Case:
    return Case(Pair().double(), ({"a": torch.randn(7, 3).double(), "b": torch.randn(7, 2).double()}, _labels(7)))


def arguments() -> Case:
    return Case(Pair().double(), ((torch.randn(7, 3).double(), torch.randn(7, 2).double()), _labels(7)))


def function() -> Case:
    """A probe that is given the model, with a penalty on a parameter in it."""
    case = mlp()
    x, y = case.probe

    def probe(model: Any) -> Tensor:
        return F.cross_entropy(model(x), y) + 0.1 * torch.tanh(model(x)).square().mean()

    return Case(case.model, probe, None, forward=lambda model, _: probe(model))


def autocast() -> Case:
    """bfloat16 in the forward pass, float32 parameters."""
    model = mlp().model.float()
    x, y = torch.randn(12, 4), _labels(12)

    def probe(model: Any) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return F.cross_entropy(model(x), y)

    return Case(model, probe, None, forward=lambda model, _: probe(model))


class Shift(nn.Module):
    """The loss is linear in one parameter and does not bend in another beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.bend = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.bend + self.shift.sum()


def linear() -> Case:
    loss = lambda outputs, targets: (outputs * targets).mean()  # noqa: E731
    return Case(Shift().double(), (torch.randn(5, 3).double(), torch.randn(5).double()), loss)


ALL: dict[str, Callable[[], Case]] = {
    "mlp": mlp, "cnn": cnn, "batch_norm": batch_norm, "batch_norm_eval": lambda: batch_norm(train=False),
    "dropout": dropout, "tied": tied, "short_batch": short_batch, "loader": loader, "attention": attention,
    "encoder": encoder, "compiled": compiled, "mse": mse, "bce": bce, "keywords": keywords, "arguments": arguments,
    "function": function, "linear": linear,
}  # fmt: skip
OF_OUTPUTS = [name for name in ALL if name not in ("function", "linear", "loader")]  # also a Gauss-Newton matrix


@contextlib.contextmanager
def seed(value: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(value)
        yield
