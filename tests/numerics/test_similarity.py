"""CKA against its definition, exact cases, and the bias of few examples."""

import gc

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics import similarity
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.similarity import features, linear_cka, representation


def cka(x: Tensor, y: Tensor, *, debiased: bool = False) -> float:
    return linear_cka(representation(x), representation(y), debiased=debiased)


def centred_gram(x: Tensor) -> Tensor:
    n = len(x)
    centre = torch.eye(n, dtype=torch.float64) - 1 / n
    return centre @ (x.double() @ x.double().T) @ centre


def by_definition(x: Tensor, y: Tensor) -> float:
    k, l = centred_gram(x), centred_gram(y)  # noqa: E741 - as in the papers
    return float((k * l).sum() / torch.sqrt((k * k).sum() * (l * l).sum()))


def unbiased_by_definition(x: Tensor, y: Tensor) -> float:
    def hsic(x: Tensor, y: Tensor) -> Tensor:
        n, one = len(x), torch.ones(len(x), dtype=torch.float64)
        k, l = (z.double() @ z.double().T for z in (x, y))  # noqa: E741
        k.fill_diagonal_(0)
        l.fill_diagonal_(0)
        inner = (k @ l).trace() + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
        return (inner - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))

    return float(hsic(x, y) / torch.sqrt(hsic(x, x) * hsic(y, y)))


@pytest.mark.parametrize("widths", [(3, 5), (40, 50), (4, 50), (50, 4)])
def test_it_is_its_definition_in_every_form(widths: tuple[int, int]) -> None:
    x, y = torch.randn(20, widths[0]) + 2, torch.randn(20, widths[1])
    y[:, :3] += x[:, :3]
    assert cka(x, y) == pytest.approx(by_definition(x, y), abs=1e-12)
    assert cka(x, y, debiased=True) == pytest.approx(unbiased_by_definition(x, y), abs=1e-12)
    assert cka(x, y) == pytest.approx(cka(y, x), abs=1e-14)


@pytest.mark.parametrize("width", [5, 60])
def test_a_rotation_a_factor_and_a_shift_change_nothing(width: int) -> None:
    x = torch.randn(30, width, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))
    moved = -3.0 * x @ turn + torch.randn(width, dtype=torch.float64)
    assert abs(cka(x, moved) - 1) < 1e-12
    assert abs(cka(x, moved, debiased=True) - 1) < 1e-12
    assert cka(x, x) == cka(x, x.clone(), debiased=True) == 1.0
    assert cka(x, x + torch.randn_like(x)) < 0.999


def test_features_that_are_all_equal_have_no_similarity() -> None:
    x = torch.randn(20, 3)
    assert np.isnan(cka(x, torch.full((20, 4), 0.1)))
    assert np.isnan(cka(torch.full((20, 4), 0.3), torch.full((20, 4), 0.3), debiased=True))


def test_few_examples_bias_it_and_not_the_debiased_one() -> None:
    n, width = 30, 90
    found = np.array(
        [
            [cka(x, y), cka(x, y, debiased=True)]
            for x, y in (torch.randn(2, n, width, dtype=torch.float64) for _ in range(200))
        ]
    )
    mean, error = found.mean(0), found.std(0, ddof=1) / len(found) ** 0.5
    assert mean[0] == pytest.approx(1 / (1 + n / width), rel=0.05)
    assert abs(mean[1]) <= 3 * error[1]
    assert error[1] < 0.005


def test_examples_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="5 and 6 examples; give features of the same"):
        cka(torch.randn(5, 2), torch.randn(6, 2))
    with pytest.raises(ValueError, match="3 examples; the debiased estimate needs 4"):
        cka(torch.randn(3, 2), torch.randn(3, 2), debiased=True)


# -- features ------------------------------------------------------------------------------


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 4)]
    return nn.Sequential(*layers).double()


def probe(count: int = 12) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 1, 6, 6, dtype=torch.float64), torch.randint(0, 4, (count,))


