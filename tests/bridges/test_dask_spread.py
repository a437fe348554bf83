"""Measurements whose parts workers evaluate: the same bits as here."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from distributed import Client
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.bridges import cluster
from nbtoolkit.bridges.dask import spread
from nbtoolkit.errors import LandscapeError
from nbtoolkit.instruments import batch_hessian_extremes, landscape_slice
from nbtoolkit.numerics import elsewhere, points
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trajectory import Trajectory


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster.local(2, 1) as found:
        yield found


def network(*, bare: bool = False) -> nn.Module:
    """Of one pass that is large enough not to be mapped, with statistics of its own."""
    torch.manual_seed(0)
    hidden = [nn.Linear(40, 200), nn.BatchNorm1d(200), nn.ReLU(), nn.Dropout(0.5)]
    model = nn.Sequential(
        nn.Linear(40, 40) if bare else nn.Sequential(*hidden, nn.Linear(200, 40)), nn.Tanh(), nn.Linear(40, 5)
    )
    return model.eval()


def data(count: int = 1500) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 40), torch.randint(0, 5, (count,))


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def equal(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many parts each call sends away."""
    counts: list[int] = []
    each = elsewhere.each

    def counted(function: Any, parts: Any, **options: Any) -> Any:
        if elsewhere._offer.get() is not None:
            counts.append(len(parts))
        return each(function, parts, **options)

    monkeypatch.setattr(elsewhere, "each", counted)
    return counts


@pytest.mark.parametrize("statistics", ["frozen", "reestimated"])
def test_a_slice_is_the_same_to_the_bit(
    client: Client, sent: list[int], statistics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(points.BLOCK, "cpu", 2e8)  # so that there are several blocks
    model = network()
    shuffled = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=512, shuffle=True)
    loss_at = LossAt(model, shuffled, lambda outputs, targets: F.cross_entropy(outputs, targets))
    arguments = loss_at, parameters(model), Trajectory()
    here = landscape_slice(*arguments, points=9, statistics=statistics)
    before = torch.get_rng_state()
    with spread(client):
        there = landscape_slice(*arguments, points=9, statistics=statistics)
    assert sum(sent) > 4
    assert torch.equal(torch.get_rng_state(), before)
    equal(there, here)
    assert np.ptp(here["loss_slice"]) > 0


def test_hessian_extremes_of_batches_are_the_same_to_the_bit(client: Client, sent: list[int]) -> None:
    model = network(bare=True)
    loss_at = LossAt(model, data(96), F.cross_entropy)
    options: dict[str, Any] = {"sizes": (2, 8), "steps": 6}
    here = batch_hessian_extremes(loss_at, parameters(model), **options)
    with spread(client):
        there = batch_hessian_extremes(loss_at, parameters(model), **options)
    assert sent == [3, 1]
    equal(there, here)


def test_a_run_measures_with_workers_and_shows_the_stages(client: Client, sent: list[int]) -> None:
    model = network(bare=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    asked = landscape_slice.using(points=9, share=0.5)
    kept = []
    for cluster_of in (None, client):
        run = nbtoolkit.watch(model, optimizer, instruments=[], probe=data(8000), loss=F.cross_entropy)
        run.detach()
        if cluster_of is None:
            run.measure(asked)
        else:
            with spread(cluster_of):
                run.measure(asked)
        kept.append(run["landscape_slice"])
    assert sum(sent) > 0
    assert kept[0].identical(kept[1])


def test_a_loss_that_fails_on_a_worker_fails_here(client: Client) -> None:
    model = network(bare=True)
    home = torch.zeros(1)  # a copy on a worker is not at the same place
    place = home.data_ptr()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if home.data_ptr() != place:
            raise ArithmeticError("not at home")
        return F.cross_entropy(outputs, targets)

    loss_at = LossAt(model, data(8000), loss)
    with spread(client), pytest.raises(ArithmeticError, match="not at home"):
        landscape_slice(loss_at, parameters(model), Trajectory(), points=9)
    assert np.isfinite(landscape_slice(loss_at, parameters(model), Trajectory(), points=3)["loss_slice"]).all()


def test_what_cannot_be_sent_is_refused_in_words(client: Client) -> None:
    model = network(bare=True)
    model.lock = threading.Lock()  # type: ignore[assignment]
    loss_at = LossAt(model, data(96), F.cross_entropy)
    with (
        spread(client),
        pytest.raises(LandscapeError, match=r"cannot be sent to workers \(.*lock.*\); define them where"),
    ):
        batch_hessian_extremes(loss_at, parameters(model), sizes=(8,), steps=2)
