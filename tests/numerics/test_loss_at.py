"""The loss of a probe: its forms, its weights, and what it refuses."""

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from nbtoolkit.numerics.loss_at import LossAt, examples
from nbtoolkit.numerics.points import Points
from nbtoolkit.numerics.products import hessian
from tests.numerics import cases


def value(loss: Tensor) -> float:
    return loss.detach().item()


@pytest.mark.parametrize("name", [*cases.ALL, "autocast"])
def test_it_is_the_loss_of_the_training_loop(name: str) -> None:
    case = cases.autocast() if name == "autocast" else cases.ALL[name]()
    wanted = case.live_loss(getattr(case.model, "_orig_mod", None))
    with torch.no_grad():
        found = case.loss_at(case.params)
    torch.testing.assert_close(found.double(), wanted.double().detach(), rtol=1e-12, atol=1e-12)
    assert not found.requires_grad


def test_it_is_taken_at_other_parameters() -> None:
    case = cases.mlp()
    moved = {name: param.detach() + 0.1 for name, param in case.params.items()}
    found = case.loss_at(moved)
    assert value(found) != value(case.live_loss())
    with torch.no_grad():
        for param in case.model.parameters():
            param.add_(0.1)
    torch.testing.assert_close(found, case.live_loss().detach())


def test_a_dropout_mask_is_the_same_each_time() -> None:
    case = cases.dropout()
    loss_at = case.loss_at
    assert value(loss_at(case.params)) == value(loss_at(case.params))
    assert value(loss_at(case.params)) != value(LossAt(case.model.eval(), case.probe, case.loss)(case.params))


def test_a_shuffled_loader_is_read_once() -> None:
    case = cases.batch_norm()
    layers = nn.Sequential(nn.Flatten(), nn.Linear(25, 3), nn.BatchNorm1d(3)).double()
    x, y = case.probe
    loader = DataLoader(TensorDataset(x, y), batch_size=3, shuffle=True)
    loss_at = LossAt(layers, loader, F.cross_entropy)
    params = dict(layers.named_parameters())
    assert value(loss_at(params)) == value(loss_at(params))
    assert [round(weight * 8) for weight, _ in loss_at.weighted()] == [3, 3, 2]


def test_a_prefix_is_taken_off() -> None:
    case = cases.mlp()
    params = {f"net.{name}": param for name, param in case.params.items()}
    loss_at = LossAt(case.model, case.probe, case.loss, prefix="net.")
    assert value(loss_at({**params, "other.weight": torch.zeros(1)})) == value(case.live_loss())


def test_the_batches_are_cut_and_joined() -> None:
    case = cases.short_batch()
    inputs, targets = case.loss_at.arrays()
    assert inputs.shape == (11, 4)
    assert targets.shape == (11,)
    assert len(case.loss_at.with_probe((inputs, targets)).weighted()) == 1
    assert examples({"a": torch.zeros(7, 2)}) == 7
    assert examples(((torch.zeros(5),), torch.zeros(5))) == 5


@pytest.mark.parametrize(
    ("probe", "loss"), [(3, F.cross_entropy), (None, None), ((torch.zeros(2, 4), torch.zeros(2)), None)]
)
def test_other_probes_are_refused_with_the_forms(probe: Any, loss: Any) -> None:
    with pytest.raises(TypeError, match="give one batch"):
        LossAt(cases.mlp().model, probe, loss)


def test_an_empty_probe_is_refused() -> None:
    with pytest.raises(ValueError, match="no batch"):
        hessian(LossAt(cases.mlp().model, [], F.cross_entropy), cases.mlp().params)


@pytest.mark.parametrize("kind", ["batch", "list", "loader"])
def test_batches_that_are_no_pairs_are_refused(kind: str) -> None:
    x, y, weight = torch.randn(6, 4), torch.arange(6) % 3, torch.rand(6)
    model = nn.Linear(4, 3)
    wanted = r"expected \(inputs, targets\); for anything else give a function of the model"
    if kind == "loader":
        loader = LossAt(model, DataLoader(TensorDataset(x, y, weight), batch_size=3), F.cross_entropy)
        for _ in range(2):
            with pytest.raises(ValueError, match="a list of 3 parts; " + wanted):
                loader(dict(model.named_parameters()))
    else:
        got = "a Tensor; " if kind == "batch" else "a tuple of 3 parts; "
        probe: Any = (x, y, weight) if kind == "batch" else [(x, y), (x, y, weight)]
        with pytest.raises(TypeError, match=got + wanted) as caught:
            LossAt(model, probe, F.cross_entropy)
        assert "\n" not in str(caught.value)


def test_a_loss_that_is_no_number_is_refused() -> None:
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3
    params = dict(model.named_parameters())
    losses: list[tuple[Any, str]] = [
        (lambda out, y: F.cross_entropy(out, y, reduction="none"), r"a tensor of shape \(6,\)"),
        (lambda out, y: F.cross_entropy(out, y).item(), "a float"),
    ]
    for loss, got in losses:
        wanted = f"the loss is {got}; expected a 0-d tensor, the mean over the examples"
        for one in (LossAt(model, (x, y), loss), LossAt(model, lambda m, of=loss: of(m(x), y))):
            with pytest.raises(ValueError, match=wanted) as caught:
                one(params)
            assert "\n" not in str(caught.value)
            with pytest.raises(ValueError, match=wanted):
                Points(one, params, [params])(torch.ones(2, 1))
    one_number = LossAt(model, (x, y), lambda out, y: F.cross_entropy(out, y).view(1))
    assert one_number(params).shape == ()


def test_what_hides_its_outputs_is_refused() -> None:
    case = cases.function()
    with pytest.raises(ValueError, match="hides the outputs"):
        case.loss_at.outputs(None, case.params)
    with pytest.raises(ValueError, match="cut into examples"):
        case.loss_at.arrays()

    class Two(nn.Linear):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    batch = (torch.zeros(2, 4), torch.zeros(2))
    with pytest.raises(ValueError, match="one tensor of outputs"):
        LossAt(Two(1, 1), [batch], F.mse_loss).outputs(batch, {"weight": torch.zeros(1)})


def test_threads_that_measure_at_the_same_time_put_back_what_was() -> None:
    case = cases.dropout()
    within, entered, left = threading.Event(), threading.Event(), threading.Event()

    def other() -> None:
        within.wait(10)
        with case.loss_at.undisturbed():
            entered.set()
            left.wait(10)

    before, state = torch.backends.cuda.flash_sdp_enabled(), torch.get_rng_state()
    thread = threading.Thread(target=other)
    thread.start()
    with case.loss_at.undisturbed():
        within.set()
        entered.wait(0.2)  # in vain
        assert not torch.backends.cuda.flash_sdp_enabled()
    left.set()
    thread.join(10)
    assert torch.backends.cuda.flash_sdp_enabled() == before
    assert torch.equal(torch.get_rng_state(), state)