def test_features_are_the_outputs_of_the_modules_at_those_parameters() -> None:
    model, (x, y) = network(), probe()
    moved = {name: param.detach() + 0.1 for name, param in model.named_parameters()}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    found = features(LossAt(model, (x, y), F.cross_entropy), moved, ["0", "1", "5", "nowhere"])
    assert list(found) == ["0", "1", "5"]
    conv = F.conv2d(x, moved["0.weight"], moved["0.bias"])
    norm = F.batch_norm(conv, None, None, moved["1.weight"], moved["1.bias"], training=True)
    out = norm.relu().flatten(1) @ moved["5.weight"].T + moved["5.bias"]
    for name, value in (("0", conv), ("1", norm), ("5", out)):
        expected = representation(value)
        torch.testing.assert_close(found[name].matrix, expected.matrix, rtol=1e-10, atol=1e-10)
        assert found[name].gram == expected.gram == (name != "5")
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in model.modules())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_some_examples_are_spread_over_all_batches() -> None:
    model, (x, y) = network(), probe()
    loss_at = LossAt(model, [(x[:5], y[:5]), (x[5:], y[5:])], F.cross_entropy)
    found = features(loss_at, dict(model.named_parameters()), ["0"], most=4)["0"]
    taken = x[[0, 3, 7, 11]]
    expected = representation(F.conv2d(taken, model[0].weight, model[0].bias))  # type: ignore[arg-type]
    torch.testing.assert_close(found.matrix, expected.matrix, rtol=1e-10, atol=1e-10)


class Shared(nn.Module):
    """One layer called twice, one that returns a tuple, one that turns the examples away from the first dim."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.memory, self.mixed = nn.Linear(4, 4), nn.GRU(4, 3, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(torch.tanh(self.twice(x)))
        return self.mixed(self.memory(x)[0].reshape(-1, 6)).sum(1).reshape(len(x), -1)


def test_modules_of_every_kind() -> None:
    model = Shared().double()
    x = torch.randn(5, 4, 4, dtype=torch.float64)
    loss_at = LossAt(model, (x, torch.zeros(5, dtype=torch.long)), F.cross_entropy)
    found = features(loss_at, dict(model.named_parameters()), ["twice", "memory", "mixed"])
    assert list(found) == ["twice", "memory"]
    first = model.twice(x)
    both = torch.cat([first.flatten(1), model.twice(torch.tanh(first)).flatten(1)], 1)
    torch.testing.assert_close(found["twice"].matrix, representation(both).matrix)


def test_a_probe_that_is_a_function_is_refused() -> None:
    model = network()
    with pytest.raises(ValueError, match="cannot be cut into examples"):
        features(LossAt(model, lambda model: model(probe()[0]).sum()), dict(model.named_parameters()), ["0"])


@pytest.mark.parametrize("width", [6, 40])
def test_features_in_parts_are_those_side_by_side(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    x, y = torch.randn(20, width, dtype=torch.float64) + 3, torch.randn(20, 5, dtype=torch.float64)
    whole = representation(torch.cat([y, x, y], 1))
    monkeypatch.setattr(similarity, "CHUNK", 60)  # three columns
    parts = similarity.Collected()
    for part in (y, x, y):
        parts.add(part)
    found = parts.representation()
    assert found.gram == whole.gram == (width == 40)
    torch.testing.assert_close(found.matrix, whole.matrix, rtol=1e-12, atol=1e-12)


def test_of_layers_with_many_features_only_products_of_examples_are_held() -> None:
    """At the last layer no features of the layers before are left, only a matrix of 5 x 5 of each."""
    model = nn.Sequential(*(nn.Linear(300, 300) for _ in range(6)), nn.Linear(300, 2)).double()
    held: list[int] = []

    def count(*_: object) -> None:
        gc.collect()
        tensors = [t for t in gc.get_objects() if type(t) is Tensor and t.shape == (5, 300)]
        held.append(len({t.untyped_storage().data_ptr() for t in tensors}))

    model[6].register_forward_pre_hook(count)
    loss_at = LossAt(model, (torch.randn(5, 300, dtype=torch.float64), torch.zeros(5).long()), F.cross_entropy)
    found = features(loss_at, dict(model.named_parameters()), [str(i) for i in range(7)])
    assert all(found[str(i)].matrix.shape == (5, 5) for i in range(6))
    assert held[0] <= 2  # the probe, and the input of the last layer
