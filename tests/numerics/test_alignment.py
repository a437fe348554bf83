"""Weight matching: permuted copies come back exactly, and two trained networks come closer."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from nbtoolkit.numerics.alignment import distance, match
from nbtoolkit.numerics.layer_graph import symmetries
from nbtoolkit.numerics.symmetries import Symmetries
from tests.numerics import permutable


def named(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", permutable.ALL)
def test_a_permuted_copy_is_recovered_exactly(name: str, seed: int) -> None:
    model, inputs, _ = permutable.ALL[name]()
    found, state = symmetries(model, inputs), model.state_dict()
    moved = found.permuted(state, found.random_permutations(seed + 1))
    assert distance(state, moved, named(model)) > 0.1
    back = found.permuted(moved, match(state, moved, found, seed=seed))
    assert distance(state, back, named(model)) == 0
    for key, tensor in state.items():  # buffers too
        assert torch.equal(back[key], tensor), key


def test_a_noisy_permuted_copy_is_recovered() -> None:
    model, inputs, _ = permutable.resnet()
    found, state = symmetries(model, inputs), model.state_dict()
    permutations = found.random_permutations(4)
    noisy = {key: tensor + 0.01 * torch.randn_like(tensor) for key, tensor in state.items() if "num" not in key}
    back = match(found.permuted(noisy, permutations), state, found)
    for group, order in permutations.items():
        assert torch.equal(back[group], order)


def one_hidden(seed: int, width: int = 7) -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2)).double()
    return model, {name: param.detach() for name, param in model.named_parameters()}


def test_one_hidden_layer_is_matched_optimally() -> None:
    model, one = one_hidden(0)
    _, other = one_hidden(1)
    found = symmetries(model, torch.randn(4, 3, dtype=torch.float64))
    order = match(one, other, found)["0"]
    units = [torch.cat([p["0.weight"], p["0.bias"][:, None], p["2.weight"].T], 1) for p in (one, other)]
    costs = torch.cdist(units[0], units[1]).square()
    best = costs.numpy()[linear_sum_assignment(costs.numpy())].sum()
    reached = costs[torch.arange(7), order].sum()
    assert float(reached) == pytest.approx(float(best), abs=1e-12)
    ends = (one["2.bias"] - other["2.bias"]).square().sum()
    after = distance(one, found.permuted(other, {"0": order}), one)
    assert after**2 == pytest.approx(float(reached + ends), rel=1e-12)


@pytest.mark.parametrize("name", ["cnn", "resnet", "pre_norm", "attention"])
def test_the_distance_falls_and_no_single_group_can_lower_it(name: str) -> None:
    torch.manual_seed(1)
    model, inputs, _ = permutable.ALL[name]()
    found = symmetries(model, inputs)
    one = {key: torch.randn_like(tensor) for key, tensor in model.named_parameters()}
    other = {key: torch.randn_like(tensor) for key, tensor in one.items()}
    permutations = match(one, other, found)
    reached = distance(one, found.permuted(other, permutations), one)
    assert reached < distance(one, other, one)
    generator = torch.Generator().manual_seed(0)
    for group, order in permutations.items():
        for _ in range(20):
            i, j = torch.randperm(len(order), generator=generator)[:2].tolist()
            swapped = order.clone()
            swapped[[i, j]] = order[[j, i]]
            tried = found.permuted(other, {**permutations, group: swapped})
            assert distance(one, tried, one) >= reached - 1e-12


def test_the_answer_depends_on_the_seed_alone_and_more_starts_are_no_worse() -> None:
    torch.manual_seed(1)
    model, inputs, _ = permutable.attention()
    found = symmetries(model, inputs)
    one = {key: torch.randn_like(tensor) for key, tensor in model.named_parameters()}
    other = {key: torch.randn_like(tensor) for key, tensor in one.items()}
    before = torch.get_rng_state()
    first, again = (match(one, other, found, seed=3) for _ in range(2))
    assert all(torch.equal(first[group], again[group]) for group in first)
    assert torch.equal(torch.get_rng_state(), before)
    reached = [distance(one, found.permuted(other, match(one, other, found, restarts=n)), one) for n in (1, 4)]
    assert reached[1] <= reached[0]


def test_what_cannot_be_matched_is_refused() -> None:
    model, state = one_hidden(0)
    found = symmetries(model, torch.randn(4, 3, dtype=torch.float64))
    assert isinstance(found, Symmetries)
    with pytest.raises(ValueError, match=r"the reference has no 0\.bias"):
        match({key: value for key, value in state.items() if key != "0.bias"}, state, found)
    with pytest.raises(ValueError, match="restarts=0: weight matching needs at least 1 start"):
        match(state, state, found, restarts=0)
    with pytest.raises(ValueError, match="not finite"):
        match({**state, "0.bias": torch.full((7,), torch.nan)}, state, found)
    with pytest.raises(ValueError, match=r"0\.weight has shape \(5, 3\)"):
        match(state, one_hidden(1, width=5)[1], found)
