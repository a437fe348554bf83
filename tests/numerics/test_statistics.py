"""Losses with frozen and with re-estimated statistics, against normalisation by hand."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.statistics import with_statistics

X, Y = torch.randn(24, 5, generator=torch.Generator().manual_seed(3)).double(), torch.arange(24) % 3


def net() -> nn.Sequential:
    layers = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3)
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        for _ in range(3):
            model(2 * torch.randn(16, 5).double() + 1)  # statistics that are not those of the probe
    return model


def moved(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() + 0.1 * (place + 1) for place, (name, param) in enumerate(model.named_parameters())}


def by_hand(params: dict[str, Tensor], mean: Tensor | None, var: Tensor | None) -> Tensor:
    h = X @ params["0.weight"].T + params["0.bias"]
    mean, var = (h.mean(0), h.var(0, unbiased=False)) if mean is None or var is None else (mean, var)
    h = (h - mean) / (var + 1e-5).sqrt() * params["1.weight"] + params["1.bias"]
    return F.cross_entropy(h.relu() @ params["4.weight"].T + params["4.bias"], Y)


def test_frozen_uses_the_running_statistics_and_no_dropout() -> None:
    model = net()
    found = with_statistics(LossAt(model, (X, Y), F.cross_entropy), "frozen")(moved(model))
    wanted = by_hand(moved(model), model.get_buffer("1.running_mean"), model.get_buffer("1.running_var"))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def test_reestimated_uses_those_of_the_whole_probe_whatever_its_batches() -> None:
    model = net()
    for probe in ((X, Y), [(X[:5], Y[:5]), (X[5:], Y[5:])]):
        found = with_statistics(LossAt(model, probe, F.cross_entropy), "reestimated")(moved(model))
        torch.testing.assert_close(found, by_hand(moved(model), None, None), rtol=1e-12, atol=0)


def test_as_trained_is_the_model_as_it_is() -> None:
    loss_at = LossAt(net(), (X, Y), F.cross_entropy)
    assert with_statistics(loss_at, "as trained") is loss_at


@pytest.mark.parametrize("how", ["frozen", "reestimated", "as trained"])
def test_the_model_is_not_touched(how: str) -> None:
    model = net()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    random = torch.get_rng_state()
    with_statistics(LossAt(model, (X, Y), F.cross_entropy), how)(moved(model))
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)
    assert [module.training for module in model.modules()] == modes
    assert model[1].track_running_stats
    assert torch.equal(torch.get_rng_state(), random)


def test_a_shuffled_probe_is_the_same_for_all_of_them() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True, generator=torch.Generator())
    loss_at = LossAt(net(), loader, F.cross_entropy)
    frozen = with_statistics(loss_at, "frozen")
    for one, other in zip(loss_at.weighted(), frozen.weighted(), strict=True):
        assert torch.equal(one[1][0], other[1][0])


def test_dicts_and_tuples_of_inputs_are_joined() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.norm = nn.Linear(5, 3).double(), nn.BatchNorm1d(3).double()

        def forward(self, x: Tensor, shift: Tensor) -> Tensor:
            return self.norm(self.scale(x) + shift)

    model, shift = Sum(), torch.ones(24, 3).double()
    whole = LossAt(model, ((X, shift), Y), F.cross_entropy)
    tuples = [((X[:9], shift[:9]), Y[:9]), ((X[9:], shift[9:]), Y[9:])]
    dicts = [({"x": x, "shift": s}, y) for (x, s), y in tuples]
    wanted = with_statistics(whole, "reestimated")(moved(model))
    for probe in (tuples, dicts):
        found = with_statistics(LossAt(model, probe, F.cross_entropy), "reestimated")(moved(model))
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def test_what_cannot_be_is_said_in_one_line() -> None:
    with pytest.raises(ValueError, match="statistics='live': expected one of 'frozen', 'reestimated', 'as trained'"):
        with_statistics(LossAt(net(), (X, Y), F.cross_entropy), "live")
    instance = nn.Sequential(nn.InstanceNorm1d(2, track_running_stats=True))
    with pytest.raises(ValueError, match="normalise each example; use 'frozen'"):
        with_statistics(LossAt(instance, (X, Y), F.cross_entropy), "reestimated")
    uneven = [(torch.zeros(2, 5), Y[:2]), (torch.zeros(2, 4), Y[:2])]
    with pytest.raises(ValueError, match="as one batch; its batches differ: "):
        with_statistics(LossAt(net(), uneven, F.cross_entropy), "reestimated")
    model = net()
    model.kept = (part for part in X)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="cannot be copied; use statistics='as trained'"):
        with_statistics(LossAt(model, (X, Y), F.cross_entropy), "frozen")


def test_hooks_that_compute_are_part_of_the_copy() -> None:
    model = net().eval()
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(model[0])  # by a hook before each call
    twice: Any = lambda module, args, out: 2 * out  # noqa: E731
    model[4].register_forward_hook(twice)
    loss_at, params = LossAt(model, (X, Y), F.cross_entropy), dict(model.named_parameters())
    doubled = {**params, "0.weight_g": 2 * params["0.weight_g"]}
    found = with_statistics(loss_at, "frozen")(doubled)
    with torch.no_grad():
        params["0.weight_g"].mul_(2)
    torch.testing.assert_close(found, F.cross_entropy(model(X), Y), rtol=1e-12, atol=0)
