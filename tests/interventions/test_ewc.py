"""The penalty against its formula, and what it holds."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.interventions import EWC


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(5, 4).double()


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(30, 5, generator=generator).double(), torch.randint(0, 4, (30,), generator=generator)


def move(model: nn.Module) -> None:
    with torch.no_grad():
        for param in model.parameters():
            param.add_(0.3 * torch.randn_like(param))


def closed(model: nn.Linear, x: Tensor) -> dict[str, Tensor]:
    """The Fisher diagonal of softmax regression."""
    p = model(x).softmax(1).detach()
    return {"weight": (p * (1 - p)).T @ x**2 / len(x), "bias": (p * (1 - p)).mean(0)}


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach().clone() for name, param in model.named_parameters()}


def test_before_a_task_ended_there_is_no_penalty() -> None:
    assert EWC(linear(), 1.0).penalty() == 0


def test_at_the_anchor_it_is_zero_with_gradient_zero() -> None:
    model = linear()
    ewc = EWC(model, 100.0)
    ewc.consolidate(data())
    penalty = ewc.penalty()
    penalty.backward()
    assert penalty == 0
    for param in model.parameters():
        assert param.grad is not None
        assert not param.grad.any()


def test_away_from_the_anchors_it_is_the_sum_over_tasks() -> None:
    model = linear()
    ewc, held = EWC(model, 7.0), []
    for task in range(3):
        ewc.consolidate(data(task))
        held.append((closed(model, data(task)[0]), copied(model)))
        move(model)
    penalty = ewc.penalty()
    penalty.backward()
    at = copied(model)
    expected = sum((f[name] * (at[name] - anchor[name]) ** 2).sum() for f, anchor in held for name in at)
    torch.testing.assert_close(penalty.detach(), 7.0 / 2 * expected)
    for name, param in model.named_parameters():
        torch.testing.assert_close(param.grad, 7.0 * sum(f[name] * (at[name] - anchor[name]) for f, anchor in held))


def test_online_has_one_running_fisher_and_the_newest_anchor() -> None:
    model = linear()
    ewc, running = EWC(model, 7.0, online=0.6), {}
    for task in range(3):
        ewc.consolidate(data(task))
        new = closed(model, data(task)[0])
        running = {name: 0.6 * running.get(name, 0.0) + new[name] for name in new}
        anchor = copied(model)
        move(model)
    assert len(ewc.held) == 1
    at = copied(model)
    expected = sum((running[name] * (at[name] - anchor[name]) ** 2).sum() for name in at)
    torch.testing.assert_close(ewc.penalty().detach(), 7.0 / 2 * expected)


def test_batches_of_a_loader_are_the_whole_data() -> None:
    x, y = data()
    whole, parts = EWC(linear(), 1.0), EWC(linear(), 1.0)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=7, shuffle=True)
    expected = whole.consolidate((x, y))
    random = torch.get_rng_state()
    for name, value in parts.consolidate(loader).items():
        torch.testing.assert_close(value, expected[name])
    assert torch.equal(torch.get_rng_state(), random)


def test_labels_of_tasks_are_drawn_anew() -> None:
    ewc = EWC(linear(), 1.0, labels="sampled")
    one, other = (ewc.consolidate(data())["weight"] for _ in range(2))
    assert not torch.equal(one, other)
    again = EWC(linear(), 1.0, labels="sampled").consolidate(data())["weight"]
    assert torch.equal(one, again)


def test_frozen_parameters_and_the_mode_stay() -> None:
    model: Any = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)).double()
    model[0].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    ewc = EWC(model, 1.0)
    assert list(ewc.consolidate(data())) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_penalty_holds_a_task_that_would_be_forgotten() -> None:
    """The second task uses other inputs, and says the opposite where they meet."""
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(1)).double()
    first, second = x.clone(), x.clone()
    first[:, 3:], second[:, :2] = 0, 0
    old, new = (first[:, 0] > 0).long(), (second[:, 3] - second[:, 2] > 0).long()

    def after(strength: float) -> float:
        model = linear()
        ewc = EWC(model, strength)
        for inputs, labels in ((first, old), (second, new)):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(200):
                optimizer.zero_grad()
                (F.cross_entropy(model(inputs), labels) + ewc.penalty()).backward()
                optimizer.step()
            ewc.consolidate((inputs, labels))
        return float(F.cross_entropy(model(first), old).detach())

    assert after(100.0) < 0.9 * after(0.0)


def test_a_loaded_state_holds_the_same() -> None:
    model = linear()
    ewc = EWC(model, 2.0)
    ewc.consolidate(data())
    state = copy.deepcopy(ewc.state_dict())
    move(model)
    other = EWC(model, 2.0)
    other.load_state_dict(state)
    assert ewc.penalty() == other.penalty() > 0
    with pytest.raises(ValueError, match="of a model with other parameters"):
        EWC(nn.Linear(2, 2), 1.0).load_state_dict(state)


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)).double()


def test_a_module_of_the_same_shapes_takes_the_place_of_the_one_held() -> None:
    model = network()
    ewc = EWC(model, 2.0)
    fisher, anchor = ewc.consolidate(data()), copied(model)
    model[2] = nn.Linear(6, 4).double()
    at = copied(model)
    expected = sum((fisher[name] * (at[name] - anchor[name]) ** 2).sum() for name in at)
    assert expected > 0
    penalty = ewc.penalty()
    torch.testing.assert_close(penalty.detach(), expected)
    penalty.backward()
    torch.testing.assert_close(model[2].weight.grad, 2 * fisher["2.weight"] * (at["2.weight"] - anchor["2.weight"]))


def test_a_head_that_was_held_and_has_grown_or_gone_is_named() -> None:
    model = network()
    ewc = EWC(model, 2.0)
    model[2] = nn.Linear(6, 7).double()
    ewc.consolidate(data())  # nothing was held before
    state = ewc.state_dict()
    model[2] = nn.Linear(6, 8).double()
    grown = r"2.weight is \(8, 6\) and was \(7, 6\); 2.bias is \(8,\) and was \(7,\). Build the model with all its"
    for call in (ewc.penalty, lambda: ewc.consolidate(data())):
        with pytest.raises(ValueError, match=grown):
            call()
    with pytest.raises(ValueError, match="of a model with other parameters"):
        ewc.load_state_dict(state)
    model[2] = nn.Identity()
    with pytest.raises(ValueError, match=r"as they were: 2.weight is gone; 2.bias is gone"):
        ewc.penalty()


@pytest.mark.parametrize("online", [None, 0.5])
def test_what_came_later_is_held_from_the_next_end_on(online: float | None) -> None:
    model = network()
    model[0].requires_grad_(False)
    ewc = EWC(model, 2.0, online=online)
    first = ewc.consolidate(data())
    assert list(first) == ["2.weight", "2.bias"]
    model[0].requires_grad_(True)
    model.append(nn.Linear(4, 4).double())
    second = ewc.consolidate(data(1))
    assert list(second) == list(copied(model))
    fisher = ewc.held[-1][0]
    old = 0.0 if online is None else online * first["2.weight"]
    torch.testing.assert_close(fisher["2.weight"], second["2.weight"] + old)
    torch.testing.assert_close(fisher["0.weight"], second["0.weight"])
    move(model)
    other = EWC(model, 2.0, online=online)
    other.load_state_dict(ewc.state_dict())
    assert other.penalty() == ewc.penalty() > 0


WORD: Any = "much"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EWC(linear(), -1.0), "strength=-1.0"), (lambda: EWC(linear(), WORD), "strength='much'"),
        (lambda: EWC(linear(), 1.0, online=1.5), "online=1.5"),
        (lambda: EWC(linear(), 1.0, labels="all"), "labels='all'; choose one of true"),
        (lambda: EWC(linear(), 1.0, seed=-1), "seed=-1"),
        (lambda: EWC(linear().requires_grad_(False), 1.0), "no parameter that requires a gradient"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
